"""Tests of `forebay.explain`."""

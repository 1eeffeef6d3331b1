"""Tests of the local stack, with its servers."""

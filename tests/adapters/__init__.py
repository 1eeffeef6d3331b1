"""Tests of `forebay.pipelines.adapters`."""

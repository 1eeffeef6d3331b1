"""Tests of `pipelines.compiler`."""

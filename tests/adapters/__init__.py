"""Tests of `pipelines.adapters`."""

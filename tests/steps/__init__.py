"""Tests of `pipelines.steps`."""

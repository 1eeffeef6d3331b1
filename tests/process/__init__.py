"""Tests of `pipelines.process`."""

"""Tests of `pipelines.contract`."""

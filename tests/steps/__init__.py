"""Tests of `forebay.pipelines.steps`."""

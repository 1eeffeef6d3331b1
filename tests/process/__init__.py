"""Tests of `forebay.pipelines.process`."""

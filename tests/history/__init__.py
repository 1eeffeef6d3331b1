"""Tests of `forebay.pipelines.history`."""

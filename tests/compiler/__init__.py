"""Tests of `forebay.pipelines.compiler`."""

"""Tests of `forebay.pipelines.contract`."""

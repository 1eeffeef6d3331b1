"""Tests of `forebay.pipelines.feature_processor`."""

import pytest

# A failed assertion of these says what differs, as in a test file.
pytest.register_assert_rewrite("tests.feature_processor.partition")

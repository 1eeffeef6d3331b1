"""What all tests of the feature processor have in common."""

from __future__ import annotations

import pytest

from forebay.pipelines.feature_processor.rows import erasures


@pytest.fixture(autouse=True)
def one_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that were filled alike are equal: their projects have one secret."""
    monkeypatch.setattr(erasures, "new_secret", lambda: b"secret of tests")

"""docs/security.md: access.yaml is read as it stands, and the attempts are those that are tested at every door."""

from __future__ import annotations

from pathlib import Path

from forebay.serving.access.settings import Issuer, read_access
from tests.docs.page import example, table
from tests.serving.access.attempts import ATTEMPTS, INVALID


def test_access_yaml_is_read_and_its_defaults_are_the_true_ones(tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(example("security.md", "access.yaml"))
    found = read_access(tmp_path / "access.yaml")
    shown = found.tokens["sso"]
    assert shown == Issuer(issuer=shown.issuer, audience=shown.audience, jwks=shown.jwks)
    assert found.limits is not None
    assert found.limits.default.most_at_once == 400
    assert found.audit is not None
    assert found.audit.key_file == str(tmp_path / "audit.key")
    assert found.api_keys == str(tmp_path / "keys.json")


def test_the_attempts_are_those_that_are_tested() -> None:
    rows = [{"attempt": name, "HTTP": http, "gRPC": grpc, "answer": told} for name, http, grpc, told in ATTEMPTS]
    assert table("security.md", "attempts") == rows
    assert len(rows) > len(INVALID)

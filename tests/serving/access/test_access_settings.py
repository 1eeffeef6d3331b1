"""access.yaml: what can't be meant is refused, with the file, the field and the repair."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.settings import AccessSettings, read_access

VALID = "issuer: https://login, audience: forebay, jwks: https://login/keys"


def read(folder: Path, text: str) -> AccessSettings:
    """ISSUER stands for the fields of one that is valid."""
    (folder / "access.yaml").write_text(text.replace("ISSUER", VALID))
    return read_access(folder / "access.yaml")


def test_files_are_found_beside_it_and_addresses_stay(tmp_path: Path) -> None:
    found = read(
        tmp_path, "api_keys: keys.json\ntokens:\n  a: {issuer: i, audience: f, jwks: jwks.json}\n  b: {ISSUER}"
    )
    assert found.api_keys == str(tmp_path / "keys.json")
    assert found.tokens["a"].jwks == str(tmp_path / "jwks.json")
    assert found.tokens["b"].jwks == "https://login/keys"
    assert found.tokens["b"].algorithms == ("RS256", "ES256")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"\$.api_keys and \$.tokens are both missing"),
        ("token: secret", "unknown field `token`"),
        ("- a", "Expected `object`"),
        ("api_keys: [a", "docs/security.md"),
        ("api_keys: a\napi_keys: b", "'api_keys' stands twice"),
        ("tokens: {a: {issuer: i}}", r"missing required field `audience` - at `\$.tokens"),
        ("tokens: {a: {ISSUER, leeway: 3}}", "unknown field `leeway`"),
        ("tokens: {token: {ISSUER}}", r"\$.tokens.token: name an issuer in small letters"),
        ("tokens: {Ä: {ISSUER}}", r"\$.tokens.Ä: name an issuer in small letters"),
        ("tokens: {a: {issuer: i, audience: '', jwks: j}}", r"\$.tokens.a.audience is empty"),
        (
            "tokens: {a: {ISSUER, algorithms: [RS256, HS256]}}",
            r"\$.tokens.a.algorithms\[1\] is 'HS256': allowed are",
        ),
        ("tokens: {a: {ISSUER, algorithms: [none]}}", r"\$.tokens.a.algorithms\[0\] is 'none'"),
        ("tokens: {a: {ISSUER, algorithms: []}}", r"\$.tokens.a.algorithms is empty"),
        ("tokens: {a: {ISSUER, leeway_s: -1}}", r"\$.tokens.a.leeway_s is -1: give 0 to 86400 seconds"),
        ("tokens: {a: {ISSUER, refetch_s: .nan}}", r"\$.tokens.a.refetch_s is nan"),
        (
            "tokens: {a: {issuer: i, audience: f, jwks: 'http://login/keys'}}",
            r"\$.tokens.a.jwks .* an https address",
        ),
        ("tokens: {a: {issuer: i, audience: f, jwks: 'file:///keys'}}", r"\$.tokens.a.jwks .* an https address"),
        (
            "api_keys: k\nlimits: {default: {requests_per_s: 0}}",
            r"\$.limits.default.requests_per_s is 0: give",
        ),
        ("api_keys: k\nlimits: {default: {burst: 5}}", r"\$.limits.default.burst has no effect without requests_per_s"),
        (
            "api_keys: k\nlimits: {principals: {key:a: {concurrent: -1}}}",
            r"principals.key:a.concurrent is -1",
        ),
        ("api_keys: k\naudit: {file: a}", r"missing required field `key_file` - at `\$.audit`"),
    ],
)
def test_what_can_not_be_meant_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"access.yaml: .*{message}"):
        read(tmp_path, text)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nope.yaml.*docs/security.md"):
        read_access(tmp_path / "nope.yaml")

"""Attempts to get in, as they are tested at every door and listed in the documentation."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

from joserfc.jwk import RSAKey

from tests.support.issuer import Issuer

Make = Callable[[Issuer], str]


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{signature[:-6]}{'AAAAAA' if signature[-6:] != 'AAAAAA' else 'BBBBBB'}"


def _nested() -> str:
    part = base64.urlsafe_b64encode(b"[" * 2_000).decode()
    return f"{part}.{part}.x"


def _now() -> int:
    return int(time.time())


INVALID: dict[str, tuple[Make, str]] = {
    "that has expired": (lambda issuer: issuer.token(exp=_now() - 60), "it has expired"),
    "whose time has not come yet": (lambda issuer: issuer.token(nbf=_now() + 3_600), "its time has not come yet"),
    "of another audience": (lambda issuer: issuer.token(aud="others"), "it is meant for another audience"),
    "of another issuer": (lambda issuer: issuer.token(iss="https://others"), "of an issuer that is not accepted here"),
    "that never expires": (lambda issuer: issuer.token(exp=None), "one of the claims exp, iss, aud and sub is missing"),
    "of nobody": (lambda issuer: issuer.token(sub=None), "one of the claims exp, iss, aud and sub is missing"),
    "of a subject with a line break": (lambda issuer: issuer.token(sub="a\nb"), "it is malformed"),
    "with the algorithm none": (lambda issuer: issuer.unsigned(), "signed in a way that is not accepted here"),
    "signed with the public key as a shared secret (HS256)": (
        lambda issuer: issuer.signed_with_the_public_key(),
        "signed in a way that is not accepted here",
    ),
    "signed with an algorithm that is not allowed (RS512)": (
        lambda issuer: issuer.token(issuer.first_without_algorithm, {"alg": "RS512"}),
        "signed in a way that is not accepted here",
    ),
    "signed by somebody else in the name of a known key": (
        lambda issuer: issuer.token(RSAKey.generate_key(2048, {"kid": "first"})),
        "its signature is wrong",
    ),
    "signed with a key that is not published": (
        lambda issuer: issuer.token(header={"kid": "made-up"}),
        "a key that its issuer does not publish",
    ),
    "that was changed": (lambda issuer: _changed(issuer.token()), "its signature is wrong"),
    "that is malformed": (lambda _issuer: "a.b.c", "it is malformed"),
    "that is nested too deeply": (lambda _issuer: _nested(), "it is malformed"),
}
"""A token -> how it is made, and the reason in the answer."""

UNAUTHENTICATED = ("401", "UNAUTHENTICATED")
FORBIDDEN = ("403", "PERMISSION_DENIED")

ATTEMPTS = [
    ("no credential", *UNAUTHENTICATED, "send a key or token of this endpoint as `authorization: Bearer <token>`"),
    ("a token that nobody knows", *UNAUTHENTICATED, "this is no credential of this endpoint"),
    ("an API key that is not known, or was removed", *UNAUTHENTICATED, "this API key is not known"),
    ("an API key that has expired", *UNAUTHENTICATED, "API key ID expired on DATE"),
    *((f"an access token {name}", *UNAUTHENTICATED, f"... {reason}") for name, (_, reason) in INVALID.items()),
    ("a scope that is missing", *FORBIDDEN, "PRINCIPAL has no scope SCOPE"),
]
"""What the documentation lists: an attempt, the status over HTTP and over gRPC, and the answer."""

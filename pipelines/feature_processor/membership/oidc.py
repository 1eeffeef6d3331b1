"""Tokens of an OpenID Connect provider by client credentials: librdkafka's `oidc` method, for aiokafka."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Mapping

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from forebay.pipelines.errors import SettingsError

ANSWER_S = 10.0

RENEWED_AT = 0.8
"""Of a token's life, as librdkafka does."""

_NEEDED = ("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret")


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Keeps a token until most of its life is over."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        """Raises `SettingsError`: a property that the method needs is not given."""
        for name in _NEEDED:
            if not properties.get(name):
                raise SettingsError(f"sasl.oauthbearer.method=oidc needs the Kafka property {name}: set it")
        self._url, user, secret = (properties[name] for name in _NEEDED)
        self._authorization = "Basic " + b64encode(f"{user}:{secret}".encode()).decode()
        self._form = {"grant_type": "client_credentials"}
        if scope := properties.get("sasl.oauthbearer.scope"):
            self._form["scope"] = scope
        self._token, self._renew_s = "", 0.0

    async def token(self) -> str:
        """Returns the present token.

        Raises:
            KafkaConnectionError: the provider gives none; aiokafka tries again.
        """
        if time.monotonic() >= self._renew_s:
            await asyncio.to_thread(self._ask)
        return self._token

    def _ask(self) -> None:
        asked = urllib.request.Request(
            self._url,
            urllib.parse.urlencode(self._form).encode(),
            {"Authorization": self._authorization, "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=ANSWER_S) as answer:
                given = json.load(answer)
            token, life_s = str(given["access_token"]), float(given.get("expires_in", 60.0))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KafkaConnectionError(f"no token from {self._url}: {error!r}") from error
        self._token, self._renew_s = token, time.monotonic() + RENEWED_AT * life_s

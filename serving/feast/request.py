"""Decode: the body of `POST /get-online-features`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from forebay.serving.feast.errors import InvalidField


class OnlineFeaturesRequest(msgspec.Struct, frozen=True):
    """What Feast's clients send; keys that are not known are passed over, as its server does."""

    entities: dict[str, list[Any]]
    """Join keys and request fields by name, one value per entity."""
    feature_service: str | None = None
    """Goes before `features`."""
    features: list[str] = []
    """Each `view:feature`."""
    full_feature_names: bool = False
    """Whether features are named `view__feature` in the answer."""
    include_feature_view_version_metadata: bool = False

    @property
    def count(self) -> int:
        """How many entities are asked for."""
        return len(next(iter(self.entities.values())))


_PLACE = re.compile(r"\w+|\.\.\.")


class RequestDecoder:
    """Bodies to requests."""

    def __init__(self, max_entities: int) -> None:
        self._decode = msgspec.json.Decoder(OnlineFeaturesRequest).decode
        self._max_entities = max_entities

    def __call__(self, data: bytes) -> OnlineFeaturesRequest:
        """Decodes the request in a body.

        Raises:
            InvalidField: it is not JSON, or not a request, or asks for too many entities, or for none.
        """
        request = self._request(data)
        if not request.entities:
            raise InvalidField(("entities",), "name the join keys, each with a list of values")
        lengths = {name: len(values) for name, values in request.entities.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidField(("entities",), f"all lists must have one length, got {lengths}")
        if not 0 < request.count <= self._max_entities:
            raise InvalidField(("entities",), f"1 to {self._max_entities} entities expected, got {request.count}")
        return request

    def _request(self, data: bytes) -> OnlineFeaturesRequest:
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            raise InvalidField(tuple(_PLACE.findall(path)), message) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidField((), f"the body is not JSON: {error}") from error

"""Says which version of a deployment answers for an entity: the same at every door, and after every change but its own.

The hash of the entity's join keys is a bucket, and a share is a range of buckets. So a share that grows keeps its
entities, and one that is dropped gives them back to the live version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from forebay.pipelines.contract.kafka.rekeying import routing_key
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import BUCKETS

_FLOATS = (DataType.FLOAT32, DataType.FLOAT64)


def bucket(deployment: str, values: Sequence[Any]) -> int:
    """Returns the bucket of an entity, from 0 on, below `BUCKETS`.

    Args:
        deployment: its name: two deployments divide the same entities independently.
        values: of the join keys, in the service's order; null is None.
    """
    digest = hashlib.blake2b(deployment.encode() + b"\0" + routing_key(values), digest_size=8).digest()
    return int.from_bytes(digest) * BUCKETS >> 64


class Assignment:
    """Of the entities of one feature service."""

    def __init__(self, deployment: Deployment, join_keys: Sequence[JoinKey]) -> None:
        self._deployment = deployment
        self._keys = [(key.name, key.dtype in _FLOATS) for key in join_keys]

    def __call__(self, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        """Returns the version that answers, `name/version`, for each entity.

        Args:
            requests: their join keys by name, among other fields.
        """
        live, shares = self._deployment.live, self._deployment.shares
        if not shares:
            return [live] * len(requests)
        buckets = [bucket(self._deployment.name, self._values(fields)) for fields in requests]
        return [next((each.model for each in shares if at in each.buckets), live) for at in buckets]

    def _values(self, fields: Mapping[str, Any]) -> list[Any]:
        """Returns the keys; over HTTP, the float 1.0 may be written as 1."""
        found = ((fields.get(name), is_float) for name, is_float in self._keys)
        return [float(value) if is_float and value is not None else value for value, is_float in found]

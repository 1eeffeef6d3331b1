"""Principals: who asks, and for which actions."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class Action(enum.StrEnum):
    """What a request does; the word of its scope."""

    PREDICT = "predict"
    """Runs a model."""
    FEATURES = "features"
    """Reads values of features."""
    MODELS = "models"
    """Reads what is served, and how it is called."""
    METRICS = "metrics"
    """Reads the process's metrics."""
    ADMIN = "admin"
    """Changes what is served."""


class Need(NamedTuple):
    """What a request asks to do."""

    action: Action
    model: str = ""
    """Name of the one model that it is done with; empty: no single one."""

    @property
    def scope(self) -> str:
        """Names the narrowest scope that allows it."""
        return f"{self.action}:{self.model}" if self.model else self.action.value


class Principal(NamedTuple):
    """Who asks."""

    id: str
    """`key:NAME` of an API key, `ISSUER:SUBJECT` of a token, or `token` for the shared one."""
    scopes: frozenset[str]
    """Each `ACTION`, or `predict:MODEL`."""

    def may(self, need: Need) -> bool:
        """Tells whether a scope allows it."""
        return need.action in self.scopes or need.scope in self.scopes


SHARED_TOKEN = Principal("token", frozenset(Action))
"""Who knows the shared token may do everything."""


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Returns those that can't be meant: neither an action nor a model to predict with."""
    return [each for each in scopes if each not in frozenset(Action) and not _is_of_a_model(each)]


def _is_of_a_model(scope: str) -> bool:
    action, _, model = scope.partition(":")
    return action == Action.PREDICT and bool(model)

"""What the protocol's calls ask to do, over either transport."""

from __future__ import annotations

from forebay.serving.access.principal import Action, Need
from forebay.serving.oip.served import BY_ENTITY

_ACTIONS = {
    "ModelInfer": Action.PREDICT,
    "RepositoryModelLoad": Action.ADMIN,
    "RepositoryModelUnload": Action.ADMIN,
}
_HEALTH = ("ServerLive", "ServerReady")
"""Anybody who is known may ask."""


def need_to_call(call: str, model: str) -> Need | None:
    """Returns what a call asks to do; None: nothing that needs a scope.

    Args:
        call: its name in the protocol.
        model: the name that it is called by. Both names of a model are one model's.
    """
    if call in _HEALTH:
        return None
    action = _ACTIONS.get(call, Action.MODELS)
    return Need(action, model.removesuffix(BY_ENTITY) if action is Action.PREDICT else "")

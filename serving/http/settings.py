"""Settings of the endpoint."""

from __future__ import annotations

import ipaddress

import msgspec

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.settings import TOKEN_VARIABLE, AccessSettings


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Read once, by the entry point.

    Raises:
        SettingsError: strangers could ask without a credential, or the limits contradict each other.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free one; the log says which."""
    token: str | None = None
    """Shared by all clients, which send it as `Authorization: Bearer <token>`; None: there is none."""
    access: AccessSettings = AccessSettings()
    """Credentials of each client's own."""
    allow_unauthenticated: bool = False
    """Another address than loopback where nobody has to bring a credential."""
    max_connections: int = 4_096
    """Open at once, idle ones included; beyond it, requests are refused as overload."""
    max_head_bytes: int = 1 << 16
    """Request line and headers, give or take 4 KB."""
    head_timeout_s: float = 10.0
    """How long a client may take for them, from the first byte, or from the connection on."""
    body_timeout_s: float = 30.0
    """How long it may take for the body after that."""
    max_body_bytes: int = 1 << 20
    max_entities: int = 1_000
    """Per request."""
    max_batch_entities: int = 256
    """Gathered into one batch; a larger request is a batch of its own."""
    max_queued_entities: int = 4_096
    """Waiting for the batch in flight; beyond it, requests are refused as overload."""
    drain_s: int = 10
    """How long requests in flight may take when the server is told to stop."""

    def __post_init__(self) -> None:
        """Refuses what can't be meant."""
        if not (self.token or self.access.asks or self.allow_unauthenticated or is_loopback(self.host)):
            raise SettingsError(
                f"anyone who reaches {self.host or 'any address'}:{self.port} could read features: give "
                f"--access, or set {TOKEN_VARIABLE}, or listen on 127.0.0.1, or say --insecure"
            )
        if self.max_entities > self.max_queued_entities:
            raise SettingsError(
                f"a request of {self.max_entities} entities would never fit a queue of {self.max_queued_entities}: "
                "raise --max-queued-entities, or lower --max-entities"
            )


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach a server on this address; of names, only localhost is trusted."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

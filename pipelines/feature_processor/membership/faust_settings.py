"""Settings of the Faust app, as the processor needs them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from forebay.pipelines.feature_processor.membership.faust_connection import faust_connection
from forebay.pipelines.feature_processor.settings import ProcessorSettings

METADATA_MAX_AGE_MS = 5_000
"""A broker that has just come back may not know its topics yet. A group that is assigned on its word is assigned
nothing, and stays so until the client asks again: after five minutes by default."""


def faust_settings(settings: ProcessorSettings) -> dict[str, Any]:
    """Makes the keyword arguments of `faust.App`.

    Raises:
        SettingsError: aiokafka has no counterpart to a property of the connection that security rests on.
    """
    return {
        **faust_connection(settings.brokers),
        "web_enabled": False,
        "store": "memory://",
        # Faust makes this folder even for an app without tables.
        "datadir": str(Path(tempfile.gettempdir()) / "forebay-faust"),
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "broker_max_poll_records": settings.max_batch_records,
        "broker_max_poll_interval": 86_400.0,
        "consumer_max_fetch_size": 8 * 1024 * 1024,
        "broker_session_timeout": settings.session_timeout_ms / 1_000,
        "broker_heartbeat_interval": settings.session_timeout_ms / 3_000,
        "broker_commit_interval": 1.0,
        "stream_buffer_maxsize": 16,
        "stream_wait_empty": False,
    }

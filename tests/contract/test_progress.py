"""The stored form of progress: rows of earlier releases are read on."""

from __future__ import annotations

import msgspec

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.store.progress import Progress, SourceProgress, decode_progress, encode_progress


def test_the_stored_bytes_of_progress_do_not_change():
    progress = Progress(Incarnation("payments", "id-1", 4), 17, {2: SourceProgress(16, 1_000)})
    stored = {
        "lineage": {"topic": "payments", "topic_id": "id-1", "partitions": 4, "source_id": ""},
        "offset": 17,
        "sources": {2: {"offset": 16, "watermark_ms": 1_000}},
    }
    assert encode_progress(progress) == msgspec.msgpack.encode(stored)
    assert decode_progress(msgspec.msgpack.encode(stored)) == progress

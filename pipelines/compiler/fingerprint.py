"""Computes fingerprints of definitions: equal if and only if their meaning is, in every process.

A function's stored bytes differ from run to run, so its text counts: without decorators (they hold
ttl, tags and descriptions), and with the values it captured from its module.
"""

from __future__ import annotations

import ast
import hashlib
import textwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any

import dill
import msgspec

from forebay.pipelines.compiler.protobuf import wire_meaning
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import MAX_EVENT_IDS
from forebay.pipelines.contract.plan.views import StreamView, Udf
from forebay.pipelines.contract.store.row_header import ROW_FORMAT

_DIGEST_BYTES = 8
_UNCAPTURED = {"__builtins__", "__name__", "__doc__"}


def stream_view_fingerprint(view: StreamView, source: Source) -> str:
    """Returns 16 hex digits over everything that changes the meaning of the view's stored state."""
    return _digest(
        [
            ROW_FORMAT,
            [source.topic, source.format, source.columns, source.key, source.timestamp_field],
            *_wire_meaning(source),
            view.join_keys,
            view.aggregations,
            [view.scoring_horizon_ms, view.head_ms],
            udf_meaning(view.udf) if view.udf else None,
            *([[view.event_id, MAX_EVENT_IDS]] if view.event_id else []),
            *([source.time_unit] if source.time_unit != "ms" else []),
            *([view.infinite] if view.infinite != "refuse" else []),
        ]
    )


def _wire_meaning(source: Source) -> list[Any]:
    """Returns what decides, beside the columns, how bytes become events. Framing is left out: it changes no event."""
    match source.format:
        case "json":
            return []
        case "avro":
            return [source.schema.decode()]
        case "protobuf":
            return [wire_meaning(source)]


def plan_fingerprint(plan: Plan) -> str:
    """Returns 16 hex digits over the whole plan."""
    udfs = [view.udf for view in plan.stream_views] + [view.udf for view in plan.on_demand_views]
    functions = [udf_meaning(udf) for udf in udfs if udf]
    return _digest([_without_bodies(msgspec.structs.replace(plan, fingerprint="")), functions])


def _without_bodies(plan: Plan) -> Plan:
    blank = msgspec.structs.replace
    return blank(
        plan,
        stream_views=tuple(
            blank(view, udf=blank(view.udf, body=b"")) if view.udf else view for view in plan.stream_views
        ),
        on_demand_views=tuple(blank(view, udf=blank(view.udf, body=b"")) for view in plan.on_demand_views),
    )


def udf_meaning(udf: Udf) -> list[Any]:
    """Returns what decides the results of a function, as plain values."""
    function = dill.loads(udf.body)
    return [udf.name, udf.mode, udf.singleton, _text(udf.text), _captured(function, [])]


def _text(source: str) -> str:
    """Returns the function's source, without decorators, comments and layout."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except SyntaxError:
        return source
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return ast.unparse(tree)


def _captured(function: Any, seen: list[Any]) -> Any:
    """Returns the module values, closure and defaults that a function uses."""
    if not isinstance(function, FunctionType) or function in seen:
        return None
    seen.append(function)
    cells = {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    }
    used = {name: value for name, value in function.__globals__.items() if name not in _UNCAPTURED}
    return _plain([used, cells, function.__defaults__, function.__kwdefaults__], seen)


def _plain(value: Any, seen: list[Any]) -> Any:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, list | tuple):
        return [_plain(item, seen) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(_plain(item, seen)) for item in value)
    if isinstance(value, dict):
        return sorted((repr(_plain(key, seen)), repr(_plain(item, seen))) for key, item in value.items())
    if isinstance(value, FunctionType):
        return [_plain(value.__code__, seen), _captured(value, seen)]
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, _plain(value.co_consts, seen)]
    return dill.dumps(value).hex()


def _digest(value: Any) -> str:
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).hexdigest()

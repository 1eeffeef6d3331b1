"""The route `POST /get-online-features`: raw ASGI from bytes to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import structlog
from starlette.types import Receive, Scope, Send

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.views import BatchView, StreamView
from forebay.pipelines.steps.event_time import EARLIEST_MS, LATEST_MS
from forebay.serving.access.principal import Action, Need
from forebay.serving.access.visit import note
from forebay.serving.feast.answer import NOW_MS, FeatureAnswerer, FeatureQuestion
from forebay.serving.feast.encode import present
from forebay.serving.feast.entities import typed_entities
from forebay.serving.feast.errors import InvalidField, MethodNotAllowed, is_unexpected, render
from forebay.serving.feast.lookup import Lookup, Lookups
from forebay.serving.feast.openapi import describe
from forebay.serving.feast.request import OnlineFeaturesRequest, RequestDecoder
from forebay.serving.feast.select import check_names
from forebay.serving.features.read import RowReader, stored_views
from forebay.serving.scoring.batching import Batcher, on_thread
from forebay.serving.scoring.watched import watched
from forebay.serving.web.body import read_body
from forebay.serving.web.compression import compressed
from forebay.serving.web.limits import Limits
from forebay.serving.web.openapi import Described
from forebay.serving.web.response import Rendered, respond

log = structlog.get_logger("forebay.serve")

PATH = "/get-online-features"

AS_OF = b"forebay-as-of"
"""The header that asks for values as of a time instead of the published ones: `now`, or ms since the epoch."""


class FeastRoute:
    """Answers as Feast's feature server. Implements `MountedDoor`."""

    name = "feast"

    def __init__(
        self,
        plan: Plan,
        service: FeatureService,
        store: RowReader,
        clock: Clock,
        thread: Executor,
        limits: Limits,
    ) -> None:
        """Args:
        service: the one whose views are leased: only their windows can be computed as of a time.
        store: from now on used on `thread` only.
        thread: where answers are made, beside those of other doors.
        """
        self._decode = RequestDecoder(limits.max_entities)
        self._described = describe(plan, PATH, AS_OF.decode(), limits.max_entities)
        self._lookups = Lookups(plan, store)
        self._join_keys = _all_join_keys(plan)
        self._never_published = frozenset(view.name for view in plan.stream_views if not view.publishes)
        self._kept_views = frozenset(view.view for view in stored_views(plan, service))
        self._batcher: Batcher[FeatureQuestion, bytes] = Batcher(
            on_thread(thread, watched(FeatureAnswerer(store, clock))),
            limits.max_batch_entities,
            limits.max_queued_entities,
        )
        self._max_body_bytes = limits.max_body_bytes

    def need(self, _path: str) -> Need:
        """See `Door`."""
        return Need(Action.FEATURES)

    def render(self, error: Exception) -> Rendered:
        """See `Door`."""
        return render(error)

    def describe(self) -> Described:
        """See `MountedDoor`."""
        return self._described

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{scope['path']} takes POST, not {scope['method']}")
            data = await read_body(scope, receive, self._max_body_bytes)
            if data is None:
                return
            request = self._decode(data)
            question = self._question(request, _as_of_ms(scope["headers"]))
            body = await self._batcher.submit(question, request.count)
            answer = compressed(Rendered(200, [], body), scope)
        except Exception as error:
            if is_unexpected(error):
                log.error("request failed", path=scope["path"], exc_info=True)
            answer = render(error)
        await respond(answer, send)

    def _question(self, request: OnlineFeaturesRequest, as_of_ms: int | None) -> FeatureQuestion:
        lookup = self._lookups(request)
        check_names(lookup.service, request.full_feature_names)
        entities = typed_entities(request.entities, lookup.service)
        if as_of_ms is None:
            self._check_published(lookup)
        else:
            self._check_kept(lookup)
        own = {key.name for key in lookup.service.join_keys}
        note(list(own), ({name: entities[name][at] for name in own} for at in range(request.count)))
        keys = [
            present(name, entities[name] if name in own else values)
            for name, values in request.entities.items()
            if name in own or name in self._join_keys
        ]
        return FeatureQuestion(
            lookup,
            entities,
            keys,
            request.full_feature_names,
            request.include_feature_view_version_metadata,
            as_of_ms,
        )

    def _check_published(self, lookup: Lookup) -> None:
        """Of views that are published never there is nothing to read: every entity would seem to have no row."""
        never = [view for view in lookup.views if view in self._never_published]
        if never:
            raise InvalidField(
                (),
                f"{', '.join(never)}: published never, as the view's tag 'publish' says; send the header "
                f"{AS_OF.decode()}: now, or let the tag say 'each' or 'every' and a duration",
            )

    def _check_kept(self, lookup: Lookup) -> None:
        """Windows of other views may be given up while a newer plan takes over: they would seem empty."""
        others = [view for view in lookup.views if view not in self._kept_views]
        if others:
            raise InvalidField(
                (),
                f"the header {AS_OF.decode()} is for views of the served model's feature service; "
                f"leave it out to read {', '.join(others)}",
            )


def _all_join_keys(plan: Plan) -> frozenset[str]:
    """Collects the project's join keys: an answer repeats those of the request, needed or not."""
    views: list[StreamView | BatchView] = [*plan.stream_views, *plan.batch_views]
    return frozenset(key.name for view in views for key in view.join_keys)


def _as_of_ms(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    given = next((value for name, value in headers if name == AS_OF), None)
    if given is None:
        return None
    if given == b"now":
        return NOW_MS
    if not given.isdigit() or not EARLIEST_MS <= int(given) <= LATEST_MS:
        raise InvalidField(
            (),
            f"the header {AS_OF.decode()} is `now`, or a time between 1971 and 2100 in ms since the epoch, "
            f"not {given.decode('latin-1')!r}",
        )
    return int(given)

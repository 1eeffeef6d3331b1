"""Runs `forebay rebuild`: removes a view's rows where they no longer match its topic."""

from __future__ import annotations

from typing import Any

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from forebay.pipelines.adapters.kafka.access import Access, denied
from forebay.pipelines.adapters.kafka.admin import group_name, new_admin
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.contract.kafka.topics import is_direct, route_for, view_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import feature_field, is_state_of, timestamp_field
from forebay.pipelines.contract.store.keys import held_keys, is_progress_of, progress_keys, route_field
from forebay.pipelines.contract.store.publication import publication_key
from forebay.pipelines.errors import BrokersUnavailable, SettingsError
from forebay.store.walk import entity_rows, hashes, opened

_ANSWER_S = 10.0

_ALLOWED_S = 3.0
"""A refusal comes at once; a cluster that has no group yet never answers."""


class Cleared(msgspec.Struct, frozen=True):
    """The result of a rebuild: what was removed."""

    view: str
    topic: str
    """Where the processor starts from the beginning."""
    rows: int
    partitions: int
    """Partitions whose progress was removed."""


def check_stopped(plan: Plan, brokers: Brokers) -> None:
    """Refuses to go on while a processor of the project runs, because it would fold onto rows that are gone.

    Raises:
        SettingsError: one runs.
        BrokersUnavailable: the brokers do not answer.
    """
    groups = _with_members(brokers, group_name(plan.project, "process"))
    if groups:
        who = ", ".join(f"{members} in group {group!r}" for group, members in sorted(groups.items()))
        raise SettingsError(f"feature processors run ({who}): stop them, and start them afterwards")


def _with_members(brokers: Brokers, group: str) -> dict[str, int]:
    """Lists members of the processors' group, and of the groups that compute definitions not published yet."""
    access = Access(brokers)
    admin = new_admin(brokers, access)
    try:
        listed = admin.list_consumer_groups(request_timeout=_ANSWER_S).result(_ANSWER_S)
        # A cluster that has no group at all can't describe one.
        known = {each.group_id for each in listed.valid} | ({group} if listed.errors else set())
        theirs = {each for each in known if each == group or each.startswith(f"{group}.")}
        if not theirs:
            _check_allowed(admin, group)
        described = admin.describe_consumer_groups(sorted(theirs), request_timeout=_ANSWER_S) if theirs else {}
        members = {each: len(answer.result(_ANSWER_S).members) for each, answer in described.items()}
        return {each: count for each, count in members.items() if count}
    except (KafkaException, TimeoutError) as error:
        access.check(0, admin)
        raise BrokersUnavailable(f"{brokers} does not say whether processors run: {error}") from error


def _check_allowed(admin: AdminClient, group: str) -> None:
    """Checks that the client may describe the group: a list of groups leaves out others, as if they had no members."""
    try:
        admin.describe_consumer_groups([group], request_timeout=_ALLOWED_S)[group].result(_ANSWER_S)
    except KafkaException as error:
        if allow := denied(error.args[0], f"describe consumer group {group!r}"):
            raise SettingsError(f"it is not known whether processors run: {error.args[0].str()}; {allow}") from error


def clear_view(plan: Plan, view: StreamView, store: str) -> Cleared:
    """Removes the view's features, state and progress, of all its definitions; other views of the entities stay.

    Afterwards the processor computes the view from the earliest record that Kafka retains.

    Raises:
        StoreUnavailable: the store can't be reached; run it again.
    """
    topic, names = view_topic(plan, view), {key.name for key in view.join_keys}
    read = [timestamp_field(view.name), *(feature_field(view.name, feature.name) for feature in view.features)]
    rows = partitions = 0
    with opened(store) as client:
        # Progress first: should this stop half way, the rest of the rows still say what they contain.
        for key in hashes(client, progress_keys(plan.project, topic)):
            stale = [field for field in client.hkeys(key) if is_progress_of(field, view)]
            partitions += bool(stale and client.hdel(key, *stale))
        client.delete(publication_key(plan.project, view.name))
        for key in hashes(client, held_keys(plan.project, view.name)):
            client.delete(key)
        _forget_route(client, plan, view)
        for key, entity in entity_rows(client, plan.project):
            if entity.keys() == names:
                state = [field for field in client.hkeys(key) if is_state_of(field, view)]
                rows += bool(client.hdel(key, *state, *read))
    return Cleared(view.name, topic, rows, partitions)


def _forget_route(client: Any, plan: Plan, view: StreamView) -> None:
    """Removes the route's progress, so that the source is re-keyed from its beginning: its topic may be a new one.

    What the topic has already is recognised by its source position, and counted once.
    """
    source = plan.source(view.source)
    if not is_direct(source, view):
        for key in hashes(client, progress_keys(plan.project, source.topic)):
            client.hdel(key, route_field(route_for(plan.project, source, view)))

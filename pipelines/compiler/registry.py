"""Opens a feature repo's registry with Feast."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import NamedTuple

from feast import Entity, FeatureService, FeatureStore, FeatureView, KafkaSource, OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.stream_feature_view import StreamFeatureView

from forebay.pipelines.errors import PlanError

_ANNOUNCEMENTS = (
    ("Stream feature views are experimental", RuntimeWarning),
    ("On demand feature view is an experimental", RuntimeWarning),
    ("Entity value_type will be mandatory", DeprecationWarning),
)
"""Warnings of Feast about objects that were applied earlier, when the user read them."""

_KEY_VERSION = 3
_SECRETS = ("password", "username")
_UNSET_VARIABLE = re.compile(r"\$\w|\$\{\w+\}")
"""What Feast leaves of `${NAME}` in feature_store.yaml; the address may come as a setting instead."""


class Registry(NamedTuple):
    """The objects of a project, as Feast's own types; functions are not loaded."""

    project: str
    repo: Path
    """Absolute path of the feature repo."""
    redis: str
    """Connection string of the online store, without secrets; empty if an environment variable is unset."""
    entities: list[Entity]
    kafka_sources: list[KafkaSource]
    stream_views: list[StreamFeatureView]
    batch_views: list[FeatureView]
    on_demand_views: list[OnDemandFeatureView]
    services: list[FeatureService]


def open_registry(repo_path: Path) -> Registry:
    """Reads the registry of the feature repo in a folder.

    Raises:
        PlanError: no repo there, Feast can't read it, nothing is applied, or its online store is no Redis.
    """
    repo = repo_path.resolve()
    if not (repo / "feature_store.yaml").is_file():
        raise PlanError(f"{repo}: no feature_store.yaml; name the folder of a Feast feature repo")
    with warnings.catch_warnings():
        for message, category in _ANNOUNCEMENTS:
            warnings.filterwarnings("ignore", message, category)
        try:
            registry = _read(repo)
        except PlanError:
            raise
        except Exception as error:
            raise PlanError(f"{repo}: Feast can't read the registry: {error}; run feast apply") from error
    if not registry.stream_views and not registry.services:
        raise PlanError(f"{repo}: project {registry.project!r} has nothing registered; run feast apply there")
    return registry


def _read(repo: Path) -> Registry:
    store = FeatureStore(repo_path=str(repo))
    redis = redis_of(store.config, f"{repo}/feature_store.yaml")
    registry, project = store.registry, store.project
    return Registry(
        project=project,
        repo=repo,
        redis=redis,
        entities=registry.list_entities(project),
        kafka_sources=[each for each in registry.list_data_sources(project) if isinstance(each, KafkaSource)],
        stream_views=registry.list_stream_feature_views(project, skip_udf=True),
        batch_views=registry.list_feature_views(project, skip_udf=True),
        on_demand_views=registry.list_on_demand_feature_views(project, skip_udf=True),
        services=registry.list_feature_services(project),
    )


def redis_of(config: RepoConfig, where: str) -> str:
    """Returns the online store's connection string without password and user name; empty if it is not known here.

    Raises:
        PlanError: the store is no single Redis, or keys are serialized in an older way.
    """
    store = config.online_store
    kind = getattr(store, "type", None)
    if kind != "redis":
        raise PlanError(f"{where}: online_store is {kind!r}, which is not supported; set type: redis")
    if store.redis_type.value != "redis":
        raise PlanError(f"{where}: {store.redis_type.value} is not supported yet; set redis_type: redis")
    if config.entity_key_serialization_version != _KEY_VERSION:
        raise PlanError(f"{where}: set entity_key_serialization_version: {_KEY_VERSION}")
    parts = str(store.connection_string).split(",")
    kept = ",".join(part for part in parts if part.partition("=")[0].strip().lower() not in _SECRETS)
    return "" if _UNSET_VARIABLE.search(kept) else kept

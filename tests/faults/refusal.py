"""What a processor says that refuses to start, and the repair done to the letter."""

from __future__ import annotations

import re

import pytest

from forebay.local.process import StackError
from tests.e2e.broker import until
from tests.e2e.deployment import run_forebay
from tests.faults.site import Site

REFUSED_WITHIN_S = 30.0
REBUILD = re.compile(r"`forebay (rebuild [^`]+)`")


def refusal(site: Site) -> str:
    """Starts a processor, which must end by itself with a status and one line of error, the store untouched."""
    before = site.store.contents()
    child = site.processors.add()
    until(lambda: not child.running, REFUSED_WITHIN_S, "the refusal")
    with pytest.raises(StackError, match=r"ended with status 2;"):
        child.check_running()
    site.processors.remove(child)
    said = child.command.log_path.read_text()
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said
    assert site.store.contents() == before, "the refusal changed the store"
    return lines[0]


def repair(site: Site, line: str) -> list[str]:
    """Runs the command that the line names; returns the views that were rebuilt."""
    named = REBUILD.search(line)
    assert named, f"no repair in: {line}"
    command = named.group(1).split()
    addresses = ("--redis", site.place.redis, "--brokers", site.place.brokers)
    done = run_forebay(*command, "--plan", str(site.place.plan_file), *addresses)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return command[1:]

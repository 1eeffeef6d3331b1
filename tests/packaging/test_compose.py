"""docker-compose.yml starts again what ends itself to be started again."""

from pathlib import Path

import pytest
import yaml

SERVICES = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("command", ["process", "score", "serve"])
def test_what_ends_itself_where_it_hangs_is_started_again(command):
    """Such a process ends with status 75; nothing but a restart brings it back."""
    (service,) = (each for each in SERVICES.values() if each.get("command", [""])[0] == command)
    assert service["restart"] == "unless-stopped"

"""docs/architecture.md is what the code says."""

from __future__ import annotations

import pytest

from forebay.reference.architecture import RECORD, SCORED_EVENT, page
from tests.support.payments import ROOT


def test_the_page_is_not_stale():
    """`make reference` writes it again."""
    assert (ROOT / "docs" / "architecture.md").read_text() == page()


def test_everything_says_what_it_is():
    assert [line for line in page().splitlines() if line.endswith((": ", "/:"))] == []


@pytest.mark.parametrize("step", [*RECORD, *SCORED_EVENT])
def test_every_step_of_a_walk_is_there(step):
    """A function that moved is noticed here, with the name of the step."""
    assert f"`{step.partition(':')[2]}`" in page()

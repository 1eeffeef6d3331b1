"""The page about models names every field of a prediction, and no other."""

from __future__ import annotations

import re

from forebay.pipelines.contract.kafka.prediction import Prediction
from tests.support.payments import ROOT


def test_every_field_of_a_prediction_is_documented_and_none_is_invented():
    section = (ROOT / "docs" / "models.md").read_text().partition("\n## Predictions\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(Prediction.__struct_fields__)

"""The page about models names every field of a card and of a prediction, and no other."""

from __future__ import annotations

import re

from forebay.pipelines.contract.kafka.prediction import Prediction
from forebay.serving.models.card import ModelCard, load_card
from tests.docs.page import example, table
from tests.support.payments import ROOT


def test_every_field_of_a_prediction_is_documented_and_none_is_invented():
    section = (ROOT / "docs" / "models.md").read_text().partition("\n## Predictions\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(Prediction.__struct_fields__)


def test_the_card_on_the_page_can_be_loaded(tmp_path):
    version = tmp_path / "fraud" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").touch()
    (version / "model.yaml").write_text(example("models.md", "card"))
    card = load_card(version)
    assert (card.service, card.scores["fraud"].column, card.examples[0].tolerance) == ("fraud", 1, 0.0001)


def test_every_field_of_a_card_is_documented_and_none_is_invented():
    shown = [row["field"].strip("`") for row in table("models.md", "card fields")]
    assert shown == list(ModelCard.__struct_fields__)

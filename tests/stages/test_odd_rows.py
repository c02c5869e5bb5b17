"""Odd rows: a cell of each reader of `make campaign CLASSES=rows`, which tries all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def rows() -> Iterator[ModuleType]:
    """The class of the campaign."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from campaign import rows

    yield rows
    sys.path.pop(0)


@pytest.mark.parametrize(("kind", "field", "value", "where", "code", "says"), [
    ("text_label", "label", None, "one row", 0, "field 'label' is null"),
    ("span_answer", "answer_start", [7], "all rows", 0, "answers do not stand at their answer_start"),
    ("source_target", "target", [], "one row", 0, "field 'target' is empty"),
    ("completion", "completion", [{"role": "user"}], "one row", 0, "completion.0.content is null"),
    ("alpaca", "history", [["a"]], "one row", 0, "history'.0 has 1 texts"),
    ("text", "text", {}, "all rows", 3, "field 'text' is an object"),
])  # fmt: skip
def test_a_training_counts_odd_rows_or_refuses(rows, cli, chain, tmp_path, kind, field, value, where, code, says):
    base = rows.save_encoder(tmp_path / "encoder") if kind in rows.ENCODED else chain.base
    command = rows._tuning(rows.KINDS[kind], base, ["--lora", "--max-failed", "0.4"])
    outcome = cli(*rows._with(rows.KINDS[kind].rows, field, value, where, command, tmp_path))
    assert "Traceback" not in outcome.err
    assert outcome.code == code, outcome.err
    assert says in " ".join(outcome.err.split())


def test_every_kind_is_learned_by_what_the_campaign_says(rows, cli, chain, tmp_path):
    wrong = rows._tuning(rows.KINDS["text_label"], chain.base, [])
    outcome = cli(*rows._with(rows.KINDS["tags"].rows, "tags", ["O", "B-X"] * 3, "one row", wrong, tmp_path))
    assert outcome.code == 2
    assert "no kind fits the columns" in outcome.err

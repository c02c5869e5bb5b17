from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmkit.core.errors import DataError
from llmkit.metrics.accuracy import Accuracy


def compute(predictions, references, **fields):
    return Accuracy(**fields).load().compute(predictions=predictions, references=references)


@pytest.mark.parametrize(
    ("predictions", "references", "fields", "score"),
    [
        (["yes", "no", "no", "好"], ["yes", "yes", "no", "好"], {}, 75),
        ([" yes\n", "yes."], ["yes", "yes"], {}, 50),
        (["Yes", "STRASSE"], ["yes", "straße"], {}, 0),
        (["Yes", "STRASSE"], ["yes", "straße"], {"ignore_case": True}, 100),
        (["b", "c"], [["a", "b"], ["a", "b"]], {}, 50),
        ([""], ["yes"], {}, 0),
        ([""], [" "], {}, 100),
    ],
)
def test_by_hand(predictions, references, fields, score):
    assert compute(predictions, references, **fields) == {"accuracy": score}


def test_batches_add_up():
    metric = Accuracy().load()
    metric.add_batch(predictions=["a", "b"], references=["a", ["b", "c"]])
    metric.add(prediction="x", reference="y")
    assert metric.compute() == pytest.approx({"accuracy": 200 / 3})


def test_no_pairs_is_a_data_error():
    with pytest.raises(DataError, match="metric 'accuracy': there are no predictions to score"):
        Accuracy().load().compute()


def test_fields_are_checked():
    with pytest.raises(ValidationError):
        Accuracy(ignore_case="yes")

"""What becomes of rows that are too long: by hand, mode by mode."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.chat import CONVERSATION
from llmkit.data.encoding import Counts
from llmkit.data.packing import Column, LeftOut, examples_of
from llmkit.objectives.rows.classification import Classification
from llmkit.objectives.rows.sft import SFT
from llmkit.stages.finetune import STAGE
from llmkit.training.overlength import check_long, length_that_keeps
from llmkit.training.rows import Encoder
from tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
SAID = ("aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff")
ROW = {
    "messages": [
        {"role": "system", "content": "S"},
        *({"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(SAID)),
    ]
}
WHOLE = 99
"""Tokens of the row: BOS, 7 turns of a mark, a name, two ends of lines, an end and their text."""


def encoded(tmp_path, mode, limit, **fields):
    """What becomes of the row: of each example what is read of the letters, its targets, cut, length and notes."""
    columns = {"input_ids": Column(), "labels": Column(pad=-100)}
    encoder = Encoder(SFT(**fields), CONVERSATION, columns, limit, tmp_path, TOKENIZER, overlength=mode)
    (found,) = encoder.encode([ROW])
    if isinstance(found, LeftOut):
        return found
    texts = [TOKENIZER.decode(one.columns["input_ids"]) for one in examples_of(found)]
    said = ["".join(letter for letter in "Sabcdef" if letter * (1 if letter == "S" else 4) in text) for text in texts]
    return [
        (letters, one.targets, one.cut, one.length, dict(one.notes))
        for letters, one in zip(said, examples_of(found), strict=True)
    ]


ALL = [("Sabcdef", 15, False, 0, {})]


@pytest.mark.parametrize("mode", ["error", "truncate", "drop", "split"])
def test_what_fits_stays_as_it_is(tmp_path, mode):
    # The end of the last turn is learned, and neither it nor the "\n" behind it has to be read.
    assert encoded(tmp_path, mode, WHOLE) == encoded(tmp_path, mode, WHOLE - 2) == ALL
    assert encoded(tmp_path, mode, WHOLE - 3) != ALL


@pytest.mark.parametrize("mode", ["error", "truncate"])
def test_chats_lose_their_first_exchanges_and_no_part_of_an_answer(tmp_path, mode):
    assert encoded(tmp_path, mode, 90) == [("Scdef", 10, True, WHOLE, {})]
    assert encoded(tmp_path, mode, 60) == [("Sef", 5, True, WHOLE, {})]
    why = "an answer that does not fit into context_length 30 with its question"
    assert encoded(tmp_path, mode, 30) == LeftOut("long", why, WHOLE)


def test_chats_are_split_between_exchanges(tmp_path):
    assert encoded(tmp_path, "split", 90) == [("Sabcd", 10, False, WHOLE, {}), ("Sef", 5, False, 0, {})]
    assert [one[0] for one in encoded(tmp_path, "split", 60)] == ["Sab", "Scd", "Sef"]
    assert encoded(tmp_path, "split", 60, train_on="last") == [("Sef", 5, True, WHOLE, {})]  # cut: it is one row
    assert encoded(tmp_path, "split", 30).code == "long"


def test_what_is_dropped_says_how_long_it_was(tmp_path):
    assert encoded(tmp_path, "drop", 90) == LeftOut("long", "more tokens than context_length 90", WHOLE)


def counts(rows, long):
    return {"train": Counts(rows=rows, long=Counter(long), keys=array("Q", range(rows)))}


def test_the_length_that_keeps_99_percent():
    assert length_that_keeps(Counter({120: 1, 300: 1, 500: 1}), 300, 100) == 100  # 3 of 300 may be longer
    assert length_that_keeps(Counter({120: 1, 300: 1, 500: 1}), 299, 100) == 120
    assert length_that_keeps(Counter({120: 1, 300: 1, 500: 1}), 99, 100) == 500


def test_one_percent_may_be_long(tmp_path):
    check_long(counts(300, {500: 3}), "error", 100, None, splits=True)
    check_long(counts(100, {500: 100}), "truncate", 100, None, splits=True)
    with pytest.raises(DataError) as error:
        check_long(counts(299, {500: 2, 120: 1}), "error", 100, None, splits=True)
    assert error.value.message == (
        "data: 3 of 299 rows (1.0%) are longer than context_length 100: 120 would keep 99% of the rows whole, 500 all"
    )
    assert error.value.hint == "-s context_length=120, or -s overlength=truncate|drop|split"
    with pytest.raises(DataError) as error:
        check_long(counts(299, {500: 3}), "error", 100, 400, splits=False)
    assert error.value.hint == "the model has 400 positions: -s overlength=truncate|drop"


def test_a_label_of_a_whole_text_is_not_split():
    with pytest.raises(ConfigError, match="classification cannot split a row"):
        STAGE.resolve(sets=["data=[x]", "model=y", "objective=classification", "overlength=split"])
    assert Classification().shorter({}, CONVERSATION, lambda _: True, split=False) is None


def test_a_length_that_is_named_needs_no_batch_tokens_beside_it():
    settings = {"data": ["x"], "model": "m", "context_length": 529}
    assert STAGE.config.model_validate(settings).batch_tokens == 529 * 30  # of 16,384
    assert STAGE.config.model_validate({**settings, "context_length": 20_000}).batch_tokens == 20_000
    with pytest.raises(ValueError, match="batch_tokens 16384 is not a multiple of context_length 529"):
        STAGE.config.model_validate({**settings, "batch_tokens": 16_384})


def test_of_rows_that_may_be_split_those_are_told_that_were(tmp_path):
    (cut,) = encoded(tmp_path, "split", 90, train_on="last")
    assert cut[2]
    assert not any(one[2] for one in encoded(tmp_path, "split", 90))

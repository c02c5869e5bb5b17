from __future__ import annotations

import random

import pytest

from llmkit.cleaning.measures import MEASURES
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.tally import EXCERPT_CHARS, SAMPLES_PER_RULE, UNREADABLE, Tally
from llmkit.data.corpus import Document
from llmkit.data.sources import Broken, RawFile

FILE = RawFile("/in/a.jsonl", "a.jsonl", 100)
ZEROS = (0.0,) * len(MEASURES)


def document(number, text="text", source="web", language="en"):
    return Document(f"{number:032x}", text, source, language)


def read(tally, *documents):
    tally.file(FILE)
    for item in documents:
        tally.row(FILE)
        tally.read(item, ZEROS)


def test_bytes_are_utf8_and_counted_per_source_and_rule():
    tally, english, chinese = Tally(), document(1, "four"), document(2, "春天", "zh", "zh")
    read(tally, english, chinese)
    tally.kept(chinese, FILE.path, ZEROS)
    tally.rejected(0, english, FILE.path, Drop("length.min_chars", 4, 5))
    assert tally.bytes_read == 10
    assert (tally.sources_read, tally.sources, tally.source_bytes) == ({"web": 1, "zh": 1}, {"zh": 1}, {"zh": 6})
    assert (tally.rules, tally.rule_bytes) == ({"length.min_chars": 1}, {"length.min_chars": 4})
    assert (tally.languages, tally.languages_dropped) == ({"zh": 1}, {"en": 1})
    assert vars(tally.total()) == {"rows": 2, "kept": 1, "rejected": 1, "failed": 0}


def test_a_step_that_stands_twice_in_a_recipe_is_counted_twice():
    tally = Tally()
    read(tally, document(1), document(2), document(3))
    for number, step in ((1, 0), (2, 4), (3, 4)):
        tally.rejected(step, document(number), FILE.path, Drop("length.min_chars", 4, 5))
    assert tally.steps_dropped == {0: 1, 4: 2}
    assert tally.drops == {(0, "length.min_chars"): 1, (4, "length.min_chars"): 2}
    assert tally.rules == {"length.min_chars": 3}


def test_a_lost_row_is_a_bug():
    tally = Tally()
    read(tally, document(1))
    with pytest.raises(AssertionError, match="rows lost"):
        tally.total()


def test_unreadable_rows_belong_to_no_step():
    tally = Tally()
    tally.file(FILE)
    for line in range(1, 8):
        tally.row(FILE)
        tally.failed(Broken(line, "invalid JSON", line, '{"text'), FILE, f"{FILE.path}:{line}")
    assert tally.rules == {UNREADABLE: 7}
    assert set(tally.steps_dropped) == {-1}
    assert tally.broken == [f"/in/a.jsonl:{line}: invalid JSON" for line in range(1, 6)]
    (_, row), *_ = tally.samples[UNREADABLE]
    assert (row["value"], row["text"], row["file"][:12]) == ("invalid JSON", '{"text', "/in/a.jsonl:")


def test_the_sample_is_the_same_whatever_the_order_of_work():
    documents = [document(number, "long " * 500) for number in range(3 * SAMPLES_PER_RULE)]
    samples = []
    for seed in range(3):
        shuffled = list(documents)
        random.Random(seed).shuffle(shuffled)
        parts = [Tally(), Tally()]
        for i, item in enumerate(shuffled):
            tally = parts[i % 2]
            read(tally, item)
            tally.rejected(0, item, FILE.path, Drop("rule", 0.123456, 0.5))
        parts[0].add(parts[1])
        samples.append(sorted((row for _, row in parts[0].samples["rule"]), key=lambda row: row["id"]))
    assert samples[0] == samples[1] == samples[2]
    assert [row["id"] for row in samples[0]] == [item.id for item in documents[:SAMPLES_PER_RULE]]
    assert samples[0][0]["value"] == "0.1235"
    assert EXCERPT_CHARS < len(samples[0][0]["text"]) < 2 * EXCERPT_CHARS  # the report cuts what it conceals


def test_adding_up_two_tasks():
    one, two = Tally(), Tally()
    for tally, number in ((one, 1), (two, 2)):
        read(tally, document(number))
        tally.kept(document(number), FILE.path, ZEROS)
        tally.changed(3)
        tally.counted(3, {"email": number})
    one.add(two)
    assert one.files[FILE.path].rows == one.total().kept == 2
    assert one.steps_changed == {3: 2}
    assert one.steps_counted == {3: {"email": 3}}
    assert (one.bytes_read, one.source_bytes, one.sources_read) == (8, {"web": 8}, {"web": 2})
    assert (one.before.count, one.after.count) == (2, 2)

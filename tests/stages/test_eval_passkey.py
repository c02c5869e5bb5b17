"""Numbers hidden in texts, through the command line and by the prompts themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.evaluation.needles import LANGUAGES, hidden
from llmkit.runtimes import Generate, Score
from llmkit.runtimes._in_memory import InMemory
from llmkit.tasks.passkey import Passkey
from tiny import byte_tokenizer, model

SIZES = {"vocab_size": 261, "max_position_embeddings": 1024}


@pytest.fixture(scope="module")
def running():
    """A model of bytes, without a chat template."""
    return InMemory(model(**SIZES), byte_tokenizer(template=None))


@pytest.fixture(scope="module")
def chatting():
    return InMemory(model(**SIZES), byte_tokenizer())


@pytest.fixture
def find(cli, chain, tmp_path):
    """Evaluate the chain's model, of 64 positions, or another, and return the outcome."""

    def run(*more, where=chain.base, **task):
        tasks = json.dumps([{"type": "passkey", **task}])
        return cli("eval", "--model", where, "-s", f"tasks={tasks}", "-o", "out", *more)

    return run


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A directory with a model of 1,024 positions."""
    folder = tmp_path_factory.mktemp("long")
    model(**SIZES).save_pretrained(folder)
    byte_tokenizer(template=None).save_pretrained(folder)
    return folder


def found():
    return json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["passkey"]["results"]["model"]


def samples():
    return [json.loads(line) for line in Path("out/samples-passkey.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("chat", ["off", "on"])
def test_prompts_are_exactly_as_long_as_they_say(running, chatting, language, chat):
    asked = running if chat == "off" else chatting
    task = Passkey(lengths=[700, 701, 983], depths=[0.0, 0.3, 1.0], repeats=2, language=language, chat=chat)
    measured = task.on(asked)
    rows = list(measured.rows())
    assert [len(row.prompt) for row in rows] == [length for length in (700, 701, 983) for _ in range(6)]
    words = LANGUAGES[language]
    for row in rows:
        text, needle = asked.tokenizer.decode(list(row.prompt)), words.needle.replace("{}", row.keys[0])
        assert text.count(needle) == 1
        assert text.count(row.keys[0]) == 2
        before, behind = (sum(map(part.count, words.filler)) for part in text.split(needle))
        share = before / (before + behind)
        assert share == pytest.approx(row.depth, abs=0.2)
        end = words.question if chat == "on" else words.goes_on
        assert text.endswith(end) if chat == "off" else f"{end}<|im_end|>" in text
        assert text.startswith("<|bos|>")
    assert len({row.keys[0] for row in rows}) == len(rows)


def test_depth_by_hand():
    words = LANGUAGES["en"]
    sentences = ["One is.", "Two is.", "Three is.", "Four is."]
    whole = words.needle.replace("{}", "7")
    for depth, place in ((0.0, 0), (0.2, 1), (0.5, 2), (0.9, 4), (1.0, 4)):
        text = hidden(words, sentences, depth, "7", "!")
        assert text == words.before + " ".join([*sentences[:place], whole, *sentences[place:]]) + "!"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shipped_filler_has_no_digit(language):
    words = LANGUAGES[language]
    assert not any(character.isdigit() for character in "".join(words.filler) + words.goes_on + words.question)


@pytest.mark.parametrize(("said", "right"), [
    (" {key}.", 1), ("{key}", 1), ("It is {key}, not 12.", 1), ("**{key}**", 1), (" {comma}", 1),
    (" 12, no, {key}", 0), ("{key}0", 0), ("none", 0), ("", 0),
])  # fmt: skip
def test_the_first_number_counts(running, said, right):
    from llmkit.runtimes import Written

    measured = Passkey(lengths=[600], depths=[0.5], repeats=1).on(running)
    row = next(measured.rows())
    key = row.keys[0]
    text = said.format(key=key, comma=f"{int(key):,}")
    sample = measured.score(row, [Written(None, text, ended=True)])
    assert (sample["acc"], sample["reference"], sample["prediction"]) == (right, key, text)


def test_likelihoods_are_those_of_the_numbers_behind_the_prompt(running):
    measured = Passkey(lengths=[600], depths=[0.5], repeats=1, by="likelihood").on(running)
    row = next(measured.rows())
    requests = measured.requests(row)
    assert [type(one) for one in requests] == [Score] * 10
    assert {one.context for one in requests} == {row.prompt}
    texts = [running.tokenizer.decode(list(one.target)) for one in requests]
    assert texts == [f" {key}" for key in row.keys]
    assert len(set(texts)) == 10
    answers = running.answer(requests)
    best = max(range(10), key=answers.__getitem__)
    sample = measured.score(row, answers)
    assert (sample["prediction"], sample["acc"]) == (row.keys[best], int(best == 0))
    assert measured.score(row, [0.0] + [-1.0] * 9)["acc"] == 1
    assert measured.score(row, [0.0] * 10)["acc"] == 0  # what tells no number from another has not found it
    assert type(Passkey(by="likelihood").example) is Score
    assert type(Passkey().example) is Generate


@pytest.mark.parametrize("by", ["generation", "likelihood"])
def test_through_the_command_line(find, long, by):
    outcome = find(where=long, lengths=[600, 700, 5000], depths=[0.0, 1.0], repeats=2, by=by, max_new_tokens=8)
    assert outcome.code == 0, outcome.err
    result = found()
    assert (result["num_samples"], result["prompt"]) == (8, "plain")
    assert result["notes"] == ["left out: 5,000 tokens with the answer do not fit into the positions of the model"]
    assert result["cells"].keys() == {"600", "700"}
    assert result["cells"]["600"].keys() == {"0", "1"}
    rows = samples()
    assert result["scores"]["acc"] == sum(row["acc"] for row in rows) / 8
    assert result["scores"].keys() == {"acc", "acc[length=600]", "acc[length=700]"}
    estimates = result["estimates"]
    assert (estimates["acc"]["n"], estimates["acc[length=600]"]["n"]) == (8, 4)
    assert all(row["reference"] in row["prompt"] for row in rows)


def test_the_heat_map(running):
    cells = {(600, 0.0): [1, 1], (600, 1.0): [1, 0], (700, 0.0): [0, 0]}
    rows = [{"length": length, "depth": depth, "acc": acc} for (length, depth), found in cells.items() for acc in found]
    (figure,) = Passkey().figures(rows)
    assert (figure.rows, figure.columns) == (["0", "1"], ["600", "700"])
    assert figure.values == [[1.0, 0.0], [0.5, None]]


def test_own_filler(find, long, jsonl):
    data = str(jsonl("texts.jsonl", ["The otter swims far. It sleeps on stones. " * 5, "Reeds grow there."]))
    outcome = find(where=long, lengths=[600], depths=[0.5], repeats=1, data=data)
    assert outcome.code == 0, outcome.err
    assert "The otter swims far. It sleeps on stones." in samples()[0]["prompt"]
    assert "harbour" not in samples()[0]["prompt"]
    data = str(jsonl("empty.jsonl", ["  "]))
    outcome = find("--force", where=long, lengths=[600], depths=[0.5], repeats=1, data=data)
    assert outcome.code == 3
    assert "has no text to hide a number in" in outcome.err


@pytest.mark.parametrize(("task", "message"), [
    ({"lengths": [16]}, "tasks.lengths: 16 is too short: a text without filler has"),
    ({"lengths": [1000]}, "tasks.lengths: none fits into the 64 positions of the model, with the answer"),
    ({"depths": [1.5]}, "tasks.depths: each is a share, from 0 to 1"),
    ({"lengths": []}, "tasks.0.lengths"),
    ({"language": "fr"}, "tasks.0.language"),
    ({"chat": "on"}, "tasks.chat: on, but the model has no chat template"),
])  # fmt: skip
def test_fields_that_cannot_be(find, task, message):
    outcome = find(**task)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_model_that_does_not_write_is_refused(find, tmp_path, chain):
    import transformers

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.AutoConfig.for_model("bert", vocab_size=400, **small)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained("bert")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained("bert")
    outcome = find(where="bert")
    assert outcome.code == 3
    assert "the model in 'bert' does not answer generate requests: it is not a causal language model" in outcome.err

"""eval finds the items of its tasks in the text that a model was trained on, and says what the scores are without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llmkit.data.artifacts import Corpus, Scores
from llmkit.data.split import split_of
from llmkit.stages import _eval_overlap

TINY = [
    "-s", "model.arch=llama",
    "-s", "model.config={hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2,"
          " num_key_value_heads: 2, tie_word_embeddings: true, max_position_embeddings: 256}",
    "-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "--max-steps", 2,
]  # fmt: skip


def results(folder="out"):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))["tasks"]


def long_text(number):
    return " ".join(f"item{number}word{i}" for i in range(20))


@pytest.fixture
def made(cli, jsonl):
    """A corpus of texts that share no words, its tokens with a tenth held out, and a model of them."""
    texts = jsonl("texts.jsonl", [long_text(i) for i in range(40)])
    for command in (
        ["clean", "-i", texts, "-s", "steps=[]", "-o", "corpus"],
        ["tokenize", "-i", "corpus", "--vocab-size", 400, "-s", "validation_fraction=0.1", "-s", "test_fraction=0.2",
         "-o", "tokens"],
        ["pretrain", "--data", "tokens", *TINY, "-o", "base"],
    ):  # fmt: skip
        outcome = cli(*command, "-q")
        assert outcome.code == 0, outcome.err
    return [long_text(i) for i in range(40)]


def is_trained(text):
    return split_of(text, validation_fraction=0.1, test_fraction=0.2) == "train"


def test_what_was_trained_on_is_found_and_what_was_held_out_is_not(cli, jsonl, made):
    new = [long_text(i) for i in range(100, 106)]
    half = f"{' '.join(made[0].split()[:16])} {' '.join(long_text(200).split()[:4])}"
    jsonl("items.jsonl", [*made, *new, half, "too short"])
    tasks = "tasks=[{type: perplexity, data: tokens}, {type: perplexity, data: items.jsonl}]"
    outcome = cli("eval", "--model", "base", "-s", tasks, "-o", "out")
    assert outcome.code == 0, outcome.err
    held, mixed = (results()[name]["results"]["model"]["overlap"] for name in ("perplexity", "perplexity-2"))
    assert (held["overlapping"], held["clean"]) == (0, {})
    trained = sum(map(is_trained, made))
    assert 0 < trained < 40
    assert (mixed["items"], mixed["overlapping"], mixed["too_short"]) == (48, trained + is_trained(made[0]), 1)
    assert (mixed["ngram"], mixed["char_ngram"], mixed["unknown"]) == (13, 20, [])
    (corpus,) = mixed["corpora"]
    assert (corpus["kind"], corpus["documents"], corpus["whole"]) == ("corpus", trained, True)
    found = {sample["id"]: sample["overlap"] for sample in Scores("out").samples("perplexity-2")}
    assert list(found.values())[:40] == [float(is_trained(text)) for text in made]
    assert list(found.values())[46:] == [4 / 8 if is_trained(made[0]) else 0.0, None]
    clean = mixed["clean"]["bits_per_byte"]
    assert clean["n"] == 48 - mixed["overlapping"]
    assert clean["low"] < clean["value"] < clean["high"]
    line = (
        f"{mixed['overlapping']} of 48 items ({100 * mixed['overlapping'] / 48:.1f}%) share n-grams with the training"
    )
    assert line in outcome.out
    assert f"without them bits_per_byte {clean['value']:.4f} [" in outcome.out


def test_a_fine_tuned_model_has_seen_both_its_rows_and_what_its_base_was_trained_on(cli, jsonl, made):
    rows = [{"prompt": f"Say {i}", "completion": " ".join(long_text(i).split()[:14])} for i in range(300, 310)]
    assert cli("clean", "-i", jsonl("q.jsonl", rows), "--row", "auto", "-s", "steps=[]", "-o", "pairs").code == 0
    tuned = ["finetune", "--data", "pairs", "--model", "base", *TINY[6:], "-s", "validation_fraction=0"]
    tuned += ["-s", "overlength=drop", "-s", "context_length=128", "-o", "tuned"]
    assert cli(*tuned, "-q").code == 0
    jsonl("items.jsonl", [made[i] for i in range(5)] + [long_text(i) for i in range(305, 315)])
    tasks = ("-s", "tasks=[{type: perplexity, data: items.jsonl}]")
    assert cli("eval", "--model", "tuned", "--baseline", "base", *tasks, "-o", "out").code == 0
    by_role = results()["perplexity"]["results"]
    base = sum(map(is_trained, made[:5]))
    assert by_role["baseline"]["overlap"]["overlapping"] == base
    assert by_role["model"]["overlap"]["overlapping"] == base + 5
    assert {one["kind"] for one in by_role["model"]["overlap"]["corpora"]} == {"corpus", "examples"}


def test_a_corpus_that_is_gone_is_read_from_its_tokens_and_then_said_to_be_gone(cli, jsonl, made):
    jsonl("items.jsonl", made)
    command = ("eval", "--model", "base", "-s", "tasks=[{type: perplexity, data: items.jsonl}]", "--force")
    assert cli(*command, "-o", "out").code == 0
    with_corpus = results()["perplexity"]["results"]["model"]["overlap"]
    shutil.rmtree("corpus")
    assert cli(*command, "-o", "out2").code == 0
    from_tokens = results("out2")["perplexity"]["results"]["model"]["overlap"]
    assert [one["kind"] for one in from_tokens["corpora"]] == ["tokens"]
    assert from_tokens["overlapping"] == with_corpus["overlapping"] == sum(map(is_trained, made))
    shutil.rmtree("tokens")
    outcome = cli(*command, "-o", "out3")
    assert outcome.code == 0
    assert results("out3")["perplexity"]["results"]["model"]["overlap"] == {
        "why": f"{Path('tokens').absolute()}: no longer there"
    }
    assert "overlap of the model with its training text is not known: " in outcome.err
    assert "tokens: no longer there" in outcome.err


def test_a_model_from_elsewhere_and_overlap_off(cli, chain):
    shutil.copytree(chain.base, "foreign", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    tasks = ("-s", f"tasks=[{{type: perplexity, data: {chain.corpus}, limit: 4}}]")
    outcome = cli("eval", "--model", "foreign", *tasks, "-o", "out")
    assert outcome.code == 0
    why = "the model was made elsewhere: it has no lineage"
    assert results()["perplexity"]["results"]["model"]["overlap"] == {"why": why}
    assert why in outcome.err
    off = cli("eval", "--model", chain.base, *tasks, "-s", "overlap=off", "-o", "off")
    assert off.code == 0
    assert "overlap" not in results("off")["perplexity"]["results"]["model"]
    assert "overlap" not in next(Scores("off").samples("perplexity"))


def test_what_took_long_is_kept_and_what_is_too_much_is_said(cli, jsonl, made, monkeypatch):
    jsonl("items.jsonl", made)
    command = ("eval", "--model", "base", "-s", "tasks=[{type: perplexity, data: items.jsonl}]")
    read = []
    rows = Corpus.rows
    monkeypatch.setattr(Corpus, "rows", lambda self, *more: read.append(self.path.name) or rows(self, *more))
    monkeypatch.setattr(_eval_overlap, "LONG", 1)
    assert cli(*command, "-o", "out").code == 0
    assert read == ["corpus"]
    assert cli(*command, "-o", "out2").code == 0
    assert read == ["corpus"], "the second time nothing is read"
    assert results() == results("out2")
    monkeypatch.setattr(_eval_overlap, "MOST_BYTES", 1000)
    assert cli(*command, "-o", "out3").code == 0
    (corpus,) = results("out3")["perplexity"]["results"]["model"]["overlap"]["corpora"]
    assert corpus["whole"] is False
    assert 1000 <= corpus["bytes"] < 1300


def test_a_baseline_that_is_a_run_brings_its_overlap(cli, jsonl, made):
    jsonl("items.jsonl", made)
    tasks = ("-s", "tasks=[{type: perplexity, data: items.jsonl}]")
    assert cli("eval", "--model", "base", *tasks, "-o", "before").code == 0
    assert cli("eval", "--model", "base", "--baseline", "before", *tasks, "-o", "out").code == 0
    found = results()["perplexity"]["results"]
    assert found["baseline"]["overlap"] == found["model"]["overlap"]


@pytest.mark.parametrize(("facts", "line"), [
    ({"why": "the model was made elsewhere"}, ""),
    ({"items": 9, "overlapping": 0, "too_short": 9, "clean": {}}, ""),
    ({"items": 9, "overlapping": 0, "too_short": 8, "clean": {}},
     "none of 9 items shares an n-gram with the training text"),
    ({"items": 2, "overlapping": 2, "too_short": 0, "clean": {}},
     "2 of 2 items (100.0%) share n-grams with the training text; none is left"),
    ({"items": 9, "overlapping": 1, "too_short": 0,
      "clean": {"acc": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}}},
     "1 of 9 items (11.1%) shares an n-gram with the training text; without them acc 0.5000 [0.2500, 0.7500]  n 8"),
])  # fmt: skip
def test_what_is_said_of_an_overlap(facts, line):
    from llmkit.stages._eval_lines import overlap_line

    assert overlap_line(facts) == line

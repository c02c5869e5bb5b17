"""eval's perplexity through the command line: groups, positions, raw files, masked models."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from headed import save_headed
from llmkit.runtimes import Score
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.transformers import Transformers
from llmkit.tasks.perplexity import Perplexity
from llmkit.tasks.pseudo_perplexity import PseudoPerplexity
from texts import sentences

TEXTS = sentences(24)


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on one task, and return its result and its samples."""

    def run(model, code=0, **task):
        outcome = cli("eval", "--model", model, "-s", f"tasks={json.dumps([task])}", "-o", "out", "--force")
        assert outcome.code == code, outcome.err
        if code:
            return outcome
        results = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
        ((name, found),) = results.items()
        lines = Path(f"out/samples-{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return found["results"]["model"], [json.loads(line) for line in lines]

    return run


def written(kind):
    rows = [{"text": text, "language": "zh" if i % 3 else "en", "n": i} for i, text in enumerate(TEXTS)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path("raw").mkdir()
    if kind == "jsonl.gz":
        Path("raw/a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), "raw/a.parquet")
    elif kind == "glob":
        for part in (0, 1):
            Path(f"raw/{part}.jsonl").write_text("".join(lines.splitlines(keepends=True)[12 * part : 12 * part + 12]))
        return "raw/*.jsonl"
    else:
        for i, text in enumerate(TEXTS):
            Path(f"raw/{i:02}.txt").write_text(text)
        return "raw"
    return f"raw/a.{kind}"


@pytest.mark.parametrize("kind", ["txt", "jsonl.gz", "parquet", "glob"])
def test_raw_files_are_read_as_clean_reads_them(evaluate, cli, chain, kind, tmp_path):
    path = written(kind)
    raw, samples = evaluate(chain.base, type="perplexity", data=path)
    assert cli("clean", "-i", path, "-s", "steps=[]", "-o", "corpus").code == 0
    corpus, same = evaluate(chain.base, type="perplexity", data="corpus")
    assert sorted(sample["prompt"] for sample in samples) == sorted(TEXTS)
    assert {sample["id"]: sample["log_likelihood"] for sample in samples} == pytest.approx(
        {sample["id"]: sample["log_likelihood"] for sample in same}, rel=1e-6
    )
    assert raw["scores"]["bits_per_byte"] == pytest.approx(corpus["scores"]["bits_per_byte"], rel=1e-6)
    assert raw["num_samples"] == 24


def test_scores_by_source_and_position_with_intervals(evaluate, chain):
    Path("raw").mkdir()
    for name, texts in (("stories", TEXTS[:16]), ("notes", TEXTS[16:])):
        Path(f"raw/{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    result, samples = evaluate(chain.base, type="perplexity", data="raw")
    by_source = {}
    for name in ("raw/stories.jsonl", "raw/notes.jsonl", *{sample["source"] for sample in samples}):
        own = [sample for sample in samples if sample["source"] == name]
        if own:
            nats = -sum(sample["log_likelihood"] for sample in own)
            by_source[name] = nats / sum(sample["bytes"] for sample in own) / math.log(2)
    assert len(by_source) == 2
    for name, value in by_source.items():
        score = f"bits_per_byte[source={name}]"
        assert result["scores"][score] == pytest.approx(value, rel=1e-9)
        sure = result["estimates"][score]
        assert sure["low"] < value < sure["high"] and sure["n"] in (16, 8)
    task = Perplexity.model_validate({"data": {"type": "files", "path": "raw"}})
    bars, lines = task.figures(samples)
    assert bars.title == "By source"
    assert {name: value for name, (value, _, _) in bars.values.items()} == pytest.approx(by_source)
    points = lines.lines["loss"]
    running = Transformers().load(str(chain.base))
    first, second = [], []
    for sample in samples:  # by hand: the first target stands behind one id, the next two behind 2 and 3
        ids = running.tokenizer(sample["prompt"], add_special_tokens=False)["input_ids"]
        start = running.facts.start
        first += running.answer([Score((start,), (ids[0],))])
        second += running.answer([Score((start, ids[0]), tuple(ids[1:3]))])
    assert list(points.x[:2]) == [1, 2]
    assert points.y[0] == pytest.approx(-sum(first) / len(first), rel=1e-5)
    assert points.y[1] == pytest.approx(-sum(second) / 2 / len(second), rel=1e-5)
    assert all(low <= y <= high for low, y, high in zip(points.low, points.y, points.high, strict=True))


def test_a_language_has_a_score_of_its_own(evaluate, chain):
    path = Path("texts.jsonl")
    rows = [{"text": text, "language": "zh" if i % 3 == 0 else "en"} for i, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, samples = evaluate(chain.base, type="perplexity", data="texts.jsonl")
    assert [sample["language"] for sample in samples] == [row["language"] for row in rows]
    assert {"bits_per_byte[language=en]", "bits_per_byte[language=zh]"} <= result["scores"].keys()


def test_scores_are_a_function_of_the_samples_on_disk(evaluate, chain):
    written("parquet")
    result, samples = evaluate(chain.base, type="perplexity", data="raw/a.parquet")
    task = Perplexity.model_validate({"data": {"type": "files", "path": "raw/a.parquet"}})
    assert {name: measure.value for name, measure in task.measures(samples).items()} == result["scores"]
    names = ["bits_per_byte", "word_perplexity", "whitespace_word_perplexity", "byte_perplexity", "token_perplexity"]
    assert list(result["scores"])[:5] == names
    assert result["scores"]["byte_perplexity"] == pytest.approx(2 ** result["scores"]["bits_per_byte"])


def pseudo(loaded, text, mask, window):
    """By the definition: one forward pass for every token."""
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    tokens = loaded.tokenizer.convert_ids_to_tokens(ids)
    total = 0.0
    for i in range(len(ids)):
        begin = i // window * window
        end = min(begin + window, len(ids))
        left = max(0, end - window)
        row = ids[left:end]
        row[i - left] = 4
        after = i + 1
        while mask == "within_word" and after < end and tokens[after].startswith("##"):
            row[after - left] = 4
            after += 1
        with torch.inference_mode():
            whole = torch.tensor([[2, *row, 3]])
            logits = loaded.model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0]
        total += float(logits[1 + i - left].double().log_softmax(-1)[ids[i]])
    return total, len(ids)


@pytest.mark.parametrize("mask", ["original", "within_word"])
@pytest.mark.parametrize("max_tokens", [None, 7])
def test_pseudo_perplexity_is_that_of_a_hand_loop(evaluate, tmp_path, mask, max_tokens):
    texts = ["the cat and dogs sing.", "a", "and the small children went to see the ferry, which was late, again."]
    Path("texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    folder = save_headed(tmp_path / "masked", {"type": "masked_lm"})
    result, samples = evaluate(folder, type="pseudo_perplexity", data="texts.jsonl", mask=mask, max_tokens=max_tokens)
    loaded = Transformers().load(str(folder))
    found = [pseudo(loaded, text, mask, max_tokens or 46) for text in texts]
    assert found[2][1] > 46
    assert [sample["pseudo_log_likelihood"] for sample in samples] == pytest.approx(
        [nats for nats, _ in found], rel=1e-5
    )
    nats, tokens = (sum(part) for part in zip(*found, strict=True))
    scores = result["scores"]
    assert scores["pseudo_token_perplexity"] == pytest.approx(math.exp(-nats / tokens), rel=1e-5)
    size = sum(map(len, texts))
    assert scores["pseudo_bits_per_byte"] == pytest.approx(-nats / size / math.log(2), rel=1e-5)
    task = PseudoPerplexity.model_validate({"data": {"type": "files", "path": "texts.jsonl"}, "mask": mask})
    assert {name: measure.value for name, measure in task.measures(samples).items()} == scores


def test_what_a_model_cannot_do_is_said(evaluate, tmp_path, chain):
    Path("a.txt").write_text("the cat")
    masked = save_headed(tmp_path / "masked", {"type": "masked_lm"})
    outcome = evaluate(masked, code=3, type="perplexity", data="a.txt")
    assert (
        "does not answer score requests: it is not a causal language model: it was saved as BertForMaskedLM"
        in outcome.err
    )
    assert "the task pseudo_perplexity scores texts with this one" in outcome.err
    outcome = evaluate(chain.base, code=3, type="pseudo_perplexity", data="a.txt")
    assert "does not answer fill requests: it is not a masked language model" in outcome.err
    assert "the task perplexity scores causal language models" in outcome.err


@pytest.mark.parametrize(("task", "content", "code", "words"), [
    ({"type": "perplexity"}, "", 3, "has no"),
    ({"type": "perplexity", "splits": "test"}, "a", 2, "tasks.0.splits"),
    ({"type": "perplexity", "limit": 0}, "a", 2, "tasks.0.limit"),
])  # fmt: skip
def test_bad_input(evaluate, chain, task, content, code, words):
    Path("a.txt").write_text(content)
    outcome = evaluate(chain.base, code=code, data="a.txt", **task)
    assert words in outcome.err


def test_files_that_are_not_there(evaluate, chain):
    outcome = evaluate(chain.base, code=3, type="perplexity", data="nothing/*.jsonl")
    assert "nothing/*.jsonl" in outcome.err


def test_a_runtime_that_gives_whole_scores_alone_is_asked_for_those(evaluate, chain, monkeypatch):
    written("parquet")
    whole, samples = evaluate(chain.base, type="perplexity", data="raw/a.parquet")
    monkeypatch.setattr(InMemory, "gives_parts", False)
    other, plain = evaluate(chain.base, type="perplexity", data="raw/a.parquet", limit=len(TEXTS))
    assert other["scores"] == pytest.approx(whole["scores"], rel=1e-6)
    assert "positions" in samples[0] and "positions" not in plain[0]

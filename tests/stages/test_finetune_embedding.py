"""finetune on pairs and triplets, through the command line: a model of vectors out, with all that makes them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headed import BODY, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.modeling.pooling import Pooling, pooling_of, write_pooling
from texts import sentences

FIRST, SECOND = sentences(48, seed=7), sentences(48, seed=99)
PAIRS = [{"anchor": a[:30], "positive": b[:40]} for a, b in zip(FIRST, SECOND, strict=True)]
SCORED = [
    {"sentence1": a[:30], "sentence2": b[:30], "score": i % 6}
    for i, (a, b) in enumerate(zip(FIRST, SECOND, strict=True))
]
LENGTH = 32
OBJECTIVE = ["-s", "objective=embedding"]
SIZES = [
    "-s",
    f"context_length={LENGTH}",
    "-s",
    "overlength=truncate",
    "-s",
    "batch_rows=8",
    "-s",
    "precision=float32",
    "-s",
    "log_every=1",
]


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return save_headed(tmp_path_factory.mktemp("body") / "body", BODY)


@pytest.fixture
def finetune(cli, body, jsonl):
    """Train the body for two steps on rows of a raw file, with more options."""

    def run(rows, *more, model=None, out="out"):
        data = jsonl("rows.jsonl", rows)
        held_out = [] if "--preview" in more else ["-s", "validation_fraction=0.3"]
        return cli("finetune", "--data", data, "--model", model or body, *OBJECTIVE, *SIZES, *held_out,
                   "--max-steps", 2, "-o", out, *more)  # fmt: skip

    return run


def vectors(cli, model, texts, *more):
    outcome = cli("predict", model, "-i", texts, "-o", "vectors", *more, "--force")
    assert outcome.code == 0, outcome.err
    import pyarrow.parquet as pq

    (file,) = Path("vectors").glob("*.parquet")
    return np.array(pq.read_table(file)["vector"].to_pylist()), outcome


def test_a_model_of_vectors_with_measures_card_and_report(finetune, cli, jsonl):
    outcome = finetune(PAIRS, "-s", 'objective.query_prompt="ask "', "-s", "objective.dimensions=[8]")
    assert outcome.code == 0, outcome.err
    assert "rows are triplet (query from 'anchor', positive)" in outcome.err
    assert "labels:" not in outcome.err
    manifest = read_manifest(Path("out"))
    measures = manifest.metrics["measures"]
    assert set(measures) == {"recall_at_1", "recall_at_10", "mrr", "recall_at_1_dimensions_8"}
    assert "labels" not in manifest.metrics
    assert manifest.config["resolved"]["objective"]["pooling"] == ["mean"]
    logged = [json.loads(line) for line in Path("out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    first = next(row for row in logged if "loss" in row)
    assert first["loss"] == pytest.approx(first["loss_pairs"] + first["loss_dimensions_8"])

    payload = {output.path for output in manifest.outputs if output.payload}
    assert {"modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"} <= payload
    how = pooling_of(Path("out"))
    assert (how.modes, how.normalized, how.max_tokens) == (("mean",), True, LENGTH)
    assert dict(how.prompts) == {"query": "ask ", "document": ""}
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert "| vectors | mean of the tokens' vectors, normalized; 'ask ' before queries |" in card
    assert "| recall at 1 |" in card
    code = card.split("```python\n")[1].split("```")[0].replace('"DIR"', '"out"').replace("print(", "found = (")
    scope: dict = {}
    exec(code, scope)
    texts = jsonl("texts.jsonl", ["...", "a boat"])
    found, told = vectors(cli, "out", texts, "-s", "prompt=query")
    assert found[0] == pytest.approx(scope["found"], rel=1e-3, abs=1e-5)
    assert "'ask ' before every text" in told.err
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "Wrong neighbours" in report
    assert "was taken for it" in report


def test_sentence_transformers_loads_it_with_the_same_vectors(finetune, cli, jsonl):
    import sentence_transformers as st

    assert finetune(PAIRS, "-s", "objective.pooling=cls", "-s", 'objective.query_prompt="ask "').code == 0
    theirs = st.SentenceTransformer("out", device="cpu")
    texts = ["The old boat.", "9 sailors, and the captain!", "word " * 60]
    data = jsonl("texts.jsonl", texts)
    ours, _ = vectors(cli, "out", data)
    np.testing.assert_allclose(theirs.encode(texts), ours, rtol=1e-4, atol=1e-5)
    asked, _ = vectors(cli, "out", data, "-s", "prompt=query")
    np.testing.assert_allclose(theirs.encode_query(texts), asked, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(theirs.encode_document(texts), ours, rtol=1e-4, atol=1e-5)


def test_a_model_of_sentence_transformers_says_how_its_vectors_are_made(finetune, tmp_path):
    model = save_headed(tmp_path / "own", BODY)
    write_pooling(model, Pooling(("cls",), False, 20, prompts={"query": "q: ", "passage": "p: "}), 16)
    outcome = finetune(PAIRS, model=model)
    assert outcome.code == 0, outcome.err
    spec = read_manifest(Path("out")).config["resolved"]["objective"]
    assert (spec["pooling"], spec["normalize"]) == (["cls"], False)
    assert (spec["query_prompt"], spec["positive_prompt"]) == ("q: ", "p: ")
    how = pooling_of(Path("out"))
    assert (how.modes, how.normalized, dict(how.prompts)) == (("cls",), False, {"query": "q: ", "document": "p: "})
    write_pooling(model, Pooling(("mean",)), 16)
    assert "finished, from another run" in finetune(PAIRS, model=model).err


def test_pairs_with_a_score(finetune):
    outcome = finetune(SCORED, "-s", "objective.max_score=5", "--json")
    assert outcome.code == 0
    assert set(outcome.json["metrics"]["measures"]) == {"spearman", "pearson"}
    refused = finetune(SCORED, out="other")
    assert refused.code == 2
    assert "scores are up to 5" in refused.err
    assert "-s objective.max_score=5 divides by it" in refused.err
    assert finetune(SCORED, "-s", "objective.criterion=cosent", out="order").code == 0


def test_mined_negatives_are_part_of_the_run(finetune):
    mined = ["-s", "objective.negatives={mine: 2, skip_top: 0, margin: 0.0}"]
    outcome = finetune(PAIRS, *mined)
    assert outcome.code == 0, outcome.err
    assert "negatives were mined by model" in outcome.err
    manifest = read_manifest(Path("out"))
    assert manifest.config["resolved"]["objective"]["negatives"]["most"] == 2
    assert "up to 2 of the row" in Path("out/README.md").read_text(encoding="utf-8")
    assert "up to date" in finetune(PAIRS, *mined).out
    assert finetune(PAIRS, *mined, out="again").code == 0
    assert read_manifest(Path("again")).id == manifest.id
    assert finetune(PAIRS, out="without").code == 0
    assert read_manifest(Path("without")).id != manifest.id


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_lora_and_its_merge_give_the_same_vectors(finetune, cli, jsonl, reload_here):
    lora = ["--lora", "-s", "adapter.r=4", "-s", "optimizer.lr=0.01", "-s", "objective.pooling=cls"]
    outcome = finetune(PAIRS, *lora)
    assert outcome.code == 0, outcome.err
    assert pooling_of(Path("out")).modes == ("cls",)
    data = jsonl("texts.jsonl", ["The old boat.", "9 sailors"])
    adapted, told = vectors(cli, "out", data)
    assert "cls of the tokens' vectors, normalized" in told.err
    outcome = cli("export", "--model", "out", "-o", "merged")
    assert outcome.code == 0, outcome.err
    assert pooling_of(Path("merged")).modes == ("cls",)
    merged, _ = vectors(cli, "merged", data)
    np.testing.assert_allclose(merged, adapted, rtol=1e-3, atol=1e-4)


def test_training_brings_pairs_together(finetune, body):
    words = ["boat", "bread", "captain", "harbour", "wind", "rope", "sail", "fish", "net", "crew", "dock", "tide"]
    pairs = [{"query": f"{word} {word}", "positive": f"the {word}!"} for word in words]
    outcome = finetune(pairs, "-s", "validation_fraction=0.5", "-s", "batch_rows=6", "--max-steps", 60, "-s",
                       "optimizer.lr=3e-3", "-s", "validate.every=60", "--json")  # fmt: skip
    assert outcome.code == 0
    assert outcome.json["metrics"]["loss"] < math.log(6) / 2  # log 6 is chance among the six rows of a step
    weights, before = load_file("out/model.safetensors"), load_file(body / "model.safetensors")
    assert any(not torch.equal(weights[name], before[name]) for name in weights)


def test_preview_shows_all_texts_of_a_row(finetune):
    outcome = finetune([{"query": "a boat", "positive": "at sea", "negatives": ["no", "yes"]}] * 2, "--preview", 1,
                       "-s", 'objective.query_prompt="q "')  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "negatives.1: yes" in outcome.out
    assert "query: [CLS] q a boat [SEP]" in outcome.out.replace(" ##", "")


@pytest.mark.parametrize(
    ("rows", "options", "code", "says"),
    [
        (PAIRS, ["-s", "objective.dimensions=[16]"], 2, "16 numbers are not fewer than the 16 of the whole vector"),
        (PAIRS, ["-s", "objective.criterion=cosine"], 2, "holds pairs to a score, and the rows have none"),
        ([{"ancor": "a", "positive": "b"}], [], 2, "did you mean 'ancor'?"),
        (SCORED, ["-s", "objective.negatives.mine=2"], 2, "pairs with a score have no wrong texts"),
        ([{"text": "a", "label": "b"}] * 4, [], 2, "no kind fits the columns text, label"),
    ],
)
def test_what_does_not_suit_is_refused(finetune, rows, options, code, says):
    outcome = finetune(rows, *options)
    assert outcome.code == code, outcome.err
    assert says in outcome.err
    assert not Path("out/llmkit.json").exists()

"""embedding against sentence-transformers: the same vectors, losses and gradients, and files that it loads."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled_models import TOKENIZER, batch_of
from test_embedding import PAIRS, SCORED, VOCABULARY, encoded, settled, taken

from headed import BODY, save_headed
from llmkit.modeling.companions import Models
from llmkit.modeling.heads.embedding import Embedding as Body
from llmkit.modeling.load import load_model
from llmkit.modeling.pooling import MODES, Pooling, pooling_of, write_pooling
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.runtimes import Embed
from llmkit.runtimes._heads import HeadAnswers

DISTINCT = PAIRS[:5]
EVEN = [{**row, "negatives": (row["negatives"] or ["h h"])[:1]} for row in DISTINCT]
TEXTS = ["a boat", "The bread is good, and the captain is 9 years old.", "no"]


@pytest.fixture(scope="module")
def st() -> Any:
    """sentence-transformers, which takes seconds to import."""
    import sentence_transformers

    return sentence_transformers


def losses() -> Any:
    return importlib.import_module("sentence_transformers.sentence_transformer.losses")


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder without dropout, with the tokenizer of letters, as sentence-transformers reads it."""
    from labelled_models import headed

    folder = tmp_path_factory.mktemp("st") / "body"
    headed(folder, "bert", settled())
    TOKENIZER.save_pretrained(folder)
    write_pooling(folder, Pooling(max_tokens=16), 16)
    return folder


def features(model: Any, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the columns of some rows as its trainer gives them to a loss."""
    first, second = ("text", "pair") if "pair" in rows[0] else ("query", "positive")
    columns = [[row[first] for row in rows], [row[second] for row in rows]]
    if first == "query" and rows[0]["negatives"] and rows is not DISTINCT:
        columns.append([row["negatives"][0] for row in rows])
    return [model.preprocess(column) for column in columns]


LOSSES: dict[str, Any] = {
    "pairs": (DISTINCT, {"negatives": {"most": 0}}, lambda m: losses().MultipleNegativesRankingLoss(m, scale=20)),
    "triplets": (EVEN, {"temperature": 0.1}, lambda m: losses().MultipleNegativesRankingLoss(m, scale=10)),
    "symmetric": (EVEN, {"symmetric": True}, lambda m: losses().MultipleNegativesRankingLoss(
        m, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction")),
    "shorter": (EVEN, {"dimensions": [4, 8]}, lambda m: losses().MatryoshkaLoss(
        m, losses().MultipleNegativesRankingLoss(m), [16, 4, 8])),
    "cosine": (SCORED, {}, lambda m: losses().CosineSimilarityLoss(m)),
    "cosent": (SCORED, {"criterion": "cosent"}, lambda m: losses().CoSENTLoss(m)),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_loss_and_gradient_are_those_of_sentence_transformers(st, body, case):
    rows, fields, loss = LOSSES[case]
    theirs = st.SentenceTransformer(str(body), device="cpu")
    labels = torch.tensor([row["label"] for row in rows]) if rows is SCORED else torch.zeros(len(rows))
    expected = loss(theirs)(features(theirs, rows), labels)
    theirs.zero_grad()
    expected.backward()
    model = load_model(body, Body()).eval()
    most = fields.get("negatives")
    if most:
        from llmkit.objectives.rows._mining import Negatives

        fields = {"negatives": Negatives(**most)}
    for size in (len(rows), 2):
        found, grads = taken(settled(rows, **fields), rows, model, size)
        assert found.total == pytest.approx(expected.item(), rel=1e-5)
        reference = {n: p.grad for n, p in theirs[0].auto_model.named_parameters() if p.grad is not None}
        largest = max(float(grad.abs().max()) for grad in reference.values())
        for name, grad in reference.items():
            torch.testing.assert_close(grads[name], grad, rtol=1e-4, atol=1e-5 * max(1.0, largest), msg=name)


def test_vectors_in_training_are_those_of_sentence_transformers(st, body):
    theirs = st.SentenceTransformer(str(body), device="cpu")
    objective = settled()
    found = objective.outputs(
        Models(load_model(body, Body()).eval()),
        objective.collate(batch_of(objective, encoded(objective)), VOCABULARY, 0)[0],
    )
    expected = theirs.encode([row["query"] for row in PAIRS], convert_to_tensor=True)
    torch.testing.assert_close(found["query"].detach(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), ("cls", "mean")], ids="+".join)
def test_what_is_written_gives_the_same_vectors_there(st, tmp_path, modes, normalized):
    folder = save_headed(tmp_path / "model", BODY)
    made = Pooling(modes, normalized, 12, prompts={"query": "a query: ", "document": ""})
    write_pooling(folder, made, 16)
    read = pooling_of(folder)
    assert (read.modes, read.normalized, read.max_tokens, dict(read.prompts)) == (
        modes, normalized, 12, dict(made.prompts)
    )  # fmt: skip
    theirs = st.SentenceTransformer(str(folder), device="cpu")
    assert theirs.similarity_fn_name == "cosine"
    ours = HeadAnswers(load_model(folder), load_tokenizer(folder), Body(), folder, read)
    for vector, expected in zip(ours.answer([Embed(text) for text in TEXTS]), theirs.encode(TEXTS), strict=True):
        assert vector == pytest.approx(expected, rel=1e-4, abs=1e-5)
    (vector,) = ours.answer([Embed("a query: a boat")])
    assert vector == pytest.approx(theirs.encode_query("a boat"), rel=1e-4, abs=1e-5)


def test_what_it_writes_is_read(st, tmp_path):
    folder = save_headed(tmp_path / "model", BODY)
    modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    theirs = st.SentenceTransformer(
        modules=[
            modules.Transformer(str(folder), max_seq_length=10),
            modules.Pooling(16, "mean_sqrt_len_tokens"),
            modules.Normalize(),
        ],
        prompts={"query": "q: ", "passage": "p: "},
        device="cpu",
    )
    theirs.save_pretrained(str(tmp_path / "theirs"))
    read = pooling_of(tmp_path / "theirs")
    assert (read.modes, read.normalized) == (("mean_sqrt_len",), True)
    assert read.prompts["query"] == "q: "
    ours = HeadAnswers(load_model(tmp_path / "theirs"), load_tokenizer(tmp_path / "theirs"), Body(), folder, read)
    assert ours.limit == 10
    for vector, expected in zip(ours.answer([Embed(text) for text in TEXTS]), theirs.encode(TEXTS), strict=True):
        assert vector == pytest.approx(expected, rel=1e-4, abs=1e-5)

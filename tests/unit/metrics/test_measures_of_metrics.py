"""What a metric's scores rest on: its value is what `compute` gives, of all samples and of any draw of them."""

from __future__ import annotations

import math

import datasets
import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from llmkit.core.errors import DataError
from llmkit.core.registry import Family
from llmkit.evaluation.estimates import estimate
from llmkit.evaluation.measures import Sums
from llmkit.metrics import Metric
from llmkit.metrics.bleu import Bleu
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
from llmkit.metrics.ter import Ter

PREDICTIONS = ["The cat sat on a mat.", "今天天气很好", "", "Größe zählt 12", "no no no no no", "The answer is 1,234"]
REFERENCES = [
    ["A cat sat on the mat 1.", "The cat sat 2."], ["今天天气不错 7"], ["nothing was said 0"], ["Die Größe zählt 12"],
    ["yes 1", "no 2"], ["1234"],
]  # fmt: skip
METRICS = [
    *({"type": name} for name in Family("metric").members() if name != "json_schema"),
    {"type": "json_schema", "rules": {"type": "object"}},
    {"type": "f1", "average": "weighted"},
    {"type": "chrf", "word_order": 2},
    {"type": "exact_match", "ignore_case": True, "ignore_punctuation": True},
]
TEXT = st.text(st.sampled_from("ab c.\n'今天𠮷,-12"), max_size=12)
PAIRS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=5)


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: "-".join(map(str, spec.values())))
def test_of_any_draw_it_is_what_compute_gives(spec):
    metric = Family("metric").parse(spec)
    measures = metric.measures(PREDICTIONS, REFERENCES)
    weights = np.array([[1, 1, 1, 1, 1, 1], [0, 3, 1, 0, 0, 2], [2, 0, 0, 1, 4, 0], [0, 0, 5, 0, 0, 0]])
    for row in weights:
        chosen = np.repeat(np.arange(6), row)
        if spec["type"] in ("bleu", "ter") and row[0] != 1:
            continue  # another draw may be of another script, and so of another tokenizer
        pairs = {"predictions": [PREDICTIONS[i] for i in chosen], "references": [REFERENCES[i] for i in chosen]}
        expected = metric.load().compute(**pairs)
        found = {name: float(measure.at(row[None])[0]) for name, measure in measures.items()}
        if spec["type"] == "f1" and row[0] != 1:
            continue  # its classes are those of all references
        assert found == pytest.approx(expected, abs=1e-9)
    assert {name: measure.value for name, measure in measures.items()} == pytest.approx(
        metric.load().compute(predictions=PREDICTIONS, references=REFERENCES), abs=1e-9
    )
    for measure in measures.values():
        found = estimate(measure)
        assert found.low is None or found.low - 1e-9 <= measure.value <= found.high + 1e-9 or found.method != "mean"


def theirs(scorer, predictions, references):
    width = max(map(len, references))
    streams = [[options[i] if i < len(options) else None for options in references] for i in range(width)]
    return scorer.corpus_score(predictions, streams).score


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_corpus_scores_equal_sacrebleu(pairs):
    predictions, references = [list(side) for side in zip(*pairs, strict=True)]
    for metric, scorer in (
        (Bleu(tokenize="13a"), BLEU(tokenize="13a")),
        (Bleu(tokenize="zh"), BLEU(tokenize="zh")),
        (Bleu(tokenize="char", lowercase=True), BLEU(tokenize="char", lowercase=True)),
        (ChrF(), CHRF()),
        (ChrF(char_order=3, word_order=2), CHRF(char_order=3, word_order=2)),
        (Ter(normalize="none"), TER()),
        (Ter(normalize="asian", no_punctuation=True), TER(normalized=True, asian_support=True, no_punct=True)),
        (Ter(normalize="western", case_sensitive=True), TER(normalized=True, case_sensitive=True)),
    ):
        (measure,) = metric.measures(predictions, references).values()
        assert measure.value == pytest.approx(theirs(scorer, predictions, references), abs=1e-9)
        rows = [theirs(scorer, [text], [options]) for text, options in pairs]
        assert measure.of(measure.statistics) == pytest.approx(rows, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=4))
def test_rouge_of_ascii_equals_rouge_score(pairs):
    from rouge_score.rouge_scorer import RougeScorer

    pairs = [tuple(text.encode("ascii", "ignore").decode() for text in pair) for pair in pairs]
    types = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
    scores = [RougeScorer(types).score(wanted, said) for said, wanted in pairs]
    expected = {name: 100 * sum(score[name].fmeasure for score in scores) / len(scores) for name in types}
    measures = Rouge(types=types).measures(*zip(*pairs, strict=True))
    assert {name: measure.value for name, measure in measures.items()} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in Family("metric").members() if name != "json_schema"])
def test_nothing_to_score_is_a_data_error(name):
    metric = Family("metric").parse(name)
    with pytest.raises(DataError, match="there are no predictions to score"):
        metric.measures([], [])
    with pytest.raises(DataError, match="there are no predictions to score"):
        metric.load().compute(predictions=[], references=[])
    with pytest.raises(DataError, match="prediction 1 has an empty list of references"):
        metric.measures(["1", "2"], ["1", []])
    with pytest.raises(DataError, match="2 predictions, but references of 1"):
        metric.measures(["1", "2"], ["1"])


class Lengths(evaluate.Metric):
    """As somebody writes it who knows `evaluate` alone: one reference each, no lists."""

    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        said, wanted = sum(map(len, predictions)), sum(map(len, references))
        return {"length_ratio": said / wanted, "said": float(said)}


class LengthRatio(Metric):
    def load(self):
        return Lengths(keep_in_memory=True)


def test_a_metric_that_has_nothing_but_load_is_computed_anew_for_each_draw():
    measures = LengthRatio().measures(["aa", "b", "c"], ["a", "b", ["cccc"]])
    assert {name: measure.value for name, measure in measures.items()} == {"length_ratio": 4 / 6, "said": 4.0}
    weights = np.array([[1, 0, 0], [0, 2, 1]])
    assert measures["length_ratio"].at(weights).tolist() == [2.0, 3 / 6]
    assert measures["length_ratio"].rounds == 100
    found = estimate(measures["length_ratio"])
    assert found.method == "bootstrap"
    assert found.low <= 4 / 6 <= found.high


def test_a_draw_that_it_fails_on_has_no_value():
    measures = LengthRatio().measures(["aa", "b"], ["a", ""])
    assert math.isnan(measures["length_ratio"].at(np.array([[0, 2]]))[0])  # it divides by nothing
    assert measures["length_ratio"].value == 3.0


def test_bootstrap_of_a_corpus_score_equals_computing_it_anew():
    measure = ChrF().measures(PREDICTIONS, REFERENCES)["chrf"]
    assert isinstance(measure, Sums)
    rng = np.random.default_rng(0)
    draws = rng.integers(6, size=(5, 6))
    weights = np.stack([np.bincount(draw, minlength=6) for draw in draws])
    expected = [theirs(CHRF(), [PREDICTIONS[i] for i in draw], [REFERENCES[i] for i in draw]) for draw in draws]
    assert measure.at(weights) == pytest.approx(expected, abs=1e-9)

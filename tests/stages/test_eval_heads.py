"""eval of models with heads, through the command line: the numbers of training's own validation on the same rows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from headed import BODY, NAMES, READER, SENTIMENT, STARS, TOPICS, save_headed
from llmkit.core.registry import Family
from texts import sentences

TEXTS = sentences(60, seed=7)
OPTIONS = ["-s", "context_length=64", "-s", "batch_rows=8", "-s", "precision=float32", "-s", "log_every=1",
           "-s", "overlength=truncate", "--max-steps", 3]  # fmt: skip


def tagged(text):
    words = text.split()
    return {"words": words, "tags": ["B-X" if len(word) > 4 else "O" for word in words]}


def asked(text, i):
    words = text.split()
    return {"question": f"what is {i % 7}?", "context": " ".join(words[:8]),
            "answers": [words[i % 4]] if i % 3 and words[:8].count(words[i % 4]) == 1
            and " ".join(words[:8]).count(words[i % 4]) == 1 else []}  # fmt: skip


ROWS = {
    "classification": [{"text": text, "label": ["bad", "good", "fair"][i * i % 3]} for i, text in enumerate(TEXTS)],
    "several": [{"text": text, "label": ["a", "b", "c"][: i % 4]} for i, text in enumerate(TEXTS)],
    "numbers": [{"text": text, "label": i * i % 11 / 4} for i, text in enumerate(TEXTS)],
    "pairs": [{"text": text, "pair": text[::-1], "label": "yn"[i % 2]} for i, text in enumerate(TEXTS)],
    "token_classification": [tagged(text) for text in TEXTS],
    "question_answering": [asked(text, i) for i, text in enumerate(TEXTS)],
    "similarity": [{"text": text, "pair": text[: 4 + i % 7], "label": i / 60} for i, text in enumerate(TEXTS)],
    "retrieval": [{"query": " ".join(text.split()[:4]), "positive": " ".join(text.split()[3:])} for text in TEXTS],
}


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on one task; return its part of results.json, or the outcome of a failure."""

    def run(model, task, *more, code=0):
        written = json.dumps(task)
        outcome = cli("eval", "--model", model, "-s", f"tasks=[{written}]", "-o", "eval", "--force", *more)
        assert outcome.code == code, outcome.err
        if code:
            return outcome
        return json.loads(Path("eval/results.json").read_text(encoding="utf-8"))["tasks"][task["type"]]["results"][
            "model"
        ]

    return run


def samples(name):
    return [json.loads(line) for line in Path(f"eval/samples-{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def measured_again(task):
    """Scores and figures of the samples as they are on disk: `compare` has nothing else."""
    part = Family("task").parse(task)
    found = samples(task["type"])
    assert all(figure.title for figure in part.figures(found))
    return {name: measure.value for name, measure in part.measures(found).items()}


@pytest.mark.parametrize(("name", "task", "objective", "names"), [
    ("classification", "classification", "classification", {"accuracy": "accuracy", "macro_f1": "macro_f1"}),
    ("several", "classification", "classification",
     {"accuracy": "accuracy", "macro_f1": "macro_f1", "micro_f1": "micro_f1"}),
    ("numbers", "classification", "classification",
     {name: name for name in ("mse", "mae", "r2", "pearson", "spearman")}),
    ("pairs", "classification", "classification", {"accuracy": "accuracy", "macro_f1": "macro_f1"}),
    ("token_classification", "token_classification", "token_classification",
     {name: name for name in ("f1", "precision", "recall", "accuracy")}),
    ("question_answering", "question_answering", "question_answering",
     {name: name for name in ("exact_match", "f1", "has_answer_f1", "no_answer_exact_match")} | {"f1 ": "best_f1"}),
    ("similarity", "similarity", "embedding", {"spearman": "spearman", "pearson": "pearson"}),
    ("retrieval", "retrieval", "embedding", {"recall_at_1": "recall_at_1", "recall_at_10": "recall_at_10"}),
])  # fmt: skip
def test_scores_are_those_of_training_on_the_same_rows(
    cli, chain, jsonl, evaluate, tmp_path, name, task, objective, names
):
    base = save_headed(tmp_path / "body", BODY) if task == "question_answering" else chain.base
    options = ["-s", "context_length=40", *OPTIONS[2:]] if task == "question_answering" else OPTIONS
    train, held = jsonl("train.jsonl", ROWS[name][:30]), jsonl("held.jsonl", ROWS[name][30:])
    trained = cli("finetune", "--model", base, "--data", train, "-s", f"validation_data=[{held}]",
                  "-s", f"objective={objective}", *options, "-o", "model", "--json")  # fmt: skip
    assert trained.code == 0, trained.err
    asked = {"type": task, "data": str(held), "overlength": "truncate"}
    found = evaluate("model", asked)
    theirs = trained.json["metrics"]["measures"]
    for own, there in names.items():
        assert found["scores"][there] == pytest.approx(theirs[own.strip()], rel=1e-4, abs=1e-6), own
    assert found["num_samples"] == 30
    assert measured_again(asked) == pytest.approx(found["scores"])
    assert set(found["estimates"]) == set(found["scores"])


SAID = [("A good day.", "Good"), ("the sea is bad", "bad"), ("so so", "fair"), ("no idea", "strange"), ("ok", "good")]


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Small encoders of random weights, by name."""
    root = tmp_path_factory.mktemp("heads")
    many = {**SENTIMENT, "labels": [f"l{i}" for i in range(40)]}
    specs = {"sentiment": SENTIMENT, "topics": TOPICS, "stars": STARS, "names": NAMES, "reader": READER, "body": BODY,
             "many": many}  # fmt: skip
    return {name: save_headed(root / name, spec) for name, spec in specs.items()}


def test_labels_of_other_case_are_found_and_unknown_ones_counted(evaluate, heads, jsonl):
    data = jsonl("rows.jsonl", [{"text": text, "label": label} for text, label in SAID])
    found = evaluate(heads["sentiment"], {"type": "classification", "data": str(data)})
    assert found["notes"][:2] == [
        "labels of the data are taken for the model's: Good = good",
        "1 rows have labels that the model does not know, which count as wrong: 'strange' (1); valid: bad, fair, good",
    ]
    assert found["notes"][2] == "always saying 'good' would have the accuracy 0.4000"
    assert found["unknown_labels"] == 1
    assert found["classes"]["strange"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1, "predicted": 0}
    assert list(found["scores"]) == ["accuracy", "macro_f1", "weighted_f1", "mcc", "auc", "log_loss", "ece"]
    assert found["estimates"]["log_loss"]["n"] == 4  # it knows no probability of the other
    rows = samples("classification")
    assert rows[0].keys() == {"model", "id", "prompt", "reference", "prediction", "accuracy", "confidence",
                              "log_likelihood", "num_labels", "logits"}  # fmt: skip
    assert rows[3]["log_likelihood"] is None
    right = [row["prediction"] == row["reference"] for row in rows]
    assert found["scores"]["accuracy"] == pytest.approx(sum(right) / 5)


def test_scores_of_labels_are_those_of_sklearn(evaluate, heads, jsonl):
    import numpy as np
    from sklearn.metrics import f1_score, log_loss, matthews_corrcoef, roc_auc_score

    random.seed(3)
    labels = [random.choice(SENTIMENT["labels"]) for _ in TEXTS]
    data = jsonl("rows.jsonl", [{"text": text[:30], "label": own} for text, own in zip(TEXTS, labels, strict=True)])
    found = evaluate(heads["sentiment"], {"type": "classification", "data": str(data)})["scores"]
    rows = samples("classification")
    names = sorted(SENTIMENT["labels"])
    logits = np.array([[row["logits"][name] for name in names] for row in rows])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = [names[i] for i in shares.argmax(axis=1)]
    assert found["macro_f1"] == pytest.approx(f1_score(labels, said, average="macro", zero_division=0))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, said))
    assert found["auc"] == pytest.approx(roc_auc_score(labels, shares, multi_class="ovr", labels=names))
    assert found["log_loss"] == pytest.approx(log_loss(labels, shares, labels=names))


def test_several_labels_a_text(evaluate, heads, jsonl):
    import numpy as np
    from sklearn.metrics import roc_auc_score

    rows = [{"text": text[:20], "labels": ["good", "bad"][: i % 3]} for i, text in enumerate(TEXTS)]
    found = evaluate(heads["topics"], {"type": "classification", "data": str(jsonl("rows.jsonl", rows))})
    assert list(found["scores"]) == ["accuracy", "macro_f1", "micro_f1", "weighted_f1", "auc", "log_loss", "ece"]
    kept = samples("classification")
    truth = np.array([[name in row["reference"] for name in ("bad", "good")] for row in kept])
    logits = np.array([[row["logits"][name] for name in ("bad", "good")] for row in kept])
    assert found["scores"]["auc"] == pytest.approx(roc_auc_score(truth, logits, average="macro"))  # nothing is fair
    assert {"bad", "good"} <= found["classes"].keys()


def test_stars_written_as_classes_are_numbers_for_a_model_of_numbers(evaluate, heads, jsonl):
    data = jsonl("rows.jsonl", [{"text": text[:20], "stars": i % 5 + 1} for i, text in enumerate(TEXTS)])
    found = evaluate(heads["stars"], {"type": "classification", "data": str(data)})
    assert list(found["scores"]) == ["pearson", "spearman", "r2", "mse", "mae"]
    assert found["mse_of_the_mean"] == pytest.approx(2.0)
    assert not found["estimates"]["mse"]["higher_is_better"]


def test_samples_of_many_labels_stay_small(evaluate, heads, jsonl):
    data = jsonl("rows.jsonl", [{"text": text[:20], "label": i % 40} for i, text in enumerate(TEXTS)])
    found = evaluate(heads["many"], {"type": "classification", "data": str(data)})
    assert "auc" not in found["scores"]
    assert "no auc: the model has 40 labels, and samples keep 5 of over 32" in found["notes"]
    assert {len(row["logits"]) for row in samples("classification")} == {5}
    assert found["notes"][0].startswith("labels of the data are taken for the model's: 0 = l0, 1 = l1, 10 = l10")


def test_texts_that_are_too_long_are_left_out_or_read_in_part(evaluate, heads, jsonl):
    rows = [{"text": "a " * 100, "label": "good"}, *({"text": text, "label": "bad"} for text, _ in SAID[:3])]
    task = {"type": "classification", "data": str(jsonl("rows.jsonl", rows))}
    found = evaluate(heads["sentiment"], task)
    assert (found["num_samples"], found["skipped"]) == (3, 1)
    assert "1 skipped: they are longer than what the model reads" in found["notes"]
    found = evaluate(heads["sentiment"], {**task, "overlength": "truncate"})
    assert (found["num_samples"], found["skipped"]) == (4, 0)
    assert "1 are read without their ends: they are longer than what the model reads" in found["notes"]
    assert [row.get("truncated", False) for row in samples("classification")] == [True, False, False, False]


def test_tags_that_are_numbers_and_entities_by_hand(evaluate, heads, jsonl):
    """The tags of the hub's sets are numbers; scores are those of seqeval on the tags in the samples."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    random.seed(1)
    words = [text.split()[:7] for text in TEXTS[:20]]
    rows = [{"tokens": own, "ner_tags": [random.choice([0, 0, 1, 2, 3]) for _ in own]} for own in words]
    found = evaluate(heads["names"], {"type": "token_classification", "data": str(jsonl("rows.jsonl", rows))})
    assert found["notes"][0] == ("labels of the data are taken for the model's: 0 = O, 1 = B-PER, 2 = I-PER, 3 = B-LOC")
    assert found["scheme"] == "IOB2"
    truth, said = ([row[side] for row in samples("token_classification")] for side in ("reference", "prediction"))
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert found["scores"][name] == pytest.approx(score(truth, said, zero_division=0))
    assert found["scores"]["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    assert found["classes"].keys() == {"PER", "LOC"}
    assert found["words"] == sum(map(len, words))


def test_chinese_answers_are_compared_by_characters_and_never_is_an_answer(evaluate, heads, jsonl):
    rows = [{"question": "who", "context": "Ann lives 北京大学 now", "answers": ["北京大学"]},
            {"question": "who now", "context": "Ann lives here", "answers": []}]  # fmt: skip
    task = {"type": "question_answering", "data": str(jsonl("rows.jsonl", rows))}
    found = evaluate(heads["reader"], {**task, "no_answer": "never"})
    assert {"longest_f1", "best_exact_match", "best_f1", "has_answer_f1", "no_answer_exact_match"} < {*found["scores"]}
    assert any("longest_f1 that of CMRC 2018" in note for note in found["notes"])
    assert found["threshold"] is None
    assert all(row["prediction"] == row["span"] for row in samples("question_answering"))
    evaluate(heads["reader"], {**task, "no_answer": -1000.0})
    assert [row["prediction"] for row in samples("question_answering")] == ["", ""]


def test_two_labels_of_pairs(evaluate, heads, jsonl):
    from sklearn.metrics import average_precision_score

    pairs = [
        {"question1": text[:15], "question2": text[5:20], "is_duplicate": i % 3 // 2} for i, text in enumerate(TEXTS)
    ]
    found = evaluate(heads["body"], {"type": "similarity", "data": str(jsonl("rows.jsonl", pairs))})
    rows = samples("similarity")
    truth, cosines = ([row[side] for row in rows] for side in ("reference", "prediction"))
    assert found["scores"]["average_precision"] == pytest.approx(average_precision_score(truth, cosines))
    threshold = found["threshold"]
    right = sum((cosine > threshold) == true for cosine, true in zip(cosines, truth, strict=True)) / 60
    assert found["scores"]["best_accuracy"] == pytest.approx(right)
    assert found["positive"] == 20


def test_both_ways_and_several_right_texts(evaluate, heads, jsonl):
    rows = [{"src": "a boat", "tgt": ["une barque", "un bateau"]}, {"src": "the sea", "tgt": "la mer"},
            {"src": "a ship", "tgt": "un bateau"}]  # fmt: skip
    found = evaluate(heads["body"], {"type": "retrieval", "data": str(jsonl("rows.jsonl", rows)), "recall_at": [1, 2]})
    assert found["queries"] == {"forward": 3, "backward": 3}
    assert found["texts"] == {"forward": 3, "backward": 3}
    names = ["ndcg_at_10", "mrr_at_10", "map", "recall_at_1", "recall_at_2"]
    assert list(found["scores"]) == [*names, *(f"backward_{name}" for name in names)]
    by_query = {(row["way"], row["prompt"]): row for row in samples("retrieval")}
    assert by_query["forward", "a boat"]["reference"] == ["une barque", "un bateau"]
    assert by_query["backward", "un bateau"]["reference"] == ["a boat", "a ship"]
    assert len(by_query["backward", "un bateau"]["ranks"]) == 2
    assert found["estimates"]["map"]["n"] == 3


@pytest.fixture
def judged(jsonl):
    """A folder as BEIR has them: of the second query one text is judged twice as good, and one is not there."""
    jsonl("beir/corpus.jsonl", [{"_id": "d1", "title": "Boats", "text": "go by sea"},
                                {"_id": "d2", "title": "", "text": "a lamp"},
                                {"_id": "d3", "text": "salt"}])  # fmt: skip
    lines = ["query-id\tcorpus-id\tscore", "q1\td1\t1", "q2\td2\t2", "q2\td3\t1", "q2\td1\t0", "q2\td9\t1"]
    folder = jsonl("beir/queries.jsonl", [{"_id": "q1", "text": "what goes by sea?"}, {"_id": "q2", "text": "light"},
                                          {"_id": "q3", "text": "not judged"}]).parent  # fmt: skip
    (folder / "qrels").mkdir()
    (folder / "qrels/test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_corpus_with_queries_and_judgements(evaluate, heads, judged):
    found = evaluate(heads["body"], {"type": "retrieval", "data": str(judged)})
    assert (found["queries"], found["texts"]) == ({"forward": 2}, {"forward": 3})
    assert "1 judgements are of queries or texts that are not there" in found["notes"]
    first, second = samples("retrieval")
    assert (first["id"], first["reference"]) == ("q1", "Boats go by sea")
    assert (second["reference"], second["gains"], len(second["ranks"])) == (["a lamp", "salt"], [2.0, 1.0], 2)
    outcome = evaluate(heads["body"], {"type": "retrieval", "data": str(judged), "split": "tset"}, code=3)
    assert "has no qrels/tset.tsv; did you mean 'test'?" in outcome.err


def test_prompts_of_each_side_are_those_of_the_files_or_of_the_task(evaluate, jsonl, tmp_path):
    from llmkit.modeling.pooling import Pooling, write_pooling

    model = save_headed(tmp_path / "prompted", BODY)
    write_pooling(model, Pooling(prompts={"query": "q: ", "passage": "p: "}), 16)
    data = jsonl("rows.jsonl", [{"query": text[:12], "positive": text[12:24]} for text in TEXTS[:8]])
    task = {"type": "retrieval", "data": str(data)}
    found = evaluate(model, task)
    assert (found["query_prompt"], found["document_prompt"]) == ("q: ", "p: ")
    before = [row["ranks"] for row in samples("retrieval")]
    write_pooling(model, Pooling(), 16)
    found = evaluate(model, {**task, "query_prompt": "q: ", "document_prompt": "p: "})
    assert [row["ranks"] for row in samples("retrieval")] == before
    assert evaluate(model, task)["query_prompt"] == ""


TRIPLETS = [{"query": "a", "positive": "b"}, {"query": "c", "positive": "d"}]
LABELS = [{"text": text, "label": label} for text, label in SAID]
PAIRS = [{"text": "a", "pair": "b", "label": label} for label in ("same", "other")]


@pytest.mark.parametrize(("model", "task", "rows", "code", "says"), [
    ("base", "classification", LABELS, 3,
     ["does not answer label requests: its head is causal_lm", "-s objective=classification` makes one that does"]),
    ("base", "token_classification", [tagged("a b")], 3,
     ["does not answer tags requests", "objective=token_classification"]),
    ("sentiment", "question_answering", ROWS["question_answering"], 3,
     ["its head is sequence_classification, which answers label alone", "objective=question_answering"]),
    ("sentiment", "retrieval", TRIPLETS, 3, ["does not answer embed requests", "objective=embedding"]),
    ("sentiment", "classification", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], 3,
     ["no label of the data is one of the model's: the data have 'x', 'y', and the model has 'bad', 'good', 'fair'",
      "-s 'tasks.0.labels={x: bad, ...}'"]),
    ("sentiment", "classification", [{"text": "a", "label": 0.5}, {"text": "b", "label": 1}], 2,
     ["has numbers as labels, and the model chooses among 3 labels"]),
    ("sentiment", "classification", [{"text": "a", "label": ["bad"]}], 2,
     ["are lists, and the model chooses one for each text"]),
    ("stars", "classification", LABELS, 3, ["has the label 'Good', and the model gives numbers"]),
    ("sentiment", "classification", TRIPLETS, 2, ["row: no kind fits the columns query, positive"]),
    ("sentiment", "classification", [], 3, ["rows.jsonl has no rows"]),
    ("sentiment", "classification", [{"text": "a " * 90, "label": "bad"}], 3,
     ["has no row to ask about: 1 skipped: they are longer than what the model reads", "overlength: truncate"]),
    ("body", "similarity", PAIRS, 2, ["the labels of", "are 'other' and 'same', and it is not clear which of them",
                                      "-s tasks.0.positive=other"]),
    ("body", "similarity", [{"text": "a", "pair": "b", "label": label} for label in "xyz"], 3,
     ["labels of similarity are scores, or two", "has 3, 'x', 'y', 'z'"]),
    ("body", "similarity", [{"text": "a", "pair": "b", "label": ["x"]}], 3,
     ["the labels of", "are lists, and a pair has one score or label"]),
    ("names", "token_classification", [{"words": ["a"], "tags": ["NOUN"]}], 3,
     ["no label of the data is one of the model's: the data have 'NOUN'"]),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(evaluate, chain, heads, jsonl, model, task, rows, code, says):
    where = chain.base if model == "base" else heads[model]
    outcome = evaluate(where, {"type": task, "data": str(jsonl("rows.jsonl", rows))}, code=code)
    for words in says:
        assert words in outcome.err
    assert not Path("eval/results.json").exists()


def test_fields_that_there_are_not(evaluate, heads, jsonl):
    data = str(jsonl("rows.jsonl", LABELS))
    outcome = evaluate(heads["sentiment"], {"type": "classification", "data": data, "lables": {}}, code=2)
    assert "did you mean 'labels'?" in outcome.err
    outcome = evaluate(
        heads["sentiment"], {"type": "classification", "data": data, "columns": {"label": "lable"}}, code=2
    )
    assert "no column 'lable'; did you mean 'label'?" in outcome.err
    given = {"type": "classification", "data": data, "labels": {"Good": "goood"}}
    outcome = evaluate(heads["sentiment"], given, code=2)
    assert "tasks.labels.Good: the model has no label 'goood'; did you mean 'good'?" in outcome.err
    for ranks in ([0], [-1], [1, 1]):
        outcome = evaluate(heads["body"], {"type": "retrieval", "data": data, "recall_at": ranks}, code=2)
        assert "tasks.0.recall_at: each is a rank, from 1, and is there once" in outcome.err


@pytest.mark.parametrize(("spec", "task", "rows"), [
    (SENTIMENT, "classification", [{"text": text[:30], "label": "bgf"[i % 3]} for i, text in enumerate(TEXTS)]),
    (NAMES, "token_classification", [{"words": text.split()[:6], "tags": [0, 1, 2, 3, 0, 1][: len(text.split()[:6])]}
                                     for text in TEXTS]),
    (BODY, "retrieval", [{"src": text[:12], "tgt": text[12:24]} for text in TEXTS]),
])  # fmt: skip
def test_every_score_is_put_to_a_test_beside_a_baseline(evaluate, cli, jsonl, tmp_path, spec, task, rows):
    models = [save_headed(tmp_path / name, spec, num_hidden_layers=layers) for name, layers in (("a", 2), ("b", 1))]
    given = {"type": task, "data": str(jsonl("rows.jsonl", rows))}
    given |= {"labels": {"b": "bad", "g": "good", "f": "fair"}} if task == "classification" else {}
    found = evaluate(models[0], given, "--baseline", models[1])
    said = json.loads(Path("eval/results.json").read_text(encoding="utf-8"))["tasks"][task]
    assert list(said["differences"]) == list(found["scores"])
    for name, difference in said["differences"].items():
        assert difference["n"] > 0, name
        assert difference["p"] is None or 0 <= difference["p"] <= 1
    assert not any("stored as" in note for note in found["notes"])

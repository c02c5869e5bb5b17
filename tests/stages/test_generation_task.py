"""The task `generation` and its kin over rows of all kinds, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.registry import Family
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.transformers import Transformers
from texts_of_texts import save_two_sided

ROWS = [{"q": f"What is {i}?", "a": f"the old clock {i}", "all": [f"clock {i}", "the old"]} for i in range(6)]
PLAIN = {"type": "generation", "prompt": "Q: {{ q }}\nA:", "answer": "a", "chat": "off", "max_new_tokens": 6}


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on one task and return its results and samples."""

    def run(model, task, code=0):
        outcome = cli(
            "eval", "--model", model, "-s", f"tasks={json.dumps([task], default=str)}", "-o", "out", "--force"
        )
        assert outcome.code == code, outcome.err
        if code:
            return outcome
        (found,) = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"].values()
        (file,) = Path("out").glob("samples-*.jsonl")
        samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return found["results"]["model"], samples

    return run


@pytest.fixture(scope="module")
def model(chain):
    return Transformers().load(str(chain.model))


def greedy(model, text, most):
    """By transformers alone."""
    ids = model.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    output = model.model.generate(ids, max_new_tokens=most, do_sample=False, pad_token_id=1)
    return model.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)


def begun(model, text):
    """A text as the tokenizer begins it."""
    first = model.tokenizer("a")["input_ids"][0]
    return model.tokenizer.bos_token + text if first == model.tokenizer.bos_token_id else text


def test_a_table_is_asked_by_a_template_over_its_columns(evaluate, jsonl, chain, model):
    found, samples = evaluate(chain.model, {**PLAIN, "data": jsonl("q.jsonl", ROWS), "limit": 4})
    assert [sample["prompt"] for sample in samples] == [f"Q: What is {i}?\nA:" for i in range(4)]
    assert [sample["reference"] for sample in samples] == [f"the old clock {i}" for i in range(4)]
    for sample in samples:
        assert sample["output"] == greedy(model, begun(model, sample["prompt"]), 6)
        assert sample["prediction"] == sample["output"].strip()
        assert sample["truncated"] == (sample["tokens"] == 6)
        assert "turns" not in sample
    assert found["prompt"] == "plain"
    assert found["metrics"]["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


def test_in_the_chat_template_a_prompt_is_the_turn_of_the_user(evaluate, jsonl, chain, model):
    task = {**PLAIN, "chat": "auto", "data": jsonl("q.jsonl", ROWS), "limit": 2, "description": "Be brief."}
    found, samples = evaluate(chain.model, task)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q: What is 0?\nA:"}]
    assert samples[0]["turns"] == turns
    assert samples[0]["prompt"] == model.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=False
    )
    assert samples[0]["output"] == greedy(model, samples[0]["prompt"], 6)
    assert found["prompt"] == "chat"


def test_samples_carry_their_own_scores_and_give_the_same_measures_back(evaluate, jsonl, chain):
    metrics = ["rouge", "chrf", "exact_match", "stopping", "ter"]
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "metrics": metrics}
    found, samples = evaluate(chain.model, task)
    part = Family("task").parse(task | {"data": str(task["data"])})
    measures = part.measures(samples)  # as they stand in the file
    assert {name: measure.value for name, measure in measures.items()} == found["scores"]
    assert list(found["scores"]) == [
        "rouge1",
        "rouge2",
        "rougeL",
        "chrf",
        "exact_match",
        "ended",
        "repetition",
        "tokens",
        "ter",
    ]
    for name in ("rouge1", "exact_match", "ended", "tokens"):
        assert sum(sample[name] for sample in samples) / 6 == pytest.approx(found["scores"][name])
    assert found["estimates"]["rouge1"]["n"] == 6


def test_several_references_of_a_column(evaluate, jsonl, chain):
    found, samples = evaluate(chain.model, {**PLAIN, "answer": "all", "data": jsonl("q.jsonl", ROWS), "limit": 2})
    assert samples[1]["reference"] == ["clock 1", "the old"]
    assert found["metrics"]["chrf"].startswith("nrefs:2|")
    nested = [{"q": "a", "answers": {"text": ["x", "y"]}}, {"q": "b", "answers": {"text": []}}]
    found, samples = evaluate(chain.model, {**PLAIN, "answer": "answers.text", "data": jsonl("n.jsonl", nested)})
    assert [sample["reference"] for sample in samples] == [["x", "y"]]
    assert found["notes"] == ["1 skipped: they do not end with an answer"]


def test_solved_examples_stand_before_the_question(evaluate, jsonl, chain):
    rows = [{"q": f"{i}?", "a": f"{i}!"} for i in range(4)]
    task = {**PLAIN, "prompt": "{{ q }}", "data": jsonl("q.jsonl", rows[:2]), "num_shots": 1, "max_new_tokens": 2}
    pool = str(jsonl("pool.jsonl", rows[2:]))
    _, samples = evaluate(chain.model, {**task, "shots_data": pool, "description": "D. "})
    assert samples[0]["prompt"] == "D. 2? 2!\n\n0?"
    _, samples = evaluate(chain.model, task)
    assert [sample["prompt"] for sample in samples] == ["1? 1!\n\n0?", "0? 0!\n\n1?"]  # none is its own example
    _, samples = evaluate(chain.model, {**task, "chat": "on"})
    roles = [(turn["role"], turn["content"]) for turn in samples[0]["turns"]]
    assert roles == [("user", "1?"), ("assistant", "1!"), ("user", "0?")]
    _, samples = evaluate(chain.model, {**task, "chat": "on", "multiturn": False})
    assert samples[0]["turns"] == [{"role": "user", "content": "1? 1!\n\n0?"}]
    outcome = evaluate(chain.model, {**task, "num_shots": 2}, code=2)
    assert "tasks.num_shots: 2 examples are asked for, and the data have 1 beside the question itself" in outcome.err


def test_stop_texts_end_an_answer(evaluate, jsonl, chain):
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "max_new_tokens": 20}
    _, before = evaluate(chain.model, task)
    text = next(sample["output"] for sample in before if len(sample["output"]) > 6)
    _, after = evaluate(chain.model, {**task, "stop": [text[2:4]]})
    for one, other in zip(before, after, strict=True):
        assert other["output"] == one["output"].partition(text[2:4])[0]
        assert not other["truncated"] or one["truncated"]
    assert any(one["output"] != other["output"] for one, other in zip(before, after, strict=True))


def test_what_is_compared_is_extracted(evaluate, jsonl, chain):
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "metrics": ["exact_match"]}
    _, plain = evaluate(chain.model, task)
    found, samples = evaluate(chain.model, {**task, "extract": "x(y)|(\\w)", "extract_match": "last"})
    letters = [[char for char in sample["output"].strip() if char.isalnum()] for sample in plain]
    assert [sample["prediction"] for sample in samples] == [found[-1] if found else "" for found in letters]
    found, samples = evaluate(chain.model, {**task, "extract": "#### (.+)"})
    assert [sample["prediction"] for sample in samples] == [""] * 6
    assert (found["unmatched"], found["empty"]) == (6, 6)


def test_rows_that_a_metric_cannot_score_are_counted(evaluate, jsonl, chain):
    rows = [{"q": "2 + 2?", "a": "4"}, {"q": "2 + 3?", "a": "five"}]
    task = {**PLAIN, "data": jsonl("q.jsonl", rows), "metrics": ["numeric"]}
    found, samples = evaluate(chain.model, task)
    assert found["notes"] == ["1 skipped: they have a reference without a number"]
    assert len(samples) == 1
    jsonl("q.jsonl", [{"q": None, "a": "4"}, *rows])
    found, samples = evaluate(chain.model, task)
    assert "1 unreadable rows; the first: row 1: its question is null" in found["notes"]
    assert len(samples) == 1


def test_without_references_for_metrics_that_need_none(evaluate, jsonl, chain):
    metrics = ["stopping", {"type": "json_schema", "rules": {"type": "object"}}]
    task = {key: value for key, value in PLAIN.items() if key != "answer"} | {"metrics": metrics}
    found, samples = evaluate(chain.model, {**task, "data": jsonl("q.jsonl", ROWS)})
    assert "reference" not in samples[0]
    assert found["scores"]["json_schema"] == 0
    assert {"ended", "repetition", "tokens", "json"} < found["scores"].keys()


PAIRS = [{"en": f"good morning {i}", "zh": f"早上好{i}"} for i in range(4)]


def test_translation_of_sources_and_targets(evaluate, jsonl, chain):
    task = {"type": "translation", "data": jsonl("t.jsonl", PAIRS), "max_new_tokens": 4, "chat": "off"}
    found, samples = evaluate(chain.model, task)
    assert samples[0]["prompt"] == "good morning 0\n\n"
    assert samples[0]["reference"] == "早上好0"
    assert list(found["scores"]) == ["chrf", "bleu", "ter"]
    assert "|tok:zh|" in found["metrics"]["bleu"]
    assert "|asian:yes|" in found["metrics"]["ter"]
    assert found["estimates"]["ter"]["higher_is_better"] is False
    told = Family("task").parse({**task, "data": "t.jsonl", "into": "Chinese"}).layout().source
    assert told == "Translate the following text into Chinese. Answer with the translation alone.\n\n{source}"


def test_summarization(evaluate, jsonl, chain):
    rows = [{"article": "A long story.", "summary": "short"}]
    task = {
        "type": "summarization",
        "data": jsonl("s.jsonl", rows),
        "max_new_tokens": 4,
        "instruction": "Sum: {source}",
    }
    found, samples = evaluate(chain.model, task)
    assert samples[0]["turns"] == [{"role": "user", "content": "Sum: A long story."}]
    assert list(found["scores"]) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def test_an_encoder_decoder_is_asked_as_it_was_trained_to_be(evaluate, cli, jsonl, tmp_path):
    rows = [{"source": word, "target": [word.upper(), word]} for word in ("ade", "bdf", "cgh", "aeh")]
    data = jsonl("rows.jsonl", rows)
    objective = json.dumps({"type": "sequence_to_sequence", "prefix": "up: ", "max_target_length": 12})
    done = cli("finetune", "--data", data, "--model", save_two_sided(tmp_path / "base"), "-s", f"objective={objective}",
               "-s", "batch_rows=4", "-s", "precision=float32", "--max-steps", 2, "-o", "trained")  # fmt: skip
    assert done.code == 0, done.err
    _, samples = evaluate("trained", {"type": "translation", "data": data, "into": "Upper", "max_new_tokens": 5})
    assert [sample["prompt"] for sample in samples] == ["up: ade", "up: bdf", "up: cgh", "up: aeh"]
    assert samples[0]["reference"] == ["ADE", "ade"]
    model = Transformers().load("trained")
    for sample in samples:
        ids = model.tokenizer(sample["prompt"], return_tensors="pt", return_token_type_ids=False)
        text = model.tokenizer.decode(model.model.generate(**ids, max_new_tokens=5)[0], skip_special_tokens=True)
        assert text == sample["output"]


@pytest.mark.parametrize(("change", "code", "words"), [
    ({"prompt": "{{ question }}"}, 2, "no column 'question'"),
    ({"answer": "answr"}, 2, "answer: no column 'answr'; "),
    ({"prompt": "{{ q"}, 2, "tasks.0.prompt: not a template"),
    ({"answer": None}, 2, "answer: required, for rouge"),
    ({"prompt": None}, 2, "answer: it goes with a prompt"),
    ({"extract": "("}, 2, "tasks.0.extract: '(' is no regular expression"),
    ({"stop": [""]}, 2, "an empty text would end every answer at once"),
    ({"metrics": ["squad", "exact_match"]}, 2, "two metrics give the score 'exact_match'; use two tasks"),
    ({"metrics": ["exakt_match"]}, 2, "unknown metric 'exakt_match'"),
    ({"metrics": [{"type": "bleu", "tokenize": "flores200"}]}, 2, "'flores200' downloads a model"),
    ({"metrics": [{"type": "json_schema", "rules": {"type": "objct"}}]}, 2, "this is no JSON schema"),
    ({"num_shot": 1}, 2, "num_shot"),
    ({"prompt": "{{ q * 30 }}"}, 3, "has no question to ask: 6 skipped: they do not fit into the 64 positions"),
])  # fmt: skip
def test_bad_input(evaluate, jsonl, chain, change, code, words):
    outcome = evaluate(chain.model, {**PLAIN, "data": jsonl("q.jsonl", ROWS), **change}, code=code)
    assert words in outcome.err
    assert not list(Path().glob("out/results.json"))


def test_metrics_that_clash_are_found_before_anything_is_asked(evaluate, jsonl, chain, monkeypatch):
    monkeypatch.setattr(InMemory, "answer", lambda *_: pytest.fail("it was asked"))
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "metrics": ["squad", "exact_match"]}
    assert "two metrics give the score 'exact_match'" in evaluate(chain.model, task, code=2).err


def test_an_empty_file_and_rows_of_no_kind(evaluate, jsonl, chain):
    Path("empty.jsonl").write_text("", encoding="utf-8")
    outcome = evaluate(chain.model, {**PLAIN, "data": "empty.jsonl"}, code=3)
    assert "empty.jsonl has no rows that can be read" in outcome.err
    task = {"type": "generation", "data": jsonl("x.jsonl", [{"x": "1", "y": "2"}]), "max_new_tokens": 2}
    outcome = evaluate(chain.model, task, code=2)
    assert "write a prompt and an answer over the columns" in outcome.err


def test_a_model_without_a_chat_template_can_be_asked_in_the_default_one(evaluate, jsonl, chain):
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "limit": 1, "max_new_tokens": 2}
    found, samples = evaluate(chain.base, {**task, "chat": "on"})
    assert (found["prompt"], samples[0]["turns"]) == ("chat", [{"role": "user", "content": "Q: What is 0?\nA:"}])
    assert "<|im_start|>user\nQ: What is 0?\nA:<|im_end|>" in samples[0]["prompt"]
    found, samples = evaluate(chain.base, {**task, "chat": "auto"})
    assert (found["prompt"], samples[0]["prompt"]) == ("plain", "Q: What is 0?\nA:")


def test_the_description_is_a_template_too(evaluate, jsonl, chain):
    task = {**PLAIN, "data": jsonl("q.jsonl", ROWS), "limit": 2, "description": "On {{ a }}. "}
    _, samples = evaluate(chain.model, task)
    assert samples[1]["prompt"] == "On the old clock 1. Q: What is 1?\nA:"

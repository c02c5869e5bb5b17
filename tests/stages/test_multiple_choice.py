"""Multiple choice, through the command line: worked out by hand and by the definition, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from llmkit.data.rendering import CHAT_TEMPLATE
from llmkit.runtimes.transformers import Transformers

ANIMALS = ("fox", "river", "clock", "tree", "bird", "stone")
ITEMS = [
    {"question": f"Where is {animal} {i}?", "choices": ["in it", f"by the {animal}", "no", "up there"], "answer": i % 4}
    for i, animal in enumerate(ANIMALS * 3)
]


@pytest.fixture
def measure(cli, chain, jsonl):
    """Evaluate the base model on rows, and return the result and the samples."""

    def run(rows, *arguments, model=chain.base, code=0, **fields):
        task = {"type": "multiple_choice", "data": str(jsonl("items.jsonl", rows)), **fields}
        given = ["--model", model, "-s", f"tasks=[{json.dumps(task)}]", "-o", "out", "--force", *arguments]
        outcome = cli("eval", *given)
        assert outcome.code == code, outcome.err
        if code:
            return outcome.err
        found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["multiple_choice"]
        lines = Path("out/samples-multiple_choice.jsonl").read_text(encoding="utf-8").splitlines()
        return {**found["results"]["model"], "err": outcome.err}, [json.loads(line) for line in lines]

    return run


@pytest.fixture
def flat(chain, tmp_path):
    """The base model with every weight zero: each of its 400 tokens is equally likely."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "flat"
    shutil.copytree(chain.base, folder, ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def log_likelihood(running, context, target):
    """By the definition: a pass for each token, by the model in float64."""
    model, total = running.model.double(), 0.0
    for number, token in enumerate(target):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*context, *target[:number]]]), use_cache=False).logits[0, -1]
        total += float(logits.log_softmax(-1)[token])
    return total


def test_every_number_is_that_of_the_definition(measure, chain):
    result, samples = measure(ITEMS, mutual_info=True)
    running = Transformers().load(str(chain.base))
    encode = running.tokenizer.backend_tokenizer.encode
    for item, sample in zip(ITEMS, samples, strict=True):
        prompt = f"Question: {item['question']}\nAnswer:"
        context = encode(prompt, add_special_tokens=False).ids
        said, alone = [], []
        for choice in item["choices"]:
            whole = encode(f"{prompt} {choice}", add_special_tokens=False).ids
            said.append(log_likelihood(running, context, whole[len(context) :]))
            unasked = encode(f" {choice}", add_special_tokens=False).ids
            alone.append(log_likelihood(running, [running.facts.start], unasked))
        assert sample["prompt"] == prompt
        assert sample["log_likelihoods"] == pytest.approx(said, rel=1e-5)
        gold = item["answer"]
        sizes = [len(choice) for choice in item["choices"]]
        best = {
            "acc": said,
            "acc_norm": [value / size for value, size in zip(said, sizes, strict=True)],
            "acc_bytes": [value / size for value, size in zip(said, sizes, strict=True)],  # all are ASCII
            "acc_mutual_info": [value - own for value, own in zip(said, alone, strict=True)],
        }
        for name, values in best.items():
            assert sample[name] == float(values.index(max(values)) == gold), name
        chances = [math.exp(value) for value in said]
        chances = [chance / sum(chances) for chance in chances]
        assert sample["confidence"] == pytest.approx(max(chances), rel=1e-4)
        expected = sum((chance - (number == gold)) ** 2 for number, chance in enumerate(chances))
        assert sample["brier"] == pytest.approx(expected, rel=1e-4)
    scores = result["scores"]
    assert list(scores) == ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "brier", "ece"]
    for name in ("acc", "acc_norm", "acc_mutual_info", "brier"):
        assert scores[name] == pytest.approx(sum(sample[name] for sample in samples) / len(samples))
    assert (result["chance"], result["prompt"], result["num_shots"], result["skipped"]) == (0.25, "plain", 0, 0)
    assert result["estimates"]["acc"]["n"] == len(ITEMS)


def test_the_flat_model_takes_the_shortest_and_of_equals_the_first(measure, flat):
    rows = [{"question": "Q", "choices": ["three words here", "o", "i"], "answer": number} for number in (0, 1, 1, 2)]
    result, samples = measure(rows, model=flat)
    assert [sample["prediction"] for sample in samples] == [1] * 4
    assert result["scores"]["acc"] == 0.5
    assert "4 ties: the first of equally likely choices is taken" in result["notes"]


def test_bytes_and_characters_are_told_apart(measure, flat):
    rows = [{"question": "Q", "choices": ["中文", "abcdefghij"], "answer": number} for number in (0, 1)]
    _, samples = measure(rows, model=flat)
    for sample in samples:
        values = sample["log_likelihoods"]
        norm, size = values[0] / 2 >= values[1] / 10, values[0] / 6 >= values[1] / 10
        assert sample["acc_norm"] == (norm == (sample["reference"] == 0))
        assert sample["acc_bytes"] == (size == (sample["reference"] == 0))


def test_the_first_prompt_is_shown_with_what_is_scored(measure):
    result, samples = measure(ITEMS[:8], num_shots=2, prompt="question", description="Go\n")
    shots = "".join(f"{one['question']} {one['choices'][one['answer']]}\n\n" for one in ITEMS[1:3])
    assert samples[0]["prompt"] == f"Go\n{shots}{ITEMS[0]['question']}"
    assert samples[7]["prompt"].count("?") == 3
    assert (
        f"multiple_choice of the model, the first prompt:\n{samples[0]['prompt']}\n[scored: 'in it' | " in result["err"]
    )


def test_examples_of_their_own_data_and_drawn_ones(measure, jsonl):
    other = [{"question": f"Other {i}", "choices": ["x", "y"], "answer": 0} for i in range(9)]
    data = str(jsonl("shots.jsonl", other))
    given = {"prompt": "{{ question }} A:", "shots_data": data}
    _, samples = measure(ITEMS[:4], num_shots=2, **given)
    assert all(sample["prompt"].startswith("Other 0 A: x\n\nOther 1 A: x\n\nWhere") for sample in samples)
    _, drawn = measure(ITEMS[:4], num_shots=2, shots="drawn", **given)
    assert len({sample["prompt"].split("A:")[0] for sample in drawn}) > 1
    error = measure(ITEMS[:4], num_shots=10, code=2, **given)
    assert "tasks.num_shots: 10 examples are asked for, and the data have 9" in error
    jsonl("shots.jsonl", [{"stem": "a"}])
    error = measure(ITEMS[:4], num_shots=1, code=3, **given)
    assert "shots.jsonl has no question as those of the data are; its columns are stem" in error
    jsonl("shots.jsonl", [])
    error = measure(ITEMS[:4], num_shots=1, code=3, **given)
    assert "error: tasks.shots_data: " in error
    assert "shots.jsonl has no rows that can be read" in error


def test_chat_asks_in_the_template_as_turns_or_as_one(measure, chain):
    template = json.loads((chain.model / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    assert template in (None, CHAT_TEMPLATE)  # the tuned model has it, in this or in a file of its own
    given = {"prompt": "question", "overlength": "cut"}  # the prompt is shown whole
    result, samples = measure(ITEMS[:6], model=chain.model, num_shots=1, description="Go.", **given)
    first, other = ITEMS[0], ITEMS[1]
    ask = [other["question"], first["question"]]
    assert result["prompt"] == "chat"
    turns = [("system", "Go."), ("user", ask[0]), ("assistant", other["choices"][other["answer"]]), ("user", ask[1])]
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    assert samples[0]["prompt"].endswith(text + "<|im_start|>assistant\n")
    _, one = measure(ITEMS[:6], model=chain.model, num_shots=1, multiturn=False, **given)
    joined = f"{ask[0]} {other['choices'][other['answer']]}\n\n{ask[1]}"
    assert f"<|im_start|>user\n{joined}<|im_end|>\n<|im_start|>assistant\n" in one[0]["prompt"]
    result, plain = measure(ITEMS[:6], "--chat", "off", model=chain.model, prompt="question")
    assert (result["prompt"], plain[0]["prompt"]) == ("plain", ask[1])


def test_a_key_that_stands_still_is_shuffled_where_the_prompt_lists_the_choices(measure):
    still = [{**item, "answer": 0, "choices": [f"right {i}", "b", "c", "d"]} for i, item in enumerate(ITEMS)]
    result, samples = measure(still)
    words = "the right answer stands at place 1 in 100% of the rows (p = 1e-11)"
    assert f"{words}; the prompt does not list the choices, so that their order plays no part" in result["notes"]
    assert not result["shuffled"]
    result, samples = measure(still, letters=True)
    assert f"{words}: the choices of each row are shuffled, seeded by what is in the row" in result["notes"]
    assert len({sample["reference"] for sample in samples}) == 4
    for number, sample in enumerate(samples):
        assert sample["choices"][sample["reference"]] == f"right {number}"
        assert f"{'ABCD'[sample['reference']]}. right {number}\n" in sample["prompt"]
        assert [still[number]["choices"][place] for place in sample["order"]] == sample["choices"]
    _, same = measure(still[::-1], letters=True)
    assert {one["prompt"]: one["reference"] for one in same} == {one["prompt"]: one["reference"] for one in samples}
    result, _ = measure(still, letters=True, shuffle="off")
    assert f"{words}, and the prompt lists the choices: a model may answer by the place alone" in result["notes"]
    assert not any("place" in note for note in measure(ITEMS, letters=True)[0]["notes"])  # even: nothing is said
    error = measure(still, choices="{{ choices | tojson }}", shuffle="on", code=2)
    assert (
        "tasks.shuffle: cannot be shuffled, since templates make them: letters: true lists and shuffles them" in error
    )


def test_cloze_scores_the_same_text_behind_each_choice(measure):
    rows = [
        {"sentence": f"The {a} saw the {b} and _ ran away.", "option1": a, "option2": b, "answer": str(1 + i % 2)}
        for i, (a, b) in enumerate(pairwise(ANIMALS))
    ]
    result, samples = measure(rows)
    assert list(result["scores"]) == ["acc", "brier", "ece"]
    assert samples[0]["prompt"] == "The fox saw the river and fox"
    assert [sample["reference"] for sample in samples] == [0, 1, 0, 1, 0]


def test_rows_that_cannot_be_asked_are_counted_and_named(measure):
    rows = [
        *ITEMS[:4],
        {"question": "q", "choices": ["a", ""], "answer": 0},
        {"question": "q", "choices": ["a", "b"], "answer": 7},
        {"question": "q", "choices": ["a", "b"], "answer": "Z"},
        {"question": "word " * 80, "choices": ["a", "b"], "answer": 0},
        {"question": None, "choices": ["a", "b"], "answer": 0},
    ]
    result, samples = measure(rows)
    assert (result["num_samples"], result["skipped"]) == (4, 5)
    assert "1 skipped: they have no question; the first: row 9" in result["notes"]
    assert "2 skipped: they have an answer that is none of the choices; the first: row 6" in result["notes"]
    assert "1 skipped: they have an empty choice; the first: row 5" in result["notes"]
    assert "1 skipped: they do not fit into the 64 positions of the model; the first: row 8" in result["notes"]
    result, samples = measure(rows, overlength="cut")
    assert (result["num_samples"], result["truncated"]) == (5, 1)
    assert [sample["truncated"] for sample in samples] == [False] * 4 + [True]
    assert "1 are cut at the beginning: they do not fit into the model" in result["notes"]


def test_passages_are_what_intervals_count(measure):
    rows = [{**item, "passage": f"p{i // 3}"} for i, item in enumerate(ITEMS)]
    result, _ = measure(rows, cluster="passage")
    assert result["estimates"]["acc"]["clusters"] == 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": "{{ questoin }}"}, "tasks.prompt: no column 'questoin'; did you mean 'question'?; the columns are"),
        ({"prompt": "{% for"}, "tasks.0.prompt: not a template: unexpected 'end of template' (line 1) (--set)"),
        ({"answer": "{{ answer + 1 }}"}, "tasks.answer: no answer is 0, and some are as large as the number of choi"),
        ({"choices": "options"}, "tasks.choices: no column 'options'; the columns are question, choices, answer"),
        ({"num_shots": 99}, "tasks.num_shots: 99 examples are asked for, and the data have 17 beside the question"),
        ({"promt": "x"}, "tasks.0.promt: unknown field; did you mean 'prompt'? (--set)"),
        ({"shots": "last"}, "tasks.0.shots: should be 'first' or 'drawn', not 'last' (--set)"),
        ({"description": "{{ subject }}"}, "tasks.description: no column 'subject'"),
    ],
)
def test_what_cannot_be_done_is_refused(measure, fields, message):
    assert message in measure(ITEMS, code=2, **fields)


def test_data_without_a_question_are_refused(measure, chain, cli, tmp_path):
    error = measure([{"question": "q", "choices": ["a"], "answer": 0}], code=3)
    assert "has no question to ask: 1 skipped: they have fewer than two choices; the first: row 1" in error
    assert "items.jsonl has no rows" in measure([], code=3)
    error = measure([{"stem": "q", "a": "x"}], code=2)
    assert "are of no known layout: stem, a" in error
    assert "choices: COLUMN, answer: COLUMN" in error


def test_a_model_that_gives_no_numbers_or_has_another_head_is_refused(measure, changed, tmp_path):
    from headed import SENTIMENT, save_headed

    def spoil(weights):
        weights["model.norm.weight"][:] = float("inf")

    error = measure(ITEMS, model=changed(spoil), code=3)
    assert "NaN or infinity" in error
    error = measure(ITEMS, model=save_headed(tmp_path / "encoder", SENTIMENT), code=3)
    assert "does not answer score requests: it is not a causal language model" in error


def test_the_report_draws_certainty_and_places(measure):
    measure(ITEMS, letters=True)
    from llmkit.tasks.multiple_choice import MultipleChoice

    samples = [json.loads(line) for line in Path("out/samples-multiple_choice.jsonl").read_text().splitlines()]
    task = MultipleChoice(data="items.jsonl", letters=True)
    reliability, places = task.figures(samples)
    assert (reliability.title, places.title) == ("Reliability", "Accuracy by the place of the answer")
    assert list(places.values) == ["1", "2", "3", "4"]
    hits = [sample["acc"] for sample in samples if sample["reference"] == 1]
    assert places.values["2"][0] == sum(hits) / len(hits)
    assert [figure.title for figure in MultipleChoice(data="items.jsonl").figures(samples)] == ["Reliability"]

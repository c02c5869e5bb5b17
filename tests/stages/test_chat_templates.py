"""Chat templates of other models through the command line: what is mended, what is said, and what eval judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

ASKS_NOTHING = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{{ '<think>\n\n</think>\n\n' if loop.last and m.role == 'assistant' }}{{ m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def base_with(chain, tmp_path):
    """Copy the chain's base and give it a chat template."""

    def make(template):
        shutil.copytree(chain.base, tmp_path / "base", ignore=shutil.ignore_patterns("checkpoints"))
        (tmp_path / "base/chat_template.jinja").write_text(template)
        (tmp_path / "base/llmkit.json").unlink()  # it is no artifact any more
        return "base"

    return make


@pytest.fixture
def talks(cli, jsonl):
    """Make an examples artifact: conversations of one or two answers, always the same."""

    def make(answers, count=12):
        turns = [
            {"role": role, "content": content}
            for answer in answers
            for role, content in (("user", "What?"), ("assistant", answer))
        ]
        path = jsonl("talks.jsonl", [{"messages": turns}] * count)
        source = f"inputs=[{{type: files, path: {path}, messages_field: messages}}]"
        assert cli("clean", "-s", source, "-s", "steps=[]", "-o", "talks", "-q").code == 0
        return "talks"

    return make


def finetune(cli, base, data, steps, *more):
    options = ["-s", "context_length=64", "-s", "batch_tokens=128", "-s", "precision=float32"]
    return cli(
        "finetune", "--data", data, "--model", base, "--max-steps", steps, *options, "-s", "validation_fraction=0",
        "-o", "tuned", "--json", *more,
    )  # fmt: skip


def test_a_template_that_asks_for_nothing_is_mended_and_saved(cli, base_with, talks):
    outcome = finetune(cli, base_with(ASKS_NOTHING), talks(["So it is."]), 1)
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.err.split())
    assert 'the chat template asks for no answer: prompts now end with "<|im_start|>assistant\\n"' in told
    saved = Path("tuned/chat_template.jinja").read_text()
    assert saved == ASKS_NOTHING + '{% if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}'


def test_answers_that_inference_would_show_otherwise_are_examples_of_their_own(cli, base_with, talks):
    outcome = finetune(cli, base_with(THINKS), talks(["A", "B"]), 1)
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert (metrics["rows"], metrics["examples"]) == (12, 24)
    assert "12 rows become 24 examples: the chat template writes earlier turns otherwise once more follows" in " ".join(
        outcome.err.split()
    )


def test_what_the_template_writes_before_an_answer_is_learned_and_judged_apart(cli, base_with, talks):
    data = talks(["So it is."])
    steps = ["-s", "optimizer.lr=0.01", "-s", "schedule.type=constant", "-s", "schedule.warmup_steps=0"]
    outcome = finetune(cli, base_with(THINKS), data, 120, *steps)
    assert outcome.code == 0, outcome.err
    tasks = f"tasks=[{{type: generation, data: {data}, limit: 1, max_new_tokens: 40}}, {{type: answers, data: {data}}}]"
    outcome = cli("eval", "--model", "tuned", "-s", tasks, "-o", "scores", "--json")
    assert outcome.code == 0, outcome.err
    (sample,) = [json.loads(line) for line in Path("scores/samples-generation.jsonl").read_text().splitlines()]
    assert (sample["prediction"], sample["reference"]) == ("So it is.", "So it is.")
    found = json.loads(Path("scores/results.json").read_text())["tasks"]["answers"]["results"]["model"]
    # Asked without the thought that always comes first, the model would say it, and not the answer.
    assert found["scores"]["bits_per_byte"] < 0.1
    (scored, *_) = [json.loads(line) for line in Path("scores/samples-answers.jsonl").read_text().splitlines()]
    assert scored["bytes"] == len("So it is.")


def test_rows_that_the_template_refuses_are_skipped_and_counted(cli, base_with, jsonl):
    rows = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": "So."}] for question in ("Why?", "No")
    ]
    path = jsonl("talks.jsonl", [{"messages": row} for row in rows])
    source = f"inputs=[{{type: files, path: {path}, messages_field: messages}}]"
    assert cli("clean", "-s", source, "-s", "steps=[]", "-o", "talks", "-q").code == 0
    refuses = (
        "{% for m in messages %}{% if m.content == 'No' %}{{ raise_exception('not that') }}{% endif %}{% endfor %}"
    )
    base = base_with(refuses + ASKS_NOTHING)
    tasks = "tasks=[{type: generation, data: talks, max_new_tokens: 4}, {type: answers, data: talks}]"
    outcome = cli("eval", "--model", base, "-s", tasks, "-o", "scores", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(Path("scores/results.json").read_text())["tasks"]
    for task in ("generation", "answers"):
        result = found[task]["results"]["model"]
        assert (result["num_samples"], result["skipped"]) == (1, 1)
    (Path("base") / "chat_template.jinja").write_text("{{ raise_exception('not that') }}")
    outcome = cli("eval", "--model", base, "-s", tasks, "-o", "none", "--json")
    assert outcome.code == 3
    assert "refuses a conversation of user" in outcome.json["message"]

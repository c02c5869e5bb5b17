"""Conversations with tools, calls, reasoning and weights through the stages: kept, learned, and judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import gguf_files
from completions_server import Served, serving
from llmkit.runtimes.transformers import Transformers

CALLS = (
    "{{ tools | tojson if tools }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{{ m.reasoning_content if m.reasoning_content }}{{ m.content if m.content is defined }}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name + (call.function.arguments | tojson) }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
ASKED = [{"role": "user", "content": "so?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
TOLD = [*ASKED, {"role": "tool", "tool_call_id": "c", "content": "1"}, {"role": "assistant", "content": "one"}]
ROWS = [{"messages": TOLD, "tools": [TOOL]}, {"messages": ASKED, "tools": [TOOL]}]


@pytest.fixture
def model(chain, tmp_path):
    """Copy the chain's base, with a template that writes calls."""
    shutil.copytree(chain.base, tmp_path / "base", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "base/chat_template.jinja").write_text(CALLS)
    (tmp_path / "base/llmkit.json").unlink()
    config = json.loads((tmp_path / "base/config.json").read_text())
    (tmp_path / "base/config.json").write_text(json.dumps({**config, "max_position_embeddings": 256}))
    return "base"


def finetune(cli, model, data, *more):
    return cli("finetune", "--model", model, "--data", data, "--max-steps", 1, "-s", "validation_fraction=0",
               "-s", "precision=float32", "-s", "context_length=128",
               "-s", "batch_tokens=256", "-o", "out", "--json", *more)  # fmt: skip


def test_an_artifact_of_calls_is_trained_on_and_judged(cli, model, jsonl):
    jsonl("rows.jsonl", [*ROWS, ROWS[0]])
    made = cli("clean", "--row", "auto", "-i", "rows.jsonl", "-s", "steps=[normalize, exact_duplicates]", "-o", "rows")
    assert made.code == 0, made.err
    assert "inputs.0: rows are messages (messages, tools; with tool_calls, tool_call_id)" in " ".join(made.err.split())
    kept = pq.read_table("rows/data-00000.parquet").to_pylist()
    assert [row["text"] for row in kept] == ['so?\nf({"a": 1})\n1\none', 'so?\nf({"a": 1})']
    assert [json.loads(row["tools"]) for row in kept] == [[TOOL]] * 2
    assert cli("clean", "-i", "rows", "-s", "steps=[]", "-o", "again").code == 0
    again = pq.read_table("again/data-00000.parquet").to_pylist()
    assert [(row["messages"], row["tools"]) for row in again] == [(row["messages"], row["tools"]) for row in kept]

    trained = finetune(cli, model, "rows")
    assert trained.code == 0, trained.err
    assert trained.json["metrics"]["rows"] == 2
    tasks = "tasks=[{type: generation, data: rows, max_new_tokens: 4}, {type: answers, data: rows}]"
    judged = cli("eval", "--model", "out", "-s", tasks, "-o", "scores", "--json")
    assert judged.code == 0, judged.err
    found = json.loads(Path("scores/results.json").read_text())["tasks"]
    for task in ("generation", "answers"):
        result = found[task]["results"]["model"]
        assert (result["num_samples"], result["skipped"]) == (1, 1)
        assert "1 skipped: they do not end with an answer" in result["notes"]
    (sample,) = map(json.loads, Path("scores/samples-generation.jsonl").read_text().splitlines())
    assert (sample["reference"], sample["turns"][0]["tools"]) == ("one", [TOOL])
    (scored,) = map(json.loads, Path("scores/samples-answers.jsonl").read_text().splitlines())
    assert scored["bytes"] == len("one")


def test_old_and_new_conversations_are_trained_on_together(cli, chain, model, jsonl):
    jsonl("rows.jsonl", [*ROWS, {"messages": [ASKED[0], {"role": "assistant", "content": "no", "weight": 0}]}])
    trained = finetune(cli, model, chain.pairs, "--data", "rows.jsonl")
    assert trained.code == 0, trained.err
    told = " ".join(trained.err.split())
    assert "1 rows were left out: no answer that is to be learned: all are empty or have the weight 0" in told


def test_what_the_template_drops_is_said(cli, chain, jsonl):
    words = {"messages": [ASKED[0], {"role": "assistant", "content": "no", "reasoning": "hm"}], "tools": [TOOL]}
    jsonl("rows.jsonl", [*ROWS, words, {"messages": [*TOLD[:1], {"role": "assistant", "content": ""}, *TOLD[:1],
                                                     TOLD[3]]}])  # fmt: skip
    trained = finetune(cli, chain.base, "rows.jsonl", "-s", "context_length=64")
    assert trained.code == 0, trained.err
    told = " ".join(trained.err.split())
    assert "2 rows were left out: the chat template refuses a conversation of user, assistant, tool, assistant:" in told
    assert "it writes no calls of tools" in told
    assert "1 rows have tools, of which the chat template writes nothing" in told
    assert "1 answers are learned without their reasoning: the chat template does not write it" in told
    assert "1 answers are empty: they are read but not learned" in told


def test_rows_that_are_wrong_are_named_with_their_line(cli, model, jsonl):
    bad = [
        {"messages": [ASKED[0], {"role": "asistant", "content": "x"}]},
        {"messages": [ASKED[0], {"role": "assistant", "content": ""}]},
        {"messages": [ASKED[0], {"role": "assistant", "content": None}]},
        {"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, ASKED[0], TOLD[3]]},
        {"messages": [ASKED[0], {**TOLD[3], "weight": 2}]},
    ]
    jsonl("rows.jsonl", [*ROWS * 4, *bad])
    trained = finetune(cli, model, "rows.jsonl")
    assert trained.code == 0, trained.err
    told = " ".join(trained.err.split())
    for line, words in enumerate([
        "messages.1.role is 'asistant'; did you mean 'assistant'?",
        "field 'messages' has no message of the assistant that is not empty",
        "messages.1.content is null, not a string",
        "field 'messages' has two system messages; templates take one, at the beginning",
        "messages.1.weight is 2; valid: 0 (read, but not learned), 1",
    ], start=9):  # fmt: skip
        assert f"rows.jsonl:{line}: {words}" in told
    assert finetune(cli, model, "rows.jsonl", "--strict", "-o", "strict").code == 3


def test_calls_that_the_first_rows_have_not_are_said_where_an_artifact_is_made(cli, jsonl):
    plain = {"messages": [ASKED[0], TOLD[3]]}
    jsonl("rows.jsonl", [*[plain] * 150, ROWS[0]])
    made = cli("clean", "--row", "auto", "-i", "rows.jsonl", "-s", "steps=[]", "-o", "rows")
    assert made.code == 0, made.err
    told = " ".join(made.err.split())
    assert (
        "rows.jsonl:151: it has tool_call_id, tool_calls, tools, and the first rows have not: row: {type: mess" in told
    )
    source = "inputs=[{type: files, path: rows.jsonl, row: {type: messages, holds: all}}]"
    assert cli("clean", "-s", source, "-s", "steps=[]", "-o", "all", "--json").json["metrics"]["documents_kept"] == 151
    shown = cli("finetune", "--model", "none", "--data", "rows.jsonl", "--max-steps", 1, "--dry-run")
    assert shown.code == 0


def test_a_server_is_sent_tools_and_calls_as_json(cli, tmp_path, jsonl):
    directory = gguf_files.directory(tmp_path / "model")
    jsonl("rows.jsonl", ROWS[:1])
    assert cli("clean", "--row", "auto", "-i", "rows.jsonl", "-s", "steps=[]", "-o", "rows").code == 0
    with serving(Served(Transformers().load(str(directory)))) as served:
        served.chat = lambda _: {"choices": [{"message": {"content": "one"}, "finish_reason": "stop"}]}
        task = "tasks=[{type: generation, data: rows, max_new_tokens: 4}]"
        done = cli("eval", "--model", served.url, "-s", task, "-o", "scores")
        assert done.code == 0, done.err
        body = served.seen[-1][2]
    assert body["tools"] == [TOOL]
    assert body["messages"] == [ASKED[0], {**ASKED[1], "content": ""}, TOLD[2]]

"""generate through the command line: prompts of every kind in, rows for finetune out, also behind a kill."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from test_interrupt import strike

from completions_server import Served, serving
from headed import SENTIMENT, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.data.templates.shipped import CHAT_TEMPLATE
from llmkit.runtimes.transformers import Transformers
from texts import sentences
from tiny import byte_tokenizer, model

PROMPTS = [{"prompt": text, "n": i} for i, text in enumerate([*sentences(6, seed=2), "天下大势如何？"])]
SHORT = ("--max-new-tokens", "8")


def saved(folder, template=CHAT_TEMPLATE):
    """A model of random weights that says something else to every prompt."""
    tokenizer = byte_tokenizer(template=template)
    made = model("llama", vocab_size=len(tokenizer), max_position_embeddings=256)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.5)
        made.get_output_embeddings().weight[:33] = made.get_output_embeddings().weight[40:73]  # no controls or blanks
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def chatty(tmp_path):
    return saved(tmp_path / "chatty")


@pytest.fixture
def plain(tmp_path):
    return saved(tmp_path / "plain", None)


def rows_of(out="out"):
    return [row for file in sorted(Path(out).glob("data-*.parquet")) for row in pq.read_table(file).to_pylist()]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in ("llmkit.json", "inputs.jsonl", "report.html")
    }


def greedy(folder, turns):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    found = loaded.generate(ids, max_new_tokens=8, do_sample=False, attention_mask=torch.ones_like(ids))
    return tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)


def test_prompts_are_answered_as_transformers_answers_them(cli, jsonl, chatty):
    outcome = cli("generate", chatty, "-i", jsonl("rows.jsonl", PROMPTS), "-o", "out", *SHORT)
    assert outcome.code == 0, outcome.err
    assert "inputs.0: rows are prompt_completion (prompt, completion)" in outcome.err
    assert "7 answers to 7 rows" in outcome.out
    rows = rows_of()
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in PROMPTS]
    for row in rows[-2:]:
        assert row["completion"] == greedy(chatty, [{"role": "user", "content": row["prompt"]}])
    assert [json.loads(row["meta"])["n"] for row in rows] == list(range(7))
    manifest = read_manifest(Path("out"))
    assert (manifest.kind, manifest.details["row"]["type"]) == ("examples", "prompt_completion")
    assert sorted(item.role for item in manifest.inputs) == ["files", "model"]
    assert cli("lineage", "out", "--verify").code == 0
    assert "answers to" in cli("summary", "out").out
    again = cli("generate", "--model", chatty, "-i", "rows.jsonl", "-o", "out", *SHORT, "--json")
    assert (again.code, again.json["status"]) == (0, "up to date")
    other = cli("generate", chatty, "-i", "rows.jsonl", "-o", "out", "--max-new-tokens", "9")
    assert other.code == 2
    assert "out is finished, from another run: max_new_tokens" in other.err
    # Distillation of sequences: what is written is learned from.
    tuned = cli("finetune", "--model", chatty, "--data", "out", "-o", "tuned", "--max-steps", "1", "-s",
                "context_length=256", "-s", "validation_fraction=0", "-s", "precision=float32")  # fmt: skip
    assert tuned.code == 0, tuned.err


def test_conversations_with_and_without_answers(cli, jsonl, chatty):
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    data = [{"messages": asked}, {"messages": [*asked, {"role": "assistant", "content": "Hello!"}]},
            {"messages": []}, {"messages": "none"}]  # fmt: skip
    outcome = cli("generate", chatty, "-i", jsonl("rows.jsonl", data), "-o", "out", *SHORT)
    assert outcome.code == 0, outcome.err
    first, second = rows_of()
    assert [turn["content"] for turn in first["messages"][:-1]] == ["Be brief.", "Hi"]
    assert first["messages"] == second["messages"]
    assert first["messages"][-1]["content"] == greedy(chatty, asked)
    assert (json.loads(first["meta"]).get("reference"), json.loads(second["meta"])["reference"]) == (None, "Hello!")
    assert read_manifest(Path("out")).metrics["rows_read"] == 4


@pytest.mark.parametrize("row", [{"text": "word " * 300}, {"messages": [{"role": "user", "content": "word " * 300}]}])
def test_what_transformers_says_of_long_texts_is_said_in_our_words_alone(cli, jsonl, chatty, monkeypatch, row):
    import transformers

    loaded = transformers.AutoTokenizer.from_pretrained(chatty)
    loaded.model_max_length = 256
    loaded.save_pretrained(chatty)
    said = []
    monkeypatch.setattr(transformers.tokenization_utils_base.logger, "warning", lambda words, *_: said.append(words))
    chat = "off" if "text" in row else "auto"
    outcome = cli("generate", chatty, "-i", jsonl("rows.jsonl", [row]), "-o", "out", "-s", f"chat={chat}", *SHORT)
    assert "1 skipped: they leave no room for an answer" in outcome.err
    assert said == []


def test_a_row_is_not_said_to_have_the_answer_that_it_is_to_get(cli, jsonl, chatty):
    data = jsonl("rows.jsonl", [{"prompt": "a"}, {"text": 3}])
    outcome = cli("generate", chatty, "-i", data, "-o", "out", *SHORT)
    assert outcome.code == 3
    assert "row 2: no field 'prompt'; the row has: text\n" in outcome.err


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Add", "input": "2 + 2"}, "Add\n\n2 + 2"),
        ({"instruction": "Add", "input": "2 + 2", "output": "4"}, "Add\n\n2 + 2"),
        ({"text": "Once upon"}, "Once upon"),
        ({"question": "Why?", "answer": None}, "Why?"),
        ({"source_text": "the sea"}, "the sea"),
    ],
    ids=str,
)
def test_other_rows_that_ask(cli, jsonl, chatty, row, expected):
    outcome = cli("generate", chatty, "-i", jsonl("rows.jsonl", [row]), "-o", "out", *SHORT)
    assert outcome.code == 0, outcome.err
    (found,) = rows_of()
    assert (found["prompt"], found["completion"]) == (expected, greedy(chatty, [{"role": "user", "content": expected}]))


def test_a_system_message_and_columns_of_other_names(cli, jsonl, chatty):
    data = jsonl("rows.jsonl", [{"ask": "Hi"}])
    missing = cli("generate", chatty, "-i", data, "-o", "out", *SHORT)
    assert missing.code == 3
    assert "inputs.0: no column holds prompts; the data have: ask" in missing.err
    outcome = cli(
        "generate", chatty, "-i", data, "-o", "out", *SHORT, "--column", "prompt=ask", "-s", "system=Be brief."
    )
    assert outcome.code == 0, outcome.err
    (row,) = rows_of()
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (row["system"], row["completion"]) == ("Be brief.", greedy(chatty, turns))


def test_draws_are_their_rows_and_seeds(cli, jsonl, chatty):
    data = jsonl("rows.jsonl", PROMPTS)
    drawn = ("-i", data, *SHORT, "--temperature", "1.5", "-n", "3", "-s", "top_k=50")
    assert cli("generate", chatty, *drawn, "-o", "out").code == 0
    rows = rows_of()
    assert len(rows) == 21
    assert len({row["id"] for row in rows}) == 21
    assert len({row["completion"] for row in rows[:3]}) > 1
    (Path("alone")).mkdir()  # a row by itself draws what it draws beside others
    one = jsonl("alone/rows.jsonl", PROMPTS[:1])
    assert cli("generate", chatty, "-i", one, *drawn[2:], "-o", "first").code == 0
    assert [row["completion"] for row in rows_of("first")] == [row["completion"] for row in rows[:3]]
    assert cli("generate", chatty, *drawn, "--seed", "1", "-o", "other").code == 0
    assert [row["completion"] for row in rows_of("other")] != [row["completion"] for row in rows]
    for words, said in (
        (("-n", "3"), "temperature 0 writes the same answer 3 times"),
        (("-s", "top_p=0.5"), "top_p says what is drawn from, and temperature 0 draws nothing"),
        (("-s", "stop=['']"), "an empty text would end every answer at once"),
        (("-s", "top_p=0"), "top_p"),
    ):
        refused = cli("generate", chatty, "-i", data, *words, "-o", "no")
        assert (refused.code, said in refused.err) == (2, True), refused.err


@pytest.mark.parametrize(
    "place",
    [
        "lenient/000001.tmp",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("data-00000.parquet", "report.html")),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(cli, jsonl, chatty, monkeypatch, place):
    monkeypatch.setattr("llmkit.prediction.generating.WINDOW", 4)
    data = jsonl("rows.jsonl", PROMPTS)
    command = ["generate", str(chatty), "-i", str(data), *SHORT, "--temperature", "1.0", "-n", "2"]
    prelude = "import llmkit.prediction.generating as generating\ngenerating.WINDOW = 4\n"
    killed = strike(command, place, 1, signal.SIGKILL, prelude=prelude)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("out/llmkit.json").exists()
    assert cli(*command, "-o", "out").code == 0
    assert cli(*command, "-o", "straight").code == 0
    assert digests("out") == digests("straight")
    assert read_manifest(Path("out")).id == read_manifest(Path("straight")).id


def test_a_model_without_a_template_goes_on_with_prompts_and_refuses_conversations(cli, jsonl, plain):
    data = jsonl("rows.jsonl", PROMPTS[:2])
    outcome = cli("generate", plain, "-i", data, "-o", "out", *SHORT)
    assert outcome.code == 0, outcome.err
    assert len(rows_of()) == 2
    chats = jsonl("chats.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}])
    refused = cli("generate", plain, "-i", chats, "-o", "no", *SHORT)
    assert refused.code == 3
    assert "the rows are conversations, and the model in" in refused.err
    assert "has no chat template" in refused.err
    assert "-s chat=on" in refused.err


def test_rows_that_are_not_answered_are_counted_by_their_reason(cli, jsonl, tmp_path, chatty):
    lines = ['{"prompt": "Hi"}', "{broken", '{"prompt": ""}', json.dumps({"prompt": "long " * 100}),
             json.dumps({"prompt": "a <|im_start|> b"}), '{"prompt": 5}']  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    outcome = cli("generate", chatty, "-i", "rows.jsonl", "-o", "out", *SHORT, "--json", "--max-failed", "0.9")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["rows_read"] == 6
    assert metrics["rows_read"] == metrics["rows_failed"] + sum(metrics["skipped"].values()) + metrics["answers_kept"]
    assert "rows.jsonl:2: invalid JSON" in outcome.err
    assert "leave no room for an answer in the positions of the model" in outcome.err
    assert "hold a token that could fake a turn as text" in outcome.err
    strict = cli("generate", chatty, "-i", "rows.jsonl", "-o", "strict", "--strict")
    assert strict.code == 3


def test_answers_that_were_cut_may_be_left_out(cli, jsonl, chatty):
    data = jsonl("rows.jsonl", PROMPTS)
    outcome = cli("generate", chatty, "-i", data, "-o", "out", *SHORT, "-s", "ended_only=true")
    assert outcome.code == 3
    assert "7 skipped: they have an answer that was cut at max_new_tokens" in outcome.err
    assert "no answers: of 7 rows none has one that is kept" in outcome.err


def test_bad_input_is_told_in_words(cli, jsonl, tmp_path, chatty):
    (tmp_path / "empty.jsonl").write_text("")
    cases = [
        ((chatty, "-i", "empty.jsonl"), 3, "the input has no rows"),
        ((chatty, "-i", "gone.jsonl"), 3, "no such file"),
        ((chatty, "-i", jsonl("table.jsonl", [{"a": 1, "b": 2}])), 3, "no column holds prompts"),
        (("none", "-i", "table.jsonl"), 3, "no such directory: none"),
        ((chatty,), 2, "inputs: required"),
        ((save_headed(tmp_path / "head", SENTIMENT), "-i", jsonl("rows.jsonl", PROMPTS)), 3,
         "does not answer generate requests"),
    ]  # fmt: skip
    for command, code, words in cases:
        outcome = cli("generate", *command, "-o", "out")
        assert (outcome.code, words in outcome.err, "Traceback" in outcome.err) == (code, True, False), outcome.err


def test_a_server_is_asked_in_turns(cli, jsonl, chatty):
    data = jsonl("rows.jsonl", PROMPTS[:3])
    with serving(Served(Transformers().load(str(chatty)))) as served:
        outcome = cli("generate", served.url, "-i", data, "-o", "out", *SHORT)
        assert outcome.code == 0, outcome.err
        seen = [body["messages"][-1]["content"] for _, _, body in served.seen]
        assert sorted(seen) == sorted(row["prompt"] for row in PROMPTS[:3])
        off = cli("generate", served.url, "-i", data, "-o", "off", "-s", "chat=off")
        assert off.code == 2
    assert cli("generate", chatty, "-i", data, "-o", "local", *SHORT).code == 0
    assert [row["completion"] for row in rows_of()] == [row["completion"] for row in rows_of("local")]

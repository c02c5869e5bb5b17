"""Data of other tools, and artifacts in the wrong place: what is there, and a line that leads on when it is typed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

SHAREGPT = {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}
MESSAGES = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}
ALPACA = {"instruction": "Add", "input": "2 + 2", "output": "4"}


def hint(outcome) -> str:
    return outcome.err.splitlines()[-1].strip().removeprefix("-> ")


def typed(line: str, folder: str, more: str = "") -> list[str]:
    """Return the command of a hint as somebody types it who names DIR."""
    words = shlex.split(line.partition(", then ")[0].replace(" DIR", f" {folder}") + more)
    assert words[0] == "llmkit"
    return words[1:]


def test_text_where_tokens_are_wanted(cli, chain, model_options):
    wrong = cli("pretrain", "--data", chain.root / "texts.jsonl", *model_options, "-s", "max_steps=1", "-o", "model")
    assert wrong.code == 3
    assert "texts.jsonl is not an llmkit artifact (it has no llmkit.json): it holds text\n" in wrong.err
    assert hint(wrong).endswith("-o DIR, then --data DIR")
    assert cli(*typed(hint(wrong), "tokens", " --vocab-size 300")).code == 0
    assert Path("tokens/llmkit.json").is_file()


def test_conversations_are_evaluated_on_as_they_are(cli, chain, jsonl):
    jsonl("chats.jsonl", [MESSAGES] * 3)
    tasks = "tasks=[{type: answers, data: chats.jsonl}]"
    assert cli("eval", "--model", chain.model, "-s", tasks, "-o", "raw").code == 0
    assert cli("clean", "--row", "auto", "-i", "chats.jsonl", "-s", "steps=[]", "-o", "examples").code == 0
    assert cli("eval", "--model", chain.model, "-s", tasks.replace("chats.jsonl", "examples"), "-o", "made").code == 0
    raw, made = (json.loads(Path(f"{name}/results.json").read_text())["tasks"]["answers"] for name in ("raw", "made"))
    assert raw["results"]["model"] == made["results"]["model"]
    assert raw["results"]["model"]["num_samples"] == 3


def test_sharegpt_is_read_as_conversations(cli, chain, jsonl):
    jsonl("chats.jsonl", [SHAREGPT, {"conversations": [{"from": "nobody", "value": "x"}]}])
    outcome = cli("clean", "--row", "auto", "-i", "chats.jsonl", "-o", "out", "--max-failed", "0.9")
    assert outcome.code == 0
    assert "conversations.0.role is 'nobody'; valid: system, user, assistant, tool" in outcome.err
    assert cli("clean", "-s", "inputs=[out]", "-o", "again").code == 0
    unread = cli("clean", "-i", "chats.jsonl", "-o", "text")
    assert unread.code == 3
    assert "they look like labelled rows, messages: --row auto reads them" in hint(unread)


def test_conversations_where_text_is_wanted(cli, jsonl):
    jsonl("chats.jsonl", [MESSAGES] * 3)
    wrong = cli("tokenize", "-i", "chats.jsonl", "-o", "tokens")
    assert wrong.code == 3
    assert hint(wrong).startswith("they look like labelled rows, messages: llmkit finetune --data ")
    jsonl("other.jsonl", [{"body": "a"}] * 3)
    assert hint(cli("tokenize", "-i", "other.jsonl", "-o", "other")).startswith("-s inputs.0.text_field=COLUMN, ")


def test_alpaca_is_read_as_questions_and_answers(cli, chain, jsonl):
    jsonl("alpaca.jsonl", [ALPACA, {**ALPACA, "input": ""}])
    arguments = ["finetune", "--model", chain.base, "-s", "context_length=64", "-s", "max_steps=1", "--preview", "2"]
    outcome = cli(*arguments, "--data", "alpaca.jsonl")
    assert outcome.code == 0, outcome.err
    assert "instruction: Add\ninput: 2 + 2\noutput: 4\n" in outcome.out
    assert outcome.out.count("user\nAdd\n\n2 + 2<|im_end|>") == outcome.out.count("user\nAdd<|im_end|>") == 1
    wrong = cli(*arguments, "--data", "alpaca.jsonl", "-s", "objective=classification")
    assert wrong.code == 2
    assert hint(wrong) == "-s objective=sft reads them"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "a"}, "text has no answers to learn; -s objective=causal_lm goes on with a model on text"),
        ({"text": "a", "label": "b"}, "-s objective=classification reads them"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "training on preferences is not there yet; -s columns.co"),
    ],
)
def test_rows_that_the_objective_does_not_read(cli, chain, jsonl, row, words):
    jsonl("rows.jsonl", [row] * 3)
    wrong = cli("finetune", "--model", chain.base, "--data", "rows.jsonl", "-s", "max_steps=1", "-o", "out")
    assert wrong.code == 2
    assert hint(wrong).startswith(words)


@pytest.mark.parametrize(
    ("arguments", "words", "way"),
    [
        (["finetune", "--data", "{root}/pairs", "--model", "m.gguf"], "it ends in the midst of its head, after 4 bytes",
         "download or write it again"),
        (["export", "--model", "folder"], "'folder' is not a model directory: it holds no config.json, but GGUF",
         "a model in GGUF is named by its file: folder/NAME.gguf"),
        (["finetune", "--data", "m.gguf", "--model", "{root}/base"], "cannot read m.gguf: it holds GGUF", ""),
        (["finetune", "--data", "{root}/pairs", "--model", "org/name"], "no such file or directory: org/name, and no",
         "if it is the hub's: hf download org/name, then the same command"),
        (["finetune", "--data", "{root}/pairs", "--model", "http://127.0.0.1:8000/v1"],
         "model: http://127.0.0.1:8000/v1 is an address, and a directory is read here", "eval alone asks servers"),
        (["finetune", "--data", "org/name", "--model", "{root}/base"], "data: no such file or directory: org/name",
         "a dataset of the Hugging Face hub: -s 'data=[{type: hf, path: org/name}]'"),
        (["tokenize", "-i", "org/name"], "no such file or directory: org/name",
         "a dataset of the Hugging Face hub: -s 'inputs=[{type: hf, path: org/name}]'"),
        (["finetune", "--data", "{root}/corpus", "--model", "{root}/base"], "holds a corpus, not examples",
         "text has no answers to learn; -s objective=causal_lm goes on with a model on text"),
        (["finetune", "--data", "{root}/pairs", "--model", "{root}/pairs"], "holds examples, not a model",
         "rows are --data: "),
        (["finetune", "--data", "llama", "--model", "{root}/base"], "cannot read llama: it holds a model of",
         "a model is no text; "),
        (["export", "--model", "raw"], "'raw' is not a model directory: it holds no config.json, but text",
         "llmkit tokenize -i raw -o TOKENS, "),
        (["eval", "--model", "{root}/tokens", "-s", "tasks=[{type: perplexity, data: '{root}/tokens'}]"],
         "holds tokens, not a model", "llmkit pretrain -s model=llama-7m --data "),
        (["clean", "-i", "{root}/tokens"], "it holds tokens, not a corpus", "llmkit pretrain -s model=llama-7m "),
        (["finetune", "recipe.yaml"], "unexpected word recipe.yaml", "llmkit finetune -r recipe.yaml"),
        (["clean", "a.txt", "b.txt"], "unexpected words a.txt b.txt", "llmkit clean ... -i a.txt -i b.txt; an option"),
        (["clean", "a.txt", "out/"], "unexpected words a.txt out/", "llmkit clean ... -i a.txt -o out/; an option"),
        (["pretrain", "config/train_gpt2.py"], "unexpected word config/train_gpt2.py", "llmkit pretrain --help"),
        (["pretrain", "seed=1"], "unexpected word seed=1", "llmkit pretrain ... --set seed=1"),
    ],
)  # fmt: skip
def test_what_is_in_the_wrong_place(cli, chain, arguments, words, way):
    Path("m.gguf").write_bytes(b"GGUF")
    files = {"llama/config.json": '{"model_type": "llama"}', "raw/a.txt": "text", "folder/a.gguf": "GGUF"}
    for name, content in files.items():
        Path(name).parent.mkdir()
        Path(name).write_text(content)
    given = [word.replace("{root}", str(chain.root)) for word in arguments]
    more = ["-s", "max_steps=1"] if given[0] == "finetune" and len(given) > 2 else []
    outcome = cli(*given, *more, *(["-o", "out"] if len(given) > 2 else []))
    assert outcome.code in (2, 3)
    assert words in outcome.err
    assert hint(outcome).startswith(way)

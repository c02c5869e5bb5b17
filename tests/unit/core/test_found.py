"""What a path holds that is no artifact of ours, recognized by a cheap look, and the line that leads on."""

from __future__ import annotations

import gzip
import json

import pytest

from llmkit.core.found import WORDS, hub_name, in_words, recognize, way
from llmkit.core.registry import Family

TURN = {"role": "user", "content": "a"}
ROWS = {
    "messages": {"messages": [TURN]},
    "prompt_completion": {"question": "a", "answer": "b"},
    "alpaca": {"instruction": "a", "input": "", "output": "b"},
    "preferences": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "ids": {"input_ids": [1], "labels": [1]},
    "text_label": {"text": "a", "label": "b"},
    "text": {"id": 1, "text": "a"},
    "rows": {"body": "a"},
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_known_by_the_keys_of_the_first(tmp_path, kind):
    lines = (json.dumps(ROWS[kind]) + "\n") * 2
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.json").write_text(json.dumps([ROWS[kind]] * 2, indent=1))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert {recognize(path) for path in tmp_path.iterdir()} == {kind}
    assert recognize(tmp_path) == kind
    assert in_words(kind)


def test_sharegpt_is_a_conversation_and_a_csv_has_a_header(tmp_path):
    (tmp_path / "a.json").write_text('[{"conversations": [{"from": "human", "value": "a"}]}]')
    (tmp_path / "a.csv").write_text("prompt,completion\n")
    assert recognize(tmp_path / "a.json") == "messages"
    assert recognize(tmp_path / "a.csv") == "prompt_completion"


def test_files_and_folders_of_other_tools(tmp_path):
    files = {
        "gguf/m.gguf": ("GGUF....", "gguf"),
        "model/config.json": ('{"model_type": "llama"}', "hf_model"),
        "adapter/adapter_config.json": ("{}", "adapter"),
        "tokenizer/tokenizer.json": ("{}", "tokenizer"),
        "weights/model.safetensors": ("", "weights"),
        "raw/a.txt": ("text", "text"),
        "saved/dataset_info.json": ('{"features": {"text": {"dtype": "string", "_type": "Value"}}}', "text"),
        "dict/train/dataset_info.json": (
            '{"features": {"messages": {"feature": {"role": {"_type": "Value"}, "content": {"_type": "Value"}}}}}',
            "messages",
        ),
        "broken/a.jsonl": ("{", None),
        "deep/a.json": ("[" * 3 + '{"a":' * 20_000, None),
        "list/config.json": ("[1]", "rows"),
        "cut/a.jsonl.gz": ("\x1f", None),
        "empty/notes": ("", None),
    }
    for name, (content, kind) in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
        assert recognize(tmp_path / name.split("/")[0]) == kind, name
    assert recognize(tmp_path / "gguf/m.gguf") == "gguf"
    assert recognize(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("org/name", "org/name"),
        ("https://huggingface.co/org/name", "org/name"),
        ("https://huggingface.co/datasets/org/name", "org/name"),
        ("gpt2", "gpt2"),
        ("data/a.jsonl", None),
        ("a/b/c", None),
        ("a" * 300, None),
        ("文" * 90, None),
        ("/abs/name", None),
        ("here/name", None),
    ],
)
def test_names_on_the_hub(path, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert hub_name(path) == name


def test_ways_lead_on():
    assert way("text", ("tokens",), "my texts") == "llmkit tokenize -i 'my texts' -o DIR, then --data DIR"
    assert way("hub", ("tokens",), "org/n") == (
        "llmkit tokenize -s 'inputs=[{type: hf, path: org/n}]' -o DIR, then --data DIR"
    )
    assert way("hub", ("model", "export"), "org/n", "model") == (
        "llmkit reads models from directories: hf download org/n --local-dir DIR, then --model DIR"
    )
    assert way("eval", ("tokens",), "x") is None
    assert way("text", (), "x") is None


@pytest.mark.parametrize("wanted", ["tokens", "examples", "corpus", "model"])
def test_every_way_is_filled_in_and_destroys_nothing(wanted, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"instruction": "a", "input": "", "output": "b"}\n')
    for found in (*WORDS, *Family("row").members(), "corpus", "examples", "tokens", "model", "export", "hub"):
        line = way(found, (wanted,), tmp_path / "a.jsonl") or ""
        assert "{path}" not in line
        assert "{then}" not in line
        assert "--force" not in line

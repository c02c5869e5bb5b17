"""tokenize --show and --compare, through the command line: they print, explain what is missing, and write nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tiny import byte_tokenizer


@pytest.fixture
def tokenizer(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path / "bytes")
    return "bytes"


@pytest.fixture
def stdin(monkeypatch):
    def give(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return give


def test_show_prints_borders_and_writes_nothing(cli, tokenizer, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = cli("tokenize", "--show", "ab 你", "--tokenizer", tokenizer)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[0] == "a|b| |<E4>|<BD>|<A0=你>"
    assert sorted(tmp_path.rglob("*")) == before


def test_show_of_a_tokens_artifact(cli, chain):
    found = cli("tokenize", "--show", "the fox", "--tokenizer", chain.tokens, "--json").json
    assert "".join(token["text"] for token in found["tokens"]) == "the fox"
    assert found["exit_code"] == 0


def test_ids_come_with_verbose(cli, tokenizer):
    plain = cli("tokenize", "--show", "A", "--tokenizer", tokenizer).out
    table = cli("tokenize", "--show", "A", "--tokenizer", tokenizer, "-v").out
    (row,) = [line.split() for line in table.splitlines() if line not in plain.splitlines() and "41" in line]
    assert row == ["A", "A", "41", str(byte_tokenizer().encode("A")[0])]


def test_show_reads_standard_input(cli, tokenizer, stdin):
    stdin("你\n".encode())
    assert cli("tokenize", "--show", "-", "--tokenizer", tokenizer).out.splitlines()[0] == "<E4>|<BD>|<A0=你>|⏎"
    stdin("你".encode("gbk"))
    found = cli("tokenize", "--show", "-", "--tokenizer", tokenizer)
    assert found.code == 3
    assert "standard input is not valid UTF-8" in found.err
    assert "iconv" in found.err


def test_a_terminal_gets_colours(tokenizer, tmp_path):
    ours, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    subprocess.run(
        [sys.executable, "-m", "llmkit", "tokenize", "--show", "ab", "--tokenizer", tokenizer],
        check=True,
        cwd=tmp_path,
        env=environment | {"TERM": "xterm-256color"},
        stdout=theirs,
    )
    os.close(theirs)
    found = os.read(ours, 10_000)
    os.close(ours)
    assert found.count(b"\x1b[38;5;") == 2
    assert b"a|b" not in found


def test_compare_on_a_corpus_and_on_a_text(cli, tokenizer, chain, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = cli("tokenize", "--compare", tokenizer, chain.tokens, "-i", chain.corpus, "--json")
    assert (found.code, found.err) == (0, "")
    first, second = found.json["tokenizers"]
    assert first["path"] == "bytes"
    assert first["total"]["tokens"] == first["total"]["bytes"] == second["total"]["bytes"]
    assert second["total"]["tokens"] < first["total"]["tokens"]
    assert found.json["differences"]
    text = cli("tokenize", "--compare", tokenizer, chain.tokens, "--show", "the fox 春天")
    assert text.code == 0
    assert "A  t|h|e| |f|o|x| |<E6>|<98>|<A5=春>|<E5>|<A4>|<A9=天>" in text.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--show", "x"], "--show needs a tokenizer"),
        (["--compare", "bytes", "bytes"], "either --input or --show"),
        (["--compare", "bytes", "bytes", "--show", "x", "-i", "corpus"], "either --input or --show"),
        (["--compare", "bytes"], "--compare"),
        (["--tokenizer", "bytes", "--vocab-size", "9", "-i", "corpus", "-o", "out"], "exclude each other"),
    ],
)
def test_what_is_missing_is_said(cli, tokenizer, arguments, words):
    found = cli("tokenize", *arguments)
    assert found.code == 2
    assert words in found.err
    assert "Traceback" not in found.err


def test_a_tokenizer_that_is_not_there_is_a_data_error(cli, tokenizer):
    found = cli("tokenize", "--show", "x", "--tokenizer", "byte")
    assert found.code == 3
    assert "did you mean 'bytes'?" in found.err
    assert cli("tokenize", "--compare", "bytes", "byte", "--show", "x").code == 3

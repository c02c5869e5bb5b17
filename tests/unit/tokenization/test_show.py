"""Token borders: bytes for byte-level tokenizers, borders in the text for others, readable on a terminal."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.tokenization.show import (
    Cutter,
    bordered,
    coloured,
    readable,
    show_text,
    spelled,
    token_kinds,
)
from llmkit.tokenization.statistics import BYTE, PARTIAL, SPECIAL, UNKNOWN, WHOLE
from tiny import byte_tokenizer

BYTES = byte_tokenizer()
CUTTER = Cutter(BYTES)


def unigram() -> PreTrainedTokenizerFast:
    """`<unk>`, `▁`, `▁a`, `b`, then the 256 bytes."""
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("▁a", -2.5), ("b", -3.0), *((f"<0x{i:02X}>", -9.0) for i in range(256))]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def wordpiece() -> PreTrainedTokenizerFast:
    vocabulary = {"[UNK]": 0, "un": 1, "##able": 2, "hello": 3, "[CLS]": 4}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(["[UNK]", "[CLS]"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]")


@pytest.fixture
def terminal(monkeypatch):
    """Return a console with colours, and what it printed."""
    console, out = Console(), io.StringIO()
    console.out = rich.console.Console(file=out, force_terminal=True, color_system="truecolor", width=120)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return console, out


def test_the_kinds_of_byte_level_tokens():
    kinds = token_kinds(BYTES)
    assert np.bincount(kinds).tolist() == [128, 128, 0, 0, 5]
    assert kinds[BYTES.eos_token_id] == SPECIAL


def test_the_kinds_of_other_tokens():
    kinds = token_kinds(unigram())
    assert kinds[:4].tolist() == [UNKNOWN, WHOLE, WHOLE, WHOLE]
    assert set(kinds[4:].tolist()) == {BYTE}
    assert token_kinds(wordpiece()).tolist() == [UNKNOWN, WHOLE, WHOLE, WHOLE, SPECIAL]


@given(st.text())
def test_the_pieces_of_a_byte_level_tokenizer_join_to_the_text(text):
    pieces = CUTTER.pieces(text)
    assert b"".join(piece.content for piece in pieces) == text.encode()
    assert [piece.end for piece in pieces] == list(range(1, len(text.encode()) + 1))


@given(st.text(alphabet="abx 你😀\n"))
def test_borders_ascend_and_end_with_the_text(text):
    pieces = Cutter(unigram()).pieces(text)
    ends = [piece.end for piece in pieces]
    assert ends == sorted(ends)
    assert not text.strip() or ends[-1] == len(text.encode())


def test_a_mark_before_the_text_covers_nothing_and_is_shown_as_itself():
    pieces = Cutter(unigram()).pieces("你a")  # `你a` as a whole is what the vocabulary lacks
    assert [(p.token, p.start, p.end, p.content) for p in pieces[:3]] == [
        ("▁", 0, 0, b"\xe2\x96\x81"),
        ("<0xE4>", 0, 1, b"\xe4"),
        ("<0xBD>", 1, 2, b"\xbd"),
    ]
    assert bordered(pieces).endswith("▁|<E4>|<BD>|<A0=你>|a")


def with_space_before(*merges):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    return Cutter(PreTrainedTokenizerFast(tokenizer_object=backend))


def test_parts_of_characters_behind_a_space_that_is_put_before():
    pieces = with_space_before().pieces("你 a")
    assert [(p.start, p.end) for p in pieces] == [(0, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert bordered(pieces) == " |<E4>|<BD>|<A0=你>| |a"
    # `a` with the first two bytes of `你`, its last one with the first of `好`, and so on.
    pieces = with_space_before(("ä", "½"), ("a", "ä½"), ("ł", "å"), ("¥", "½")).pieces("a你好")
    assert b"".join(p.content for p in pieces[1:]) == "a你好".encode()
    assert [p.end - p.start for p in pieces] == [0, 3, 2, 2]


@given(st.text(alphabet="ab 你😀½\n"))
def test_borders_ascend_where_a_text_is_changed(text):
    cutter = with_space_before()
    cutter.tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    ends = cutter.ends(text)[1].tolist()
    assert ends == sorted(ends)
    assert not ends or 0 <= ends[0] <= ends[-1] == len(text.encode())


def test_bytes_by_fallback_are_shown_one_by_one():
    pieces = Cutter(unigram()).pieces("ab 你")
    assert [(p.token, p.start, p.end, p.content) for p in pieces] == [
        ("▁a", 0, 1, b"a"),
        ("b", 1, 2, b"b"),
        ("▁", 2, 3, b" "),
        ("<0xE4>", 3, 4, b"\xe4"),
        ("<0xBD>", 4, 5, b"\xbd"),
        ("<0xA0>", 5, 6, b"\xa0"),
    ]
    assert {p.kind for p in pieces[3:]} == {BYTE}


def test_dropped_blanks_belong_to_the_token_behind_and_unknown_text_keeps_its_place():
    pieces = Cutter(wordpiece()).pieces("Hello  unable 你")
    assert [(p.token, p.content.decode(), p.kind) for p in pieces] == [
        ("hello", "Hello", WHOLE),
        ("un", "  un", WHOLE),
        ("##able", "able", WHOLE),
        ("[UNK]", " 你", UNKNOWN),
    ]


def test_special_tokens_in_a_text_are_text():
    assert BYTES.eos_token_id not in [piece.id for piece in CUTTER.pieces("a<|eos|>")]
    assert len(CUTTER.pieces("a<|eos|>")) == 8


def test_text_that_utf8_does_not_know_is_an_error():
    with pytest.raises(DataError, match="character 3"):
        CUTTER.pieces("ab\ud800")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", ""),
        (b"plain text", "plain text"),
        ("三国演义".encode(), "三国演义"),
        (b"a\n\tb\r\x1b", "a⏎⇥b␍␛"),
        (b"\x7f\x00", "␡␀"),
        ("\u200b\u3000\xa0\ufeff".encode(), "<U+200B><U+3000><U+00A0><U+FEFF>"),
        ("\u0301e".encode(), "\u25cc\u0301e"),
        (b"\xe4\xbd", "<E4 BD>"),
        (b"a\xa0\xff", "a<A0 FF>"),
        (b"\x80\xe4\xbd\xa0\xf0", "<80>你<F0>"),
        (b"> <", "> <"),
    ],
)
def test_bytes_made_readable(content, shown):
    assert readable(content) == shown


@given(st.binary())
def test_nothing_readable_moves_the_cursor(content):
    assert all(character.isprintable() for character in readable(content))


@pytest.mark.parametrize(
    ("contents", "full", "brief"),
    [
        ([b"\xe4", b"\xbd", b"\xa0"], ["<E4>", "<BD>", "<A0=你>"], ["…", "…", "你"]),
        ([b"a\xe4\xbd", b"\xa0b"], ["a<E4 BD>", "<A0=你>b"], ["a…", "你b"]),
        ([b"\xe4\xbd", b"\xa0\xe5\xa5", b"\xbd"], ["<E4 BD>", "<A0=你><E5 A5>", "<BD=好>"], ["…", "你…", "好"]),
        ([b"\xe4", b"x", b"\xa0"], ["<E4>", "x", "<A0>"], ["…", "x", "…"]),
        ([b"\xbd", b"\xa0"], ["<BD>", "<A0>"], ["…", "…"]),
        (["你".encode(), b"\n"], ["你", "⏎"], ["你", "⏎"]),
    ],
)
def test_the_token_that_completes_a_character_names_it(contents, full, brief):
    assert spelled(contents) == full
    assert spelled(contents, brief=True) == brief


def test_borders_in_plain_text():
    assert bordered(CUTTER.pieces("a|b\n你 ")) == "a|\\||b|⏎|\n<E4>|<BD>|<A0=你>| "
    assert bordered(CUTTER.pieces("a\n")) == "a|⏎"
    assert bordered([]) == ""


def test_colours_change_at_every_border_and_unknown_text_stands_out():
    shown = coloured(Cutter(wordpiece()).pieces("hello unable 你"))
    assert shown.plain == "hello unable 你"
    assert [(span.start, span.end) for span in shown.spans] == [(0, 5), (5, 8), (8, 12), (12, 14)]
    styles = [str(span.style) for span in shown.spans]
    assert len(set(styles)) == 4
    assert "#b42318" in styles[3]


def test_a_terminal_gets_colours_and_a_pipe_gets_borders(terminal, capsys):
    console, out = terminal
    show_text(BYTES, "你a", console)
    assert out.getvalue().count("\x1b[38;2;") == 4
    show_text(BYTES, "你a", Console())
    assert capsys.readouterr().out.splitlines() == [
        "<E4>|<BD>|<A0=你>|a",
        "4 tokens, 2 characters, 4 bytes, 1.00 bytes per token; 3 parts of characters",
    ]


def test_the_table_is_aligned_below_wide_characters(capsys):
    show_text(unigram(), "a你b 三国", Console(), verbose=True)
    show_text(wordpiece(), "hello 三国 unable", Console(), verbose=True)
    tables = capsys.readouterr().out.split("\n\n")[1:]
    for table in tables:
        header, *rows = [line.rstrip() for line in table.splitlines() if "tokens," not in line and "|" not in line]
        assert len(rows) >= 4
        assert {cell_len(row) for row in rows} == {cell_len(header)}


def test_as_json_texts_are_null_where_bytes_are_no_characters(capsys):
    show_text(BYTES, "a你", Console(json_mode=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["num_tokens"], found["num_characters"], found["num_bytes"]) == ("show", 4, 2, 4)
    assert found["tokens"][0] == {
        "id": BYTES.encode("a")[0],
        "token": "a",
        "text": "a",
        "bytes": "61",
        "start": 0,
        "end": 1,
    }
    assert [token["text"] for token in found["tokens"]] == ["a", None, None, None]


def test_an_empty_text_has_no_tokens(capsys):
    show_text(BYTES, "", Console())
    assert capsys.readouterr().out == "0 tokens, 0 characters, 0 bytes\n"


def test_kinds_name_parts_of_characters():
    assert [piece.kind for piece in CUTTER.pieces("你a")] == [PARTIAL] * 3 + [WHOLE]

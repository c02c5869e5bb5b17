from __future__ import annotations

import pytest

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.tokenization.look import look
from tiny import byte_tokenizer


@pytest.mark.parametrize(
    ("text", "pair", "inputs", "message"),
    [
        ("hi", None, [], "--show needs a tokenizer"),
        (None, ("a", "b"), [], "--compare needs a text: either --input or --show"),
        ("hi", ("a", "b"), ["corpus"], "--compare needs a text: either --input or --show"),
    ],
)
def test_what_is_missing_or_too_many_is_said(text, pair, inputs, message):
    with pytest.raises(ConfigError) as error:
        look(text, pair, None, inputs, Console(quiet=True))
    assert error.value.message == message
    assert error.value.exit_code == 2


@pytest.mark.parametrize("pair", [None, ("bytes", "bytes")])
def test_text_that_utf8_does_not_know_is_an_error(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    byte_tokenizer().save_pretrained("bytes")
    with pytest.raises(DataError, match=r"the text is not valid UTF-8: .* at character 3"):
        look("ab\udcff", pair, "bytes", [], Console(json_mode=True))

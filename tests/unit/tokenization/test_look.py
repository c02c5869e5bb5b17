from __future__ import annotations

import pytest

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError
from llmkit.tokenization.look import look


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

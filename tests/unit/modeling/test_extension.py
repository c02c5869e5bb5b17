from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from llmkit.core.errors import DataError
from llmkit.modeling.load import check_extension


def tokenizer(*added, words=("a", "b", "c")):
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="a"))
    backend.add_special_tokens(["<eos>", *added])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def test_tokens_added_at_the_end_are_an_extension():
    check_extension(tokenizer(), tokenizer(), "tok")
    check_extension(tokenizer("<x>"), tokenizer("<x>", "<y>"), "tok")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (tokenizer(), tokenizer(words=("a", "c", "b"))),  # another order
        (tokenizer("<x>"), tokenizer("<y>", "<x>")),  # an id that means something else
        (tokenizer("<x>"), tokenizer()),  # one is gone
    ],
)
def test_any_other_change_is_refused(old, new):
    with pytest.raises(DataError, match="trained with another tokenizer than the one in tok") as caught:
        check_extension(old, new, "tok")
    assert caught.value.exit_code == 3

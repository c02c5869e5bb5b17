"""The tokenizer in a GGUF file: read by transformers, without what is not the file's, with what was left out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.core.json import dumps
from llmkit.modeling.gguf_header import LINK, TO_DIRECTORY, Header, linked
from llmkit.modeling.gguf_keys import AS_GPT2, CUTS, DIGITS_APART, ROLES, TEMPLATE
from llmkit.modeling.loaded import loading

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


def read_tokenizer(header: Header) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a file, with its chat templates; a file of a vocabulary alone will do.

    Raises:
        DataError: There is none, or one that cuts text by rules that are not known.
        SetupError: The extra `gguf` is not installed.
    """
    require("gguf")
    from tokenizers import Regex, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    file, settings = header.path, header.settings
    kind, cut = settings.get("tokenizer.ggml.model"), settings.get("tokenizer.ggml.pre")
    if kind is None or "tokenizer.ggml.tokens" not in settings:
        raise DataError(f"{file} holds no tokenizer", TO_DIRECTORY)
    own = {name: expressions for expressions, name in CUTS.items()}
    if kind == "gpt2" and cut not in (*AS_GPT2, *DIGITS_APART, *own) and cut not in _known_cuts():
        raise DataError(
            f"the tokenizer in {file} cuts text by the rules '{cut}', which transformers does not have: its ids would"
            " be others",
            TO_DIRECTORY,
        )
    with TemporaryDirectory(prefix="llmkit-") as folder, linked(file, Path(folder)), loading(file):
        found: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            folder, gguf_file=LINK, local_files_only=True
        )
    backend = _without_others(found.backend_tokenizer, settings["tokenizer.ggml.tokens"])
    if cut in DIGITS_APART:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif kind == "gpt2" and cut in own and cut not in AS_GPT2:
        splits = [pre_tokenizers.Split(Regex(each), "isolated") for each in own[cut]]
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    # Anew, without what is of this reading and not of the tokenizer: paths, and tokens that another model has.
    length = header.of_architecture("context_length")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=_templates(settings),
        name_or_path=str(file),
        clean_up_tokenization_spaces=False,
        **({"model_max_length": length} if isinstance(length, int) else {}),
        **{name: found.init_kwargs[name] for name in ("add_bos_token", "add_eos_token") if name in found.init_kwargs},
        **{role: backend.id_to_token(settings[key]) for role, key in ROLES.items() if key in settings},
    )


def _without_others(backend: Tokenizer, size: int) -> Tokenizer:
    """Return a tokenizer without tokens behind a vocabulary: GPT-2's `<|endoftext|>` is added to any that lacks it."""
    from tokenizers import Tokenizer

    content = json.loads(backend.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < size]
    return Tokenizer.from_str(dumps(content))


def _templates(settings: Mapping[str, Any]) -> str | dict[str, str] | None:
    """Return the chat template, or several by their names."""
    own, start = settings.get(TEMPLATE), f"{TEMPLATE}."
    named = {name.removeprefix(start): text for name, text in settings.items() if name.startswith(start)}
    return {**({"default": own} if own else {}), **named} if named else own


def _known_cuts() -> frozenset[str]:
    """Return the rules for cutting text that transformers knows by name; older versions know none."""
    with contextlib.suppress(ImportError):
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

        return frozenset(GGUF_PRE_TOKENIZER_SPLITS)
    return frozenset()

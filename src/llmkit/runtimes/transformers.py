"""Models in a directory, run by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmkit.core.extras import check
from llmkit.runtimes import Runtime
from llmkit.runtimes._cores import take_cores
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._rounding import NOTES, Precision, round_weights
from llmkit.work.garbage import collecting_rarely

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


class Transformers(Runtime):
    """Run a model directory in float32, so that a difference of two models is theirs; on a GPU if there is one."""

    precision: Precision = "float32"
    """Number format that is computed in. bf16 takes half the memory; its scores are rounded to two or three digits.
    int8 rounds the linear layers of the body to integers, and what goes through them token by token (by torchao): what
    such a model is worth."""
    plain: bool = False
    """Load by `from_pretrained` alone, in the number format on disk: nothing of llmkit's own loading is in the way."""

    reads: Literal["compressed_tensors", "torchao"] | None = None
    """Library by which quantized weights are read, with `plain`."""

    def check_installed(self) -> None:
        """Ask for the library that reads quantized weights."""
        if self.reads is not None:
            check("quantized", self.reads)

    @property
    def note(self) -> str:  # type: ignore[override]
        """What rounding does to scores."""
        return NOTES[self.precision]

    def load(self, where: str, *, date: str | None = None) -> InMemory:
        """Load a model directory with the head that its config names.

        Raises:
            ConfigError: It cannot be had in the number format that is asked for.
            SetupError: What that takes is not installed.
            DataError: No model, or a damaged one, or its tokenizer has ids that it has no rows for.
        """
        from llmkit.modeling.load import load_model

        with collecting_rarely():
            model, tokenizer = _from_pretrained(where) if self.plain else (load_model(where), None)
            running = opened(model, where, tokenizer, date)
            round_weights(running, self.precision)
        return running


def opened(
    model: PreTrainedModel, where: str, tokenizer: PreTrainedTokenizerFast | None = None, date: str | None = None
) -> InMemory:
    """Make a loaded model ready to answer, on a GPU if there is one.

    Args:
        model: The model.
        where: Its directory.
        tokenizer: Its tokenizer; None for the one in the directory.
        date: See `Runtime.load`.

    Raises:
        DataError: The tokenizer is none, or has ids that the model has no rows for.
    """
    import torch

    from llmkit.data.clock import date_of, set_date
    from llmkit.modeling.load import check_vocabulary
    from llmkit.modeling.tokenizer import load_tokenizer, vocabulary_size
    from llmkit.work.allocator import keep_freed_memory

    keep_freed_memory()
    take_cores()
    if tokenizer is None:
        tokenizer = load_tokenizer(where)
        check_vocabulary(model, vocabulary_size(tokenizer), where)
    if date_of(tokenizer) is None:
        set_date(tokenizer, date)
    return InMemory(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer, where=where, frozen=True)


def _from_pretrained(where: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    import transformers

    from llmkit.core.errors import DataError
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.loaded import check_weights, loading

    if not Path(where, "config.json").is_file():
        raise DataError(
            f"{where} has no config.json: `from_pretrained` alone loads neither GGUF files nor adapters",
            "without `plain: true` they are loaded",
        )
    with loading(where):
        config = transformers.AutoConfig.from_pretrained(where)
        auto_class = getattr(transformers, head_of(config).auto_class)
        model, info = auto_class.from_pretrained(where, output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    check_weights(model, info, None, where)
    return model.eval(), tokenizer

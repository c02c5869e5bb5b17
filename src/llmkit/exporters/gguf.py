"""A GGUF file, which llama.cpp and what is built on it load: LM Studio, ollama, koboldcpp, node-llama-cpp."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmkit.core.errors import DataError
from llmkit.core.extras import check, require
from llmkit.exporters import Exporter, Limits, Usage
from llmkit.exporters import _gguf_architectures as architectures
from llmkit.exporters import _gguf_cuts as cuts
from llmkit.exporters import _gguf_formats as formats
from llmkit.exporters import _gguf_positions as positions
from llmkit.exporters import _gguf_tokenizer as tokenizers
from llmkit.modeling.gguf_header import LINK as FILE
from llmkit.modeling.gguf_keys import ENDS
from llmkit.runtimes import Runtime
from llmkit.runtimes.llama_cpp import LlamaCpp

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer, Head

POOLING = {"mean": 1, "cls": 2, "lasttoken": 3}
"""llama.cpp's numbers of ways to make a vector of a text."""
KOREAN = "Korean is read otherwise: the tokenizer takes its syllables apart (strip_accents), and llama.cpp does not"
ROUNDED = 1e-2
"""Of the spread of logits, what the table in float16 by which llama.cpp computes GELU makes of exact weights: 0.003 at
most was seen of gpt2, gemma and bert."""
_NAMES = {"phi3": "phi 3"}
"""llama.cpp takes a file with phi3 or phi-3 in its name for one with the tokens of Phi-3, and reads none without."""

_WRITING = """\
import xllamacpp  # or any program on llama.cpp

params = xllamacpp.CommonParams()
params.model.path = "DIR/model.gguf"
reply = xllamacpp.Server(params).handle_completions({"prompt": "Once", "max_tokens": 32})
print(reply["choices"][0]["text"])"""


class Gguf(Exporter):
    """Write `model.gguf`: weights, tokenizer and chat template in one file."""

    stops_early: ClassVar[bool] = True  # llama.cpp knows <|im_end|> and others by their text, whatever a file says

    dtype: formats.Name = "q8_0"
    """Number format of the matrices; vectors stay in float32. `q8_0` takes 8.5 bits a weight, `q4_0` 4.5, and `q6_k` to
    `q2_k` 6.6 to 2.6, with smaller errors than others of their size."""
    max_logit_difference: float | None = Field(None, ge=0)
    """Largest difference of a logit that passes, instead of what is asked of the number format; null for that."""

    def check_installed(self) -> None:
        """Find out whether what writes it is there.

        Raises:
            SetupError: It is not.
        """
        check("gguf")
        if self._format.kind in formats.K_QUANTS:
            check("gguf", "libgguf")

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:
        """Return why llama.cpp would compute, or read text, otherwise than the model."""
        from llmkit.modeling.heads import head_of

        answer = head_of(config).answer if config.model_type in architectures.ARCHITECTURES else ""
        return (
            architectures.why_not(config, answer)
            or positions.why_not(config)
            or tokenizers.why_not(tokenizer, encoder=answer == "vector")
        )

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> Sequence[str]:
        """Write the file, tensor by tensor; what was in another number format than asked is returned.

        Raises:
            DataError: A weight, a way of pooling or an end of writing has no place in it.
        """
        from llmkit.exporters import _gguf_file as file

        architecture = architectures.find(model.config)
        encoder = architecture.answer == "vector"
        pieces = file.pieces_of(model, architecture, self._format)
        try:
            vocabulary = tokenizers.vocabulary_of(tokenizer, model.config.vocab_size, encoder=encoder)
        except ValueError as error:
            raise DataError(f"the model cannot be written to GGUF: {error}") from None
        own = architecture.settings(model.config) | positions.settings(model.config)
        if encoder:
            own |= _pooling(directory)
        else:
            vocabulary.settings.update(_ends(model, vocabulary.settings))
        settings = {f"{architecture.name}.{name}": value for name, value in own.items()}
        file.write(
            directory / FILE, model, architecture, pieces, settings=self._general(model) | settings,
            vocabulary=vocabulary, factors=positions.factors(model.config), keeps=self._is_whole,
        )  # fmt: skip
        notes = file.said_of(pieces, architecture, self._format)
        return [*notes, KOREAN] if encoder and cuts.takes_apart(tokenizer) else notes

    def leaves_out(self, text: str, tokenizer: PreTrainedTokenizerFast) -> bool:
        """Tell whether there is Korean in a text of a tokenizer that takes its syllables apart."""
        return cuts.KOREAN.search(text) is not None and cuts.takes_apart(tokenizer)

    def usage(self, head: Head) -> Usage:
        """Return the Python package of llama.cpp; any program on llama.cpp takes the file."""
        if head.answer == "vector":
            return Usage("gguf", "text", "model.gguf is a model of vectors for any program on llama.cpp")
        return Usage("gguf", "python", _WRITING)

    def runtime(self) -> Runtime:
        """Return llama.cpp itself."""
        return LlamaCpp()

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[None] | None:
        """Return what rounds as llama.cpp does, of weights of 8 bits or fewer."""
        if not self._is_whole:
            return None
        from llmkit.exporters._gguf_file import pieces_of
        from llmkit.exporters._gguf_inputs import rounded_inputs

        pieces = pieces_of(model, architectures.find(model.config), self._format)
        return rounded_inputs(model, {piece.source: piece.kind for piece in pieces})

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:
        """Return what is asked of the number format."""
        if self.max_logit_difference is not None:
            return Limits(difference=self.max_logit_difference)
        found = Limits.of(self._format.form, answer, spread)
        rounds = self.dtype == "float32" and config.model_type in architectures.BY_TABLE
        return replace(found, difference=ROUNDED * spread) if rounds else found

    @property
    def _is_whole(self) -> bool:
        """Whether weights are whole numbers with scales."""
        return self._format.form in ("8-bit", "4-bit")

    @property
    def _format(self) -> formats.Format:
        return formats.FORMATS[self.dtype]

    def _general(self, model: PreTrainedModel) -> dict[str, Any]:
        gguf = require("gguf")
        kind, size = model.config.model_type, model.num_parameters()
        return {
            "general.type": "model",
            "general.name": f"{_NAMES.get(kind, kind)} {size / 1e6:.1f}M",
            "general.file_type": int(gguf.LlamaFileType[self._format.file]),
            "general.quantization_version": int(gguf.GGML_QUANT_VERSION),
        }


def _ends(model: PreTrainedModel, settings: dict[str, Any]) -> dict[str, int]:
    """Return where writing ends beside the end of text: llama.cpp has an end of turn and one of a message.

    Raises:
        DataError: There are more.
    """
    named = model.generation_config.eos_token_id if model.can_generate() else None
    ends = named if isinstance(named, list) else [] if named is None else [named]
    others = [end for end in dict.fromkeys(ends) if end != settings[ENDS[0]]]
    if len(others) > len(ENDS) - 1:
        raise DataError(
            f"writing ends at {len(ends)} tokens {ends}, and a GGUF file names {len(ENDS)} at most",
            "leave those that are never written out of eos_token_id in generation_config.json",
        )
    return dict(zip(ENDS[1:], others, strict=False))


def _pooling(directory: Path) -> dict[str, Any]:
    """Return how vectors are made.

    Raises:
        DataError: llama.cpp has no such way.
    """
    from llmkit.modeling.pooling import pooling_of

    modes = pooling_of(directory).modes
    if len(modes) != 1 or modes[0] not in POOLING:
        raise DataError(
            f"llama.cpp makes a vector by one of {', '.join(POOLING)}, and this model by {' and '.join(modes)}",
            "llmkit export -s exporter=safetensors writes it whole",
        )
    return {"pooling_type": POOLING[modes[0]]}

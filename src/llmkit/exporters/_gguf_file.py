"""Write a GGUF file: what it says of a model, then its tensors, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.exporters import _gguf_formats as formats
from llmkit.exporters._gguf_formats import Format
from llmkit.modeling.gguf_keys import ROPE_FREQS

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from llmkit.exporters._gguf_architectures import Architecture
    from llmkit.exporters._gguf_tokenizer import Vocabulary

ENDINGS = (".weight", ".bias")


class Piece(NamedTuple):
    """A tensor to be written.

    Attributes:
        name: llama.cpp's.
        source: transformers'; "" of one that no weight is.
        kind: Its number format.
        shape: Its.
    """

    name: str
    source: str
    kind: str
    shape: tuple[int, ...]


def pieces_of(model: PreTrainedModel, architecture: Architecture, wanted: Format) -> list[Piece]:
    """Return the tensors of a model in the order of its file; weights that are one are written once.

    Raises:
        DataError: llama.cpp has no name for one.
    """
    named = list(_names(model, architecture))
    output = _output(named, architecture)
    found = []
    for name, source, weight in named:
        shape = tuple(architecture.change(source, weight, model.config).shape)  # a view, or a copy that goes at once
        found.append(Piece(name, source, formats.kind_of(name, shape, wanted, output), shape))
    return found


def said_of(pieces: list[Piece], architecture: Architecture, wanted: Format) -> list[str]:
    """Return sentences on tensors that are written in another format than was asked for."""
    output = _output([(piece.name,) for piece in pieces], architecture)
    return formats.notes([(piece.name, piece.kind, piece.shape) for piece in pieces], wanted, output)


def write(
    file: Path, model: PreTrainedModel, architecture: Architecture, pieces: list[Piece], *,
    settings: Mapping[str, Any], vocabulary: Vocabulary, factors: NDArray[np.float32] | None = None,
    keeps: bool = False,
) -> None:  # fmt: skip
    """Write the file; every weight is let go of when it is written.

    Args:
        file: Where to.
        model: In float32.
        architecture: Its.
        pieces: Of `pieces_of`.
        settings: By their full names.
        vocabulary: Its tokenizer's.
        factors: What frequencies are divided by, in a tensor of its own.
        keeps: No weight is let go of: each is what the file has of it from then on.
    """
    import torch

    gguf = require("gguf")
    writer = gguf.GGUFWriter(None, architecture.name)
    for name, value in settings.items():
        _add(writer, name, value)
    _add_vocabulary(writer, vocabulary)
    if factors is not None:
        writer.add_tensor_info(ROPE_FREQS, factors.shape, factors.dtype, factors.nbytes)
    for piece in pieces:
        kind = gguf.GGMLQuantizationType[piece.kind]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = int(np.prod(piece.shape)) // elements * size
        writer.add_tensor_info(piece.name, piece.shape, np.dtype(np.float32), count, raw_dtype=kind)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    weights = model.state_dict(keep_vars=True)
    for piece in pieces:
        weight = weights.pop(piece.source)
        values = architecture.change(piece.source, weight.detach(), model.config).contiguous().numpy()
        data = formats.rounded(values, piece.kind)
        writer.write_tensor_data(data)
        if not keeps:
            weight.data = weight.data.new_empty(0)
        elif piece.kind != "F32":
            back = torch.from_numpy(formats.restored(data, piece.kind, values.shape))
            weight.data = architecture.restore(piece.source, back, model.config).contiguous()
        del values, data
    writer.close()


def _names(model: PreTrainedModel, architecture: Architecture) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Yield llama.cpp's name, transformers' and the weight.

    Raises:
        DataError: There is no name.
    """
    gguf = require("gguf")
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(kinds[architecture.name], model.config.num_hidden_layers)
    seen = set()
    for source, weight in model.state_dict(keep_vars=True).items():
        if source.startswith(architecture.left_out) or id(weight) in seen:
            continue
        seen.add(id(weight))
        name = table.get_name(source, try_suffixes=ENDINGS)
        if name is None:
            raise DataError(
                f"llama.cpp has no name for the weight {source!r} of a {model.config.model_type}: without it the model"
                " would answer otherwise",
                "llmkit export -s exporter=safetensors writes the model whole",
            )
        yield name, source, weight


def _output(named: Any, architecture: Architecture) -> str:
    """Return the name of the tensor that makes the logits; "" of a model without."""
    names = {piece[0] for piece in named}
    return next((name for name in formats.OUTPUTS if name in names), "") if architecture.answer == "tokens" else ""


def _add(writer: Any, name: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    add[type(value)](name, value)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for name, value in vocabulary.settings.items():
        _add(writer, name, value)

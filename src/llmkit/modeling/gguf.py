"""Models in GGUF, llama.cpp's format of one file: looked through, then read by transformers into a model directory.

The directory is temporary and in float32: `opened` has the config and the tokenizer, which takes seconds, and
`weights_of` the weights. Whoever trains, measures or exports works with directories alone.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.core.digest import canonical_json, digest_text
from llmkit.core.errors import DataError, SetupError, nearest
from llmkit.core.extras import require
from llmkit.core.found import is_gguf
from llmkit.core.reading import damaged
from llmkit.modeling.architecture import config_class
from llmkit.modeling.gguf_header import AGAIN, LINK, TO_DIRECTORY, Header, Tensor, linked, read_header
from llmkit.modeling.gguf_keys import LLAMA3, ROPE_FREQS, llama3_factors
from llmkit.modeling.gguf_tokenizer import read_tokenizer
from llmkit.modeling.heads import head_of
from llmkit.modeling.loaded import check_weights, loading
from llmkit.work.shared import place, shared_folder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

BIASES = {"blk.0.attn_q.bias": "attention_bias", "blk.0.ffn_gate.bias": "mlp_bias"}
"""Tensors that tell of a switch in the config."""
WHOLE = "full_attention"
"""What transformers calls the layers without a window."""
LAYERS_27B = {"gemma2": 46, "gemma3": 62}
"""What attention is divided by is not in the file: llama.cpp takes the size of a head, and of these something else."""

_files: dict[Path, Path] = {}
"""Directories made here, each with the file that it was made of."""


def opened(path: str | Path) -> Path:
    """Return a directory with the config and the tokenizer of a GGUF file; made once, gone when the process ends.

    Raises:
        DataError: It is damaged, holds no whole model, or one that transformers does not read.
        SetupError: The extra `gguf` is not installed, or the disk has no room.
    """
    file = Path(path).resolve()
    folder = shared_folder(_name(file), lambda new: _write_head(check(file), new))
    _files[folder] = file
    return folder


def model_directory(path: str | Path) -> Path:
    """Return the directory of a model: `opened` of a GGUF file; any other path is returned as it is."""
    return opened(path) if is_gguf(path) else Path(path)


def weights_of(folder: Path) -> Path:
    """Return where the weights of a model directory are: where `opened` has made it, in one that is made for them.

    Raises:
        DataError: They are not those that the architecture has.
        SetupError: The disk has no room for them in float32.
    """
    file = _files.get(folder)
    if file is None:
        return folder
    return shared_folder(_name(file, "weights-"), lambda new: _write_weights(read_header(file), folder, new))


def check(file: Path) -> Header:
    """Read a file's head and make sure that transformers will read the rest.

    Raises:
        DataError: See `opened`.
        SetupError: The extra `gguf` is not installed.
    """
    header = read_header(file)
    if not header.tensors:
        raise DataError(
            f"{file} holds a vocabulary and no weights",
            "name the model's own file; llmkit tokenize --tokenizer takes this one",
        )
    gguf = require("gguf")
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES as NAMES

    known = {"qwen2moe", "qwen3moe", "gpt-oss", "minimax-m2", "qwen35", "qwen35moe", *NAMES}
    if header.architecture not in known:
        guess = nearest(header.architecture, known)
        close = guess if "did you mean" not in guess else ""
        raise DataError(
            f"{file} is of the architecture '{header.architecture}', which transformers does not read from GGUF{close}",
            TO_DIRECTORY,
        )
    kinds = {kind: _block(gguf, file, kind) for kind in {tensor.kind for tensor in header.tensors}}
    for tensor in header.tensors:
        elements, size = kinds[tensor.kind]
        if not tensor.shape or tensor.shape[0] % elements:
            problem = f"its tensor {tensor.name!r} has rows of {tensor.shape[:1]}, and blocks have {elements}"
            raise damaged(file, problem, AGAIN)
        end = header.start + tensor.offset + math.prod(tensor.shape) // elements * size
        if end > header.size:
            problem = f"its tensor {tensor.name!r} ends at byte {end:,}, and the file has {header.size:,}"
            raise damaged(file, problem, AGAIN)
    return header


def _name(file: Path, prefix: str = "") -> str:
    state = file.stat()
    known = digest_text(canonical_json([str(file), state.st_size, state.st_mtime_ns, state.st_ino]))
    return f"{prefix}{known[:12]}-{file.name[-80:]}"


def _block(gguf: Any, file: Path, kind: int) -> tuple[int, int]:
    """Return how many numbers a block of a type of tensors has, and bytes."""
    try:
        of = gguf.GGMLQuantizationType(kind)
        elements, size = gguf.GGML_QUANT_SIZES[of]
        gguf.dequantize(np.zeros((1, size), np.uint8), of)  # finds out what there is a function for
    except (ValueError, KeyError, NotImplementedError):
        kinds = getattr(gguf.GGMLQuantizationType, "_value2member_map_", {})
        name = kinds[kind].name if kind in kinds else f"number {kind}"
        raise DataError(f"{file} has tensors of the type {name}, which is not read", TO_DIRECTORY) from None
    return elements, size


def _write_head(header: Header, folder: Path) -> None:
    """Write config and tokenizer."""
    _config(header, folder).save_pretrained(folder)
    tokenizer = read_tokenizer(header)
    with loading(header.path):
        tokenizer.save_pretrained(folder)


def _config(header: Header, folder: Path) -> PreTrainedConfig:
    """Return the config, with what transformers does not take over from the file, or takes for another's default."""
    from transformers import AutoConfig

    with linked(header.path, folder), loading(header.path):
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, gguf_file=LINK, local_files_only=True)
    vars(config).pop("_model_name_or_path", None)
    config_class(config.model_type, f"the model in '{header.path}'", DataError, None)
    if not config.architectures:
        head = head_of(config)
        config.architectures = sorted(head.architectures()[config.model_type])[:1]
    width = header.of_architecture("attention.key_length")
    if isinstance(width, int) and hasattr(config, "head_dim") and config.model_type == header.architecture:
        config.head_dim = width
    for name, switch in BIASES.items():
        if name in header.names and getattr(config, switch, None) is False:
            setattr(config, switch, True)
    length = header.of_architecture("context_length")
    if isinstance(length, int) and hasattr(config, "n_positions"):
        config.n_positions = length
    if isinstance(config.pad_token_id, int) and config.pad_token_id >= config.vocab_size:
        config.pad_token_id = None  # the class's own default, of another vocabulary
    if header.architecture in LAYERS_27B:
        largest = config.num_hidden_layers == LAYERS_27B[header.architecture]
        wide = config.hidden_size // config.num_attention_heads
        config.query_pre_attn_scalar = wide if largest else config.head_dim
    _set_rope(header, config)
    config.dtype = "float32"
    return config


def _set_rope(header: Header, config: PreTrainedConfig) -> None:
    """Set how positions are stretched: without that, a long text is read with others than in training.

    Raises:
        DataError: It is done in a way that is not known.
    """
    known: Any = getattr(config, "rope_parameters", None)
    if not isinstance(known, dict):
        return
    if isinstance(whole := known.get(WHOLE), dict):  # layers with a window, as Gemma 3 has, are not stretched
        config.rope_parameters = {**known, WHOLE: _stretched(header, whole)}
    else:
        config.rope_parameters = _stretched(header, known)


def _stretched(header: Header, known: dict[str, Any]) -> dict[str, Any]:
    """Return how the layers that see everything turn positions."""
    if known.get("rope_type", "default") != "default":
        return known
    kind = header.of_architecture("rope.scaling.type") or "none"
    factor = header.of_architecture("rope.scaling.factor") or 1.0
    length = header.of_architecture("rope.scaling.original_context_length")
    factors = next((tensor for tensor in header.tensors if tensor.name == ROPE_FREQS), None)
    if factors is not None:
        stretched = _values(header, factors)
        if np.allclose(stretched, 1):
            return known
        wanted = {"rope_type": "llama3", "factor": float(stretched.max()), **LLAMA3}
        if length:
            wanted["original_max_position_embeddings"] = length
        if np.allclose(llama3_factors(wanted, known["rope_theta"], len(stretched)), stretched, rtol=1e-4):
            return {**known, **wanted}
        raise DataError(f"{header.path} stretches positions by {ROPE_FREQS}, in a way that is not known", TO_DIRECTORY)
    if kind == "none" or factor == 1.0:
        return known
    if kind not in ("linear", "yarn"):
        raise DataError(f"{header.path} stretches positions by '{kind}', which is not read", TO_DIRECTORY)
    more = {"original_max_position_embeddings": length} if kind == "yarn" and length else {}
    return {**known, "rope_type": kind, "factor": factor, **more}


def _values(header: Header, tensor: Tensor) -> Any:
    """Return a tensor of float32."""
    begin, count = header.start + tensor.offset, math.prod(tensor.shape)
    return np.fromfile(header.path, "<f4", count=count, offset=begin)


def _write_weights(header: Header, head: Path, folder: Path) -> None:
    """Write the weights in float32, with the config and a generation config beside them."""
    import transformers
    from transformers import AutoConfig

    _check_room(header)
    config = AutoConfig.from_pretrained(head, local_files_only=True)
    # Where transformers can keep weights packed, it does so by default.
    packs = getattr(transformers, "GgufConfig", None)
    more = {"quantization_config": packs(dequantize=True)} if packs else {}
    with linked(header.path, folder), loading(header.path), contextlib.redirect_stderr(io.StringIO()):  # its bars
        model, info = head_of(config).auto_model().from_pretrained(
            folder, gguf_file=LINK, config=config, dtype="float32", local_files_only=True, output_loading_info=True,
            ignore_mismatched_sizes=True, **more,
        )  # fmt: skip
    check_weights(model, info, None, header.path)
    _check_left_over(header, model)
    # Saving is refused to whatever was loaded by a quantizer, and what is saved would claim to be quantized.
    vars(model).pop("hf_quantizer", None)
    vars(model.config).pop("quantization_config", None)
    _set_ends(header, model)
    # Of several processes transformers lets the first alone write weights; any may be the one that makes the folder.
    model.should_save_on_this_rank = lambda is_main_process: is_main_process
    with loading(header.path):
        model.save_pretrained(folder)


def _check_room(header: Header) -> None:
    needed, free = 4 * header.elements, shutil.disk_usage(place()).free
    if needed > free:
        raise SetupError(
            f"{header.path} takes {needed / 1e9:,.1f} GB of disk in float32, and {place()} has {free / 1e9:,.1f} GB",
            "TMPDIR=DIR names a place with more",
        )


def _check_left_over(header: Header, model: PreTrainedModel) -> None:
    """Refuse a model without some of the file's numbers: transformers leaves out what it has no name for.

    Raises:
        DataError: There are fewer.
    """
    rows = sum(math.prod(tensor.shape) for tensor in header.tensors if tensor.name != ROPE_FREQS)
    used = sum(weight.numel() for weight in {id(w): w for w in model.state_dict(keep_vars=True).values()}.values())
    if used < rows:
        raise DataError(
            f"{header.path} holds {rows:,} numbers, and transformers reads {used:,} of them as a"
            f" {model.config.model_type}: without the others it would answer otherwise",
            TO_DIRECTORY,
        )


def _set_ends(header: Header, model: PreTrainedModel) -> None:
    """End generation by the file's end of text and, as llama.cpp does, by its end of turn."""
    config = getattr(model, "generation_config", None)
    ids = (header.settings.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot"))
    ends = list(dict.fromkeys(i for i in ids if isinstance(i, int)))
    if config is not None and ends:
        config.eos_token_id = ends if len(ends) > 1 else ends[0]

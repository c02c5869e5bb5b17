"""Look at a model's directory before transformers loads it: config.json and the headers of the weights alone.

transformers takes in silence what is no number of this model, asks the hub for code that a config names, imports
libraries for quantized weights, and allocates whatever sizes it reads. What is refused here costs milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmkit.core.errors import DataError, nearest
from llmkit.core.reading import damaged, kind_of, read_json, reading
from llmkit.modeling.architecture import ACTIVATIONS, ROPE_FIELDS, SIZES

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
JSON_FILES = (CONFIG, "generation_config.json", INDEX, "tokenizer_config.json", "special_tokens_map.json")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
RUN_BY = {"onnx/*.onnx": "onnxruntime", "openvino_model.xml": "openvino"}
"""Exports that runtimes of their own run."""
OTHER_FORMATS = {"*.h5": "Keras", "*.msgpack": "Flax", "*.onnx": "ONNX"}
LAYERS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers",
)  # fmt: skip
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
MOST_LAYERS, MOST_EXPERTS, LARGEST = 4096, 65_536, 2**40
"""More than any model has; building one takes minutes before it can be compared with its weights."""
ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
OWN_ATTENTION = ("eager", "sdpa", "flex_attention")
INTEGERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "F8_E4M3", "F8_E5M2", "F4")
"""What quantized weights are stored as; 8-bit floats are no numbers to compute with."""
BUFFERS = (
    ".attn.bias", ".attn.attention.bias", ".masked_bias", ".causal_mask", ".inv_freq", ".cos_cached", ".sin_cached",
    "position_ids", "token_type_ids", "num_batches_tracked",
)  # fmt: skip
"""Ends of names that are no weights: older versions saved masks and positions with the model."""


@dataclass(frozen=True)
class Tensors:
    """What the headers of a directory's weights say.

    Attributes:
        shapes: Shape of each tensor, by name.
        files: The files, in order.
    """

    shapes: Mapping[str, tuple[int, ...]]
    files: list[Path]

    @property
    def elements(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def _is_mask(shape: Sequence[int]) -> bool:
    """Tell a causal mask, `[1, 1, positions, positions]`, as GPT-NeoX models were saved with."""
    return len(shape) == 4 and tuple(shape[:2]) == (1, 1) and shape[2] == shape[3]


def check_config(folder: Path) -> dict[str, Any]:
    """Read config.json and make sure that it is one of a model that can be loaded as it is.

    Raises:
        DataError: It is no object, names no architecture, or asks for what is not done here; the message says what.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for name in JSON_FILES:
        if (folder / name).exists():
            read_json(folder / name)
    values = read_json(folder / CONFIG)
    kind = values.get("model_type")
    if not isinstance(kind, str):
        problem = f"it names no architecture: model_type is {kind_of(kind)}"
        raise damaged(folder / CONFIG, problem, 'set "model_type" to the architecture, such as "llama"')
    if "auto_map" in values and kind not in CONFIG_MAPPING:
        raise DataError(
            f"the model in '{folder}' has an architecture, '{kind}', that only code in its directory knows, and that"
            " is never run",
            "name a model of an architecture that transformers has, such as llama",
        )
    names = values.get("architectures")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise damaged(folder / CONFIG, "architectures is no list of names")
    for where, part in _parts(values):
        _check_quantized(folder, part)
        _check_attention(folder, where, part)
        _check_sizes(folder, where, part)
        _check_names(folder, where, part)
    return values


def _parts(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the config and those inside it: `text_config`, `decoder`."""
    yield where, values
    for name, value in values.items():
        if isinstance(value, dict) and (name.endswith("_config") or name in ("encoder", "decoder")):
            yield from _parts(value, f"{where}{name}.")


def _check_quantized(folder: Path, values: Mapping[str, Any]) -> None:
    found = values.get("quantization_config")
    if found:
        method = found.get("quant_method", "an unknown method") if isinstance(found, dict) else "an unknown method"
        raise DataError(
            f"the model in '{folder}' is quantized ({method}), and llmkit works with float weights",
            "name the model that it was made of, or load it with its own library, dequantize it and save it",
        )


def _check_attention(folder: Path, where: str, values: Mapping[str, Any]) -> None:
    for key in ATTENTION:
        value = values.get(key)
        for name in value.values() if isinstance(value, dict) else [value]:
            if name is not None and name not in OWN_ATTENTION:
                problem = f"{where}{key} asks for {name!r}, and code from the hub or of another library is not loaded"
                raise damaged(folder / CONFIG, problem, f"take {key} out of it: llmkit chooses itself")


def _check_sizes(folder: Path, where: str, values: Mapping[str, Any]) -> None:
    limits = {**dict.fromkeys(LAYERS, MOST_LAYERS), **dict.fromkeys(EXPERTS, MOST_EXPERTS)}
    for key, value in values.items():
        if type(value) is int and abs(value) > limits.get(key, LARGEST):
            raise damaged(folder / CONFIG, f"{where}{key}: {value:,} is more than any model has", _edited(folder))
        if type(value) is int and key in SIZES and value < 1:
            raise damaged(folder / CONFIG, f"{where}{key}: expected at least 1, got {value:,}", _edited(folder))
    rows, pad = values.get("vocab_size"), values.get("pad_token_id")
    if type(rows) is int and type(pad) is int and not 0 <= pad < rows:
        problem = f"{where}pad_token_id: {pad:,} is no row of the {rows:,} of the embedding"
        raise damaged(folder / CONFIG, problem, "set it to null, or to the id of the padding token")


def _check_names(folder: Path, where: str, values: Mapping[str, Any]) -> None:
    """Check what is found in a table of transformers, which fails without saying where the name stands."""
    from transformers.activations import ACT2FN
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    for key in ACTIVATIONS:
        value = values.get(key)
        if value is not None and (not isinstance(value, str) or value not in ACT2FN):
            guess = nearest(value, ACT2FN) if isinstance(value, str) else ""
            raise damaged(folder / CONFIG, f"{where}{key}: unknown activation {value!r}{guess}", _edited(folder))
    types = [*ROPE_INIT_FUNCTIONS, "default", "mrope", "axial", "su"]
    for key in ROPE_FIELDS:
        for place, settings in _rope(values.get(key), f"{where}{key}"):
            kind = settings.get("rope_type", settings.get("type", "default"))
            if kind not in types:
                problem = f"{place}: unknown type {kind!r}{nearest(str(kind), types)}"
                raise damaged(folder / CONFIG, problem, _edited(folder))
            for name, value in settings.items():
                number = name in ("factor", "rope_theta", "original_max_position_embeddings") and value is not None
                if number and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                    problem = f"{place}.{name}: expected a positive number, got {value!r}"
                    raise damaged(folder / CONFIG, problem, _edited(folder))


def _rope(settings: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield rotary settings, flat or per kind of layer."""
    if isinstance(settings, dict):
        inner = {name: value for name, value in settings.items() if isinstance(value, dict)}
        for name, value in inner.items():
            yield from _rope(value, f"{place}.{name}")
        yield place, {name: value for name, value in settings.items() if name not in inner}


def read_tensors(folder: Path) -> Tensors:
    """Read the headers of a directory's weights.

    Raises:
        DataError: There are none, in no file that can be read without running it, or none of floats.
    """
    from safetensors import safe_open

    files = weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        with reading(file), safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                piece = opened.get_slice(name)
                shapes[name] = tuple(piece.get_shape())
                is_buffer = name.endswith(BUFFERS) or _is_mask(shapes[name])
                if piece.get_dtype() in INTEGERS and len(shapes[name]) > 1 and not is_buffer:
                    raise DataError(
                        f"the model in '{folder}' is quantized: {name} in {file.name} is {piece.get_dtype()},"
                        " and llmkit works with float weights",
                        "name the model that it was made of",
                    )
    return Tensors(shapes, files)


def has_weights(folder: Path) -> bool:
    """Whether there are weights in safetensors, or an index that says so."""
    return (folder / WEIGHTS).exists() or (folder / INDEX).exists()


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a directory's weights, as its index names them.

    Raises:
        DataError: One is missing or lies elsewhere, or there are none in safetensors.
    """
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        raise _no_weights(folder)
    found = read_json(folder / INDEX, "weight_map")["weight_map"]
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise damaged(folder / INDEX, "weight_map does not name a file for each weight")
    names = sorted(set(found.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise damaged(folder / INDEX, f"it names {name!r}, which is no *.safetensors beside it", f"ls -l {folder}")
        if not (folder / name).is_file():
            raise damaged(folder / INDEX, f"it names {name}, which is not there", f"ls -l {folder}")
    return [folder / name for name in names]


def _no_weights(folder: Path) -> DataError:
    found = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    pickled = [name for name in found if not name.startswith("openvino_")]  # its .bin are numbers alone
    if pickled:
        convert = f"AutoModel.from_pretrained('{folder}').save_pretrained('{folder}-safetensors')"
        return DataError(
            f"the model in '{folder}' is pickled ({pickled[0]}), and reading a pickle can run any code",
            f'where it may: python -c "from transformers import *; {convert}", then name {folder}-safetensors',
        )
    if files := sorted(folder.glob("*.gguf")):
        return DataError(f"'{folder}' holds no {WEIGHTS}, but {files[0].name}", f"name the file: --model {files[0]}")
    for pattern, runtime in RUN_BY.items():
        if files := sorted(folder.glob(pattern)):
            what = files[0].relative_to(folder).as_posix()
            return DataError(f"'{folder}' holds no {WEIGHTS}, but {what}", f"llmkit eval -s runtime={runtime} runs it")
    for pattern, name in OTHER_FORMATS.items():
        if files := sorted(folder.glob(pattern)):
            return DataError(
                f"the model in '{folder}' is in the format of {name} ({files[0].name})",
                "name the model it was made of: a directory with config.json and model.safetensors",
            )
    return DataError(f"'{folder}' holds no {WEIGHTS}", f"ls {folder}")


def check_fits(folder: Path, tensors: Tensors, values: Mapping[str, Any], parameters: int) -> None:
    """Make sure that a config describes about as many weights as there are, before any memory is taken for them.

    Args:
        folder: The directory.
        tensors: Its weights.
        values: Its config.json.
        parameters: How many the model has by its config.

    Raises:
        DataError: It describes far more.
    """
    room = 2 * tensors.elements + 2**24  # for a new head, and what is stored once and used twice
    if parameters > room:
        raise damaged(
            folder / CONFIG,
            f"it describes {parameters:,} weights ({values.get('model_type')}), and {tensors.elements:,} are there",
            _edited(folder),
        )


def check_layers(folder: Path, tensors: Tensors, values: Mapping[str, Any]) -> None:
    """Make sure that there are as many tensors as layers at least: building a layer takes milliseconds."""
    for where, part in _parts(values):
        for key in LAYERS:
            value = part.get(key)
            if type(value) is int and value > len(tensors.shapes):
                problem = f"{where}{key}: {value:,} layers, and {len(tensors.shapes):,} weights are there"
                raise damaged(folder / CONFIG, problem, _edited(folder))


def _edited(folder: Path) -> str:
    return f"was it edited? compare {folder / CONFIG} with the one that the model was published with"


def is_weight(name: str) -> bool:
    """Tell whether a name is of a weight of a numbered layer, and of no buffer that older versions saved."""
    return any(part.isdigit() for part in name.split(".")) and not name.endswith(BUFFERS)

"""Number formats of weights in GGUF: which tensor gets which, and the rounding of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmkit.core.extras import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.exporters import Form

Name = Literal[
    "float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "q3_k", "q2_k"
]


@dataclass(frozen=True)
class Format:
    """A number format.

    Attributes:
        kind: ggml's name.
        file: llama.cpp's name of a file of such weights.
        form: What is asked of it.
        others: What a row takes that does not divide by its block, the first that it divides by.
        output: What the layer of the logits takes: an error there is an error in every logit.
    """

    kind: str
    file: str
    form: Form
    others: tuple[str, ...] = ()
    output: str = ""


FORMATS: Mapping[str, Format] = {
    "float32": Format("F32", "ALL_F32", "float32"),
    "float16": Format("F16", "MOSTLY_F16", "float16"),
    "bfloat16": Format("BF16", "MOSTLY_BF16", "bfloat16"),
    "q8_0": Format("Q8_0", "MOSTLY_Q8_0", "8-bit", ("F16",)),
    "q6_k": Format("Q6_K", "MOSTLY_Q6_K", "8-bit", ("Q8_0", "F16")),
    "q5_k": Format("Q5_K", "MOSTLY_Q5_K_S", "4-bit", ("Q5_1", "F16"), "Q6_K"),
    "q5_1": Format("Q5_1", "MOSTLY_Q5_1", "4-bit", ("F16",), "Q8_0"),
    "q5_0": Format("Q5_0", "MOSTLY_Q5_0", "4-bit", ("F16",), "Q8_0"),
    "q4_k": Format("Q4_K", "MOSTLY_Q4_K_S", "4-bit", ("Q5_0", "F16"), "Q6_K"),
    "q4_1": Format("Q4_1", "MOSTLY_Q4_1", "4-bit", ("F16",), "Q8_0"),
    "q4_0": Format("Q4_0", "MOSTLY_Q4_0", "4-bit", ("F16",), "Q8_0"),
    "q3_k": Format("Q3_K", "MOSTLY_Q3_K_S", "4-bit", ("Q4_0", "F16"), "Q6_K"),
    "q2_k": Format("Q2_K", "MOSTLY_Q2_K", "4-bit", ("Q4_0", "F16"), "Q6_K"),
}
"""By what `dtype` takes; `others` as llama.cpp's own quantizer chooses them."""
EXACT = ("position_embd.weight", "token_types.weight")
"""Tables that are added up, and stay in float32 as in all published files."""
OUTPUTS = ("output.weight", "token_embd.weight")
K_QUANTS = frozenset({"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
"""Those that `gguf` reads and does not write."""


def kind_of(name: str, shape: tuple[int, ...], wanted: Format, output: str) -> str:
    """Return the format of a tensor.

    Args:
        name: llama.cpp's.
        shape: Its; the last axis are the rows' numbers.
        wanted: What was asked for.
        output: Name of the tensor that makes the logits.
    """
    if len(shape) < 2 or name in EXACT:
        return "F32"
    asked = (wanted.output or wanted.kind) if name == output else wanted.kind
    choices = (asked, *(wanted.others if asked == wanted.kind else ("Q8_0", *wanted.others[-1:])))
    return next(kind for kind in choices if shape[-1] % block(kind) == 0)


def block(kind: str) -> int:
    """Return how many numbers of a row are rounded together."""
    gguf = require("gguf")
    return int(gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0])


def rounded(weight: NDArray[np.float32], kind: str) -> NDArray[Any]:
    """Return a tensor in a number format: numbers, or the bytes of its blocks along the last axis."""
    gguf = require("gguf")
    if kind == "F32":
        return weight
    if kind == "F16":
        with np.errstate(over="ignore"):  # what float16 does not hold is found by the comparison
            return weight.astype(np.float16)
    of = gguf.GGMLQuantizationType[kind]
    libgguf = require("gguf", "libgguf") if kind in K_QUANTS else None
    found: NDArray[Any] = gguf.quantize(weight, of) if libgguf is None else libgguf.quantize_rows(weight, int(of))
    return found


def restored(data: NDArray[Any], kind: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the numbers `shape` that `rounded` has made `data` of, as `gguf` reads them."""
    gguf = require("gguf")
    if kind in ("F32", "F16"):
        return data.astype(np.float32)
    found: NDArray[np.float32] = gguf.dequantize(data, gguf.GGMLQuantizationType[kind])
    return found.reshape(shape)


def notes(kinds: Iterable[tuple[str, str, tuple[int, ...]]], wanted: Format, output: str) -> list[str]:
    """Return sentences on tensors that are in another format than was asked for.

    Args:
        kinds: Name, format and shape of each tensor.
        wanted: What was asked for.
        output: Name of the tensor that makes the logits.
    """
    other: Counter[tuple[str, int]] = Counter()
    said = []
    for name, kind, shape in kinds:
        asked = (wanted.output or wanted.kind) if name == output else wanted.kind
        if kind == asked and kind != wanted.kind:
            said.append(f"{name}, which makes the logits, is {kind}")
        elif kind not in (asked, "F32"):
            other[kind, shape[-1]] += 1
    size = block(wanted.kind)
    for (kind, width), count in other.items():
        many = "tensor is" if count == 1 else "tensors are"
        said.append(f"{count} {many} {kind}, not {wanted.kind}: rows of {width:,} do not divide by {size}")
    return said

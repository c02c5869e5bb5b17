"""What llama.cpp rounds beside the weights: what they are multiplied with, in a form that goes with theirs.

A model in torch that rounds the same differs from llama.cpp by the order of sums alone, and by the few numbers that are
rounded the other way for it. Source: ggml's `type_traits_cpu` (which form goes with which) and `quantize_row_*_ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

BLOCK, LARGE = 32, 256
"""Numbers that share a scale: of Q8_0 and Q8_1, and of Q8_K."""
MOST = 127


@contextmanager
def rounded_inputs(model: PreTrainedModel, kinds: Mapping[str, str]) -> Iterator[None]:
    """Let the layers of a model read what llama.cpp's would read.

    Args:
        model: The model, with the weights of its file.
        kinds: Number formats of weights in the file, by transformers' names.
    """
    weights = model.state_dict(keep_vars=True)
    of = {id(weights[name]): kind for name, kind in kinds.items() if name}
    with ExitStack() as stack:
        for layer in model.modules():
            rounding = ROUNDINGS.get(of.get(id(getattr(layer, "weight", None)), ""))
            if rounding is not None and isinstance(layer, nn.Linear | Conv1D):
                handle = layer.register_forward_pre_hook(partial(_rounded, rounding))
                stack.callback(handle.remove)
        yield


def _rounded(rounding: Callable[[Tensor], Tensor], _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (rounding(given[0]), *given[1:])


def _in_blocks(numbers: Tensor) -> Tensor:
    """Return numbers as Q8_0 has them: the scale of 32, in float16, makes 127 of the largest."""
    blocks = numbers.reshape(*numbers.shape[:-1], -1, BLOCK)
    scale = blocks.abs().amax(-1, keepdim=True) / MOST
    whole = (blocks * torch.where(scale > 0, 1 / scale, 0.0)).round()
    return (whole * scale.half().float()).flatten(-2)


def _in_large_blocks(numbers: Tensor) -> Tensor:
    """Return numbers as Q8_K has them: the scale of 256, in float32, makes -127 of the largest."""
    blocks = numbers.reshape(*numbers.shape[:-1], -1, LARGE)
    largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    inverse = torch.where(largest != 0, -MOST / largest, 0.0)
    whole = (blocks * inverse).round().clamp(max=MOST)
    return (whole * torch.where(inverse != 0, 1 / inverse, 0.0)).flatten(-2)


ROUNDINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"), _in_blocks),
    **dict.fromkeys(("Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K"), _in_large_blocks),
    "F16": lambda numbers: numbers.half().float(),
    "BF16": lambda numbers: numbers.bfloat16().float(),
}
"""By the number format of the weights."""

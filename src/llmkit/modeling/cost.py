"""What a training step costs: FLOPs, the rate this machine multiplies matrices at, and memory by part.

Nothing here needs weights: models may be on the meta device.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llmkit.modeling.adapters import trained_parameters
from llmkit.modeling.losses import auto_chunk_size
from llmkit.modeling.quantized import quantized_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLE_TOKENS, LEAST_TOKENS, SAMPLE_FLOPS = 2048, 128, 2 * 10**9
"""Rows of a measured product: fewer of a large matrix, for the first step waits for it."""
SAMPLE_ROWS = 8192
"""Rows of a measured matrix: of the output layer of 49,152 tokens a part, for memory once taken stays taken."""
WRAPS = ("base_layer", "token_adapter", "modules_to_save")
"""Parts of peft's layers, by which they are known without peft."""
MIN_SECONDS = 0.02
CPU_RUNTIME = 700_000_000
"""Bytes of a training process without a model: Python, torch, transformers, accelerate, scratch space of kernels."""
CUDA_RUNTIME = 600_000_000
"""Bytes of a CUDA context with the libraries' workspaces; not measured here."""
CPU_HEAP = 1.5
"""What the C library's heap holds per byte of live tensors: freed blocks leave gaps; measured, see docs/plan.md."""
CUDA_HEAP = 1.1
"""The same of torch's own allocator on GPUs; not measured here."""
OPTIMIZER_BYTES = {"adamw": 8, "adam": 8, "sgd": 4, "muon": 4, "adafactor": 0}
"""State per weight of a matrix: two float32 moments, one, or (Adafactor) only its rows' and columns' sums."""


@dataclass(frozen=True)
class Memory:
    """Peak bytes of one device by part."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    runtime: int
    checkpoint_copy: int = 0
    companions: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(vars(self).values())


def matrix_shapes(model: torch.nn.Module) -> list[tuple[int, int]]:
    """Return (rows, columns) of every matrix that each token is multiplied with; the embedding is a lookup.

    A layer that is run several times (ALBERT's) counts as often.
    """
    return [(weight.shape[0], weight.shape[1]) for weight in _matrices(model)]


def _matrices(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    config: Any = getattr(model, "config", None)
    repeats = config.num_hidden_layers // config.num_hidden_groups if hasattr(config, "num_hidden_groups") else 1
    for name, module in model.named_modules():
        if any(hasattr(module, part) for part in WRAPS) or "original_module" in name:
            continue  # peft's layer around one that has its own turn, or what another was put in the place of
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding):
            yield from [weight] * (repeats if "albert_layer_groups" in name else 1)


def flops_per_token(model: torch.nn.Module, context_length: int) -> float:
    """Return training FLOPs per token: 6 per matrix weight, for attention 12 x layers x heads x head size x context.

    The count of Chowdhery et al. 2022 (PaLM), appendix B: forward and backward, nothing recomputed. A frozen matrix has
    no gradient of its own, 4 instead of 6; below the first that is trained nothing goes back at all, which leaves 2.
    """
    config = model.config
    # Gradients of lookup tables come through all that follows, those of a tied output layer too.
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    reached = any(id(p) in tables or "trainable_tokens_delta" in name for name, p in named)
    weights, passed = 0, 0
    for weight in _matrices(model):
        reached = reached or weight.requires_grad
        weights += weight.numel()
        passed += weight.numel() * (6 if weight.requires_grad else 4 if reached else 2)
    layers, heads = getattr(config, "num_hidden_layers", 0), getattr(config, "num_attention_heads", 0)
    head_size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(heads, 1)
    attention = 12.0 * layers * heads * head_size * context_length
    return passed + attention * (passed / (6 * weights) if weights else 1.0)


def measure_peak(model: torch.nn.Module, dtype: torch.dtype) -> float:
    """Return FLOP/s of the model's own matrix products alone, in the compute dtype; takes well under a second."""
    device = next(model.parameters()).device
    if device.type == "meta":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flops, seconds = 0.0, 0.0
    shapes = matrix_shapes(model)
    for rows, columns in set(shapes):
        count = shapes.count((rows, columns))
        part = min(rows, SAMPLE_ROWS)
        tokens = min(SAMPLE_TOKENS, max(LEAST_TOKENS, SAMPLE_FLOPS // (2 * part * columns)))
        left = torch.ones(tokens, columns, dtype=dtype, device=device)
        right = torch.ones(columns, part, dtype=dtype, device=device)
        flops += count * 2.0 * rows * columns
        seconds += count * _time_product(left, right) * (rows / part) / tokens
    return flops / seconds if seconds else float("nan")


def count_embeddings(model: PreTrainedModel, *, trained: bool = False) -> int:
    """Return the parameters of lookup tables and the output layer, tied ones once; the rest is the body.

    Args:
        model: The model.
        trained: Leave out those that are frozen.
    """
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    head = model.get_output_embeddings()
    weights = {id(module.weight): module.weight for module in [*tables, *([] if head is None else [head])]}
    return sum(weight.numel() for weight in weights.values() if weight.requires_grad or not trained)


def estimate_memory(
    model: PreTrainedModel,
    *,
    num_blocks: int,
    context_length: int,
    optimizer: str,
    bf16: bool,
    cuda: bool = False,
    freeze: Callable[[PreTrainedModel], None] | None = None,
) -> Memory:
    """Return the peak memory of a training step by part: float32 weights, gradients and optimizer state.

    Frozen weights have no gradient and no state of an optimizer; those in few bits count as such.

    Args:
        model: The model, on any device.
        num_blocks: Blocks of one micro-batch.
        context_length: Tokens per block.
        optimizer: Its name in a recipe.
        bf16: Compute in bf16 by autocast, which keeps a copy of every matrix.
        cuda: For a GPU.
        freeze: Makes of a body with all its weights trained one that is trained as this model is.
    """
    parameters = sum(p.numel() for p in model.parameters())
    head = model.get_output_embeddings()
    vocab, dim = (0, 0) if head is None else head.weight.shape
    chunk = min(auto_chunk_size(dim), num_blocks * context_length)
    width = 2 if bf16 else 4
    # Per chunk logits, their softmax or its like in float32, and the error in the compute dtype; then the gradient of
    # the head, its copy in the compute dtype and the gradient of the hidden states. See modeling/losses.py.
    own = 0 if head is None else 4 * head.weight.requires_grad
    logits = chunk * vocab * (8 + width) + vocab * dim * (own + width) + num_blocks * context_length * dim * 4
    live = _live_bytes(model, num_blocks, context_length, bf16, freeze)
    return Memory(
        weights=4 * parameters + quantized_bytes(model),
        gradients=4 * trained_parameters(model),
        optimizer=optimizer_bytes(model, optimizer),
        activations=int(live * (CUDA_HEAP if cuda else CPU_HEAP)),
        logits=logits,
        runtime=CUDA_RUNTIME if cuda else CPU_RUNTIME,
    )


def optimizer_bytes(model: PreTrainedModel, optimizer: str) -> int:
    """Return the bytes of an optimizer's state, by its name in a recipe; frozen weights have none."""
    parameters, tables = trained_parameters(model), count_embeddings(model, trained=True)
    per_weight: int = OPTIMIZER_BYTES.get(optimizer, 8)
    per_table = 8 if optimizer == "muon" else per_weight  # what is looked up is left to AdamW
    return int(per_weight * (parameters - tables) + per_table * tables)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are alive, as operators make them and Python lets go of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in self.known:
                size = tensor.untyped_storage().nbytes()
                self.known.add(key)
                self.live += size
                weakref.finalize(tensor.untyped_storage(), self._free, key, size)
        self.peak = max(self.peak, self.live)
        return result

    def _free(self, key: int, size: int) -> None:
        self.live -= size
        self.known.discard(key)


def body_inputs(model: PreTrainedModel, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the body of a model is called with in training, for ids `[blocks, time]`."""
    inputs = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, : max(1, ids.shape[1] // 4)]  # spans are 15%, and their sentinels
    elif type(model).__name__.endswith(("CausalLM", "LMHeadModel")):
        inputs["position_ids"] = torch.arange(ids.shape[1]).repeat(ids.shape[0], 1)
    return inputs


def _live_bytes(
    model: PreTrainedModel,
    num_blocks: int,
    context_length: int,
    bf16: bool,
    freeze: Callable[[PreTrainedModel], None] | None,
) -> int:
    """Return the peak of activations, their gradients and bf16 copies in one pass of the body, run without data.

    Gradients of weights are in the peak as well, where they rise while activations fall.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModel

    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # the caller hears of it anyway
    frozen = None
    if freeze is not None:  # on the meta device: peft moves what it makes, and what is fake cannot be moved
        with torch.device("meta"):
            frozen = AutoModel.from_config(copy.deepcopy(model.config), dtype=torch.float32)
        freeze(frozen)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.random.fork_rng(devices=[]):
            if frozen is None:
                body = AutoModel.from_config(copy.deepcopy(model.config), dtype=torch.float32).train()
            else:
                body = frozen.to_empty(device="cpu").train()
        inputs = body_inputs(model, torch.zeros(num_blocks, context_length, dtype=torch.long))
        with _LiveBytes() as count:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                hidden = body(**inputs).last_hidden_state
            if hidden.requires_grad:
                hidden.backward(torch.zeros_like(hidden))
        return int(count.peak)


def _time_product(left: torch.Tensor, right: torch.Tensor) -> float:
    left @ right
    best, start = math.inf, time.perf_counter()
    while time.perf_counter() - start < MIN_SECONDS:
        begin = time.perf_counter()
        left @ right
        if left.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best

"""Share the positions of a block among processes: sequence parallelism by heads (Jacobs et al. 2023, "Ulysses").

Every process computes its stretch of each block. In attention alone they trade: each sends the heads it does not keep
and gets the other stretches of those it keeps, so that the whole block is attended to under one mask of documents.
Ring attention would not do: torch's takes no such mask, and packed documents would see each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist

from llmkit.core.errors import ConfigError
from llmkit.modeling.plain_head import uses_plain_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "sequence_shared"
ARCHITECTURES = frozenset((
    "arcee", "cohere", "ernie4_5", "gemma", "glm", "glm4", "gpt2", "gpt_neox", "granite", "helium", "hunyuan_v1_dense",
    "llama", "ministral3", "mistral", "mixtral", "nanochat", "nemotron", "olmo", "olmo2", "olmoe", "persimmon", "phi",
    "phi3", "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2",
))  # fmt: skip
"""Those whose logits were compared with the whole model's; others may number positions themselves, or look sideways."""
TENSORS = {"input_ids", "labels", "position_ids"}
"""What objectives of the next token collate: positions are alike, and every label stands at its own."""


class SequenceSplit:
    """Takes this process's stretch of each block, and attends over whole blocks.

    Args:
        model: A causal language model with SDPA attention; its attention is replaced until `undo`.
        group: The processes that share blocks.
        context_length: Tokens per block.
        tensor: Processes that will split the model's matrices, and its heads with them.

    Raises:
        ConfigError: The architecture or the sizes cannot be shared so.
    """

    def __init__(
        self, model: PreTrainedModel, group: dist.ProcessGroup, context_length: int, *, tensor: int = 1
    ) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

        self.group, self.size, self.rank = group, dist.get_world_size(group), dist.get_rank(group)
        check_sequence(model, self.size, context_length, tensor=tensor)
        self._mask: torch.Tensor | None = None
        self._shares = False  # what runs before the first stretch is taken runs on whole blocks
        self._model = model
        uses_plain_head(model)  # asked now: it runs a batch of its own, which is not shared
        AttentionInterface.register(ATTENTION, self._attend)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        model.set_attn_implementation(ATTENTION)

    def take(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return this process's stretch of every tensor `[blocks, context_length]`; the next attention is over these.

        Raises:
            ConfigError: An objective collates something else, such as masks.
        """
        if tensors.keys() != TENSORS:
            raise ConfigError(
                f"parallel.context {self.size}: the objective needs {', '.join(sorted(tensors.keys() ^ TENSORS))}, too",
                hint="only objectives of the next token share positions: use parallel.shard instead",
            )
        positions = tensors["position_ids"]
        number = (positions == 0).cumsum(1)
        self._shares, self._mask = True, None
        if (number > 1).any():  # otherwise a block is one document: attention is causal, and needs no square of a mask
            self._mask = (number[:, :, None] == number[:, None, :]).tril()[:, None]
        return {name: tensor.chunk(self.size, 1)[self.rank] for name, tensor in tensors.items()}

    def undo(self) -> None:
        """Give the model its own attention back."""
        self._model.set_attn_implementation("sdpa")

    def _attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return the attention's result `[blocks, stretch, heads, size]`; queries are `[blocks, heads, stretch, size]`.

        The model's own mask knows nothing of the other stretches, and is not used.
        """
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if not self._shares:
            return cast("tuple[torch.Tensor, None]", sdpa_attention_forward(
                module, query, key, value, attention_mask, **options))  # fmt: skip
        query, key, value = (_trade(states, self.group, 1, 2) for states in (query, key, value))
        found, _ = sdpa_attention_forward(module, query, key, value, self._mask, **options)
        return _trade(found, self.group, 1, 2), None


def _trade(tensor: torch.Tensor, group: dist.ProcessGroup, cut: int, join: int) -> torch.Tensor:
    """Cut a tensor along one axis, one piece for each process, and join what the others send along another."""
    traded: torch.Tensor = _Trade.apply(tensor, group, cut, join)  # type: ignore[no-untyped-call]
    return traded


class _Trade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: dist.ProcessGroup, cut: int, join: int) -> torch.Tensor:
        ctx.group, ctx.axes = group, (cut, join)
        return _traded(tensor, group, cut, join)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None, None, None]:
        cut, join = ctx.axes
        return _traded(gradients[0], ctx.group, join, cut), None, None, None


def _traded(tensor: torch.Tensor, group: dist.ProcessGroup, cut: int, join: int) -> torch.Tensor:
    sent = torch.stack(tensor.chunk(dist.get_world_size(group), cut))
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent, group=group)
    return torch.cat([*received], join)


def check_sequence(model: PreTrainedModel, size: int, context_length: int, *, tensor: int = 1) -> None:
    """Refuse what cannot be shared by so many processes, where others split matrices among them.

    Raises:
        ConfigError: The attention is not the plain causal one, or heads or positions do not divide.
    """
    config = model.config
    asked, other = f"parallel.context {size}", "use parallel.shard instead"
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(f"{asked}: {config.model_type} cannot share positions", hint=f"{other}, or one of {known}")
    if model.config._attn_implementation != "sdpa" or not _is_plain(model):
        raise ConfigError(f"{asked}: {config.model_type} has windows, rotations by length, or no SDPA", hint=other)
    heads = config.num_attention_heads
    for name, count in (("attention heads", heads),
                        ("key-value heads", getattr(config, "num_key_value_heads", None) or heads)):  # fmt: skip
        if count % (size * tensor):
            raise ConfigError(f"{asked}: {count} {name} cannot be shared by {size * tensor} processes", hint=other)
    if context_length % size:
        raise ConfigError(f"{asked}: context_length {context_length} is no multiple of {size}",
                          hint=f"--set context_length={-(-context_length // size) * size}")  # fmt: skip


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether every layer attends to all of its document, and turns positions by the same angles in every stretch."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    windows = getattr(config, "sliding_window", None) is not None and not hasattr(config, "layer_types")
    # These choose frequencies by the largest position they see, which is the stretch's own.
    changing = any(kind in str(getattr(config, "rope_parameters", None)) for kind in ("dynamic", "longrope"))
    return not kinds and not windows and not changing

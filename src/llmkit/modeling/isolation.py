"""Check that a model keeps packed documents apart: some architectures ignore positions that restart, or masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from llmkit.core.errors import ConfigError
from llmkit.data.packing import IGNORED, Batch

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary

MAX_DIFFERENCE = 1e-3
"""Isolated documents differ by rounding, 1e-6; a leak moves hidden states by 0.1 and more."""
MAX_DERIVATIVE = 1e-5
"""Isolated documents have derivatives of exactly 0; a leak in a new model of 64 dimensions has 2e-3 and more."""
LENGTH = 6
BLOCKS, DOCUMENT = 8, 12  # enough for masking 15% to meet the documents that are looked at


class Isolated(Protocol):
    """The part of an objective that the check needs."""

    layout: ClassVar[Any]

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Return the ids put around every document."""

    def collate(
        self, batch: Batch, vocabulary: Vocabulary, seed: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        """Return the tensors of a batch."""

    def loss(self, models: Models, batch: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, float]]:
        """Return the summed loss of each part."""


def check_isolation(
    model: PreTrainedModel, objective: Isolated | None = None, vocabulary: Vocabulary | None = None
) -> float:
    """Make sure that documents of one block do not see each other, with the model's attention and in float32.

    Architectures without such positions (ALiBi, recurrent states, learned offsets) let a document see the one before
    it, and nothing in the loss would tell.

    Args:
        model: The model, as it will be trained.
        objective: What it is trained to do; None stands for next tokens.
        vocabulary: The tokenizer's.

    Returns:
        The difference measured.

    Raises:
        ConfigError: The model leaks across document borders.
    """
    if objective is None or vocabulary is None:
        difference, limit, what = _logits_difference(model), MAX_DIFFERENCE, "logits differ by"
    else:
        difference, limit = measure_isolation(model, objective, vocabulary), MAX_DERIVATIVE
        what = "derivatives across the border are"
    if not difference <= limit:
        raise ConfigError(
            f"model: {model.config.model_type} lets packed documents see each other ({what} {difference:.2g}"
            " of their size)",
            hint="use --set packing=pad, or an architecture that keeps them apart, such as llama, qwen3, gpt2 or bert",
        )
    return difference


def measure_isolation(
    model: PreTrainedModel,
    objective: Isolated,
    vocabulary: Vocabulary,
    batch: Batch | None = None,
    *,
    seed: int = 0,
) -> float:
    """Return how strongly the loss of a document hangs on other documents of its block, as a share of its own.

    Every second document of a block is filled with one token. The loss of the targets between them is differentiated
    by the embedding of every position: it must not depend on those of that token. Losses themselves would not do: in a
    new model all are about alike, whatever it sees.

    Args:
        model: The model; its parameters, their gradients and the random state are left as they are.
        objective: Blocks of its `pair` layout hold one pair each, so that there is nothing to keep apart: 0.
        vocabulary: The tokenizer's.
        batch: Blocks of the run's own data, as a packer gives them; None makes some of random tokens.
        seed: Of the random tokens and of what the objective draws.

    Returns:
        The largest derivative by a filled position, as a share of the largest by another.

    Raises:
        ConfigError: The model takes no positions or masks of documents, or no block of the batch has two documents.
    """
    if objective.layout == "pair":
        return 0.0
    filler = int(vocabulary.ordinary[0])
    # As a special token it is neither masked nor put in the place of another.
    marked = replace(vocabulary, ids={**vocabulary.ids, "": filler})
    made = _random_blocks(objective, vocabulary, seed) if batch is None else batch
    tensors, _ = objective.collate(_filled(made, vocabulary), marked, seed)
    # Specials are the same in all documents: whose they are cannot be told from a label.
    tensors["labels"][_as_tensor(np.isin(tensors["labels"].numpy(), marked.special))] = IGNORED
    if not (tensors["labels"] >= 0).any() or not (tensors["input_ids"] == filler).any():
        raise ConfigError("no block holds two documents, so there is nothing to keep apart", "--set packing=stream")
    other, own = 0.0, 0.0
    for ids, gradient in _embedding_gradients(model, objective, tensors):
        size = gradient.abs().amax(-1)
        other = max(other, float(size.where(ids == filler, 0).max()))
        own = max(own, float(size.where(ids != filler, 0).max()))
    return other / own if own else float("nan")


def _embedding_gradients(
    model: PreTrainedModel, objective: Isolated, tensors: dict[str, torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the ids of every call of the embedding and the derivative of the loss by what it returned."""
    import torch

    from llmkit.modeling.companions import Models

    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watch(_: Any, arguments: tuple[torch.Tensor], result: torch.Tensor) -> torch.Tensor:
        leaf = result.detach().requires_grad_()
        calls.append((arguments[0], leaf))
        return leaf

    was_training = model.training
    model.eval()
    weight = model.get_input_embeddings().weight  # T5's encoder and decoder have modules of their own for it
    hooks = [
        module.register_forward_hook(watch)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) and module.weight is weight
    ]
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            parts = objective.loss(Models(model), {name: tensor.to(model.device) for name, tensor in tensors.items()})
            # Unused: a loss may look into the model first to see what it is like.
            gradients = torch.autograd.grad(parts["tokens"][0], [leaf for _, leaf in calls], allow_unused=True)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"model: {model.config.model_type} cannot keep packed documents apart: {error}",
            hint="use an architecture that takes position_ids, such as llama, qwen3, gpt2 or bert",
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return [(ids, found) for (ids, _), found in zip(calls, gradients, strict=True) if found is not None]


def _random_blocks(objective: Isolated, vocabulary: Vocabulary, seed: int) -> Batch:
    """Return blocks of two documents of ordinary tokens."""
    prefix, suffix = objective.around(vocabulary)
    generator = np.random.default_rng(seed)
    drawn = generator.choice(vocabulary.ordinary, (BLOCKS, 2, DOCUMENT))
    wrap = [np.broadcast_to(np.array(ids, np.int64), (BLOCKS, 2, len(ids))) for ids in (prefix, suffix)]
    documents = np.concatenate([wrap[0], drawn, wrap[1]], 2)
    labels = np.concatenate([documents[:, :, 1:], np.full((BLOCKS, 2, 1), IGNORED)], 2)
    ids = documents.reshape(BLOCKS, -1)
    return Batch(
        input_ids=ids,
        labels=labels.reshape(BLOCKS, -1),
        position_ids=np.tile(np.arange(documents.shape[2]), (BLOCKS, 2)),
        num_tokens=np.full(BLOCKS, ids.shape[1]),
        numbers=np.arange(BLOCKS),
    )


def _filled(batch: Batch, vocabulary: Vocabulary) -> Batch:
    """Return the batch with every second document of a block, from the first on, made of one token no other has."""
    filler, instead = vocabulary.ordinary[:2]
    other = (batch.position_ids == 0).cumsum(1) % 2 == 1

    def fill(ids: np.ndarray, where: np.ndarray) -> np.ndarray:
        change = where & other & ~np.isin(ids, vocabulary.special)
        return np.where(change, filler, np.where(where & (ids == filler), instead, ids))

    everywhere = np.ones_like(other)
    return batch.replace(input_ids=fill(batch.input_ids, everywhere), labels=fill(batch.labels, batch.labels >= 0))


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(array)


def _logits_difference(model: PreTrainedModel) -> float:
    """Return how much a document inside a packed block differs from the document alone, as a share of its logits."""
    import torch

    was_training = model.training
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ids = torch.randint(0, model.config.get_text_config().vocab_size, (1, 2 * LENGTH), device=model.device)
        positions = torch.arange(LENGTH, device=model.device).repeat(2)[None]
        try:
            packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, LENGTH:]
        except TypeError:
            raise ConfigError(
                f"model: {model.config.model_type} takes no position_ids, so packed documents cannot be kept apart",
                hint="use an architecture that does, such as llama, qwen3 or gpt2",
            ) from None
        alone = model(input_ids=ids[:, LENGTH:], use_cache=False).logits
    model.train(was_training)
    return float((packed - alone).abs().max() / alone.abs().max().clamp_min(1e-9))

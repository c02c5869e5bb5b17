"""A model of transformers that is in memory, such as one that is being trained: what it is, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmkit.runtimes import (
    BATCH_TOKENS,
    Embed,
    Facts,
    Fill,
    Generate,
    Label,
    Logits,
    Losses,
    Request,
    Running,
    Score,
    ScoreParts,
    Span,
    Tags,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head
    from llmkit.runtimes._heads import HeadAnswers
    from llmkit.runtimes._places import Places, Speller

ONE_EACH = "beside padded rows the model answers otherwise"

CORE_TOKENS = 512
"""Tokens that a core of a CPU computes at a time. Perplexity of a Llama of 6 layers of 256 with one thread, CPU seconds
for the same texts: 512 5.6, 1,024 6.2, 2,048 7.1, 8,192 11.0; each text alone 8.0."""
QUEUE = 16
"""Batches of continuations that are taken at a time: where one ends, the next begins."""
POSITIONS = 2048
"""Tried of a model that has no limit of its own."""


class InMemory(Running):
    """A model of transformers, in eval mode whenever it is asked.

    Attributes:
        rounded: What its weights were rounded to, where that is not their `dtype`.

    Args:
        model: The model, not wrapped. Its weights may change between two calls, and are never changed.
        tokenizer: Its tokenizer.
        where: The directory it came from, for errors.
        ends: Ids that end a text; those of its generation config by default.
        autocast: Number format to compute in where it is not that of the weights.
        trained: It is being trained: nothing that it computes may stay behind in it, and numbers that are not finite
            are found by the training.
        frozen: Its weights never change, so that what is known of one batch helps the next.
    """

    tokenizer: PreTrainedTokenizerFast
    gives_parts = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        where: str = "",
        ends: Sequence[int] | None = None,
        autocast: torch.dtype | None = None,
        trained: bool = False,
        frozen: bool = False,
    ) -> None:
        from llmkit.runtimes._facts import ends_of
        from llmkit.runtimes._sharing import Beginnings

        self.model, self.tokenizer, self.where = model, tokenizer, where
        self.ends = ends_of(model) if ends is None else tuple(ends)
        self.autocast, self.trained, self.rounded = autocast, trained, ""
        self.beginnings = Beginnings() if frozen else None
        self.judges: dict[str, bool] = {}  # whether an objective, by what it is, tells targets apart

    @property
    def config(self) -> PreTrainedConfig:
        """The model's."""
        config: PreTrainedConfig = self.model.config
        return config

    @cached_property
    def head(self) -> Head:
        """What stands on its body."""
        from llmkit.modeling.heads import head_of

        return head_of(self.model.config)

    @cached_property
    def heads(self) -> HeadAnswers:
        """What answers labels, tags, spans and vectors."""
        from llmkit.modeling.pooling import Pooling, pooling_of
        from llmkit.runtimes._heads import HeadAnswers

        pooling = pooling_of(Path(self.where)) if self.head.answer == "vector" and self.where else Pooling()
        return HeadAnswers(self.model, self.tokenizer, self.head, self.where, pooling)

    @cached_property
    def facts(self) -> Facts:  # type: ignore[override]
        """What it is."""
        import torch
        import transformers

        from llmkit.runtimes._facts import facts_of

        return facts_of(
            self.config, self.head, self.tokenizer, ends=self.ends,
            prompts=self.heads.pooling.sides() if self.head.answer == "vector" else {},
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
        )  # fmt: skip

    def takes(self, request: Request) -> str | None:
        """Return why not: every kind needs its head."""
        from llmkit.runtimes._refusing import why_not

        return why_not(self, request)

    def tokens(self, request: Request) -> int:
        """Return the positions of a row."""
        if isinstance(request, Score):
            return len(request.context) + len(request.target) - 1
        if isinstance(request, Generate):
            return len(request.prompt) + request.budget
        if isinstance(request, Losses):
            return sum(
                value.size for name, value in request.inputs.items() if name in ("input_ids", "target_positions")
            )
        return len(request.ids) if isinstance(request, Logits | Fill) else len(self.heads.encoded(request).ids)

    def cuts(self, request: Request) -> bool:
        """Tell whether the end of a text for a head, or of a question about one, is not read."""
        return isinstance(request, Label | Tags | Span | Embed) and self.heads.encoded(request).cut

    def alone(self, kind: type[Request]) -> str:
        """Return why rows are run one by one; measured on the model, once."""
        if issubclass(kind, Score):
            return "" if self._scores_alike else ONE_EACH
        if kind is Generate:
            return "" if self.refills or self._writes_alike else ONE_EACH
        return "" if kind in (Logits, Fill, Losses) else self._heads_alone

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers; see the base class."""
        if self._may_refill(requests):
            found = dict(one for each in self.stream(requests) for one in each)
            return [found[number] for number in range(len(requests))]
        with self.computing():
            return _answering(type(requests[0]))(self, requests) if requests else []

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Any]]]:
        """Yield continuations as they end, other answers together."""
        if self._may_refill(requests):
            from llmkit.runtimes._refilling import Refilling

            yield from Refilling(self, cast("Sequence[Generate]", requests), BATCH_TOKENS).run()
        else:
            yield from super().stream(requests)

    def conditions(self) -> dict[str, Any]:
        """Return device, threads, number format and versions."""
        import torch

        device = self.model.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        precision = self.rounded or str(self.autocast or self.model.dtype).removeprefix("torch.")
        return {"device": name, "threads": torch.get_num_threads(), "precision": precision, **self.facts.versions}

    def peak_bytes(self) -> int | None:
        """Return the GPU's, else this process's."""
        import torch

        from llmkit.core.peak import peak_bytes

        if self.model.device.type != "cuda":
            return peak_bytes()
        found = int(torch.cuda.max_memory_allocated(self.model.device))
        torch.cuda.reset_peak_memory_stats(self.model.device)
        return found

    def close(self) -> None:
        """Let go of the model."""
        import torch

        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def batch_tokens(self, kind: type[Request]) -> int:
        """Return fewer where each core's share would not stay in its cache; writing has one token a row at a time."""
        import torch

        if kind is Generate and self.refills:
            return QUEUE * BATCH_TOKENS
        if self.model.device.type != "cpu" or kind is Generate:
            return BATCH_TOKENS
        return CORE_TOKENS if self.lanes(kind) > 1 else min(CORE_TOKENS * torch.get_num_threads(), BATCH_TOKENS)

    def lanes(self, kind: type[Request]) -> int:
        """Return one for each core of a CPU; `generate` and hooks are not made for threads, trainings are not known."""
        from llmkit.runtimes._lanes import lanes_of

        if self.trained or kind in (Generate, Fill, Losses):
            return 1
        self.alone(kind)  # measured once, before there are threads
        return lanes_of(self.model)

    def computing(self) -> AbstractContextManager[Any]:
        """Return the modes that everything is computed in."""
        import torch

        stack = ExitStack()
        # Tensors of inference mode that a module keeps, such as rotary tables, could not be trained with afterwards.
        stack.enter_context(torch.no_grad() if self.trained else torch.inference_mode())
        other = self.autocast not in (None, torch.float32)
        stack.enter_context(torch.autocast(self.model.device.type, dtype=self.autocast, enabled=other))
        return stack

    @cached_property
    def shares_prefixes(self) -> bool:  # type: ignore[override]
        """Whether it does; measured on the model."""
        from llmkit.modeling.plain_head import uses_plain_head
        from llmkit.runtimes._sharing import shares_alike

        if self.head.answer != "tokens" or self.model.config.is_encoder_decoder or not uses_plain_head(self.model):
            return False
        with self.computing():
            return shares_alike(self.model, self.facts.positions or POSITIONS)

    def places(self, most: int, tokens: int) -> Places | None:
        """Return places that step together or, where neighbours change what is computed, one by one."""
        from llmkit.runtimes._torch_places import places_of

        return places_of(self, most, tokens)

    def token_bytes(self) -> int:
        """Return those of all layers."""
        from llmkit.runtimes._torch_places import token_bytes

        return token_bytes(self.model)

    def speller(self) -> Speller:
        """Return what spells by the tokenizer's decoder."""
        from llmkit.runtimes._spelling import TokenSpeller

        return TokenSpeller(self.tokenizer)

    @property
    def refills(self) -> bool:
        """Whether a continuation that ends makes room for another; not in training, where models may be in parts."""
        return not self.trained and self.autocast is None and self.shares_prefixes

    def _may_refill(self, requests: Sequence[Request]) -> bool:
        asks = bool(requests) and isinstance(requests[0], Generate)
        return asks and self.refills and not any(one.inputs for one in requests)

    @cached_property
    def _heads_alone(self) -> str:
        return self.heads.alone()

    @cached_property
    def _scores_alike(self) -> bool:
        from llmkit.runtimes._neighbours import scores_alike

        # Where rows share their beginnings they have been padded beside each other too.
        return self.shares_prefixes or scores_alike(self.model, self.facts.positions or POSITIONS)

    @cached_property
    def _writes_alike(self) -> bool:
        from llmkit.runtimes._neighbours import writes_alike

        return writes_alike(self.model, self.facts.positions or POSITIONS)


def _answering(kind: type[Request]) -> Callable[[InMemory, Any], list[Any]]:
    """Return the function that answers a kind of requests."""
    from llmkit.runtimes import _filling, _logits, _losses, _scoring, _writing

    functions: dict[type[Request], Callable[[InMemory, Any], list[Any]]] = {
        Logits: _logits.logits, Score: _scoring.scores, ScoreParts: _scoring.score_parts, Fill: _filling.fills,
        Losses: _losses.losses, Generate: _writing.written,
    }  # fmt: skip
    return functions.get(kind, _of_its_head)


def _of_its_head(running: InMemory, requests: Sequence[Request]) -> list[Any]:
    """Return labels, tags, spans or vectors."""
    if len(requests) > 1 and running.alone(type(requests[0])):
        return [answer for request in requests for answer in running.heads.answer([request])]
    return running.heads.answer(requests)

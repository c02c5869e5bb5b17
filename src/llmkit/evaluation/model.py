"""A model under evaluation: log-likelihoods of given tokens and greedy continuations, in batches.

Everything is computed in float32, so that a difference between two models is theirs and not the rounding's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.data.clock import date_of, set_date
from llmkit.evaluation.neighbours import scores_alike, writes_alike
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.coverage import Coverage, coverage_of
from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.load import check_vocabulary, load_model
from llmkit.modeling.tokenizer import load_tokenizer, special_ids, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

BATCH_TOKENS = 8192
ALONE = {"batches": "one row each"}
"""What a result says of a model that answers differently beside padded rows, as recurrent states do."""
BATCH_LOGITS = 2**27
"""Logits held at a time at most, 512 MB in float32: a large vocabulary makes the batches smaller."""


class _Finite:
    """A logits processor that changes nothing, and stops at logits of which none can be the greatest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, _ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        greatest = logits.amax(-1)  # NaN where any is; some models set those of unused ids to minus infinity
        if not greatest.isfinite().all():
            raise NotFiniteError(f"the model in '{self.path}' gives logits that are NaN or infinite")
        return logits


@dataclass
class EvalModel:
    """A loaded model and its tokenizer.

    Attributes:
        path: Where it came from.
        model: The model, in eval mode.
        tokenizer: Its tokenizer.
        start: The id that a text is scored from: BOS, else EOS.
        max_length: Positions the model has.
    """

    path: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    start: int
    max_length: int

    @classmethod
    def load(cls, path: Path, date: str | None = None) -> EvalModel:
        """Load a model directory; on a GPU if there is one.

        Args:
            path: The directory.
            date: What its chat template takes for today, if training has recorded nothing.

        Raises:
            DataError: No model, or not a causal one: an encoder gives no probability to a text.
        """
        model, tokenizer = load_model(path, CausalLM()), load_tokenizer(path)
        if date_of(tokenizer) is None:
            set_date(tokenizer, date)
        check_vocabulary(model, vocabulary_size(tokenizer), path)
        limit = position_limit(model.config) or 2048
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(path, model.to(device), tokenizer, special_ids(tokenizer).bos, limit)

    @cached_property
    def coverage(self) -> Coverage:
        """What the tokenizer does not read of texts."""
        return coverage_of(self.tokenizer)

    @cached_property
    def scores_in_batches(self) -> bool:
        """Whether rows are scored together; a model that answers otherwise beside padded rows gets one at a time."""
        return scores_alike(self.model, self.max_length)

    @cached_property
    def writes_in_batches(self) -> bool:
        """Whether rows are continued together."""
        return writes_alike(self.model, self.max_length)

    @torch.inference_mode()
    def log_likelihoods(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        """Return, per (context ids, target ids), the summed log-probability of the targets in nats.

        Context and targets together must fit into `max_length + 1` ids: the last one is only a target.

        Raises:
            NotFiniteError: One is not finite; at the first such batch.
        """
        results = [0.0] * len(requests)
        most = min(BATCH_TOKENS, BATCH_LOGITS // self.model.config.vocab_size) if self.scores_in_batches else 0
        for batch in _batches(requests, most):
            for index, value in zip(batch, self._score([requests[i] for i in batch]), strict=True):
                if not math.isfinite(value):
                    raise NotFiniteError(f"the model in '{self.path}' gives a text the log-likelihood {value}")
                results[index] = value
        return results

    def _score(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        rows = [[*context, *targets] for context, targets in requests]
        width = max(len(row) for row in rows) - 1
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        labels = torch.full((len(rows), width), -100)
        for i, (row, (context, _)) in enumerate(zip(rows, requests, strict=True)):
            # Padding stands on the right, where causal attention never looks: no mask is needed.
            ids[i, : len(row) - 1] = torch.tensor(row[:-1])
            labels[i, len(context) - 1 : len(row) - 1] = torch.tensor(row[len(context) :])
        device = self.model.device
        logits = self.model(input_ids=ids.to(device), use_cache=False).logits.float()
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten().to(device), reduction="none", ignore_index=-100)
        return [-value for value in losses.view(len(rows), width).double().sum(1).tolist()]

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """Return the ids of the greedy continuation of each prompt, up to the token that ends it.

        Raises:
            NotFiniteError: Logits are not finite, so that none is the greatest.
        """
        results: list[list[int]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        size = 32 if self.writes_in_batches else 1
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            for index, ids in zip(batch, self._continue([prompts[i] for i in batch], max_new_tokens), strict=True):
                results[index] = ids
        return results

    def _continue(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        from transformers import GenerationConfig, LogitsProcessorList

        width = max(len(prompt) for prompt in prompts)
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = self.model.device
        # A fresh config: the model's own may hold penalties and samplers, and then it would not be greedy.
        greedy = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad,
            eos_token_id=self.model.generation_config.eos_token_id,
        )  # fmt: skip
        own, self.model.generation_config = self.model.generation_config, greedy
        try:
            output = self.model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device),
                logits_processor=LogitsProcessorList([_Finite(self.path)]),
            )  # fmt: skip
        finally:
            self.model.generation_config = own
        # By ids: the token that ends a turn may not be marked special, and would stand in the text.
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        return [
            row[: next((place for place, i in enumerate(row) if i in ends), len(row))]
            for row in output[:, width:].tolist()
        ]


def rolling_requests(ids: Sequence[int], *, start: int, max_length: int) -> list[tuple[list[int], list[int]]]:
    """Cut a text into (context, targets) so that every id is a target exactly once.

    As lm-eval does: the first id is predicted from `start`; windows have `max_length` targets and one id of context;
    the last window is shifted left to full length, so that only the tail not yet scored is scored, with more context.
    """
    whole = [start, *ids]
    requests = []
    for begin in range(0, len(ids), max_length):
        end = min(begin + max_length, len(ids))
        left = max(0, end - max_length)
        requests.append((whole[left : begin + 1], whole[begin + 1 : end + 1]))
    return requests


def _batches(requests: Sequence[tuple[Sequence[int], Sequence[int]]], most: int) -> list[list[int]]:
    """Group request numbers of like length into batches of at most `most` padded tokens."""
    order = sorted(range(len(requests)), key=lambda i: -(len(requests[i][0]) + len(requests[i][1])))
    batches: list[list[int]] = []
    for index in order:
        length = len(requests[index][0]) + len(requests[index][1])
        first = batches[-1][0] if batches else None
        widest = len(requests[first][0]) + len(requests[first][1]) if first is not None else 0
        if first is None or widest * (len(batches[-1]) + 1) > max(most, length):
            batches.append([])
        batches[-1].append(index)
    return batches

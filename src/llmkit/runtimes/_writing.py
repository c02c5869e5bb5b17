"""Continuations of prompts: rows of a batch that have ended make room for the others to go on faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Written
from llmkit.runtimes._lines import Line
from llmkit.runtimes._sharing import cache_of

if TYPE_CHECKING:
    from llmkit.runtimes._in_memory import InMemory

LEFT = 0.5
"""A batch goes on without the rows that have ended as soon as no greater share of it is left."""


def written(running: InMemory, requests: Sequence[Generate]) -> list[Written]:
    """Return the continuation of each prompt.

    Raises:
        NotFiniteError: Logits are not finite, so that none is the greatest.
    """
    found: list[Any] = [None] * len(requests)
    together: dict[Any, list[int]] = defaultdict(list)
    for place, one in enumerate(requests):
        apart = place if len(requests) > 1 and (one.inputs or running.alone(Generate)) else -1
        together[one.temperature, one.stop, one.exact, apart].append(place)
    for places in together.values():
        job = _Writing(running, [requests[i] for i in places])
        for place, new in zip(places, job.run(), strict=True):
            found[place] = new
    return found


class _Writing:
    """Prompts that are continued together: of one temperature, with the same stop texts.

    It is the stopping criterion and the logits processor of its own calls of `generate`, whose settings are nothing
    but a length: the model's own config may hold penalties and samplers, and greedy would not be greedy.
    """

    def __init__(self, running: InMemory, requests: Sequence[Generate]) -> None:
        self.running, self.requests = running, requests
        self.model = running.model
        self.pad = running.tokenizer.pad_token_id or 0
        self.lines = [Line(one, running.tokenizer, running.ends, self.model.device) for one in requests]
        self.temperature = requests[0].temperature
        self.rows = [row for row, line in enumerate(self.lines) if not line.ended]
        """Those that the model is working on, ended or not, in the order of its batch."""

    def run(self) -> list[Written]:
        """Write until every row has ended."""
        width = max(len(one.prompt) for one in self.requests)
        prompts = [list(self.requests[row].prompt) for row in self.rows]
        pads = [[self.pad] * (width - len(prompt)) for prompt in prompts]
        ones = [[1] * len(prompt) for prompt in prompts]
        empty = [[0] * len(pad) for pad in pads]
        if self.model.config.is_encoder_decoder:  # its positions count from the left, as in training
            pads, prompts, empty, ones = prompts, pads, ones, empty
        ids = self._tensor([pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
        mask = self._tensor([none + one for none, one in zip(empty, ones, strict=True)])
        more = {
            name: torch.as_tensor(value, device=self.model.device)[None]
            for name, value in self.requests[0].inputs.items()
        }
        while self.rows:
            output = self._generate(ids, mask, more)
            going = [place for place, row in enumerate(self.rows) if not self.lines[row].ended]
            if not going:
                break
            ids, chosen = output.sequences[going], torch.tensor(going, device=self.model.device)
            mask = torch.cat([mask[chosen], mask.new_ones(len(going), ids.shape[1] - mask.shape[1])], 1)
            more = self._kept(output, chosen)
            self.rows = [self.rows[place] for place in going]
        return [line.written() for line in self.lines]

    def __call__(self, ids: torch.Tensor, _scores: torch.Tensor | None) -> torch.Tensor:
        """Note the newest token of each row and tell which have ended; all, if it pays to go on without those."""
        for row, newest in zip(self.rows, ids[:, -1].tolist(), strict=True):
            if not self.lines[row].ended:
                self.lines[row].add(newest)
        ended = [self.lines[row].ended for row in self.rows]
        is_few = ended.count(False) <= LEFT * len(ended) and not self.model.config.is_encoder_decoder
        return torch.tensor([True] * len(ended) if is_few else ended, device=ids.device)

    def process(self, _ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Stop at logits of which none can be the greatest, and draw where that is asked for."""
        if not self.running.trained:
            greatest = logits.amax(-1)  # NaN where any is; some models set those of unused ids to minus infinity
            if not greatest.isfinite().all():
                raise NotFiniteError(f"the model in '{self.running.where}' gives logits that are NaN or infinite")
        if not self.temperature:
            return logits
        drawn = torch.stack([self.lines[row].draw(logits[i]) for i, row in enumerate(self.rows)])
        return torch.full_like(logits, -torch.inf).scatter_(1, drawn, 0.0)

    def _generate(self, ids: torch.Tensor, mask: torch.Tensor, more: dict[str, Any]) -> Any:
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        most = max(self.requests[row].budget - len(self.lines[row].new) for row in self.rows)
        settings = GenerationConfig(
            max_new_tokens=most, do_sample=False, use_cache=True, pad_token_id=self.pad, return_dict_in_generate=True
        )
        own = self.model.generation_config
        if self.model.config.is_encoder_decoder:
            settings.decoder_start_token_id = own.decoder_start_token_id
            settings.bos_token_id = own.bos_token_id
            # Not settings of taste: the language to write, and the padding that Marian's decoder starts from.
            settings.forced_bos_token_id, settings.bad_words_ids = own.forced_bos_token_id, own.bad_words_ids
        self.model.generation_config = settings
        try:
            return self.model.generate(
                input_ids=ids, attention_mask=mask, logits_processor=LogitsProcessorList([self.process]),
                stopping_criteria=StoppingCriteriaList([self]), **more,
            )  # fmt: skip
        finally:
            self.model.generation_config = own

    @staticmethod
    def _kept(output: Any, chosen: torch.Tensor) -> dict[str, Any]:
        """Return what has been computed of the rows that go on; nothing of a cache that cannot leave rows out."""
        name, cache = cache_of(output)
        try:
            cache.batch_select_indices(chosen)
        except (AttributeError, NotImplementedError):
            return {}
        return {name: cache}

    def _tensor(self, rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor(rows, device=self.model.device)

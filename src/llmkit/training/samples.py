"""Texts generated at every validation: `{"step": 500, "prompt": "The", "text": " sea was"}` in samples.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from llmkit.core.config import Config
from llmkit.data.artifacts import Model
from llmkit.runtimes import Generate
from llmkit.runtimes._in_memory import InMemory
from llmkit.training.metrics import RowsFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PROMPT_TOKENS = 8
"""Tokens of a held-out document that a default prompt has."""


class SamplesConfig(Config):
    """Short texts that the model writes at every validation (causal models only)."""

    count: int = Field(3, ge=0)
    """How many; 0 turns them off. Ignored where `prompts` are given, except for 0."""
    max_new_tokens: int = Field(48, ge=1, le=1024)
    """Tokens generated after each prompt, at most."""
    prompts: list[str] = []
    """What they begin with. Default: nothing (the BOS token alone), then the first words of held-out documents."""
    temperature: float = Field(0.0, ge=0)
    """0 takes the likeliest token each time; 1 samples from the model's distribution, the same at every rerun."""


def prompt_ids(
    config: SamplesConfig,
    tokenizer: PreTrainedTokenizerFast,
    *,
    prefix: Sequence[int],
    documents: Iterable[Sequence[int]] = (),
) -> list[list[int]]:
    """Return the ids that each sample begins with, none of them empty.

    Args:
        config: Which and how many.
        tokenizer: Turns the prompts of the config into ids.
        prefix: Ids that begin every training document: the objective's `around(vocabulary)[0]`.
        documents: Ids of held-out documents, without special tokens; only the first few are read.
    """
    if not config.count:
        return []
    start = list(prefix)
    if config.prompts:
        wanted = [start + tokenizer(text, add_special_tokens=False).input_ids for text in config.prompts]
        return [ids for ids in wanted if ids]
    found = [start] if start else []
    for document in documents:
        if len(found) == config.count:
            break
        if len(document):
            found.append(start + [int(token) for token in document[:PROMPT_TOKENS]])
    return found


class Sampler:
    """Generate from fixed prompts and append to samples.jsonl; weights, mode and random state stay as they were.

    Of several processes with whole weights only rank 0 needs one; with sharded weights all of them call it
    alike, and only rank 0 is given a directory.

    Args:
        model: The unwrapped model; the generation is cached and eager.
        tokenizer: Its tokenizer.
        prompts: Ids from `prompt_ids`; without any, nothing happens.
        config: How long, and at which temperature.
        max_positions: The model's limit: prompts are cut from the left to leave room for one new token at least.
        dtype: Compute type of the training, such as `torch.bfloat16`; None is that of the weights.
        seed: Seed of the run.
        directory: Where samples.jsonl is; None writes nothing.
        step: Samples at this step and later are removed: they are made again.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        prompts: list[list[int]],
        config: SamplesConfig,
        *,
        max_positions: int,
        dtype: torch.dtype | None = None,
        seed: int = 0,
        directory: Path | None = None,
        step: int = 0,
    ) -> None:
        self.model, self.tokenizer, self.config, self.seed = model, tokenizer, config, seed
        ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        self.running = InMemory(model, tokenizer, ends=ends, autocast=dtype, trained=True)
        self.max_new_tokens = max(1, min(config.max_new_tokens, max_positions - 1))
        room = max_positions - self.max_new_tokens
        self.prompts = [ids[-room:] for ids in prompts]
        self.file = (
            RowsFile(directory / Model.SAMPLES, lambda row: row["step"] < step) if directory and prompts else None
        )

    def sample(self, step: int) -> list[dict[str, Any]]:
        """Return and write one row per prompt: `step`, `prompt` and `text`, the continuation alone."""
        if not self.prompts:
            return []
        rows = []
        with undisturbed(self.model):
            for number, ids in enumerate(self.prompts):
                seed = int(np.random.SeedSequence([self.seed, step, number]).generate_state(1)[0])
                request = Generate(tuple(ids), self.max_new_tokens, temperature=self.config.temperature, seed=seed)
                (new,) = self.running.answer([request])  # one by one: a batch's sums are other ones in bfloat16
                prompt = self.tokenizer.decode(ids, skip_special_tokens=True)
                rows.append({"step": step, "prompt": prompt, "text": new.text})
        for row in rows if self.file else []:
            self.file.write(row)  # type: ignore[union-attr]
        return rows


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Ask a model in the midst of its training: neither its mode nor the random state are others after."""
    import torch

    training = model.training
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(training)

"""Span corruption: fill in what sentinels stand for (Raffel et al. 2020, "T5", section 3.1.4).

tokens   Thank you for inviting me to your party last week
inputs   Thank you <extra_id_0> me to your party <extra_id_1> week EOS
targets  <extra_id_0> for inviting <extra_id_1> last EOS
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.packing import IGNORED
from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, DocumentObjective, Packing, Tensors
from llmkit.objectives.documents._blocks import pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch
    from llmkit.modeling.vocabulary import Vocabulary

ROUND_TO = 8
"""Blocks with many documents need a little more room; few different lengths mean few compiled graphs."""


class SpanCorruption(DocumentObjective):
    """Replace spans of each document by sentinels `<extra_id_0>`, `<extra_id_1>` ...; the decoder says what they were.

    Every document, or piece of one, in a block is corrupted as if it were alone, with sentinels from 0 and an EOS of
    its own, and isolated by masks in encoder, decoder and between them.
    """

    head: ClassVar[str] = "sequence_to_sequence"

    noise_density: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens to replace."""
    mean_span: float = Field(3.0, ge=1)
    """Mean length of a replaced span, in tokens."""

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer without EOS, PAD (what a decoder starts from) or sentinels."""
        vocabulary.need("eos", self.type_name)
        vocabulary.need("pad", self.type_name)
        self._sentinels(vocabulary, 1)

    def check_sentinels(self, vocabulary: Vocabulary, context_length: int) -> None:
        """Refuse fewer sentinels than a document as long as a block needs."""
        self._sentinels(vocabulary, self._counts(self.raw_length(context_length))[1])

    def check_blocks(
        self, model: PreTrainedModel, vocabulary: Vocabulary, *, context_length: int, packing: Packing
    ) -> None:
        """Refuse fewer sentinels than a long document needs, packing with learned positions, encoders without masks."""
        from llmkit.objectives.documents._blocks import depends_on_place

        self.check_sentinels(vocabulary, context_length)
        if depends_on_place(model, min(6, context_length // 2)) and packing != "pad":
            raise ConfigError(
                f"model: {model.config.model_type} numbers positions through the whole block, not by document",
                "use --set packing=pad, or an architecture with relative positions, such as t5",
            )

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:  # noqa: ARG002 - `collate` adds EOS
        """Return nothing: EOS ends the inputs and the targets, not the text."""
        return [], []

    def raw_length(self, context_length: int) -> int:
        """Return how many tokens become at most `context_length` encoder inputs: 568 for 512.

        T5's compute_input_and_target_lengths.
        """
        raw = context_length
        while self.lengths(raw + 1)[0] <= context_length:
            raw += 1
        inputs, targets = self.lengths(raw)
        # Half noise makes targets one longer than inputs; T5 wants them alike.
        return raw - 1 if self.noise_density == 0.5 and targets > inputs else raw

    def lengths(self, raw: int) -> tuple[int, int]:
        """Return the lengths of inputs and targets, EOS included, of `raw` tokens: (512, 114) of 568."""
        noise, spans = self._counts(raw)
        return raw - noise + spans + 1, noise + spans + 1

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return the tensors of a batch.

        Returns:
            `input_ids` and `positions` `[blocks, inputs]`, `labels` and `target_positions` `[blocks, targets]`, int64.
            Positions restart with every document, and at padding; `inputs` is as long as one document of the block's
            length needs, or more where many documents do.
        """
        import torch

        limit = self.lengths(batch.input_ids.shape[1])
        pad, eos = (vocabulary.need(role, self.type_name) for role in ("pad", "eos"))
        rows: list[tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]] = []
        for row, generator in enumerate(row_generators(seed, batch.numbers)):
            corrupted = [
                self._corrupt(batch.input_ids[row, start:stop], vocabulary, eos, generator)
                for start, stop in pieces(batch, row)
            ]
            rows.append(([inputs for inputs, _ in corrupted], [targets for _, targets in corrupted]))
        input_ids, positions = _pack([inputs for inputs, _ in rows], limit[0], pad)
        labels, target_positions = _pack([targets for _, targets in rows], limit[1], IGNORED)
        arrays = {
            "input_ids": input_ids,
            "positions": positions,
            "labels": labels,
            "target_positions": target_positions,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, {"tokens": int((labels >= 0).sum())}

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:
        """Return what the encoder says, what the decoder reads, and the masks that keep documents apart."""
        from llmkit.objectives.documents._blocks import attention_mask, same_document

        labels, inside, outside = batch["labels"], batch["target_positions"], batch["positions"]
        among_inputs = attention_mask(model, same_document(outside))
        encoded = model.get_encoder()(input_ids=batch["input_ids"], attention_mask=among_inputs)
        before = labels.roll(1, 1).masked_fill(inside == 0, model.config.decoder_start_token_id)
        number = (inside == 0).cumsum(1)[:, :, None]
        across = number == (outside == 0).cumsum(1)[:, None, :]
        among_targets = same_document(inside).tril()
        return {
            "encoder_outputs": encoded,
            "attention_mask": attention_mask(model, across),
            "decoder_input_ids": before.masked_fill(before < 0, model.config.pad_token_id),
            "decoder_attention_mask": attention_mask(model, among_targets),
            "use_cache": False,
        }

    def _counts(self, length: int) -> tuple[int, int]:
        """Return how many tokens of a text are replaced, and in how many spans."""
        if length < 2:
            return 0, 0
        noise = min(max(round(length * self.noise_density), 1), length - 1)
        # Kept tokens stand between any two spans.
        return noise, min(max(round(noise / self.mean_span), 1), length - noise)

    def _sentinels(self, vocabulary: Vocabulary, count: int) -> NDArray[np.int64]:
        ids = [vocabulary.ids.get(f"<extra_id_{number}>") for number in range(count)]
        if None in ids:
            raise DataError(
                f"the tokenizer in '{vocabulary.where}' has no token '<extra_id_{ids.index(None)}>', and "
                f"{self.type_name} needs {count} sentinels from <extra_id_0> on",
                f"tokenize with -r t5-unigram and --set tokenizer.sentinels={max(count, 100)}, or raise"
                " objective.mean_span",
            )
        return np.array(ids, np.int64)

    def _corrupt(
        self, ids: NDArray[np.int64], vocabulary: Vocabulary, eos: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return inputs and targets of one document.

        Unlike in T5's code, where kept and replaced spans take turns from a kept one on, the text may begin with a
        replaced span or end with kept tokens: the only span of a short document would otherwise always be its end.
        """
        noise, spans = self._counts(ids.size)
        if not spans:
            return np.append(ids, eos), np.array([eos], np.int64)
        sentinels = self._sentinels(vocabulary, spans)
        kept = _segments(ids.size - noise + 2, spans + 1, generator)
        kept[[0, -1]] -= 1  # these two may be empty
        lengths = np.zeros(2 * spans + 1, np.int64)
        lengths[::2], lengths[1::2] = kept, _segments(noise, spans, generator)
        parts = np.split(ids, np.cumsum(lengths)[:-1])
        inputs, targets = parts[:1], []
        for span in range(spans):
            sentinel = sentinels[span : span + 1]
            inputs += [sentinel, parts[2 * span + 2]]
            targets += [sentinel, parts[2 * span + 1]]
        return np.append(np.concatenate(inputs), eos), np.append(np.concatenate(targets), eos)


def _segments(total: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return lengths of at least 1, `[count]`, that add up to `total`; every such split is equally likely."""
    cuts = np.sort(generator.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


def _pack(rows: list[list[NDArray[np.int64]]], length: int, fill: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return documents laid one after another, and positions that restart with each and at the padding."""
    longest = max((sum(document.size for document in row) for row in rows), default=0)
    if longest > length:
        length = -(-longest // ROUND_TO) * ROUND_TO
    ids = np.full((len(rows), length), fill, np.int64)
    positions = np.empty_like(ids)
    for index, row in enumerate(rows):
        sizes = [document.size for document in row]
        ids[index, : sum(sizes)] = np.concatenate([*row, np.empty(0, np.int64)])
        positions[index] = np.concatenate([np.arange(size) for size in (*sizes, length - sum(sizes))])
    return ids, positions

"""Texts from texts, such as translations and summaries (Sutskever et al. 2014; Raffel et al. 2020, "T5").

encoder-decoder  inputs   translate English to Chinese: Good morning EOS
                 targets  早上好 EOS
decoder alone    row      English: Good morning Chinese: 早上好 EOS     (learned: 早上好 EOS)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from llmkit.core.config import Config, NotIdentity
from llmkit.core.errors import ConfigError
from llmkit.core.json import dumps
from llmkit.core.registry import Family
from llmkit.data.borders import borders_of
from llmkit.data.rendering import give_plain_template
from llmkit.metrics import Metric
from llmkit.metrics.bleu import Bleu
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
from llmkit.modeling.coverage import coverage_of
from llmkit.modeling.languages import set_languages, speaks, target_language_id, target_side
from llmkit.objectives import Collated, Losses, Tensors
from llmkit.objectives.rows import IGNORED, LEARNED_MARK, Column, Example, LeftOut, RowObjective, padded_tensors
from llmkit.objectives.rows._targets import Limits, one_side, two_sides
from llmkit.objectives.rows._written import Question, measures_of_texts
from llmkit.runtimes import Generate, Written

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.packing import Batch, EncodedRows
    from llmkit.data.rows import Row
    from llmkit.modeling.companions import Models
    from llmkit.modeling.heads import Head
    from llmkit.modeling.vocabulary import Vocabulary

SOURCE = "{source}"
BACKWARD = "_backward"
"""What the names of the measures of the second direction end with."""


class Directions(Config):
    """How many of the rows are learned in each direction, as weights."""

    forward: float = Field(1.0, ge=0, allow_inf_nan=False)
    """From the source to the target."""
    backward: float = Field(0.0, ge=0, allow_inf_nan=False)
    """From the first target to the source."""

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not self.forward + self.backward:
            raise ValueError("one of the weights must be more than 0")
        return self


class WritingConfig(Config):
    """What the model writes about held-out rows at every validation, and how that is scored."""

    rows: int = Field(100, ge=0)
    """Held-out rows, spread evenly over all of them; 0 has nothing written."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Longest answer, in tokens; null for `max_target_length`."""
    metrics: list[Annotated[Metric, Family("metric")]] = [ChrF(), Bleu(), Rouge(types=["rougeL"])]
    """How answers are scored, beside the shares that are equal to a reference and that end by themselves."""


class _Pair(NamedTuple):
    source: str
    targets: Sequence[str]
    backward: bool


class SequenceToSequence(RowObjective):
    """Loss on the tokens of the target, its EOS included; of several targets the first is learned.

    A source that is too long is cut at its end. A row whose target is too long is left out: a cut one would teach to
    stop anywhere, or never.
    """

    rows: ClassVar[tuple[str, ...]] = ("source_target",)
    target: ClassVar[str] = "target tokens"
    scores_text: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ("chrf", "rougeL")

    prefix: str = ""
    """What stands before every source, `"translate English to Chinese: "`."""
    prompt: str | None = None
    """Of models without an encoder, what asks for the target: `"English: {source}\\nChinese: "`. It is the user's turn
    in the model's chat template; a model that has none reads it as it stands."""
    max_source_length: int | None = Field(None, ge=4)
    """Longest source, in tokens, prefix and special tokens included; null for `context_length`."""
    max_target_length: int = Field(128, ge=2)
    """Longest target, in tokens, EOS included; also the longest answer of the trained model."""
    source_language: str | None = None
    """Of models that read many languages (M2M-100, NLLB, mBART), that of the sources, by the tokenizer's own name for
    it, `eng_Latn`; null for the one that the tokenizer was saved with."""
    target_language: str | None = None
    """The same of the targets."""
    directions: Directions = Directions()
    """Each row is learned in one of both directions, which one by a hash of its texts."""
    backward_prefix: str = ""
    """The prefix of the other direction, which must tell it apart."""
    writing: Annotated[WritingConfig, NotIdentity] = WritingConfig()
    """What is written at validations."""

    @field_validator("prompt")
    @classmethod
    def _has_source(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count(SOURCE) != 1:
            raise ValueError(f"the source stands in it once, as {SOURCE}")
        return prompt

    @model_validator(mode="after")
    def _tells_directions(self) -> Self:
        if self.directions.forward and self.directions.backward and self.prefix == self.backward_prefix:
            raise ValueError("two directions need prefixes that tell them apart: prefix and backward_prefix")
        return self

    def model_head(self) -> Head:
        """Return the head of an encoder-decoder or, with a prompt, of a causal model."""
        if self.prompt is not None:
            return super().model_head()
        from llmkit.modeling.heads.sequence_to_sequence import SequenceToSequence as Writer

        return Writer(prefix=self.prefix)

    def suit(self, tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
        """Refuse a model of the other kind; give a tokenizer without a chat template a plain one, and set languages."""
        if self.prompt is None and not config.is_encoder_decoder:
            raise ConfigError(
                f"model: {config.model_type} has no encoder, and nothing says how it is asked for a target",
                f"-s objective.prompt='{SOURCE} => ' asks it; or name an encoder-decoder, for example t5, bart",
            )
        if self.prompt is not None and config.is_encoder_decoder:
            raise ConfigError(
                f"objective.prompt: {config.model_type} has an encoder, which reads the source by itself",
                "leave it out; objective.prefix stands before the source",
            )
        if self.prompt is not None and not tokenizer.chat_template:
            give_plain_template(tokenizer)
        set_languages(tokenizer, self.source_language, self.target_language)
        if speaks(tokenizer) and self.directions.backward:
            raise ConfigError(
                "objective.directions.backward: the model is told one language to write, and rows of the other"
                " direction would need another",
                "leave it out, and train the other direction in a run of its own",
            )

    def equip(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[str]:
        """Write to the model's configs how it is asked and how long it answers; return what had to be changed."""
        from llmkit.modeling.generation import note_task, prepare_writing

        if self.prompt is not None:
            note_task(model.config, prompt=self.prompt.replace(SOURCE, self.prefix + SOURCE))
            model.generation_config.max_length, model.generation_config.max_new_tokens = None, self.max_target_length
            return []
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        first = tokenizer(text_target="a")["input_ids"][:1]
        starts = [i for i in first if i in tokenizer.all_special_ids]
        ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        language = target_language_id(tokenizer)
        if language is not None and language not in first:  # it stands at the end of targets, and goes round
            model.config.decoder_start_token_id = language
        changed = prepare_writing(model, starts=starts, ends=ends, most=self.max_target_length)
        if language in first:
            model.generation_config.forced_bos_token_id = language
        return changed

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer without EOS: no target would end."""
        vocabulary.need("eos", self.type_name)
        if self.prompt is None:
            vocabulary.need("pad", self.type_name)

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return ids of both sides, the direction, and the texts that answers are compared with, as bytes of JSON."""
        sides = {"input_ids": Column(pad=vocabulary.padding), "target_input_ids": Column(pad=vocabulary.padding)}
        if self.prompt is not None:
            sides = {"input_ids": Column(pad=vocabulary.padding), "labels": Column(pad=IGNORED)}
        return {**sides, "backward": Column("int8", None), "texts": Column("uint8")}

    def facts(self) -> dict[str, str]:
        """Return how the model is asked."""
        if self.prompt is not None:
            return {"prompt": dumps(self.prompt.replace(SOURCE, self.prefix + SOURCE))}
        given = {
            "prefix": self.prefix,
            "prefix of the other direction": self.backward_prefix,
            "source language": self.source_language,
            "target language": self.target_language,
        }
        return {name: dumps(text) for name, text in given.items() if text}

    def encode(
        self,
        rows: Sequence[Mapping[str, Any]],
        kind: Row,  # noqa: ARG002 - there is one
        tokenizer: PreTrainedTokenizerFast,
        limit: int,
    ) -> Sequence[Example | LeftOut]:
        """Return the ids of each source and of its first target."""
        pairs = [self._directed(row) for row in rows]
        prompt = SOURCE if self.prompt is None else self.prompt
        asked = [prompt.replace(SOURCE, self._prefix(pair) + pair.source) for pair in pairs]
        encode = two_sides if self.prompt is None else one_side
        most = Limits(min(limit, self.max_source_length or limit), min(limit, self.max_target_length), limit)
        found: list[Example | LeftOut] = []
        made_of = encode(tokenizer, asked, [pair.targets[0] for pair in pairs], most)
        for pair, made in zip(pairs, made_of, strict=True):
            if isinstance(made, Example):
                shown = dumps([pair.source, *pair.targets]).encode()
                made.columns |= {"backward": int(pair.backward), "texts": np.frombuffer(shown, np.uint8)}
                made.num_bytes = len(pair.targets[0].encode())
                made.unread = coverage_of(target_side(tokenizer)).measure([pair.targets[0]])
            found.append(made)
        return found

    def _directed(self, row: Mapping[str, Any]) -> _Pair:
        """Return the row in one of both directions, the same in every run."""
        weights, target = self.directions, row["targets"][0]
        digest = hashlib.blake2b(f"{row['source_text']}\0{target}".encode("utf-8", "surrogatepass"), digest_size=8)
        share = int.from_bytes(digest.digest()) / 2**64
        if share * (weights.forward + weights.backward) < weights.backward:
            return _Pair(target, [row["source_text"]], backward=True)
        return _Pair(row["source_text"], row["targets"], backward=False)

    def _prefix(self, pair: _Pair) -> str:
        return self.backward_prefix if pair.backward else self.prefix

    def marks(self, example: Example, name: str) -> list[str]:
        """Return that all of a target is learned, and nothing of a source."""
        if self.prompt is not None:
            return super().marks(example, name)
        return [LEARNED_MARK if name == "target_input_ids" else ""] * np.size(example.columns[name])

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return `input_ids` and `attention_mask` `[rows, time]`, and `labels`; of two sides as wide as the targets."""
        import torch

        if self.prompt is not None:
            tensors = padded_tensors(batch, "labels")
            del tensors["attention_mask"]  # padding is behind what a causal model looks at
        else:
            sizes = batch.target_input_ids_length
            inside = np.arange(int(sizes.max())) < sizes[:, None]
            labels = np.where(inside, batch.target_input_ids[:, : inside.shape[1]], IGNORED)
            tensors = {**padded_tensors(batch), "labels": torch.from_numpy(labels)}
        return tensors, {"tokens": int((tensors["labels"] != IGNORED).sum())}

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of the targets, in nats."""
        from llmkit.modeling.generation import decoder_inputs
        from llmkit.modeling.head_loss import head_loss
        from llmkit.modeling.plain_head import causal_lm_loss

        model: Any = models.main
        if self.prompt is not None:
            return {"tokens": (causal_lm_loss(model, batch), 1.0)}
        inputs: dict[str, Any] = {name: batch[name] for name in ("input_ids", "attention_mask")}
        inputs |= {"decoder_input_ids": decoder_inputs(model, batch["labels"]), "use_cache": False}
        return {"tokens": (head_loss(model, inputs, batch["labels"])[0], 1.0)}

    def end_ids(self, tokenizer: PreTrainedTokenizerFast, rows: EncodedRows) -> list[int]:
        """Return EOS and, of a model that is asked in a chat, what its template ends an answer with."""
        ids = super().end_ids(tokenizer, rows)
        ender = borders_of(tokenizer).ender_id if self.prompt is not None else None
        return ids if ender is None or ender in ids else [*ids, ender]

    def questions(self, rows: EncodedRows, limit: int) -> Sequence[Question]:
        """Return what is asked of held-out rows, spread evenly, within the budget."""
        count = min(self.writing.rows, len(rows))
        chosen = np.unique(np.linspace(0, max(len(rows) - 1, 0), count).round().astype(np.int64))
        longest = min(self.writing.max_new_tokens or self.max_target_length, limit)
        found = []
        for index in chosen:
            row = {name: values[0] for name, values in rows.padded(np.array([index])).items()}
            ids, most = row["input_ids"], longest
            if self.prompt is not None:
                ids = ids[: int(np.flatnonzero(row["labels"] != IGNORED)[0]) + 1]
                most = min(longest, limit - len(ids))
            source, *references = json.loads(row["texts"].astype(np.uint8).tobytes())
            asked = Generate(tuple(ids.tolist()), max(1, most))
            found.append(Question(asked, source, references, BACKWARD if row["backward"] else ""))
        return found

    def judge(self, questions: Sequence[Question], answers: Sequence[Written]) -> dict[str, float]:
        """Return the scores of what was written, those of the other direction under names of their own."""
        return measures_of_texts(questions, answers, self.writing.metrics)

"""Vectors of texts: those that belong together are near (Reimers and Gurevych 2019, Gao et al. 2021, "SimCSE")."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.objectives import Collated, Losses, Tensors
from llmkit.objectives.rows import Column, Example, LeftOut, RowObjective
from llmkit.objectives.rows._mining import Negatives
from llmkit.objectives.rows._sides import NEGATIVE, POSITIVE, QUERY, SCORE, SIZES, encode_sides, number_of, tensors_of
from llmkit.objectives.rows._stacks import ORDER, TextFeed, stacks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console
    from llmkit.core.page import Page
    from llmkit.data.feeds import Feed
    from llmkit.data.packing import Batch
    from llmkit.data.rows import Row
    from llmkit.modeling.companions import Models
    from llmkit.modeling.heads import Head
    from llmkit.modeling.pooling import Pooling
    from llmkit.modeling.vocabulary import Vocabulary

Mode = Literal["mean", "cls", "lasttoken", "max", "mean_sqrt_len", "weightedmean"]
PAIRS = "pairs"


class Embedding(RowObjective):
    """Bring the vectors of texts that belong together near, and all others of the step apart.

    Every row's own text is to be told from those of all rows of the step, over micro-batches and processes alike: more
    rows make it harder, and better. A text that is the same as the own one, or belongs to the same query in another
    row of the step, is not taken for a wrong one. Pairs with a score are held to it instead, by their cosine.
    """

    rows: ClassVar[tuple[str, ...]] = ("triplet", "text_pair")
    head: ClassVar[str] = "embedding"
    layout: ClassVar[Literal["pack", "pad", "bucket"]] = "pad"
    target: ClassVar[str] = PAIRS
    measured: ClassVar[bool] = True
    labelled: ClassVar[bool] = False
    headline: ClassVar[tuple[str, ...]] = ("recall_at_1", "mrr", "spearman")

    criterion: Literal["auto", "contrastive", "cosine", "cosent"] = "auto"
    """What is minimized. contrastive: the cross-entropy of a query's own text among those of the step (InfoNCE,
    MultipleNegativesRankingLoss). cosine: the squared difference of a pair's cosine and its score. cosent: how far
    cosines are from the order of the scores. auto: contrastive, and cosine of pairs with a score."""
    temperature: float = Field(0.05, gt=0)
    """Cosines are divided by it, in contrastive and cosent; sentence-transformers has its inverse, 20, as `scale`."""
    symmetric: bool = False
    """Half of the contrastive loss is the other way round: a text's own query among all queries."""
    max_score: float = Field(1.0, gt=0)
    """The score of what means the same, which is a cosine of 1: 5 of the semantic similarity tasks."""
    pooling: Mode | list[Mode] | Literal["auto"] = "auto"
    """How the vectors of a text's tokens become one: their mean, the first token's, the last one's ... auto: as the
    model's files of sentence-transformers say, else mean."""
    normalize: bool | Literal["auto"] = "auto"
    """Whether the model's vectors are made one long. auto: as the model's files say, and where there are none, yes."""
    query_prompt: str | None = None
    """What is put before every query, as `query: `. null: what the model's files say, else nothing."""
    positive_prompt: str | None = None
    """What is put before every other text, as `passage: `. null: what the model's files say, else nothing."""
    dimensions: list[int] = []
    """Shorter vectors that are trained as well, each the beginning of the whole one (Kusupati et al. 2022,
    "Matryoshka"), in numbers."""
    negatives: Negatives = Negatives()
    """Texts that do not belong to a query: those of the rows, and those that are mined before training."""

    @property
    def couples(self) -> bool:  # type: ignore[override]
        """Whether the loss is one of all rows of a step."""
        return self.criterion != "cosine"

    def model_head(self) -> Head:
        """Return the head with what the model's files are to say of its vectors."""
        from llmkit.modeling.heads.embedding import Embedding as Body

        how = self._pooling
        prompts = {QUERY: self.query_prompt or "", "document": self.positive_prompt or ""}
        return Body(pooling=list(how.modes), normalize=how.normalized, prompts=prompts)

    @cached_property
    def _pooling(self) -> Pooling:
        """How vectors are made; what is still `auto` is as where no file says anything."""
        from llmkit.modeling.pooling import Pooling

        modes = [self.pooling] if isinstance(self.pooling, str) else self.pooling
        return Pooling(tuple("mean" if mode == "auto" else mode for mode in modes), self.normalize is not False)

    def of_model(self, path: Path) -> Self:
        """Return the objective with what a model's files say of its vectors.

        Raises:
            ConfigError: A shorter vector is not shorter.
        """
        from llmkit.modeling.load import read_config
        from llmkit.modeling.pooling import pooling_of

        found = pooling_of(path)
        updates: dict[str, Any] = {}
        if self.pooling == "auto":
            updates["pooling"] = list(found.modes)
        if self.normalize == "auto":
            updates["normalize"] = found.normalized or not found.files
        for field, side in (("query_prompt", "query"), ("positive_prompt", "document")):
            if getattr(self, field) is None:
                updates[field] = found.sides()[side]
        settled = self.model_copy(update=updates)
        size = len(settled._pooling.modes) * read_config(path, settled.model_head()).get_text_config().hidden_size
        if beyond := [number for number in self.dimensions if not 0 < number < size]:
            raise ConfigError(
                f"objective.dimensions: {beyond[0]} numbers are not fewer than the {size} of the whole vector",
                "name shorter ones: the whole vector is trained as well",
            )
        return settled

    def add_rows(
        self, corpora: list[Path], kind: Row, model: Path, folder: Path, fraction: float, console: Console
    ) -> list[Path]:
        """Return the rows with texts that do not belong, where they are to be mined."""
        if not self.negatives.mine:
            return corpora
        if kind.type_name != "triplet":
            raise ConfigError(
                f"objective.negatives.mine: rows are {kind.type_name}, and pairs with a score have no wrong texts",
                "leave it out",
            )
        from llmkit.objectives.rows._mining import mine

        prompts = self.query_prompt or "", self.positive_prompt or ""
        return mine(self.negatives, corpora, kind, model, self._pooling, prompts, folder, fraction, console)

    def notice(self, row: Mapping[str, Any]) -> Iterable[int]:
        """Yield how many texts of a row do not belong, or how large its score is."""
        if "positive" in row:
            return [len(row["negatives"])]
        score = number_of(row["label"])
        return [-1 if score is None else math.ceil(abs(score))]

    def settle(self, kind: Row, noticed: Counter[Any]) -> Self:
        """Return the objective with what is minimized, and how many texts of a row do not belong.

        Raises:
            ConfigError: Scores are larger than `max_score`, or rows without a score are to be held to one.
            DataError: Labels are no scores.
        """
        scored = kind.type_name == "text_pair"
        if not scored:
            if self.criterion in ("cosine", "cosent"):
                raise ConfigError(
                    f"objective.criterion: {self.criterion} holds pairs to a score, and the rows have none",
                    "leave it out; or name the column: -s columns='{text: A, pair: B, label: SCORE}'",
                )
            limit = self.negatives.most
            most = max(noticed, default=0) if limit is None else limit
            negatives = self.negatives.model_copy(update={"most": most})
            return self.model_copy(update={"criterion": "contrastive", "negatives": negatives})
        if self.criterion == "contrastive":
            raise ConfigError(
                "objective.criterion: contrastive learns from pairs that belong together, and the rows are pairs with a"
                " label",
                "keep the rows that do, and name their columns: -s columns='{query: A, positive: B}'",
            )
        if -1 in noticed:
            raise DataError(
                f"data: {noticed[-1]:,} rows have labels that are no numbers, and embedding holds pairs to a score",
                "-s objective=classification learns labels of pairs",
            )
        criterion = "cosine" if self.criterion == "auto" else self.criterion
        largest = max(noticed, default=0)
        if criterion == "cosine" and largest > math.ceil(self.max_score):
            raise ConfigError(
                f"objective.max_score: scores are up to {largest}, and a cosine is at most 1",
                f"-s objective.max_score={largest} divides by it; criterion=cosent goes by their order alone",
            )
        return self.model_copy(update={"criterion": criterion})

    def facts(self) -> dict[str, str]:
        """Return how vectors are made and what they were trained by."""
        sides = [f"{prompt!r} before {what}" for prompt, what in
                 ((self.query_prompt, "queries"), (self.positive_prompt, "other texts")) if prompt]  # fmt: skip
        wrong = [*(["those of the step's other rows"] if self.criterion == "contrastive" else []),
                 *([f"up to {self.negatives.most} of the row"] if self.negatives.most else [])]  # fmt: skip
        return {
            "vectors": "; ".join([self._pooling.describe(), *sides]),
            "criterion": self.criterion + (", symmetric" if self.symmetric and self.couples else ""),
            **({"wrong texts": f"{' and '.join(wrong)}; copies of the own text never count"} if wrong else {}),
            **({"shorter vectors": ", ".join(map(str, self.dimensions))} if self.dimensions else {}),
        }

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return ids and a key of the text of both sides; and a score, or the texts that do not belong."""
        ids = Column(pad=vocabulary.padding)
        found = {f"{side}_{what}": column for side in (QUERY, POSITIVE)
                 for what, column in (("input_ids", ids), ("key", Column("int64", None)))}  # fmt: skip
        if self.criterion != "contrastive":
            return {**found, SCORE: Column("float32", None)}
        each = Column("int64", None, (self.negatives.most or 0,))
        if not self.negatives.most:
            return found
        return {**found, f"{NEGATIVE}_input_ids": ids, SIZES: each, f"{NEGATIVE}_key": each}

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Example | LeftOut]:
        """Return the ids of each text of a row, with its side's prompt, and a key that equal texts share."""
        most, scored = self.negatives.most or 0, "pair" in kind.aliases
        before, behind = self.query_prompt or "", self.positive_prompt or ""
        texts = [
            [before + row["text"], behind + row["pair"]]
            if scored
            else [before + row["query"], *(behind + other for other in (row["positive"], *row["negatives"][:most]))]
            for row in rows
        ]
        found: list[Example | LeftOut] = []
        for row, (columns, cut) in zip(rows, encode_sides(texts, tokenizer, limit, most), strict=True):
            if columns is None:
                found.append(LeftOut("empty", "no token stands for a text"))
                continue
            found.append(Example(columns | ({SCORE: number_of(row["label"])} if scored else {}), cut=cut))
        return found

    def feed(self, feed: Feed, vocabulary: Vocabulary, seed: int) -> Feed:  # noqa: ARG002 - the interface
        """Return the rows, measured by the tokens of their texts."""
        return TextFeed(feed.stream, feed.held_out(), block_tokens=feed.block_tokens, same_width=False)

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return the texts of all sides in stacks, their keys and scores, and how many rows there are."""
        parts = [PAIRS, *(f"dimensions_{number}" for number in self.dimensions)]
        return tensors_of(batch, vocabulary.padding), dict.fromkeys(parts, len(batch))

    def outputs(self, models: Models, batch: Tensors) -> Tensors:
        """Return the vectors of either side, `[rows, dimensions]`, of what does not belong, and what is known."""
        import torch

        model = models.main
        body = model.get_encoder() if model.config.is_encoder_decoder else model
        vectors = []
        for ids, mask in stacks(batch):
            hidden = body(input_ids=ids, **({} if mask is None else {"attention_mask": mask})).last_hidden_state
            vectors.append(self._pooling.pool(hidden.float(), torch.ones_like(ids) if mask is None else mask))
        every = torch.cat(vectors)[batch[ORDER]]
        kept = (f"{QUERY}_key", f"{POSITIVE}_key", f"{NEGATIVE}_key", SIZES, SCORE)
        found = {name: batch[name] for name in kept if name in batch}
        rows = len(batch[f"{QUERY}_key"])
        found |= {QUERY: every[:rows], POSITIVE: every[rows : 2 * rows]}
        if SIZES in batch:
            there = batch[SIZES] > 0
            found[NEGATIVE] = every.new_zeros(*there.shape, every.shape[1]).index_put((there,), every[2 * rows :])
        return found

    def loss_of(self, outputs: Tensors) -> Losses:
        """Return the summed loss of whole vectors and, each a part of its own, of their beginnings."""
        from llmkit.objectives.rows._contrast import contrastive_loss, cosine_loss, known_texts, order_loss

        queries, positives, negatives, known = outputs[QUERY], outputs[POSITIVE], outputs[QUERY][:0], None
        if self.criterion == "contrastive":
            keys = outputs[f"{QUERY}_key"], outputs[f"{POSITIVE}_key"], outputs[f"{QUERY}_key"][:0]
            if SIZES in outputs:
                there = outputs[SIZES] > 0
                keys, negatives = (*keys[:2], outputs[f"{NEGATIVE}_key"][there]), outputs[NEGATIVE][there]
            known = known_texts(*keys)
        losses: Losses = {}
        for size in (None, *self.dimensions):
            left, right, wrong = queries[:, :size], positives[:, :size], negatives[:, :size]
            if known is not None:
                total = contrastive_loss(left, right, wrong, known, self.temperature, symmetric=self.symmetric)
            elif self.criterion == "cosine":
                total = cosine_loss(left, right, outputs[SCORE] / self.max_score)
            else:
                total = order_loss(left, right, outputs[SCORE], self.temperature)
            losses[PAIRS if size is None else f"dimensions_{size}"] = total, 1.0
        return losses

    def answers(self, outputs: Tensors) -> Sequence[Any]:
        """Return each row's vectors and keys, or its score and cosine."""
        from llmkit.objectives.rows._retrieved import answers_of

        return answers_of(outputs, self.dimensions)

    def measures(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return how often a query's own text is found among all held-out ones; or correlations with the score."""
        from llmkit.objectives.rows._retrieved import measures_of

        return measures_of(answers, self.dimensions)

    def describe(self, answers: Sequence[Any], page: Page) -> Sequence[tuple[int, str]]:
        """Pick the queries whose own text is farthest behind, each with what was found; or the worst cosines."""
        from llmkit.objectives.rows._retrieved import describe

        return describe(answers, page, self.max_score)

    def marks(self, example: Example, name: str) -> list[str]:
        """Return that no token is learned: it is the whole text's vector."""
        return [""] * np.size(example.columns[name])

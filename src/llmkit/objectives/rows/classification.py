"""Classification of texts and of pairs of texts: one label, several, or a number (Devlin et al. 2018, "BERT", 4.1)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.page import percent
from llmkit.objectives import Collated, Losses, Tensors
from llmkit.objectives.rows import Column, Example, LeftOut, RowObjective, padded_tensors, shortened

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.core.page import Page
    from llmkit.data.packing import Batch
    from llmkit.data.rows import Row
    from llmkit.metrics._confusion import Confusion
    from llmkit.modeling.companions import Models
    from llmkit.modeling.heads import Head
    from llmkit.modeling.vocabulary import Vocabulary

Problem = Literal["single_label", "multi_label", "regression"]
PROBLEMS: dict[str, Problem] = {"class": "single_label", "classes": "multi_label", "number": "regression"}
"""What is learned, by the type of the rows' labels."""
NUMBER = "number"
_WORDS = {"single_label": "classes", "multi_label": "lists of classes", "regression": "numbers"}
_TYPES: dict[str, str] = {problem: kind for kind, problem in PROBLEMS.items()}
_DECLARE = "say what they are: -s 'data=[{{type: files, path: FILE, row: {{type: text_label, label: {}}}}}]'"
MAX_LABELS = 1000
"""More distinct labels than this are a column of something else, unless they are declared."""


class Classification(RowObjective):
    """Predict the label of a text or of a pair: by cross-entropy, per label where a text has several, or a number.

    Works on encoders and decoders alike: their classes for sequence classification say which token is read. A text
    that is too long is cut at its end, of a pair the longer one; special tokens stay.
    """

    rows: ClassVar[tuple[str, ...]] = ("text_label", "text_pair")
    head: ClassVar[str] = "sequence_classification"
    measured: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "mse", "spearman")

    problem: Literal["auto", "single_label", "multi_label", "regression"] = "auto"
    """What a label is. auto: lists are several labels, numbers with fractions a regression, all else one label."""
    labels: list[str] = Field([], max_length=100_000)
    """The labels there are, in the order of the model's outputs; empty: those of the data, sorted."""

    def model_head(self) -> Head:
        """Return the head with the labels' names."""
        from llmkit.modeling.heads.sequence_classification import SequenceClassification

        kinds = {"multi_label": "multi_label_classification", "regression": "regression"}
        kind: Any = kinds.get(self.problem, "single_label_classification")
        return SequenceClassification(labels=self.labels, problem_type=kind)

    def suit(self, tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
        """Refuse an encoder-decoder whose texts have no end, at which it would read their label."""
        from llmkit.modeling.served import check_ends

        check_ends(tokenizer, config)

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return ids, the types of tokens where the model has them, and the label."""
        label = Column("int32" if self.problem == "single_label" else "float32", None)
        types = {"token_type_ids": Column("int8")} if vocabulary.has_types else {}
        return {"input_ids": Column(pad=vocabulary.padding), **types, "labels": label}

    def notice(self, row: Mapping[str, Any]) -> Iterable[str]:
        """Yield the row's labels; of a number only that it is one."""
        label = row["label"]
        return label if isinstance(label, list) else [label if isinstance(label, str) else NUMBER]

    def settle(self, kind: Row, noticed: Counter[str]) -> Self:
        """Return the objective with its problem and the names of its labels.

        Raises:
            ConfigError: Labels are declared and the data has others, or numbers; or the problem is another.
            DataError: All rows have one label.
        """
        problem = PROBLEMS[kind.label]  # type: ignore[attr-defined]
        if self.problem not in ("auto", problem):
            raise ConfigError(
                f"objective.problem: {self.problem}, but the labels of the data are {_WORDS[problem]}",
                hint=f"leave it out, or {_DECLARE.format(_TYPES[self.problem])}",
            )
        if problem == "regression":
            if self.labels:
                raise ConfigError("objective.labels: labels are declared, but the data's are numbers",
                                  hint=f"leave them out, or {_DECLARE.format('class')}")  # fmt: skip
            return self.model_copy(update={"problem": problem})
        names = self.labels or sorted(noticed, key=_natural)
        if unknown := [name for name in noticed if name not in set(names)]:
            raise DataError(
                f"data: the label '{unknown[0]}' ({noticed[unknown[0]]:,} rows) is none of the declared:"
                f" {', '.join(names[:12])}{nearest(unknown[0], names)}",
                hint="add it to objective.labels, or clean the data",
            )
        if len(noticed) < 2 and problem == "single_label":
            raise DataError(
                f"data: all rows have the label '{next(iter(noticed), '')}': there is nothing to tell apart"
            )
        if len(names) > MAX_LABELS and not self.labels:
            raise DataError(
                f"data: {len(names):,} different labels, such as '{names[0]}' and '{names[1]}': is this the column of"
                " labels?", hint="name it: -s columns.label=COLUMN; or declare them: -s objective.labels=[...]",
            )  # fmt: skip
        return self.model_copy(update={"problem": problem, "labels": names})

    def facts(self) -> dict[str, str]:
        """Return what is predicted, and the labels' names."""
        names = {"labels": shortened(self.labels)} if self.labels else {}
        return {"problem": self.problem.replace("_", " "), **names}

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Example | LeftOut]:
        """Return `input_ids`, `token_type_ids` where the model has them, and `labels` of each text."""
        from llmkit.modeling.served import encode_texts

        pairs = "pair" in kind.aliases
        texts = [(row["text"], row["pair"]) if pairs else row["text"] for row in rows]
        number = {name: i for i, name in enumerate(self.labels)}
        typed = "token_type_ids" in tokenizer.model_input_names
        found: list[Example | LeftOut] = []
        for row, encoding in zip(rows, encode_texts(tokenizer, texts, limit), strict=True):
            if not encoding.ids:
                found.append(LeftOut("empty", "no token stands for the text"))
                continue
            columns: dict[str, Any] = {"input_ids": encoding.ids, "labels": self._target(row["label"], number)}
            if typed:
                columns["token_type_ids"] = encoding.type_ids
            found.append(Example(columns, cut=bool(encoding.overflowing)))
        return found

    def _target(self, label: Any, number: Mapping[str, int]) -> Any:
        if self.problem == "single_label":
            return number[label]
        if self.problem == "regression":
            return label
        target = np.zeros(len(number), np.float32)
        target[[number[name] for name in label]] = 1
        return target

    def marks(self, example: Example, name: str) -> list[str]:
        """Return that no token is learned: the label is the whole text's."""
        return [""] * np.size(example.columns[name])

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return ids, mask and types `[rows, time]`, and labels `[rows]`, or `[rows, labels]` of several."""
        import torch

        types = ("token_type_ids",) if "token_type_ids" in batch.columns else ()
        labels = torch.from_numpy(batch.labels)
        return {**padded_tensors(batch, *types), "labels": labels}, {"labels": labels.numel()}

    def outputs(self, models: Models, batch: Tensors) -> Tensors:
        """Return the logits, `[rows, labels]`, and the labels."""
        import torch

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        groups = _alike_in_ends(models.main, inputs["input_ids"])
        if len(groups) == 1:
            return {"logits": models.main(**inputs).logits.float(), "labels": batch["labels"]}
        parts = [models.main(**{name: tensor[rows] for name, tensor in inputs.items()}).logits for rows in groups]
        back = torch.cat(groups).argsort()
        return {"logits": torch.cat(parts)[back].float(), "labels": batch["labels"]}

    def loss_of(self, outputs: Tensors) -> Losses:
        """Return the summed cross-entropy, in nats; of a regression the summed squared error."""
        from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

        logits, labels = outputs["logits"], outputs["labels"]
        total: torch.Tensor
        if self.problem == "single_label":
            total = F.cross_entropy(logits, labels, reduction="sum")
        elif self.problem == "multi_label":
            total = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        else:
            total = F.mse_loss(logits.squeeze(-1), labels, reduction="sum")
        return {"labels": (total, 1.0)}

    def answers(self, outputs: Tensors) -> Sequence[tuple[Any, list[float]]]:
        """Return each row's label and logits."""
        return list(zip(outputs["labels"].tolist(), outputs["logits"].tolist(), strict=True))

    def measures(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return accuracy and F1, and what always the same answer has; of numbers errors and correlations.

        A label of several is said where its logit is positive, that is more likely than not.
        """
        from llmkit.metrics._regression import regression_scores

        truth, logits = _columns(answers)
        if self.problem == "regression":
            return regression_scores(truth, logits[:, 0])
        scores = self._compared(truth, logits).scores()
        names = ["accuracy", "macro_f1", *(["micro_f1"] if self.problem == "multi_label" else []), "majority_accuracy"]
        return {name: scores[name] for name in names}

    def describe(self, answers: Sequence[Any], page: Page) -> Sequence[tuple[int, str]]:
        """Write how well each class is found and what is taken for what; pick the rows with the greatest loss."""
        from llmkit.objectives.rows._report import show_classes, show_confusion, worst

        truth, logits = _columns(answers)
        if self.problem == "regression":
            errors = logits[:, 0] - truth
            page.heading("Rows with the greatest error")
            picked = worst(errors**2, errors != 0)
            return [(row, f"{truth[row]:.4g}, predicted {logits[row, 0]:.4g}") for row in picked]
        counts = self._compared(truth, logits)
        show_classes(page, "Classes", self.labels, counts)
        if self.problem == "single_label":
            show_confusion(page, self.labels, counts, counts.matrix)
            losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(truth)), truth]
            wrong = logits.argmax(axis=1) != truth
        else:
            losses = (np.logaddexp(0, logits) - truth * logits).sum(axis=1)
            wrong = ((logits > 0) != (truth > 0)).any(axis=1)
        page.heading("Wrong answers with the greatest loss")
        picked = worst(losses, wrong)
        return [(row, f"{self._said(truth[row])}, predicted {self._read(logits[row])}") for row in picked]

    def _compared(self, truth: NDArray[Any], logits: NDArray[np.float64]) -> Confusion:
        from llmkit.metrics._confusion import confusion_of_classes, confusion_of_labels

        if self.problem == "single_label":
            return confusion_of_classes(truth, logits.argmax(axis=1), len(self.labels))
        return confusion_of_labels(truth > 0, logits > 0)

    def _said(self, target: NDArray[Any]) -> str:
        if self.problem == "single_label":
            return self.labels[int(target)]
        return ", ".join(name for name, known in zip(self.labels, target > 0, strict=True) if known) or "no label"

    def _read(self, logits: NDArray[np.float64]) -> str:
        """Return what the model says of a row, and how sure it is where it has to choose."""
        if self.problem == "multi_label":
            return self._said(logits)
        likeliest = int(logits.argmax())
        share = math.exp(logits[likeliest] - np.logaddexp.reduce(logits))
        return f"{self.labels[likeliest]} ({percent(share, 1)} sure)"


def _alike_in_ends(model: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """Return the rows of a batch in groups of as many EOS tokens each.

    T5 and BART read a label at the last EOS, which may also stand literally in a text, and refuse rows of which one has
    more of them than another.
    """
    import torch

    everything = [torch.arange(len(ids), device=ids.device)]
    if not model.config.is_encoder_decoder or model.config.eos_token_id is None:
        return everything
    ends = (ids == model.config.eos_token_id).sum(1)
    return [(ends == count).nonzero().squeeze(1) for count in ends.unique().tolist()]


def _columns(answers: Sequence[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return what is true of the rows, and the logits, `[rows, labels]`."""
    truth, logits = zip(*answers, strict=True)
    return np.array(truth), np.array(logits, np.float64)


def _natural(name: str) -> tuple[int, float, str]:
    """Order labels as people do: numbers by their size, before words."""
    try:
        return (0, float(name), name) if math.isfinite(float(name)) else (1, 0.0, name)
    except ValueError:
        return (1, 0.0, name)

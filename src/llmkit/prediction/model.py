"""Open a model for predictions: with the head that it was saved with, or its body alone for vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmkit.core.doctor import has_bf16
from llmkit.core.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmkit.modeling.heads import Head
    from llmkit.prediction.outputs import Output
    from llmkit.prediction.writing import TextAnswers
    from llmkit.runtimes._heads import HeadAnswers

Wanted = Literal["auto", "vector", "text"]
Precision = Literal["float32", "bf16", "auto"]
_OTHERS = {
    "tokens": "it writes text, and predict gives labels, numbers, tags, spans and vectors",
    "token_labels": "it fills masks, and predict gives labels, numbers, tags, spans and vectors",
}


def choose_head(path: Path, wanted: Wanted) -> Head:
    """Return what is asked of a model directory.

    Raises:
        DataError: No model, or one whose head gives no prediction.
    """
    from llmkit.modeling.generation import task_of
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.heads.embedding import Embedding
    from llmkit.modeling.load import read_config

    if wanted == "vector":
        read_config(path, Embedding())
        return Embedding()
    config = read_config(path)
    head = head_of(config)
    if wanted == "text" and head.answer != "tokens":
        raise DataError(
            f"the model in '{path}' has the head {head.type_name}, which writes no text", "leave out answer"
        )
    if not (head.answer == "tokens" and (wanted == "text" or task_of(config))):
        check_predicts(head, f"the model in '{path}'")
    return head


def check_predicts(head: Head, where: str) -> None:
    """Make sure that a head gives predictions.

    Args:
        head: The head.
        where: What to call the model, for errors.

    Raises:
        DataError: It writes text and has learned to make none of another, or it fills masks.
    """
    if getattr(head, "prefix", None) is not None:
        return
    words = _OTHERS.get(head.answer) if not hasattr(head, "labels") else None
    if words is not None:
        raise DataError(
            f"{where} has the head {head.type_name}: {words}",
            "-s answer=vector gives the vectors of its body; finetune with objective=classification gives it labels"
            + ("; -s answer=text has it write" if head.answer == "tokens" else ""),
        )


def settle_precision(precision: Precision) -> Literal["float32", "bf16"]:
    """Return the number format: of `auto` bf16 where the hardware multiplies it."""
    import torch

    if precision != "auto":
        return precision
    there = torch.cuda.is_bf16_supported(including_emulation=False) if torch.cuda.is_available() else has_bf16()
    return "bf16" if there else "float32"


def open_model(
    path: Path,
    head: Head,
    precision: Literal["float32", "bf16"],
    max_tokens: int | None,
    prompt: str | None = None,
    max_new_tokens: int | None = None,
) -> HeadAnswers | TextAnswers:
    """Load a model and its tokenizer, on a GPU if there is one.

    Args:
        path: The model's directory.
        head: What is asked of it.
        precision: Number format.
        max_tokens: Tokens of a text that it reads; None for all it can.
        prompt: Name of the prompt before every text, of a model of vectors; None for its own choice.
        max_new_tokens: Longest text that a model writes; None for its own limit.

    Raises:
        ConfigError: The model has no such prompt.
        DataError: One is missing or damaged, or they do not fit each other.
    """
    import torch

    from llmkit.modeling.generation import task_of
    from llmkit.modeling.heads.embedding import Embedding
    from llmkit.modeling.load import check_vocabulary, load_model, read_config
    from llmkit.modeling.pooling import Pooling, pooling_of
    from llmkit.modeling.tokenizer import load_tokenizer, vocabulary_size
    from llmkit.runtimes._heads import HeadAnswers

    pooling = pooling_of(path) if head.answer == "vector" else Pooling()
    if max_tokens is not None:
        pooling = replace(pooling, max_tokens=max_tokens)
    if prompt is not None:
        pooling = replace(pooling, prompt=_prompt(prompt, pooling.prompts, path))
    dtype = "bfloat16" if precision == "bf16" else "float32"
    # Another head's weights are left out; those of its own are all there, since nothing is to be made up.
    model = load_model(path, head if isinstance(head, Embedding) else None, dtype=dtype)
    tokenizer = load_tokenizer(path)
    check_vocabulary(model, vocabulary_size(tokenizer), path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if head.answer == "tokens":
        from llmkit.prediction.writing import TextAnswers

        task = task_of(read_config(path))
        return TextAnswers(model.to(device), tokenizer, head, path, task, max_tokens, max_new_tokens)
    return HeadAnswers(model.to(device), tokenizer, head, path, pooling)


def _prompt(name: str, prompts: Mapping[str, str], path: Path) -> str:
    if name not in prompts:
        known = ", ".join(prompts) or "none"
        raise ConfigError(
            f"prompt: the model in '{path}' has no prompt '{name}'{nearest(name, prompts)}; it has {known}"
        )
    return prompts[name]


def output_of(answers: HeadAnswers | TextAnswers, threshold: float | Mapping[str, float] | None) -> Output:
    """Return what becomes of a model's answers.

    Raises:
        ConfigError: A threshold is given where there is nothing to choose, or for no label.
    """
    from llmkit.prediction.outputs import Answers, Labels, Numbers, Spans, Texts, Vectors, distinct, thresholds_of

    head: Any = answers.head
    if threshold is not None and head.answer != "label":
        raise ConfigError(f"threshold: the head {head.type_name} chooses no label by a probability", "leave it out")
    names = distinct(head.labels) if hasattr(head, "labels") else []
    if head.answer == "label":
        several = head.problem_type == "multi_label_classification"
        return Labels(names, several, thresholds_of(names, threshold, 0.5 if several else 0.0))
    if head.answer == "tokens":
        return Texts()
    size = len(answers.pooling.modes) * answers.model.config.get_text_config().hidden_size
    others: dict[str, Output] = {
        "number": Numbers(names), "token_labels": Spans(names), "span": Answers(), "vector": Vectors(size),
    }  # fmt: skip
    return others[head.answer]

"""What a finished training leaves: the model as `save_pretrained` writes it, its card and its main figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import ADAPTER, read_record
from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.core.reading import read_json
from llmkit.data.artifacts import Model
from llmkit.modeling.adapters import Adapter, Base
from llmkit.modeling.adapters.full import Full
from llmkit.modeling.architecture import position_limit
from llmkit.training.metrics import measures_of, read_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.exporters import Usage
    from llmkit.modeling.heads import Head

NO_WEIGHTS: dict[str, Any] = {}
FULL = Full()


def save_model(
    directory: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    context_length: int,
    end_ids: list[int],
    adapter: Adapter = FULL,
    base: Base | None = None,
) -> None:
    """Write weights, configs, tokenizer and chat template.

    Args:
        directory: Where to.
        model: The trained model.
        tokenizer: Its tokenizer.
        context_length: What the model was trained on.
        end_ids: Tokens at which generation stops.
        adapter: What of it was trained, which says what is written.
        base: The model that an adapter was trained on.
    """
    save_configs(directory, model, tokenizer, end_ids=end_ids, weights=None, adapter=adapter, base=base)
    save_tokenizer(directory, tokenizer, model, context_length=context_length)


def save_configs(
    directory: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    end_ids: list[int],
    weights: dict[str, Any] | None = NO_WEIGHTS,
    adapter: Adapter = FULL,
    base: Base | None = None,
) -> None:
    """Write the configs of a model, and its own weights with them where `weights` is None."""
    if model.can_generate():  # an encoder has no generation config
        generation = model.generation_config
        generation.bos_token_id = tokenizer.bos_token_id
        generation.eos_token_id = end_ids if len(end_ids) != 1 else end_ids[0]
        generation.pad_token_id = tokenizer.pad_token_id
    adapter.save(directory, model, base, weights)


def save_tokenizer(
    directory: Path, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel, *, context_length: int
) -> None:
    """Write a tokenizer and its chat templates.

    A limit of 1e30 tokens, the mark of one saved without a limit, becomes the model's own, else the context.
    """
    check_templates(tokenizer)
    if tokenizer.model_max_length > 10**9:
        tokenizer.model_max_length = position_limit(model.config) or context_length
    tokenizer.save_pretrained(directory)


def check_templates(tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse chat templates that could not be saved: each but the default one becomes a file of its name.

    Raises:
        DataError: The message has the name.
    """
    templates = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
    for name in templates:
        if Path(name).name != name:  # it would be written elsewhere
            raise DataError(
                f"the tokenizer cannot be saved: its chat template '{name}' would become a file, and that is no name of"
                " one",
                "rename the template in the model's tokenizer_config.json",
            )


def write_card(
    directory: Path,
    head: Head,
    *,
    title: str,
    facts: dict[str, str],
    chat: bool = False,
    base: Base | None = None,
    usage: Usage | None = None,
) -> None:
    """Write the model card README.md, with code that loads and uses the model.

    Args:
        directory: Where to.
        head: What the model is loaded with.
        title: Headline.
        facts: Rows of its table.
        chat: The tokenizer has a chat template that the model was trained with.
        base: What the adapter in the directory is loaded onto; None for a whole model.
        usage: How it is loaded by what is not transformers.
    """
    library = ["library_name: transformers"]
    if base is not None:
        library = ["library_name: peft", f"base_model: {dumps(base.path)}"]
    elif usage is not None:
        library = [f"library_name: {usage.library}"]
    loading = [
        *(_whole(head) if base is None else _apart(directory, head, base)),
        'tokenizer = AutoTokenizer.from_pretrained("DIR")',
        head.usage(chat=chat),
    ]
    lines = [
        "---",
        *library,
        f"pipeline_tag: {head.pipeline}",
        "tags: [llmkit]",
        "---",
        "",
        f"# {title}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        *(["```python", *loading] if usage is None else [f"```{usage.language}", usage.code]),
        "```",
        "",
        "What it was made from, back to the raw files: `llmkit lineage DIR`.",
        "",
    ]
    Model(directory).card.write_text("\n".join(lines), encoding="utf-8")


def _whole(head: Head) -> list[str]:
    """Return the card's code that loads a model."""
    imports = f"from transformers import {head.auto_class}, AutoTokenizer"
    return [imports, "", f'model = {head.auto_class}.from_pretrained("DIR")']


def _apart(directory: Path, head: Head, base: Base) -> list[str]:
    """Return the card's code that loads a base, as the adapter knows it, and the adapter onto it."""
    adapter = read_json(directory / ADAPTER)
    labels = read_record(directory)["config"].get("id2label") if adapter.get("modules_to_save") else None
    named = ", ".join(f"{int(number)}: {dumps(name)}" for number, name in (labels or {}).items())
    lines = ["from peft import PeftModel", f"from transformers import {head.auto_class}, AutoTokenizer", ""]
    more = f", num_labels={len(labels)}, id2label={{{named}}}" if labels else ""
    place = dumps(base.path)
    if Path(base.path).suffix == ".gguf":
        place = f"{dumps(str(Path(base.path).parent))}, gguf_file={dumps(Path(base.path).name)}"
    lines.append(f"base = {head.auto_class}.from_pretrained({place}{more})")
    if rows := adapter.get("trainable_token_indices"):
        lines.append(f"base.resize_token_embeddings({max(next(iter(rows.values()))) + 1})")
    return [*lines, 'model = PeftModel.from_pretrained(base, "DIR")']


def training_metrics(directory: Path, step: int | None = None) -> dict[str, Any]:
    """Return what metrics.jsonl says about the whole run: validation before and after, final loss, speed.

    Args:
        directory: Where it is.
        step: The validation whose weights the run leaves; None for the last.

    All that it does not say is left out: the file may be lost, and the weights are to be saved all the same.
    """
    rows = read_metrics(directory)
    steps = [row for row in rows if "loss" in row]
    validations = [row for row in rows if "validation_loss" in row]
    after = ([row for row in validations if row["step"] == step] or validations)[-1:]
    metrics: dict[str, Any] = {}
    if steps:
        metrics |= {"steps": steps[-1]["step"], "tokens": steps[-1]["tokens"], "loss": steps[-1]["loss"]}
    if validations:
        if "bits_per_byte" in validations[0]:  # only where every token of the text is a target
            metrics["bits_per_byte_before"] = validations[0]["bits_per_byte"]
            metrics["bits_per_byte"] = after[0]["bits_per_byte"]
        metrics["validation_loss_before"] = validations[0]["validation_loss"]
        metrics["validation_loss"] = after[0]["validation_loss"]
        if names := measures_of(validations):
            metrics["measures"] = {name: after[0][name] for name in names}
    if steps:
        rates = sorted(row["tokens_per_second"] for row in steps)
        metrics["tokens_per_second"] = rates[len(rates) // 2]
        metrics["elapsed_s"] = steps[-1]["elapsed_s"]
    return metrics

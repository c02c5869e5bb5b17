"""What a finished training leaves: the model as `save_pretrained` writes it, its card and a report with curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.page import Page
from llmkit.training.metrics import read_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MODEL_PAYLOAD = (
    "*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
)  # fmt: skip
"""The files that make up a model's id."""


def save_model(
    directory: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    context_length: int,
    end_ids: list[int],
) -> None:
    """Write weights, configs, tokenizer and chat template.

    Args:
        directory: Where to.
        model: The trained model.
        tokenizer: Its tokenizer; a limit of 1e30 tokens, the mark of one saved without a limit, becomes the context.
        context_length: What the model was trained on.
        end_ids: Tokens at which generation stops.
    """
    if tokenizer.model_max_length > 10**9:
        tokenizer.model_max_length = getattr(model.config, "max_position_embeddings", None) or context_length
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = end_ids if len(end_ids) != 1 else end_ids[0]
    generation.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def write_card(directory: Path, *, title: str, facts: dict[str, str], chat: bool) -> None:
    """Write the model card README.md."""
    use = (
        'prompt = tokenizer.apply_chat_template([{"role": "user", "content": "..."}], add_generation_prompt=True,'
        ' return_tensors="pt", return_dict=True)'
        if chat
        else "start = tokenizer.bos_token or tokenizer.eos_token  # every training document began with it\n"
        'prompt = tokenizer(start + "...", add_special_tokens=False, return_tensors="pt")'
    )
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [llmkit]",
        "---",
        "",
        f"# {title}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'model = AutoModelForCausalLM.from_pretrained("DIR")',
        'tokenizer = AutoTokenizer.from_pretrained("DIR")',
        use,
        "print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))",
        "```",
        "",
        "What it was made from, back to the raw files: `llmkit lineage DIR`.",
        "",
    ]
    (directory / "README.md").write_text("\n".join(lines), encoding="utf-8")


def write_report(directory: Path, *, title: str, facts: dict[str, str]) -> None:
    """Write report.html from metrics.jsonl."""
    rows = read_metrics(directory)
    steps = [row for row in rows if "loss" in row]
    validations = [row for row in rows if "validation_loss" in row]
    bits = facts.get("bits per byte")
    page = Page(title, f"bits per byte {bits}" if bits else f"loss {facts['loss']}")
    page.facts(facts)
    page.heading("Loss")
    page.lines(
        {"training": _points(steps, "loss"), "validation": _points(validations, "validation_loss")},
        x="step",
        y="nats per token",
    )
    page.heading("Validation bits per byte")
    page.lines({"bits per byte": _points(validations, "bits_per_byte")}, x="step", y="bits per byte")
    page.heading("Learning rate")
    page.lines({"learning rate": _points(steps, "lr")}, x="step", y="learning rate")
    page.heading("Gradient norm")
    page.lines({"gradient norm": _points(steps, "grad_norm")}, x="step", y="norm before clipping")
    page.heading("Speed")
    page.lines({"tokens per second": _points(steps, "tokens_per_second")}, x="step", y="tokens/s")
    page.write(directory / "report.html")


def training_metrics(directory: Path) -> dict[str, Any]:
    """Return what metrics.jsonl says about the whole run: validation before and after, final loss, speed."""
    rows = read_metrics(directory)
    steps = [row for row in rows if "loss" in row]
    validations = [row for row in rows if "validation_loss" in row]
    metrics: dict[str, Any] = {"steps": steps[-1]["step"], "tokens": steps[-1]["tokens"], "loss": steps[-1]["loss"]}
    if validations:
        metrics["bits_per_byte_before"] = validations[0]["bits_per_byte"]
        metrics["bits_per_byte"] = validations[-1]["bits_per_byte"]
        metrics["validation_loss"] = validations[-1]["validation_loss"]
    rates = sorted(row["tokens_per_second"] for row in steps)
    metrics["tokens_per_second"] = rates[len(rates) // 2]
    metrics["elapsed_s"] = steps[-1]["elapsed_s"]
    return metrics


def _points(rows: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if name in row]

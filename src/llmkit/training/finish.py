"""What a finished training leaves: the model as `save_pretrained` writes it, its card and its main figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.data.artifacts import Model
from llmkit.modeling.architecture import position_limit
from llmkit.training.metrics import read_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


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
        tokenizer.model_max_length = position_limit(model.config) or context_length
    if model.can_generate():  # an encoder has no generation config
        generation = model.generation_config
        generation.bos_token_id = tokenizer.bos_token_id
        generation.eos_token_id = end_ids if len(end_ids) != 1 else end_ids[0]
        generation.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


_CHAT = """\
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "..."}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))"""  # noqa: E501

_TEXT = """\
start = tokenizer.bos_token or tokenizer.eos_token  # every training document began with it
prompt = tokenizer(start + "...", add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))"""

_MASKED = """\
text = tokenizer(f"... {tokenizer.mask_token} ...", return_tensors="pt")
logits = model(**text).logits[text["input_ids"] == tokenizer.mask_token_id]
print(tokenizer.convert_ids_to_tokens(logits.topk(5).indices[0].tolist()))  # the likeliest words in its place"""

_PAIR = """\
pair = tokenizer("...", "...", return_tensors="pt")
masked_words, order = model(**pair)[:2]  # logits [1, tokens, vocabulary] and [1, 2]
print(order.softmax(-1))  # [the second text follows, it does not]"""

_SEQ2SEQ = """\
text = tokenizer("... <extra_id_0> ...", return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**text, max_new_tokens=40)[0]))  # what stands in the gap"""

_USES = {
    "AutoModelForCausalLM": ("text-generation", _TEXT),
    "AutoModelForMaskedLM": ("fill-mask", _MASKED),
    "AutoModelForPreTraining": ("fill-mask", _PAIR),
    "AutoModelForSeq2SeqLM": ("text2text-generation", _SEQ2SEQ),
}


def write_card(
    directory: Path, *, title: str, facts: dict[str, str], chat: bool = False, auto_class: str = "AutoModelForCausalLM"
) -> None:
    """Write the model card README.md, with code that loads and uses the model.

    Args:
        directory: Where to.
        title: Headline.
        facts: Rows of its table.
        chat: The tokenizer has a chat template that the model was trained with.
        auto_class: The transformers class the model is loaded with.
    """
    tag, use = _USES[auto_class]
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {tag}",
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
        f"from transformers import {auto_class}, AutoTokenizer",
        "",
        f'model = {auto_class}.from_pretrained("DIR")',
        'tokenizer = AutoTokenizer.from_pretrained("DIR")',
        _CHAT if chat else use,
        "```",
        "",
        "What it was made from, back to the raw files: `llmkit lineage DIR`.",
        "",
    ]
    Model(directory).card.write_text("\n".join(lines), encoding="utf-8")


def training_metrics(directory: Path) -> dict[str, Any]:
    """Return what metrics.jsonl says about the whole run: validation before and after, final loss, speed."""
    rows = read_metrics(directory)
    steps = [row for row in rows if "loss" in row]
    validations = [row for row in rows if "validation_loss" in row]
    metrics: dict[str, Any] = {"steps": steps[-1]["step"], "tokens": steps[-1]["tokens"], "loss": steps[-1]["loss"]}
    if validations:
        if "bits_per_byte" in validations[0]:  # only where every token of the text is a target
            metrics["bits_per_byte_before"] = validations[0]["bits_per_byte"]
            metrics["bits_per_byte"] = validations[-1]["bits_per_byte"]
        metrics["validation_loss_before"] = validations[0]["validation_loss"]
        metrics["validation_loss"] = validations[-1]["validation_loss"]
    rates = sorted(row["tokens_per_second"] for row in steps)
    metrics["tokens_per_second"] = rates[len(rates) // 2]
    metrics["elapsed_s"] = steps[-1]["elapsed_s"]
    return metrics

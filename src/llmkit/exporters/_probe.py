"""What a model answers to random tokens: all its numbers, and what it chooses by them.

The stage asks the model with this, and exporters run the same file in a fresh process: it imports nothing of llmkit, so
that none of llmkit's own loading code is in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def answer(
    model: Any, kind: str, ids: NDArray[np.int64], num_new_tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a model's numbers and choices.

    Args:
        model: A model in eval mode.
        kind: Its kind of answer: tokens, token_labels, label, number, span or vector.
        ids: `[prompts, time]`; an encoder-decoder that writes reads them on both sides.
        num_new_tokens: Tokens to write, where the model does.

    Returns:
        Numbers `[prompts, n]`, those of every head, and choices `[prompts, m]`: the tokens written, the likeliest token
        or label of every token, the label (one, or 0 or 1 for each), or where the span begins and ends; numbers and
        vectors leave nothing to choose (m is 0).
    """
    import torch

    inputs = torch.from_numpy(ids)
    mask = torch.ones_like(inputs)
    more: dict[str, Any] = {}
    if kind == "tokens":
        more = {"decoder_input_ids": inputs} if model.config.is_encoder_decoder else {}
        more["use_cache"] = False
    with torch.inference_mode():
        found = model(input_ids=inputs, attention_mask=mask, **more)
        tensors = {name: value.float() for name, value in found.items() if torch.is_tensor(value)}
        # Where there are none, as in a body alone, everything that it returns is its answer.
        numbers = [value for name, value in tensors.items() if name.endswith("logits")] or list(tensors.values())
        if kind == "tokens":
            choices = model.generate(
                input_ids=inputs, attention_mask=mask, max_new_tokens=num_new_tokens, min_new_tokens=num_new_tokens,
                do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None, pad_token_id=0,
            )[:, -num_new_tokens:]  # fmt: skip
        else:
            choices = _choose(kind, numbers, several=model.config.problem_type == "multi_label_classification")
    return torch.cat([part.flatten(1) for part in numbers], 1).numpy(), choices.numpy()


def _choose(kind: str, numbers: list[torch.Tensor], *, several: bool) -> torch.Tensor:
    """Return what is chosen by the logits of each head, `[prompts, ...]` each."""
    import torch

    if kind == "token_labels":
        return numbers[0].argmax(-1)
    if kind == "label":
        return (numbers[0] > 0).long() if several else numbers[0].argmax(-1, keepdim=True)
    if kind == "span":
        return torch.stack([part.argmax(-1) for part in numbers[:2]], 1)
    return torch.zeros((len(numbers[0]), 0), dtype=torch.long)


def reload(directory: str, probe: str, answers: str) -> None:
    """Load an export with transformers alone and write what it answers; see `Exporter.reload_command`."""
    import numpy as np
    import transformers

    transformers.AutoTokenizer.from_pretrained(directory)
    asked = np.load(probe)
    model = getattr(transformers, str(asked["auto_class"])).from_pretrained(directory).eval()
    numbers, choices = answer(model, str(asked["answer"]), asked["input_ids"], int(asked["num_new_tokens"]))
    np.savez(answers, logits=numbers, tokens=choices)

"""What a model answers to random tokens: all its logits, and the tokens it would choose.

The stage asks the model with this, and exporters run the same file in a fresh process: it imports nothing of llmkit, so
that none of llmkit's own loading code is in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHOICES = {
    "AutoModelForCausalLM": "greedy tokens",
    "AutoModelForSeq2SeqLM": "greedy tokens",
    "AutoModelForMaskedLM": "likeliest tokens",
    "AutoModelForPreTraining": "likeliest tokens",
}
"""What the tokens of an answer are: generated ones or, of an encoder, the likeliest at each position."""


def answer(
    model: Any, auto_class: str, ids: NDArray[np.int64], num_new_tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a model's logits and tokens.

    Args:
        model: A model in eval mode.
        auto_class: The transformers class it is of.
        ids: `[prompts, time]`; an encoder-decoder reads them on both sides.
        num_new_tokens: Tokens to generate, where the model does.

    Returns:
        Logits `[prompts, n]`, those of every head, and tokens `[prompts, num_new_tokens]` or `[prompts, time]`.
    """
    import torch

    inputs = torch.from_numpy(ids)
    mask = torch.ones_like(inputs)
    more: dict[str, Any] = {}
    if auto_class == "AutoModelForCausalLM":
        more = {"use_cache": False}
    elif auto_class == "AutoModelForSeq2SeqLM":
        more = {"decoder_input_ids": inputs, "use_cache": False}
    with torch.inference_mode():
        found = model(input_ids=inputs, attention_mask=mask, **more)
        heads = found[:2] if auto_class == "AutoModelForPreTraining" else found[:1]  # words, and order of the texts
        logits = torch.cat([head.float().flatten(1) for head in heads], 1)
        if CHOICES[auto_class] == "likeliest tokens":
            tokens = found[0].argmax(-1)
        else:
            tokens = model.generate(
                input_ids=inputs, attention_mask=mask, max_new_tokens=num_new_tokens, min_new_tokens=num_new_tokens,
                do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None, pad_token_id=0,
            )[:, -num_new_tokens:]  # fmt: skip
    return logits.numpy(), tokens.numpy()


def reload(directory: str, probe: str, answers: str) -> None:
    """Load an export with transformers alone and write what it answers; see `Exporter.reload_command`."""
    import numpy as np
    import transformers

    transformers.AutoTokenizer.from_pretrained(directory)
    asked = np.load(probe)
    auto_class = str(asked["auto_class"])
    model = getattr(transformers, auto_class).from_pretrained(directory).eval()
    logits, tokens = answer(model, auto_class, asked["input_ids"], int(asked["num_new_tokens"]))
    np.savez(answers, logits=logits, tokens=tokens)

"""Causal language models: the next token from those before it; they write."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head

_CHAT = """\
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "..."}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))"""  # noqa: E501

_TEXT = """\
start = tokenizer.bos_token or tokenizer.eos_token  # every training document began with it
prompt = tokenizer(start + "...", add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=40)[0]))"""


class CausalLM(Head):
    """A layer over the vocabulary on a body that reads from left to right."""

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    table: ClassVar[str] = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
    refusal: ClassVar[str] = "is not a causal language model"
    examples: ClassVar[str] = "llama, qwen3, gpt2"
    pipeline: ClassVar[str] = "text-generation"
    peft_task: ClassVar[str | None] = "CAUSAL_LM"
    chosen: ClassVar[str] = "greedy tokens"
    objective: ClassVar[str | None] = "causal_lm"
    # transformers would load an encoder as one, and let every token see those after it.
    takes_others: ClassVar[bool] = False
    rank: ClassVar[int] = 0

    @property
    def answer(self) -> Answer:
        """Tokens."""
        return "tokens"

    def usage(self, *, chat: bool = False) -> str:
        """Return code that goes on with a text, or answers in a chat."""
        return _CHAT if chat else _TEXT

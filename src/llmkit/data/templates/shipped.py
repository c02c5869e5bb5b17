"""Chat templates that are shipped, for models that have none: each by the name of the family whose format it writes.

    llmkit finetune --model gpt2 -s template=chatml

The tokens that one writes become tokens of the model, with rows of the embedding that are trained. `plain` needs none
but EOS. Those of other names write no tools; `chatml_tools` does.
"""

from __future__ import annotations

from typing import NamedTuple


class Shipped(NamedTuple):
    """A template and the special tokens that it writes, beside BOS and EOS."""

    text: str
    tokens: tuple[str, ...] = ()


CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, with the BOS that every pretraining document starts with."""
DEFAULT_TOKENS = ("<|im_start|>", "<|im_end|>")
"""Tokens that `CHAT_TEMPLATE` writes."""

CHATML_TOOLS = (
    "{{ bos_token }}{% if tools %}{{ '<|im_start|>system\n' }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}"
    "{{ 'Functions that may be called, one JSON schema a line:\n<tools>\n' }}"
    "{% for tool in tools %}{{ tool | tojson + '\n' }}{% endfor %}"
    "{{ '</tools>\nTo call one, write its name and its arguments as JSON between <tool_call> and </tool_call>.' }}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}"
    "{{ '<|im_start|>tool\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}"
    "{% elif not (tools and loop.first and message.role == 'system') %}"
    "{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}{% set function = call.function or call %}"
    "{{ '\n' if message.content or not loop.first }}"
    "{{ '<tool_call>\n{\"name\": ' + function.name | tojson + ', \"arguments\": ' + function.arguments | tojson }}"
    "{{ '}\n</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

GEMMA = (
    "{{ bos_token }}{% set system = namespace(text='') %}{% for message in messages %}"
    "{% if message.role == 'system' %}{% set system.text = system.text + message.content | trim + '\n\n' %}{% else %}"
    "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' + system.text }}"
    "{{ message.content | trim + '<end_of_turn>\n' }}{% set system.text = '' %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

PHI3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)

PLAIN = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ 'Assistant: ' + message.content }}{{ eos_token }}"
    "{% elif message.role == 'system' %}{{ message.content }}{% else %}{{ 'User: ' + message.content }}{% endif %}"
    "{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

SHIPPED = {
    "chatml": Shipped(CHAT_TEMPLATE, DEFAULT_TOKENS),
    "chatml_tools": Shipped(CHATML_TOOLS, DEFAULT_TOKENS),
    "llama3": Shipped(LLAMA3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "gemma": Shipped(GEMMA, ("<start_of_turn>", "<end_of_turn>")),
    "phi3": Shipped(PHI3, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "plain": Shipped(PLAIN),
}

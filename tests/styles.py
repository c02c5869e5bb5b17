"""Chat templates in the styles of families of models, in small, with marks around what the assistant generates.

`{% generation %}` stands around what inference generates: from the end of its prompt to the token at which it stops.
Libraries that mask by these marks have to find the same targets as we do, who do not look at them.
"""

from __future__ import annotations

from tokenizers import AddedToken

from tiny import byte_tokenizer

G, END = "{% generation %}", "{% endgeneration %}"
ASKED = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CALLS = (
    '{% for c in m.tool_calls or [] %}{{ \'\n<tool_call>\n{"name": "\' + c.function.name + \'", "arguments": \''
    " + c.function.arguments | tojson + '}\n</tool_call>' }}{% endfor %}"
)
OFFERS = (
    "{% if tools %}{{ '<|im_start|>system\n# Tools' }}{% for t in tools %}{{ '\n' + t | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
)

CHATML = (
    OFFERS + "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    f"{G}{{{{ m.content or '' }}}}{CALLS}{{{{ '<|im_end|>' }}}}{END}{{{{ '\n' }}}}"
    "{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}" + ASKED
)
QWEN3 = (
    OFFERS + "{% set ns = namespace(asked=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    + G
    + "{% set content = m.content or '' %}{% set thought = m.reasoning_content or '' %}"
    "{% if '</think>' in content %}{% set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{% if loop.index0 > ns.asked and (loop.last or thought) %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ content }}" + CALLS + "{{ '<|im_end|>' }}" + END + "{{ '\n' }}"
    "{% elif m.role == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}" + ASKED
)
"""Thinks anew for each question: earlier thoughts are dropped, and without one an empty thought ends the text."""
LLAMA3 = (
    "{{ bos_token }}{% if tools %}{{ '<|start|>system<|header|>\n\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "{{ '<|eot|>' }}{% endif %}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|start|>assistant<|header|>\n\n' }}" + G + "{% if m.tool_calls %}{% for c in m.tool_calls %}"
    "{{ '{\"name\": \"' + c.function.name + '\", \"parameters\": ' + c.function.arguments | tojson + '}' }}{% endfor %}"
    "{{ '<|eom|>' }}{% else %}{{ m.content | trim + '<|eot|>' }}{% endif %}" + END + "{% else %}"
    "{{ '<|start|>' + ('ipython' if m.role == 'tool' else m.role) + '<|header|>\n\n' + m.content | trim + '<|eot|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|header|>\n\n' }}{% endif %}"
)
"""Ends a call with a token of its own, and cuts blanks off."""
PHI3 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\n' }}"
    f"{G}{{{{ m.content + '<|end|>' }}}}{END}{{{{ '\n' }}}}"
    "{% else %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
"""Ends a conversation with EOS that does not go on."""
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{% if m.role == 'assistant' %}{{ '<turn>model\n' }}" + G + "{{ m.content | trim + '<end>' }}" + END + "{{ '\n' }}"
    "{% else %}{{ '<turn>' + m.role + '\n' + m.content | trim + '<end>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"
)
"""Refuses systems and roles that do not alternate."""
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'tool' %}{{ '<｜tool｜>' + m.content }}{% elif m.role == 'system' %}{{ m.content }}"
    "{% elif m.content is none %}{{ '<｜Assistant｜>' }}{% for c in m.tool_calls %}"
    "{{ '<｜call｜>' + c['type'] + '<｜sep｜>' + c['function']['name'] + '\n' + c['function']['arguments'] }}"
    "{% endfor %}{{ '<｜end｜>' }}{% else %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end｜>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
"""Begins a thought in the prompt and writes none; takes calls as JSON, and only where nothing is said beside."""
GLM = (
    "{{ '[gMASK]<sop>' }}{% if tools %}{{ '<|system|>' }}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
    "{% set ns = namespace(asked=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>\n<think>' }}{% if loop.index0 > ns.asked %}{{ m.reasoning_content or '' }}{% endif %}"
    "{{ '</think>' }}{% if m.content %}{{ '\n' + m.content.strip() }}{% endif %}"
    "{% for c in m.tool_calls or [] %}{{ '\n<tool_call>' + c.function.name }}"
    "{% for k, v in c.function.arguments.items() %}{{ '\n<arg_key>' + k + '</arg_key>\n<arg_value>' + v }}{% endfor %}"
    "{{ '\n</tool_call>' }}{% endfor %}"
    "{% else %}{{ '<|' + ('observation' if m.role == 'tool' else m.role) + '|>\n' + m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Ends no turn: the next role does. Drops the thoughts of earlier questions."""
MISTRAL = (
    "{{ bos_token }}{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST]' + (system + '\n\n' if system and loop.last else '') + m.content + '[/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
"""Writes the system before the last question alone, and only until that is answered."""
CLOSES = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>' }}"
    "{{ '<think>' + m.reasoning_content if m.reasoning_content }}{{ '</think>' + m.content }}"
    "{% else %}{{ '<|' + m.role + '|>' + m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>' }}{% endif %}"
)
"""As GLM 4.7's: begins a thought in the prompt, and ends it at once where nothing is thought."""

STYLES = {
    "chatml": (CHATML, ()),
    "qwen3": (QWEN3, ("<think>", "</think>", "<tool_call>", "</tool_call>")),
    "llama3": (LLAMA3, ("<|start|>", "<|header|>", "<|eot|>", "<|eom|>")),
    "phi3": (PHI3, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "gemma": (GEMMA, ("<turn>", "<end>")),
    "deepseek": (
        DEEPSEEK,
        ("<｜User｜>", "<｜Assistant｜>", "<｜tool｜>", "<｜call｜>", "<｜sep｜>", "<｜end｜>", "<think>"),
    ),
    "mistral": (MISTRAL, ("[INST]", "[/INST]")),
    "closes": (CLOSES, ("<|user|>", "<|assistant|>", "<think>", "</think>")),
    "glm": (GLM, ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<think>")),
}
ORDINARY = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Added tokens that are not special, as in Qwen3's tokenizer."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}},
    },
}


def style(name, **options):
    """Return a byte-level tokenizer with the template of a style and its tokens."""
    template, tokens = STYLES[name]
    tokenizer = byte_tokenizer(template=template, **options)
    tokenizer.add_tokens([AddedToken(token, special=token not in ORDINARY, normalized=False) for token in tokens])
    return tokenizer


def user(content, **more):
    return {"role": "user", "content": content, **more}


def said(content, **more):
    return {"role": "assistant", "content": content, **more}


def calls(city, **more):
    function = {"name": "weather", "arguments": {"city": city}}
    return said("", tool_calls=[{"id": "call12345", "type": "function", "function": function}], **more)


def answered(content):
    return {"role": "tool", "name": "weather", "tool_call_id": "call12345", "content": content}


TURNS = [user("1 + 2?"), said("It is 3."), user("Thanks"), said("You are welcome."), user("Bye"), said("So long!")]
THOUGHTS = [
    user("1 + 2?"), said("It is 3.", reasoning_content="one more than 2"),
    user("Thanks"), said("You are welcome.", reasoning_content="polite"),
]  # fmt: skip
TOOLS = [
    user("Rome?", tools=[WEATHER]), calls("Rome"), answered("sunny"), said("Sunny."),
    user("Oslo?"), calls("Oslo"), answered("rain"), said("Rain."),
]  # fmt: skip

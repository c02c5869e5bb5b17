"""Chat templates in bounds: what transformers renders, and a refusal with words for all that does too much."""

from __future__ import annotations

import pytest

from llmkit.core.errors import DataError
from llmkit.data.rendering import CHAT_TEMPLATE, render, render_all
from llmkit.data.templates import budget, compiled
from llmkit.data.templates.compiled import compile_template
from tiny import byte_tokenizer

TALKS = [
    [{"role": "user", "content": "Add 1 and 2"}],
    [{"role": "user", "content": "Add"}, {"role": "assistant", "content": "<think>\n1 + 2\n</think>\n\nIt is 3. "}],
    [
        {"role": "system", "content": "Be 简短."},
        {"role": "user", "content": " Hi\n"},
        {"role": "assistant", "content": "春天"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": 'Say "so"'},
    ],
]
# What templates in the wild are made of: each takes other ways through the environment.
SHAPES = {
    "chatml": CHAT_TEMPLATE,
    "loop over slices, namespaces, tests and methods": """
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith(
        '<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content, thinking = message.content, '' %}
        {%- if '</think>' in content %}
            {%- set thinking = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if loop.index0 > ns.last and (loop.last or thinking) %}
            {{- '<think>\\n' + thinking.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content + '<|im_end|>' + '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}""",
    "blocks, filters and trimmed lines": """{{ bos_token }}
{% if messages[0]['role'] == 'system' %}
  {% set system = messages[0]['content'] | trim + '\\n\\n' %}
  {% set messages = messages[1:] %}
{% else %}{% set system = '' %}{% endif %}
{% for message in messages %}
  {% set content = system + message['content'] if loop.first else message['content'] %}
  {% if message['role'] == 'user' %}
{{ '<start>user\\n' + content | trim + '<end>\\n' }}
  {% else %}
{% generation %}{{ '<start>model\\n' + content | trim + '<end>\\n' }}{% endgeneration %}
  {% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '<start>model\\n' }}{% endif %}""",
    "macros, json, joins and arithmetic": """
{%- macro turn(message, number=0) -%}
[{{ number * 2 + 1 }}/{{ '%03d' % number }}] {{ message.role ~ ': ' ~ message.content|tojson }}
{{- caller() if caller is defined }}
{%- endmacro -%}
{%- for message in messages if message.role != 'system' %}
{% call turn(message, loop.index) %} <{{ loop.previtem.role if loop.previtem is defined else none }}>{% endcall %}
{%- if loop.index > 8 %}{% break %}{% endif %}
{%- endfor %}
{% set roles %}{{ messages|map(attribute='role')|unique|join(', ') }}{% endset -%}
{{ roles|upper }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|tojson(indent=2) }}
{% filter replace('a', 'b') %}{{ 'abc'.replace('c', 'd') ~ '{:>5}'.format(7) }}{% endfilter %}
{{- dict(a=[1, 2], b=messages[0])|string }} {{ ['x', 'y'] + ['z'] }} {{ 'ab' * 3 }} {{ 2 ** 5 % 7 }} {{ 1700000000 }}
{{- '%d' % 1700000000 }}{{ 'a-b-c'|replace('-', '', 1)|center(9)|indent(2) }}{{ true and none }}""",
}


def refusal(template: str, turns=TALKS[0]) -> str:
    (found,) = render_all(byte_tokenizer(template=template), [turns])
    assert isinstance(found, DataError)
    assert found.exit_code == 3
    return found.message.removeprefix("the chat template refuses a conversation of user: ")


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_rendered_is_what_transformers_renders(name):
    tokenizer = byte_tokenizer(template=SHAPES[name])
    for prompt in (False, True):
        expected = [tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=prompt) for talk in TALKS]
        assert render_all(tokenizer, TALKS, prompt=prompt) == expected


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("messages[0].content + 1", 'TypeError: can only concatenate str (not "int") to str (line 2)'),
        ("messages.deeper.still", "'list object' has no attribute 'deeper' (line 2)"),
        ("range(10 ** 7)", "OverflowError: Range too big."),
        ("'{a}'.format()", "KeyError: 'a' (line 2)"),
        ("raise_exception('roles must\n alternate')", "roles must alternate"),
        ("messages[0].__class__.mro()", "access to attribute '__class__' of 'dict' object is unsafe. (line 2)"),
    ],
)
def test_every_exception_is_a_refusal_with_words(expression, says):
    assert refusal("a\n{{ " + expression + " }}").startswith(says)


def test_a_template_that_calls_itself_without_end_is_a_refusal():
    assert "RecursionError" in refusal("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")


def test_many_turns_are_named_in_short():
    talk = [{"role": "user", "content": "a"}] * 50
    (found,) = render_all(byte_tokenizer(template="{{ 1 / 0 }}"), [talk])
    assert found.message.startswith("the chat template refuses a conversation of " + "user, " * 12 + "...: Zero")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for %}", "Expected an expression, got 'end of statement block' (line 1)"),
        ("a\nb {{ x | no_such }}", "No filter named 'no_such'. (line 2)"),
        ("{{ " + "(" * 3000 + " }}", "RecursionError"),
    ],
)
def test_a_template_that_does_not_compile_is_one_error(template, says):
    with pytest.raises(DataError, match="the chat template is not valid: ") as error:
        compile_template(template)
    assert says in error.value.message
    assert len(error.value.message) < 300


ENDLESS = {
    "rounds that write nothing": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "rounds that are left out": "{% for i in range(9999) %}{% for j in range(9999) if false %}{% endfor %}{% endfor %}",
    "rounds that write": "{% for i in range(99) %}{% for j in range(999) %}{{ j + i }}{% endfor %}{% endfor %}",
    "rounds of text": "{% for i in range(999) %}{% for j in range(99) %}some text{% endfor %}{% endfor %}",
    "a block of rounds": "{% set x %}{% for i in range(9999) %}some text{% endfor %}{% endset %}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(14) }}"
    ),
    "text and text": "{% set n = namespace(x='ab') %}{% for i in range(16) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "text beside text": "{% set n = namespace(x='ab') %}{% for i in range(16) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "lists of lists": (
        "{% set n = namespace(x=['ab']) %}{% for i in range(16) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}"
    ),
    "json of lists of lists": (
        "{% set n = namespace(x=[1]) %}{% for i in range(16) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x|tojson }}"
    ),
    "filters over ranges": "{% for i in range(99) %}{{ range(999)|sum }}{% endfor %}",
}  # fmt: skip
HUGE = {
    "times": "{{ 'a' * 99999 }}",
    "times a list": "{{ 99999 * [1] }}",
    "width": "{{ 'a'|center(99999) }}",
    "method": "{{ 'a'.ljust(99999) }}",
    "replace": "{{ ('a' * 99)|replace('a', 'b' * 999) }}",
    "join": "{{ ('b' * 999).join(['a'] * 99) }}",
    "percent": "{{ '%99999d' % 3 }}",
    "percent star": "{{ '%*d' % (99999, 3) }}",
    "format": "{{ '{:{}}'.format(3, 99999) }}",
    "format of text": "{{ ('{0}' * 99).format('a' * 999) }}",
    "indented json": "{{ [[[1]]]|tojson(indent=99999) }}",
}


@pytest.fixture
def small(monkeypatch):
    """Let a rendering do 20,000 steps: what needs more would need more of any number."""
    monkeypatch.setattr(budget, "STEPS", 20_000)
    monkeypatch.setattr(budget, "LOOK_EVERY", 100)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_too_much_is_refused(name):
    assert refusal(ENDLESS[name]).startswith("it does more than a template may: a loop without end, or")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", HUGE)
def test_what_makes_too_much_at_once_is_refused_before_it_is_made(name):
    assert refusal(HUGE[name]) == "it makes more text than a template may (line 1)"


def test_numbers_have_a_size():
    assert refusal("{{ 9 ** 9999 }}") == "it makes larger numbers than a template may (line 1)"


@pytest.mark.usefixtures("small")
def test_longer_conversations_may_take_more():
    template = "{% for m in messages %}{% for other in messages %}{{ other.content[0] }}{% endfor %}{% endfor %}"
    talk = [{"role": "user", "content": "long enough"}] * 120
    assert render(byte_tokenizer(template=template), talk) == "l" * 120 * 120
    assert refusal(template, [{"role": "user", "content": "l"}] * 300).endswith("text without end (line 1)")


def test_what_is_written_has_a_length(monkeypatch):
    monkeypatch.setattr(compiled, "WRITTEN", 100)
    template = "{% for i in range(9) %}{{ messages[0].content }}{% endfor %}"
    tokenizer = byte_tokenizer(template=template)
    assert len(render(tokenizer, TALKS[0])) == 99  # 11 characters may be written 64 times
    assert refusal(template.replace("9", "99")) == "it writes 1,089 characters"


def test_processor_time_has_an_end(monkeypatch):
    monkeypatch.setattr(budget, "SECONDS", -1.0)
    monkeypatch.setattr(budget, "LOOK_EVERY", 10)
    assert refusal("{% for i in range(99) %}{% endfor %}") == "it takes more than -1 seconds (line 1)"

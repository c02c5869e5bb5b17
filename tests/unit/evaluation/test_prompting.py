"""Prompts over columns: what is written, what is refused, and with which words."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from llmkit.core.errors import ConfigError
from llmkit.evaluation.prompting import Prompt, TemplateText

ROW = {"question": "Who?", "choices": ["a <b>", "ü"], "n": 3}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Q: {{ question }}\nA:\n", "Q: Who?\nA:\n"),  # the last newline stays
        ("{% for c in choices %}\n{{ loop.index }}. {{ c }}{% endfor %}", "\n1. a <b>\n2. ü"),
        ("{{ choices | tojson }}", '["a <b>", "ü"]'),
        ("{{ hint | default('none') }}{% if hint is defined %}!{% endif %}", "none"),
        ("{{ 'ABC'[choices.index('ü')] }}", "B"),
        ("{{ n + 1 }}", "4"),
        ("question", "Who?"),  # a column's name
        ("n", "3"),
        ("plain words", "plain words"),
        ("", ""),
    ],
)
def test_a_row_becomes_text(template, text):
    assert Prompt(template).render(ROW) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ questoin }}", "prompt: no column 'questoin'; did you mean 'question'?; the columns are question, choi"),
        ("{{ questoin ~ '!' }}", "prompt: no column 'questoin'; did you mean 'question'?"),
        ("{{ zzz.a }}", "prompt: no column 'zzz'; the columns are question, choices, n"),
        ("{{ zzz | upper }}", "prompt: no column 'zzz'; the columns are question, choices, n"),
        ("{{ question.foo }}", "prompt: the template fails on a row: 'str object' has no attribute 'foo'; the columns"),
        ("{{ choices[7] }}", "prompt: the template fails on a row: list object has no element 7"),
        ("{{ ''.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ choices.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero (line 1)"),
        ("{{ 'x' * 10 ** 9 }}", "it makes more text than a template may (line 1)"),
        (
            "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}{% endfor %}{% endfor %}"
            "{% endfor %}",
            "it does more than a template may",
        ),
    ],
)
def test_a_row_without_it_is_refused(template, message):
    with pytest.raises(ConfigError) as refused:
        Prompt(template).render(ROW)
    assert message in refused.value.message
    assert refused.value.exit_code == 2


def test_a_broken_template_is_refused_when_it_is_read():
    with pytest.raises(ConfigError, match=r"^choices: not a template: unexpected 'end of template' \(line 2\)$"):
        Prompt("a\n{% for", "choices")
    with pytest.raises(ValidationError, match=r"Value error, not a template: .* \(line 1\)"):
        TypeAdapter(TemplateText).validate_python("{{ a b }}")
    assert TypeAdapter(TemplateText).validate_python("{{ a }}") == "{{ a }}"


def test_the_columns_of_a_template_are_known():
    prompt = Prompt("{% for c in choices %}{{ c }}{{ range(n) }}{% endfor %}{{ hint | default('') }}")
    assert prompt.columns == {"choices", "n", "hint"}
    assert prompt == Prompt(prompt.text) and {prompt, Prompt(prompt.text)} == {prompt}

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.errors import ConfigError
from llmkit.core.yaml import parse_scalar, read_yaml


def fails(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "r.yaml")
    assert caught.value.exit_code == 2
    return caught.value.message


# The core schema: https://yaml.org/spec/1.2.2/#1032-tag-resolution; the last rows are YAML 1.1 only, so they are text.
SCALARS = [
    ("3e-4", 3e-4), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-1.5E+2", -150.0), ("+.inf", math.inf),
    ("-.INF", -math.inf), ("012", 12), ("-7", -7), ("+7", 7), ("0o17", 15), ("0xfF", 255), ("true", True),
    ("FALSE", False), ("null", None), ("~", None), ("", None), ("Null", None),
    ("no", "no"), ("Yes", "Yes"), ("off", "off"), ("y", "y"), ("1_000", "1_000"), ("0b1", "0b1"), ("1:30", "1:30"),
    ("2024-01-01", "2024-01-01"), ("=", "="), ("-0x1", "-0x1"), (".", "."), ("1e", "1e"), ("tRue", "tRue"),
    ("'3'", "3"), ('"true"', "true"), ("!!str 3", "3"), ("!!int '3'", 3), ("!!float 3", 3.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_core_scalars(text, value):
    read = read_yaml(f"a: {text}", "r.yaml").value["a"]
    assert (type(read), read) == (type(value), value)


def test_nan():
    assert math.isnan(read_yaml("a: .NaN", "r.yaml").value["a"])


@pytest.mark.parametrize(("text", "value"), [row for row in SCALARS if not row[0].startswith("!!") and row[0]])
def test_set_reads_the_same_scalars(text, value):
    read = parse_scalar(f" {text} ", "--set a")
    assert (type(read), read) == (type(value), value)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_what_json_writes_is_read_back(value):
    text = (
        {True: "true", False: "false", None: "null"}.get(value, repr(value))
        if value in (True, False, None)
        else repr(value)
    )
    assert read_yaml(f"[{text}]", "r.yaml").value == [value]


def test_set_takes_flow_style_but_no_other_syntax():
    assert parse_scalar("[1, {a: no}]", "--set a") == [1, {"a": "no"}]
    assert parse_scalar("{a: [x, 2]}", "--set a") == {"a": ["x", 2]}
    assert parse_scalar("'5'", "--set a") == "5"
    assert parse_scalar("", "--set a") == ""
    for text in ("*.txt", "#5", "@x", "%x", "!x", "&x", "a: b", "- a", "x #y", "|", "---", "a]", "日本"):
        assert parse_scalar(text, "--set a") == text
    with pytest.raises(ConfigError, match=r"^--set steps:1: not valid YAML: expected ',' or '\]'"):
        parse_scalar("[1", "--set steps")


def test_every_value_remembers_its_line():
    file = read_yaml("# a comment\na: 1\nb:\n  - x\n  - c: 2\n    d: {e: 3}\n\nf: |\n  text\n", "r.yaml")
    assert file.value == {"a": 1, "b": ["x", {"c": 2, "d": {"e": 3}}], "f": "text\n"}
    assert file.lines == {
        (): 2, ("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("b", 1, "c"): 5, ("b", 1, "d"): 6,
        ("b", 1, "d", "e"): 6, ("f",): 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "r.yaml:3: key 'a' is given twice (first on line 1)"),
        ("x:\n  a: {b: 1, b: 2}", "r.yaml:2: key 'b' is given twice (first on line 2)"),
        ("1: x\n'1': y", "r.yaml:2: key '1' is given twice (first on line 1)"),
        ("a: 1\n? [x]\n: 2", "r.yaml:2: a key must be a plain name"),
        ("a: !!binary aGk=", "r.yaml:1: tag 'tag:yaml.org,2002:binary' is not part of the YAML core schema"),
        ("a: 1\nb: !x [1]", "r.yaml:2: tag '!x' is not part of the YAML core schema"),
        ("!!set {a, b}", "r.yaml:1: tag 'tag:yaml.org,2002:set' is not part of the YAML core schema"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "r.yaml:1: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not part of the YAML core schema",
        ),
        ("a: !!int foo", "r.yaml:1: not a valid int: foo"),
        ("a: !!bool maybe", "r.yaml:1: not a valid bool: maybe"),
        ("a: !!null x", "r.yaml:1: not a valid null: x"),
        ("a: " + "9" * 5000, "r.yaml:1: not a valid int: " + "9" * 60 + "..."),
        ("a: [1\nb: 2", "r.yaml:2: not valid YAML: expected ',' or ']', but got ':'"),
        ("a:\n\tb: 1", "r.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *b", "r.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "r.yaml:2: not valid YAML: but found another document"),
        ("a: &a [*a]", "r.yaml:1: too deep or too many values for a recipe"),
        ("[" * 500, "r.yaml: too deep or too many values for a recipe"),
    ],
)
def test_errors(text, message):
    assert fails(text) == message


def test_alias_bomb():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert fails("\n".join(rows)).endswith("too deep or too many values for a recipe")  # 10 ** 10 values


def test_aliases_are_plain_copies_and_there_is_no_merge_key():
    file = read_yaml("base: &b {x: 1}\ncopy: *b\nmerged:\n  <<: *b\n  y: 2\n", "r.yaml")
    assert file.value == {"base": {"x": 1}, "copy": {"x": 1}, "merged": {"<<": {"x": 1}, "y": 2}}


def test_empty_documents_and_byte_order_mark():
    assert read_yaml("", "r.yaml").value == read_yaml("# only a comment\n", "r.yaml").value == {}
    assert read_yaml("\ufeffa: 1", "r.yaml").value == {"a": 1}

"""JSON outputs against a schema: by hand, by RFC 8259, and that nothing is downloaded."""

from __future__ import annotations

import json
import sys

import pytest
from pydantic import ValidationError

from llmkit.core.errors import ConfigError, DataError, SetupError
from llmkit.metrics.json_schema import JsonSchema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


def scores(predictions, rules=PERSON, references=None, **fields):
    references = [""] * len(predictions) if references is None else references
    return JsonSchema(rules=rules, **fields).load().compute(predictions=predictions, references=references)


def test_by_hand():
    said = [
        '{"name": "Ann"}',
        '{"name": 5}',
        '{"age": 3}',
        "[]",
        "Ann",
        '{"name": "Ann",}',
        "",
        '{"name": "安", "age": 3}',
    ]
    assert scores(said) == {"json_schema": 25.0, "json": 62.5}


@pytest.mark.parametrize("text", ["NaN", '{"name": NaN}', "Infinity", '{"name": "a"} so', "// x\n{}", "{'name': 'a'}",
                                  "[" * 100_000])  # fmt: skip
def test_what_is_no_json(text):
    assert scores([text], {}) == {"json_schema": 0.0, "json": 0.0}


def test_a_fence_is_taken_off():
    fenced = '```json\n{"name": "Ann"}\n```\n'
    assert scores([fenced]) == {"json_schema": 100.0, "json": 100.0}
    assert scores([fenced], fenced=False) == {"json_schema": 0.0, "json": 0.0}
    assert scores([f"Here: {fenced}"])["json"] == 0.0  # words around it are not what was asked for


def test_without_rules_each_reference_is_a_schema():
    schemas = [json.dumps({"type": "integer"}), [json.dumps({"type": "integer"}), json.dumps({"type": "string"})]]
    assert scores(["5", '"x"'], None, schemas) == {"json_schema": 100.0, "json": 100.0}
    assert scores(["5.5", "[]"], None, schemas) == {"json_schema": 0.0, "json": 100.0}
    with pytest.raises(DataError, match="a reference is no JSON"):
        scores(["5"], None, ["an integer"])
    metric = JsonSchema()
    assert metric.needs_references
    assert not JsonSchema(rules={}).needs_references
    assert metric.unusable(['{"type": "integer"}']) == ""
    for bad in ("an integer", '{"type": 5}', "[]"):
        assert metric.unusable([bad]) == "have a reference that is no JSON schema"


def test_drafts():
    assert scores(["[1]"], {"prefixItems": [{"type": "string"}]})["json_schema"] == 0.0
    seventh = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    assert scores(["[1]", '["a"]'], seventh)["json_schema"] == 50.0
    meta = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
    assert scores(['{"type": "integer"}', '{"type": 5}'], meta)["json_schema"] == 50.0


def test_what_is_no_schema_is_refused_when_it_is_read():
    with pytest.raises(
        ValidationError, match=r"this is no JSON schema: .*'integr' is not valid.*at \['properties'\]\['a'\]"
    ):
        JsonSchema(rules={"properties": {"a": {"type": "integr"}}})


def test_a_schema_elsewhere_is_not_downloaded():
    with pytest.raises(ConfigError, match=r"refers to https://example.org/person.json, which is not in it: nothing is"):
        scores(["{}"], {"$ref": "https://example.org/person.json"})


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(SetupError, match="this needs the 'json' extra") as error:
        JsonSchema(rules={})
    assert error.value.hint == 'pip install "llmkit[json]"'

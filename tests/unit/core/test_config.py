from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from llmkit.core.config import Budget, Config, NotIdentity, dump, json_schema, leaves, parse_key, resolve
from llmkit.core.errors import ConfigError
from llmkit.core.recipes import recipe_names
from llmkit.core.registry import Family
from llmkit.exporters import Exporter
from llmkit.exporters.safetensors import Safetensors
from llmkit.stages import clean, evaluate, export, finetune, generate, index, predict, pretrain, tokenize

STAGES = {
    "clean": clean, "tokenize": tokenize, "pretrain": pretrain, "finetune": finetune, "eval": evaluate,
    "export": export, "predict": predict, "generate": generate, "index": index,
}  # fmt: skip
OPEN = ("clean", "tokenize", "predict", "generate", "index")
"""Stages whose recipes say what is done to any input, and name none."""


class Inner(Config):
    """A group."""

    depth: int = 1
    """Depth."""
    pair: list[float] = [0.5, 0.25]
    """Two numbers."""


class Toy(Config):
    """A config with every kind of field."""

    name: str | None = None
    """Text."""
    size: int = Field(4, ge=1)
    """A number."""
    rate: float = 0.5
    """A number."""
    either: int | Literal["auto"] = "auto"
    """A number or auto."""
    group: Inner = Inner()
    """A group."""
    maybe: Inner | None = None
    """A group or nothing."""
    many: list[Inner] = []
    """Groups."""
    table: dict[str, int] = {}
    """Numbers by name."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """A part."""
    workers: Annotated[int, NotIdentity] = 1
    """Workers."""
    steps: Annotated[int | None, Budget] = None
    """How far."""


def values(*sets: str, config: Any = Toy, **kwargs: Any) -> dict[str, Any]:
    return dump(resolve(config, sets=sets, **kwargs).config)


def fails(*sets: str, config: Any = Toy, **kwargs: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(config, sets=sets, **kwargs)
    assert caught.value.exit_code == 2
    return caught.value.message.split("\n")


@pytest.fixture
def recipe(tmp_path):
    def write(text: str):
        path = tmp_path / "r.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_later_wins_and_says_where_it_came_from(recipe):
    path = recipe("name: recipe\nsize: 5\nrate: 2\ngroup:\n  depth: 7\n")
    resolved = resolve(
        Toy,
        recipe=path,
        sets=["size=6", "rate=3", "size=7"],
        options={"rate": ("--rate", 4.0), "name": ("--name", None)},
    )
    config = resolved.config
    assert (config.name, config.size, config.rate, config.group.depth, config.either) == ("recipe", 7, 4.0, 7, "auto")
    assert resolved.origin(("name",)) == f"{path}:1"
    assert resolved.origin(("size",)) == "--set"
    assert resolved.origin(("rate",)) == "--rate"
    assert resolved.origin(("group", "depth")) == f"{path}:5"
    assert resolved.origin(("either",)) == resolved.origin(("group", "pair")) == "default"


def test_a_value_written_over_a_group_takes_its_origins_away(recipe):
    path = recipe("group: {depth: 7}\n")
    resolved = resolve(Toy, recipe=path, sets=["group={pair: [1, 2]}"])
    assert resolved.config.group == Inner(depth=1, pair=[1.0, 2.0])
    assert resolved.origin(("group", "pair", 0)) == "--set"
    assert resolved.origin(("group", "depth")) == "default"


def test_set_reaches_into_groups_and_lists():
    assert values("group.depth=3")["group"] == {"depth": 3, "pair": [0.5, 0.25]}
    assert values("group.pair.1=0.75")["group"] == {"depth": 1, "pair": [0.5, 0.75]}
    assert values("maybe.depth=3")["maybe"] == {"depth": 3, "pair": [0.5, 0.25]}
    assert values("many.0.depth=3", "many.1={depth: 4}", "many.0.pair=[1]")["many"] == [
        {"depth": 3, "pair": [1.0]}, {"depth": 4, "pair": [0.5, 0.25]},
    ]  # fmt: skip
    assert values("table.a=1", "table.5=2")["table"] == {"a": 1, "5": 2}
    assert values("group=null", "group.depth=2")["group"]["depth"] == 2


def test_set_edits_a_default_below_a_group_of_the_recipe(recipe):
    read = values("group.pair.1=0.75", recipe=recipe("group: {depth: 9}\n"))
    assert read["group"] == {"depth": 9, "pair": [0.5, 0.75]}


def test_set_edits_the_default_steps_in_place():
    options = {"inputs": ("--input", ["a.jsonl"])}
    steps = values("steps.1.min_chars=5", config=clean.Config, options=options)["steps"]
    assert [step["type"] for step in steps] == ["normalize", "length", "exact_duplicates"]
    assert steps[1] == {"type": "length", "min_chars": 5, "max_chars": None, "only_languages": None}
    steps = values("steps.1=html", "steps.3=length", config=clean.Config, options=options)["steps"]
    assert [step["type"] for step in steps] == ["normalize", "html", "exact_duplicates", "length"]
    assert len(clean.Config(inputs=["a.jsonl"]).steps) == 3  # the defaults themselves are as they were


def test_a_bare_part_name_is_where_its_fields_come_from(recipe):
    path = recipe("inputs: [a.jsonl]\nsteps:\n  - normalize\n  - {type: length}\n")
    resolved = resolve(clean.Config, recipe=path, sets=["steps.1.min_chars=5"])
    assert resolved.origin(("inputs", 0, "path")) == f"{path}:1"
    assert resolved.origin(("steps", 0, "type")) == f"{path}:3"
    assert resolved.origin(("steps", 1, "type")) == f"{path}:4"
    assert resolved.origin(("steps", 1, "min_chars")) == "--set"
    assert resolved.origin(("steps", 1, "max_chars")) == "default"


def test_bare_part_names_are_opened_up(recipe):
    path = recipe("inputs: [a.jsonl, python_docs]\nsteps: [normalize, length]\n")
    sets = ["steps.1.min_chars=5", "inputs.0.text_field=body", "inputs.1.form=text"]
    read = values(*sets, config=clean.Config, recipe=path)
    assert read["steps"][1] == {"type": "length", "min_chars": 5, "max_chars": None, "only_languages": None}
    assert (read["inputs"][0]["type"], read["inputs"][0]["path"], read["inputs"][0]["text_field"]) == (
        "files", "a.jsonl", "body",
    )  # fmt: skip
    assert (read["inputs"][1]["type"], read["inputs"][1]["form"]) == ("python_docs", "text")


def test_another_type_of_part_takes_nothing_of_the_default_one():
    assert values("exporter.dtype=bfloat16")["exporter"]["dtype"] == "bfloat16"
    assert fails("exporter.dtype=float32", "exporter.type=safetensor") == [
        "exporter.type: unknown exporter 'safetensor'; did you mean 'safetensors'? (--set)"
    ]
    assert values("exporter.type=safetensors")["exporter"] == dump(Toy())["exporter"]


def test_text_fields_take_numbers_as_typed():
    assert values("name=007")["name"] == "007"
    assert values("name=1e3")["name"] == "1e3"
    assert values("name=true")["name"] == "true"
    assert values("name=")["name"] == ""
    assert values("name=null")["name"] is None
    options = {"inputs": ("--input", ["a"])}
    assert values("tokenizer.path=123", config=tokenize.Config, options=options)["tokenizer"]["path"] == "123"


def test_a_part_inside_a_part_is_opened_and_held_to_its_fields():
    # `row` is a field of `files`, which the config's own annotations do not name.
    sets = ["inputs=[a.csv]", "inputs.0.row=text_label"]
    config = resolve(clean.Config, sets=[*sets, "inputs.0.row.label=number"]).config
    assert dump(config)["inputs"][0]["row"] == {"type": "text_label", "columns": {}, "label": "number"}
    for wrong, words in (
        ("labl=x", "labl: unknown field; did you mean 'label'?"),
        ("label=x", "label: should be"),
    ):
        with pytest.raises(ConfigError) as error:
            resolve(clean.Config, sets=[*sets, f"inputs.0.row.{wrong}"])
        assert error.value.message.startswith(f"inputs.0.row.{words}")


def test_text_fields_inside_parts_take_numbers_as_typed():
    read = values("inputs.0.path=0123", "inputs.0.type=files", "inputs.1=456", config=clean.Config)["inputs"]
    assert [(source["path"], source["type"]) for source in read] == [("0123", "files"), ("456", "files")]
    assert values("inputs.0=*.txt", config=clean.Config)["inputs"][0]["path"] == "*.txt"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["size"], "--set size: expected KEY=VALUE, such as --set seed=1"),
        (["=3"], "--set =3: expected KEY=VALUE, such as --set seed=1"),
        (["many.1.depth=3"], "--set many.1: the list has 0 entries; use a position from 0 to 0"),
        (["many.x=3"], "--set many.x: the list has 0 entries; use a position from 0 to 0"),
        (["many.-1=3"], "--set many.-1: the list has 0 entries; use a position from 0 to 0"),
        (["many.²=3"], "--set many.²: the list has 0 entries; use a position from 0 to 0"),
        (["size=5", "size.x=3"], "--set size.x: there is no field inside a int"),
        (["group=[1"], "--set group:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_bad_expressions(sets, message):
    assert fails(*sets) == [message]


def test_bad_recipes(recipe, tmp_path):
    assert fails(recipe=recipe("- a\n")) == [f"{tmp_path}/r.yaml: a recipe is a mapping of fields, not a list"]
    assert fails(recipe=recipe("size: 1\nsize: 2\n")) == [
        f"{tmp_path}/r.yaml:2: key 'size' is given twice (first on line 1)"
    ]
    assert fails(recipe=tmp_path / "none.yaml") == [f"{tmp_path}/none.yaml: No such file or directory"]
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert fails(recipe=tmp_path / "latin.yaml") == [f"{tmp_path}/latin.yaml: not UTF-8 text (byte 9)"]
    assert values(recipe=recipe("")) == dump(Toy())


def test_errors_say_where_the_fields_are_listed():
    with pytest.raises(ConfigError) as caught:
        resolve(Toy, sets=["nonsense=1"], hint="look here")
    assert caught.value.hint == "look here"


def test_what_is_absent_is_filled_in_and_what_is_there_stays(recipe):
    assert values(absent={"name": "x", "size": 9}) == {**dump(Toy()), "name": "x", "size": 9}
    assert values("size=5", absent={"size": 9})["size"] == 5
    assert values(recipe=recipe("size: 6\n"), absent={"size": 9})["size"] == 6
    assert resolve(Toy, absent={"size": 9}).origin(("size",)) == "default"


def test_parse_key():
    assert parse_key(" data.0.weight ") == ("data", 0, "weight")
    assert parse_key("a.01") == ("a", 1)


def test_a_config_is_frozen_and_strict():
    with pytest.raises(ValueError, match="frozen"):
        Toy().size = 3
    assert fails("size=1.5") == ["size: should be a valid integer, not 1.5 (--set)"]
    assert fails("size=true") == ["size: should be a valid integer, not True (--set)"]
    assert values("rate=2")["rate"] == 2.0


def test_leaves():
    assert leaves({"a": {"b": 1, "c": []}, "d": [2, {"e": None}], "f": {}}) == [
        (("a", "b"), 1), (("a", "c"), []), (("d", 0), 2), (("d", 1, "e"), None), (("f",), {}),
    ]  # fmt: skip


def resolved_schema(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        place: Any = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            place = place[key]
        schema = place
    return schema


TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Validate against the part of JSON Schema that recipes use."""
    schema = resolved_schema(schema, root)
    kind = schema.get("type")
    if kind == "null" and value is not None:
        return False
    if kind in TYPES and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if "anyOf" in schema and not any(accepts(option, value, root) for option in schema["anyOf"]):
        return False
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            accepts(schema.get("items", {}), item, root) for item in value
        )
    if isinstance(value, dict) and kind == "object":
        fields = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= set(value) and all(
            accepts(fields[key], item, root) if key in fields else extra is not False for key, item in value.items()
        )
    return True


def written(path) -> dict[str, Any]:
    from llmkit.core.yaml import read_yaml

    return read_yaml(path.read_text(encoding="utf-8"), path.name).value


def stage_of(path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=../../docs/reference/schema/"), path
    return first.rpartition("/")[2].removesuffix(".json")


def test_the_schema_accepts_the_shipped_recipes_and_what_they_resolve_to():
    paths = recipe_names().values()
    assert len(paths) >= 9
    schemas = {stage: json_schema(STAGES[stage].Config) for stage in {*map(stage_of, paths)}}
    for path in paths:
        config, schema = STAGES[stage_of(path)].Config, schemas[stage_of(path)]
        assert accepts(schema, written(path), schema), path
        options = {"inputs": ("--input", ["raw"])} if path.parent.name in OPEN else {}
        resolved = resolve(config, recipe=path, options=options)
        assert accepts(schema, dump(resolved.config, mode="json"), schema), path


@pytest.mark.parametrize(
    ("stage", "recipe"),
    [
        ("clean", {"inputs": ["a"], "stps": []}),
        ("clean", {"inputs": []}),
        ("clean", {"inputs": ["a"], "steps": ["lenth"]}),
        ("clean", {"inputs": ["a"], "steps": [{"type": "length", "min_chrs": 3}]}),
        ("clean", {"inputs": ["a"], "steps": [{"min_chars": 3}]}),
        ("clean", {"inputs": ["a"], "workers": "two"}),
        ("pretrain", {"data": ["a"], "model": {"arch": "llama"}, "optimizer": {"lr": "fast"}}),
        ("eval", {"model": "m", "tasks": [{"type": "generation", "data": "d", "metrics": [{"type": "blue"}]}]}),
    ],
)
def test_the_schema_refuses_what_the_config_refuses(stage, recipe):
    schema = json_schema(STAGES[stage].Config)
    assert not accepts(schema, recipe, schema)
    with pytest.raises(ValueError, match="validation error"):
        STAGES[stage].Config.model_validate(recipe)


def test_the_schema_accepts_parts_of_ones_own():
    clean, evaluate = (json_schema(STAGES[stage].Config) for stage in ("clean", "eval"))
    steps = ["normalize", "my/steps.py:Shout", {"type": "my/steps.py:Shout", "loud": True}]
    assert accepts(clean, {"inputs": ["a", {"type": "my/web.py:Web", "url": "x"}], "steps": steps}, clean)
    assert not accepts(clean, {"inputs": ["a"], "steps": ["my/steps.py"]}, clean)
    assert accepts(evaluate, {"model": "m", "tasks": [{"type": "./tasks.py:Mine", "data": "d", "deep": 3}]}, evaluate)


@pytest.mark.parametrize("stage", STAGES)
def test_every_schema_field_is_described(stage):
    schema = json_schema(STAGES[stage].Config)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert resolved_schema(field, schema).get("description"), name


def test_cli_names_path_place_and_nearest(cli, recipe, tmp_path):
    path = recipe("inputs: [a.jsonl]\nsteps:\n  - normalize\n  - type: length\n    min_chrs: 5\n")
    outcome = cli("clean", "-r", path, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.out == ""
    assert f"steps.1.min_chrs: unknown field; did you mean 'min_chars'? ({path}:5)" in outcome.err
    assert "llmkit schema clean --fields" in outcome.err
    assert not (tmp_path / "out").exists()


def test_cli_dry_run_shows_origins(cli, recipe):
    path = recipe("inputs: [a.jsonl]\n")
    outcome = cli("clean", "-r", path, "-s", "steps.1.min_chars=5", "--workers", 1, "--dry-run", "--json")
    assert outcome.code == 0
    assert outcome.json["config"]["steps"][1]["min_chars"] == 5
    origins = outcome.json["origins"]
    assert origins["inputs.0.path"] == f"{path}:1"
    assert origins["steps.1.min_chars"] == "--set"
    assert origins["steps.1.type"] == origins["engine"] == "default"
    assert origins["workers"] == "--workers"


class Free(Config):
    """A config with a field that takes any values, as those of an architecture."""

    settings: dict[str, Any] = {}


@pytest.mark.parametrize(("text", "value"), [(".inf", "inf"), ("-.inf", "-inf"), (".nan", "nan"), ("1e999", "inf")])
def test_a_free_field_takes_no_number_that_json_lacks(recipe, text, value):
    path = recipe(f"settings:\n  rope:\n    - theta: {text}\n")
    for given, origin in (
        ({"recipe": path}, f"{path}:3"),
        ({"sets": [f"settings.rope=[{{theta: {text}}}]"]}, "--set"),
    ):
        with pytest.raises(ConfigError) as error:
            resolve(Free, **given)
        assert error.value.message == f"settings.rope.0.theta: should be a finite number, got {value} ({origin})"

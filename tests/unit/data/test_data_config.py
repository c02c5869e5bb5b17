from __future__ import annotations

from itertools import chain

import pytest

from llmkit.core.config import dump, json_schema, resolve
from llmkit.core.errors import ConfigError
from llmkit.stages.pretrain import Config

NEEDED = ["model.arch=llama", "max_steps=1"]


def data_of(*sets, paths=None):
    options = {"data": ("--data", paths)} if paths else {}
    return [(item.path, item.weight) for item in resolve(Config, sets=[*NEEDED, *sets], options=options).config.data]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a, b]", [("a", None), ("b", None)]),
        ("[{path: a}, b]", [("a", None), ("b", None)]),
        ("[{path: a, weight: 2}, {path: b, weight: 0.5}]", [("a", 2), ("b", 0.5)]),
        ("[{path: a, weight: 2}]", [("a", 2)]),
    ],
)
def test_a_bare_string_is_a_path(text, expected):
    assert data_of(f"data={text}") == expected


def test_weights_are_set_over_named_paths():
    assert data_of("data.0.weight=2", "data.1.weight=0.5", paths=["a", "b"]) == [("a", 2), ("b", 0.5)]
    assert data_of("data=[a, {path: b, weight: 1}]", "data.0.weight=3") == [("a", 3), ("b", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{path: a, weight: 2}, b, c]", "data: 'b' has no weight: give all of them one, or none"),
        ("[]", "data: "),
        ("[{path: a, weight: 0}]", "data.0.weight: "),
        ("[{path: a, weight: -1}]", "data.0.weight: "),
        ("[{path: a, weight: .inf}]", "data.0.weight: "),
        ("[{path: a, weight: .nan}]", "data.0.weight: "),
        ("[{weight: 1}]", "data.0.path: "),
        ("[{path: a, wieght: 1}]", "did you mean 'weight'?"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(ConfigError) as caught:
        data_of(f"data={text}")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_weights_are_part_of_the_identity_and_paths_are_not():
    def identity(text):
        return dump(resolve(Config, sets=[*NEEDED, f"data={text}"]).config, identity=True)["data"]

    assert identity("[a, b]") == identity("[c, {path: d}]")
    weighted = identity("[{path: a, weight: 2}, {path: b, weight: 1}]")
    assert weighted == identity("[{path: c, weight: 2}, {path: d, weight: 1}]")
    assert weighted != identity("[{path: a, weight: 1}, {path: b, weight: 2}]")
    assert weighted != identity("[a, b]")


def test_the_schema_takes_both_forms():
    schema = json_schema(Config)
    item = schema["properties"]["data"]["items"]
    item = schema["$defs"][item["$ref"].rpartition("/")[2]] if "$ref" in item else item
    bare, full = item["anyOf"]
    assert bare["type"] == "string"
    assert {*full["properties"]} == {"path", "weight"}
    assert full["required"] == ["path"]


@pytest.fixture
def dry_run(cli):
    needed = [*chain(*(("-s", one) for one in NEEDED))]

    def call(*options):
        return cli("pretrain", "--data", "a", "--data", "b", "-o", "out", *needed, *options, "--dry-run", "--json")

    return call


def test_a_dry_run_shows_the_weights_and_where_they_are_from(dry_run):
    outcome = dry_run("-s", "data.0.weight=2", "-s", "data.1.weight=1")
    assert outcome.code == 0, outcome.err
    assert outcome.json["config"]["data"] == [{"path": "a", "weight": 2.0}, {"path": "b", "weight": 1.0}]
    assert outcome.json["origins"]["data.0.weight"] == "--set"


def test_a_dry_run_refuses_a_weight_for_one_only(dry_run):
    outcome = dry_run("-s", "data.0.weight=2")
    assert outcome.code == 2
    assert "data: 'b' has no weight: give all of them one, or none" in outcome.json["message"]


def test_a_dry_run_refuses_weights_beside_a_temperature(dry_run):
    outcome = dry_run("-s", "data.0.weight=2", "-s", "data.1.weight=1", "-s", "temperature=2")
    assert outcome.code == 2
    assert outcome.json["message"] == "temperature: the data have weights of their own"
    assert outcome.json["hint"] == "take out one of the two"
    assert dry_run("-s", "temperature=2").code == 0
    assert dry_run("-s", "temperature=0.5").code == 2

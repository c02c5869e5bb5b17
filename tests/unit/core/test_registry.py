from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from llmkit.core.config import Config, dump, json_schema, resolve
from llmkit.core.errors import ConfigError
from llmkit.core.fields import families_met, field_rows
from llmkit.core.registry import PACKAGES, Family, Part

MEMBERS = [(family, member) for family in PACKAGES for member in Family(family).members()]
REQUIRED = {
    ("source", "code"): {"path": "x"},
    ("source", "files"): {"path": "x"},
    ("source", "hf"): {"path": "x"},
    ("source", "parallel"): {"source": "x", "target": "y"},
    ("step", "cap"): {"limit": 1},
    ("step", "mixture"): {"weights": {"x": 1.0}},
    ("task", "answers"): {"data": "x"},
    ("task", "classification"): {"data": "x"},
    ("task", "code"): {"data": "x"},
    ("task", "generation"): {"data": "x"},
    ("task", "harness"): {"task": "x"},
    ("task", "multiple_choice"): {"data": "x"},
    ("task", "objective"): {"data": "x"},
    ("task", "perplexity"): {"data": "x"},
    ("task", "pseudo_perplexity"): {"data": "x"},
    ("task", "question_answering"): {"data": "x"},
    ("task", "retrieval"): {"data": "x"},
    ("task", "similarity"): {"data": "x"},
    ("task", "summarization"): {"data": "x"},
    ("task", "token_classification"): {"data": "x"},
    ("task", "translation"): {"data": "x"},
    ("tokenizer", "existing"): {"path": "x"},
}
"""What a member cannot be built without, with a value; every other member stands by its bare name."""


def test_every_family_has_members():
    assert len(MEMBERS) >= 14
    assert {family for family, _ in MEMBERS} == set(PACKAGES)


@pytest.mark.parametrize(("family", "member"), MEMBERS)
def test_member(family, member):
    part = Family(family).load(member)
    assert part.__module__ == f"{PACKAGES[family]}.{member}"
    assert (part.__doc__ or "").strip().splitlines()[0].endswith(".")
    assert part.__doc__ != part.__mro__[1].__doc__
    assert part.__name__.lower() == member.replace("_", "")
    assert part.model_config["frozen"]
    assert part.model_config["extra"] == "forbid"
    for name, field in part.model_fields.items():
        assert field.description, f"{member}.{name} has no docstring"
    required = {name for name, field in part.model_fields.items() if field.is_required()}
    assert required == set(REQUIRED.get((family, member), {}))


@pytest.mark.parametrize(("family", "member"), MEMBERS)
def test_member_is_built_from_its_name_and_writes_itself(family, member):
    place = Family(family)
    spec = {"type": member, **REQUIRED.get((family, member), {})}
    part = place.parse(spec if len(spec) > 1 else member)
    assert part.type_name == member
    assert part.spec()["type"] == member
    assert place.parse(part.spec()) == part
    assert place.parse(json.loads(json.dumps(part.spec(mode="json")))) == part
    assert place.parse(part) is part
    with pytest.raises(ValidationError, match="frozen"):
        part.nonsense = 1


def test_members_and_stages_import_nothing_heavy():
    modules = [f"{PACKAGES[family]}.{member}" for family, member in MEMBERS]
    modules += [f"llmkit.stages.{name}" for name in ("clean", "tokenize", "pretrain", "finetune", "evaluate", "export")]
    code = (
        "import importlib, json, sys\n"
        "heavy = ('torch', 'transformers', 'datasets', 'evaluate', 'accelerate')\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    loaded = [module for module in heavy if module in sys.modules]\n"
        "    assert not loaded, f'{name} imports {loaded}'\n"
        "print('light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "light", "")


def test_core_imports_nothing_but_pydantic_yaml_and_rich():
    code = (
        "import importlib, pkgutil, sys, llmkit.core\n"
        "for module in pkgutil.iter_modules(llmkit.core.__path__):\n"
        "    importlib.import_module(f'llmkit.core.{module.name}')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'numpy', 'pyarrow', 'transformers', 'datasets', 'evaluate', 'accelerate', 'typer', 'tokenizers'}),"
        " *[name for name in sys.modules if name.startswith('llmkit.') and not name.startswith('llmkit.core')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Make a family `toy` with three modules: two members and a private one."""
    package = tmp_path / "toy_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_shared.py").write_text("raise RuntimeError('private modules are no members')\n")
    (package / "broken.py").write_text("raise RuntimeError('imported, though another one was chosen')\n")
    (package / "big_one.py").write_text(
        '"""A member with a group of its own."""\n'
        "from llmkit.core.config import Config\n"
        "from llmkit.core.registry import Part\n"
        "class Inner(Config):\n"
        '    """A group."""\n'
        "    depth: int = 1\n"
        '    """Depth."""\n'
        "class _Base(Part):\n"
        '    """Not public, so not the member."""\n'
        "class BigOne(_Base):\n"
        '    """The big one."""\n'
        "    size: int = 3\n"
        '    """Size."""\n'
        "    inner: Inner = Inner()\n"
        '    """Group."""\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PACKAGES, "toy", "toy_parts")
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_parts"]:
        del sys.modules[name]


def test_a_module_is_a_member_and_only_the_chosen_one_is_imported(toys):
    family = Family("toy")
    assert family.members() == ["big_one", "broken"]
    part = family.parse({"type": "big_one", "size": 4})
    assert (type(part).__name__, part.type_name, part.size) == ("BigOne", "big_one", 4)
    assert "toy_parts.broken" not in sys.modules
    with pytest.raises(LookupError, match="unknown toy 'big_on'; did you mean 'big_one'"):
        family.load("big_on")
    with pytest.raises(LookupError, match="unknown toy '_shared'"):
        family.load("_shared")


def test_a_member_with_a_group_in_errors_sets_schema_and_table(toys):
    (toys / "broken.py").unlink()

    class Toy(Config):
        """A config."""

        part: Annotated[Part, Family("toy")]
        """A part."""
        parts: list[Annotated[Part, Family("toy")]] = []
        """Parts."""

    config = resolve(Toy, sets=["part.type=big_one", "part.inner.depth=5", "parts.0=big_one"]).config
    assert dump(config) == {
        "part": {"type": "big_one", "size": 3, "inner": {"depth": 5}},
        "parts": [{"type": "big_one", "size": 3, "inner": {"depth": 1}}],
    }
    with pytest.raises(ConfigError) as caught:
        resolve(Toy, sets=["part=big_one", "parts=[big_one, {type: big_one, inner: {dept: 1}}]"])
    assert caught.value.message == "parts.1.inner.dept: unknown field; did you mean 'depth'? (--set)"
    schema = json_schema(Toy)
    member = schema["properties"]["part"]["anyOf"][1]
    assert schema["properties"]["part"]["anyOf"][0]["enum"] == ["big_one"]
    assert member["required"] == ["type"]
    assert member["properties"]["type"] == {"const": "big_one"}
    assert member["properties"]["inner"]["$ref"] == "#/$defs/Inner"
    assert schema["$defs"]["Inner"]["properties"]["depth"]["description"] == "Depth."
    assert [row.path for row in field_rows(Toy)] == ["part", "parts"]
    (family,) = families_met([Toy])
    assert [row.path for row in field_rows(family.load("big_one"))] == ["size", "inner", "inner.depth"]


def test_a_shorthand_takes_what_is_no_name():
    family = Family("source", shorthand=("files", "path"))
    assert family.open("python_docs") == {"type": "python_docs"}
    assert family.open("a.jsonl") == {"type": "files", "path": "a.jsonl"}
    assert Family("source").open("a.jsonl") == {"type": "a.jsonl"}
    assert family.parse("a.jsonl").spec()["path"] == "a.jsonl"


def test_a_folder_that_is_called_like_a_member_is_meant_where_the_name_alone_says_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    family = Family("source", shorthand=("files", "path"))
    assert family.open("code") == {"type": "code"}
    for name in ("code", "python_docs"):
        (tmp_path / name).mkdir()
    assert family.open("code") == {"type": "files", "path": "code"}
    assert family.open("python_docs") == {"type": "python_docs"}


def test_a_field_may_take_other_values_beside_members(toys):
    (toys / "broken.py").unlink()

    class Toy(Config):
        """A config."""

        part: Annotated[Part | Literal["auto"] | None, Family("toy", also=("auto", None))] = None
        """A part, or a word."""

    assert [resolve(Toy, sets=[f"part={word}"]).config.part for word in ("auto", "null")] == ["auto", None]
    assert dump(resolve(Toy, sets=["part=auto"]).config) == Toy(part="auto").model_dump() == {"part": "auto"}
    with pytest.raises(ConfigError) as caught:
        resolve(Toy, sets=["part=atuo"])
    assert caught.value.message == "part: unknown toy 'atuo'; did you mean 'auto'? (--set)"
    assert json_schema(Toy)["properties"]["part"]["anyOf"][:2] == [
        {"enum": ["auto", "big_one"], "type": "string"}, {"type": "null"},
    ]  # fmt: skip
    assert field_rows(Toy)[0].type == 'toy | "auto" | null'


def test_a_field_may_take_the_members_of_two_families():
    both = Family("row_objective", joined="document_objective")
    rows, documents = Family("row_objective"), Family("document_objective")
    assert both.members() == sorted({*rows.members(), *documents.members()})
    assert both.parse("masked_lm") == documents.parse("masked_lm")
    assert both.parse("sft") == rows.parse("sft")
    with pytest.raises(PydanticCustomError, match="unknown objective 'mlm'; did you mean 'masked_lm'"):
        both.parse("mlm")
    with pytest.raises(PydanticCustomError, match="unknown objective 'ner'; did you mean 'token_classification'"):
        both.parse("ner")
    with pytest.raises(PydanticCustomError, match="unknown objective 'masked_ml'; did you mean 'masked_lm'"):
        both.parse("masked_ml")

    class Toy(Config):
        """A config."""

        objective: Annotated[Part, both]
        """What is learned."""

    assert field_rows(Toy)[0].type == "row_objective | document_objective"
    met = [family.name for family in families_met([Toy])]  # and what members of theirs take, such as metrics
    assert {"document_objective", "row_objective"} <= {*met} and met == sorted({*met})
    found = json_schema(Toy)["properties"]["objective"]["anyOf"]
    assert {"masked_lm", "sft"} <= {*found[0]["enum"]}
    assert {"mask_fraction", "whole_word"} <= {name for item in found for name in item.get("properties", {})}

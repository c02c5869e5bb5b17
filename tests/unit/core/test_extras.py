import sys
from typing import Any

import pytest

from llmkit.core import extras
from llmkit.core.doctor import examine
from llmkit.core.errors import SetupError
from llmkit.core.registry import Family

ABSENT = "surely_not_installed"
TOYS = {"whole": {"json": "a", "csv": "b"}, "half": {"json": "a", ABSENT: "c"}, "none": {ABSENT: "d"}}


@pytest.fixture(autouse=True)
def toy_extras(monkeypatch):
    monkeypatch.setattr(extras, "EXTRAS", TOYS)


def test_require_imports_the_named_module_or_the_first():
    assert extras.require("whole") is sys.modules["json"]
    assert extras.require("whole", "csv") is sys.modules["csv"]
    assert extras.require("half", "json") is sys.modules["json"]


def test_require_names_the_pip_line():
    with pytest.raises(SetupError, match="'half' extra") as caught:
        extras.require("half", ABSENT)
    assert caught.value.hint == 'pip install "llmkit[half]"'
    assert caught.value.exit_code == 4


def test_check_imports_nothing():
    extras.check("whole", "csv")
    with pytest.raises(SetupError, match="'half' extra") as caught:
        extras.check("half", ABSENT)
    assert caught.value.hint == 'pip install "llmkit[half]"'


def test_require_refuses_a_module_that_the_extra_does_not_bring():
    with pytest.raises(AssertionError, match="does not bring csv"):
        extras.require("half", "csv")


def test_an_extra_is_missing_when_one_of_its_modules_is():
    assert extras.missing() == {"half": 'pip install "llmkit[half]"', "none": 'pip install "llmkit[none]"'}


def test_doctor_says_which_extras_are_there(monkeypatch):
    monkeypatch.setattr("llmkit.core.doctor.EXTRAS", extras.EXTRAS)
    assert examine()["extras"] == {
        "whole": "installed: a, b",
        "half": 'missing: a, c; pip install "llmkit[half]"',
        "none": 'missing: d; pip install "llmkit[none]"',
    }


def test_the_table_names_every_step_that_needs_an_extra(monkeypatch):
    monkeypatch.undo()
    steps: dict[tuple[str, str], str] = {}
    for name in Family("step").members():
        step: Any = Family("step").load(name)
        fields = {"html": {"quality": "high"}, "chinese_script": {"to": "simplified"}}.get(name, {})
        if (needed := getattr(step.model_construct(**fields), "needs", lambda: None)()) is not None:
            steps[needed] = name
    modules = {(extra, module): text for extra, brought in extras.EXTRAS.items() for module, text in brought.items()}
    others = {("ray", "ray"), ("gguf", "gguf"), ("harness", "lm_eval"), ("json", "jsonschema")}
    others |= {("gguf", "libgguf"), ("llama-cpp", "xllamacpp")}
    others |= {("quantized", name) for name in ("bitsandbytes", "compressed_tensors", "torchao")}
    others |= {("onnx", name) for name in ("onnx", "onnxscript", "onnxruntime")}
    others |= {("openvino", name) for name in ("openvino", "openvino_tokenizers")}
    others |= {("retrieval", name) for name in ("bm25s", "Stemmer")}
    others |= {("serve", name) for name in ("starlette", "uvicorn", "prometheus_client", "llguidance")}
    assert modules.keys() - steps.keys() == others
    assert all(f"`{name}`" in modules[needed] for needed, name in steps.items())

"""export --report: formats of one model side by side, and what cannot be measured says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.errors import SetupError
from llmkit.evaluation import fresh

pytestmark = pytest.mark.usefixtures("reload_here")


@pytest.fixture
def exports(cli, chain):
    """The chain's model in two number formats."""
    for dtype in ("float32", "bfloat16"):
        probe = ["-s", "parity_prompts=1", "-s", "parity_new_tokens=2", "-s", f"exporter.dtype={dtype}"]
        assert cli("export", "--model", chain.model, *probe, "-o", dtype, "-q").code == 0
    return ["--report", "float32", "--report", "bfloat16"]


def test_formats_are_measured_on_the_same_text(cli, chain, exports, jsonl):
    own = jsonl("own.jsonl", ["the river runs to the sea"])
    outcome = cli("export", *exports, "--text", own, "-o", "page", "--json")
    assert outcome.code == 0, outcome.err
    one, other = outcome.json["formats"]
    assert outcome.json["report"] == "page/report.html"
    assert (one["name"], one["format"], other["format"]) == ("float32", "safetensors float32", "safetensors bfloat16")
    assert one["bytes"] > other["bytes"]
    assert one["load_s"] > 0
    assert one["tokens_per_s"] > 0
    assert one["bits_per_byte"] == pytest.approx(other["bits_per_byte"], rel=0.02)
    assert one["bits_per_byte"] != other["bits_per_byte"]
    assert cli("export", "--model", chain.model, "--text", own, "-o", "given", "-q").code == 0
    receipt = json.loads(Path("given/parity.json").read_text())
    assert one["bits_per_byte"] == pytest.approx(receipt["bits_per_byte"]["model"])
    page = Path("page/report.html").read_text()
    assert "Bits per byte" in page
    assert "safetensors bfloat16" in page
    table = cli("export", *exports).out
    assert table.splitlines()[0].split("  ")[0] == "export"
    assert "safetensors bfloat16" in table


@pytest.mark.parametrize("option", [("--model", "m"), ("--push", "a/b"), ("--set", "seed=1"), ("--dry-run",)])
def test_options_of_writing_are_refused_beside_a_report(cli, option):
    outcome = cli("export", "--report", "out", *option)
    assert outcome.code == 2
    assert f"--report: it compares exports that are there, and {option[0]} is of writing one" in outcome.err


def test_what_is_wrong_is_said(cli, chain, exports, monkeypatch):
    none = cli("export", "--report", chain.model)
    assert none.code == 3
    assert "holds a model, not an export" in none.err
    assert cli("export", "--model", chain.base, "-s", "parity_prompts=1", "-o", "base", "-q").code == 0
    several = cli("export", *exports, "--report", "base")
    assert several.code == 3
    assert "--report: the exports are of several models: " in several.err
    ask = fresh.ask_afresh

    def fail(runtime, directory, *more):
        if directory.name == "float32":
            raise SetupError("this needs the 'quantized' extra", "pip install it")
        return ask(runtime, directory, *more)

    monkeypatch.setattr(fresh, "ask_afresh", fail)
    one, other = cli("export", *exports, "--json").json["formats"]
    assert (one["why"], one["bits_per_byte"]) == ("this needs the 'quantized' extra: pip install it", None)
    assert other["bits_per_byte"] > 0
    Path("bfloat16/model.safetensors").write_bytes(b"nothing")
    damaged = cli("export", *exports)
    assert damaged.code == 3
    assert "--report: bfloat16 is damaged: model.safetensors is missing or has another size" in damaged.err

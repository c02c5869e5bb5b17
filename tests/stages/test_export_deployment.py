"""export --format deployment: a folder whose own script serves the model, with the answers of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROBE = ("-s", "parity_prompts=1", "-s", "parity_new_tokens=6")


@pytest.fixture
def deploy(cli, chain, reload_here):
    """Export the chain's model; only the server runs in a process of its own."""

    def run(*more, out="out"):
        return cli("export", "--model", chain.model, "--format", "deployment", *PROBE, "-o", out, *more)

    return run


def test_the_handlers_of_both_platforms_answer_as_the_model(deploy):
    done = deploy("-s", "exporter.name=small-llama")
    assert done.code == 0, done.err
    receipt = json.loads(Path("out/parity.json").read_text(encoding="utf-8"))
    assert receipt["passed"] and receipt["proven"]
    assert receipt["served"] == {"/invocations of SageMaker": 3, "predictions of Vertex AI": 3}
    assert "3 answers of /invocations of SageMaker" in done.out

"""A runtime is one file: with nothing else edited a model is evaluated in it, and an export proven by it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import transformers

TOYS = Path(__file__).parents[1] / "toys"
PROBE = ["-s", "parity_prompts=2", "-s", "parity_new_tokens=4"]


@pytest.fixture
def toys(add_member):
    """Add Llama in NumPy to the runtimes, and a format for it to the exporters."""
    add_member("runtime", "numpy_llama", (TOYS / "runtimes" / "numpy_llama.py").read_text())
    add_member("exporter", "packed", (TOYS / "exporters" / "packed.py").read_text())


@pytest.fixture
def pack(cli, chain, toys, reload_here):
    """Export the chain's model with the toys, asked in this process."""

    def run(*more, model=chain.model):
        return cli("export", "--model", model, "-s", "exporter.type=packed", *PROBE, "-o", "out", *more)

    return run


def scores(cli, model, tasks, out, *more):
    outcome = cli("eval", "--model", model, "-s", f"tasks={tasks}", "-o", out, *more)
    assert outcome.code == 0, outcome.err
    return json.loads(Path(out, "results.json").read_text())["tasks"]


def test_it_evaluates_and_proves_an_export_which_it_then_evaluates(cli, chain, toys):
    outcome = cli("export", "--model", chain.model, "-s", "exporter=packed", *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "20 of 20 greedy tokens equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert 0 < parity["max_logit_difference"] <= parity["tolerance"]  # other code, other sums, the same model
    assert parity["requests"] == {"logits": 5, "generate": 5}  # random, one longer, and text that was held out
    assert parity["equal"] == {"texts": 14, "chats": 4, "ends": None}
    proven_by = parity["runtimes"]["export"]
    assert proven_by["runtime"]["type"] == "numpy_llama"
    assert proven_by["versions"] == {"numpy": np.__version__}
    assert parity["runtimes"]["model"]["versions"].keys() == {"torch", "transformers"}
    assert not Path("out/model.safetensors").exists()

    generation = f"{{type: generation, data: {chain.pairs}, limit: 2, max_new_tokens: 8}}"
    tasks = f"[{{type: perplexity, data: {chain.tokens}, limit: 3}}, {generation}]"
    ours = scores(cli, chain.model, tasks, "ours")
    theirs = scores(cli, "out", tasks, "theirs", "-s", "runtime=numpy_llama")
    (one, two) = (found["perplexity"]["results"]["model"]["scores"] for found in (ours, theirs))
    assert one == pytest.approx(two, abs=1e-6, rel=1e-6)
    assert one != two
    written, others = (found["generation"]["results"]["model"] for found in (ours, theirs))
    assert written == {**others, "precision": "float32"}  # which a runtime of one number format does not say


def test_a_fault_of_a_tenth_is_found(pack):
    outcome = pack("-s", "exporter.proven_by.off=0.1", "--json")
    assert outcome.code == outcome.json["exit_code"] == 7
    assert "the export does not answer like" in outcome.json["message"]
    assert "logits differ by 0.1 (at most 0.00" in outcome.json["message"]
    assert "it is kept in out.failed for a look, with parity.json" in outcome.json["hint"]
    assert not Path("out").exists()
    kept = Path("out.failed")
    assert {"weights.npz", "config.json", "tokenizer.json", "parity.json"} < {file.name for file in kept.iterdir()}
    receipt = json.loads((kept / "parity.json").read_text())
    assert (receipt["passed"], receipt["proven"]) == (False, True)
    assert outcome.json["message"] == receipt["failures"][0]


def test_a_fault_from_the_forty_first_position_on_is_found(pack):
    """Rows of 32 tokens would not show it."""
    outcome = pack("-s", "exporter.proven_by={off: 0.1, off_from: 40}", "--json")
    assert outcome.code == 7
    assert "first at position 40 of a row of " in outcome.json["message"]


def test_a_chat_that_is_rendered_otherwise_is_found(pack):
    outcome = pack("-s", "exporter.proven_by.loud=true", "--json")
    assert outcome.code == 7
    assert "the export renders a chat of 1 turns otherwise: at character " in outcome.json["message"]
    assert "; so do 3 more" in outcome.json["message"]
    assert "write the chat template so that both engines render it alike" in outcome.json["hint"]


def test_what_else_reads_the_export_is_asked_as_well(pack):
    outcome = pack("-s", "exporter.read_by=[{loud: true}]", "--json")
    assert outcome.code == 7
    assert "numpy_llama renders a chat of 1 turns otherwise: " in outcome.json["message"]
    assert pack("-s", "exporter.read_by=[{gone: true}, {}]").code == 0
    gone, there = json.loads(Path("out/parity.json").read_text())["readers"]
    assert gone["left_out"] == "this needs NumPy's llama, which is not installed"
    assert there["versions"] == {"numpy": np.__version__}


def test_without_the_runtime_nothing_is_written_unless_that_is_asked_for(pack, cli):
    missing = pack("-s", "exporter.proven_by.gone=true")
    assert missing.code == 4
    assert "this needs NumPy's llama, which is not installed" in missing.err
    assert "-> pip install it; --unproven writes what nothing has proven" in missing.err
    assert not Path("out").exists()
    for _ in range(2):  # the second time it is there
        outcome = pack("-s", "exporter.proven_by.gone=true", "--unproven")
        assert outcome.code == 7
        assert "out is written, and nothing has proven that it answers like its model: this needs" in outcome.err
        assert "-> pip install it, then the same command without --unproven and with --force" in outcome.err
    receipt = json.loads(Path("out/parity.json").read_text())
    assert (receipt["passed"], receipt["proven"]) == (False, False)
    assert "unproven: this needs NumPy's llama" in cli("summary", "out").out
    assert "unproven: this needs NumPy's llama" in Path("out/README.md").read_text()
    assert pack("--force").code == 0
    assert json.loads(Path("out/parity.json").read_text())["proven"] is True


def test_a_runtime_that_gives_no_numbers_proves_nothing(pack):
    outcome = pack("-s", "exporter.proven_by.mute=true")
    assert outcome.code == 2
    assert "error: the runtime 'numpy_llama' does not answer logits requests: it gives no numbers" in outcome.err
    assert "-> ask it to generate, or use runtime: transformers" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_a_model_that_the_format_has_no_place_for(pack, chain):
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.AutoConfig.for_model("bert", vocab_size=400, **small)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained("model")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained("model")
    outcome = pack(model="model")
    assert outcome.code == 2
    assert "error: exporter: packed does not write model: it is no llama, or its heads share keys" in outcome.err
    assert re.search(r"-> -s exporter=.*\bsafetensors does\n", outcome.err)
    assert not Path("out/llmkit.json").exists()

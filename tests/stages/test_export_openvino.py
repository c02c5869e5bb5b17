"""export to OpenVINO through the command line: what is written loads and answers the same, or why not."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmkit.core.errors import DataError
from llmkit.exporters.openvino import Openvino
from llmkit.runtimes import Generate, Logits
from llmkit.runtimes.openvino import OpenVino
from llmkit.runtimes.transformers import Transformers
from onnx_models import random_rows, save_writer

PAGE = Path(__file__).parents[2] / "docs" / "export-openvino.md"
PROBE = ["-s", "exporter=openvino", "-s", "parity_prompts=2", "-s", "parity_new_tokens=4"]
pytestmark = pytest.mark.usefixtures("reload_here")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_writer(tmp_path_factory.mktemp("openvino") / "model", "llama")


@pytest.fixture(scope="module")
def pair(model, tmp_path_factory):
    folder, traced = tmp_path_factory.mktemp("exported"), Transformers().load(str(model))
    Openvino(dtype="int8").write(traced.model, traced.tokenizer, folder)
    return Transformers().load(str(model)), Openvino().runtime().load(str(folder)), folder, traced


def test_a_chat_model_is_proven_and_then_evaluated(cli, chain, capsys):
    outcome = cli("export", "--model", chain.model, *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert re.search(r"(\d\d+) of \1 greedy tokens equal, in a fresh process", outcome.out)
    assert "note" not in outcome.out
    assert "loss_type" not in outcome.err  # what transformers says while it is traced
    parity = json.loads(Path("out/parity.json").read_text())
    assert 0 < parity["max_logit_difference"] <= parity["tolerance"]
    assert parity["runtimes"]["export"]["runtime"] == {"type": "openvino"}
    assert parity["runtimes"]["export"]["versions"].keys() == {"openvino"}
    files = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    assert files == {
        "openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin",
        "openvino_detokenizer.xml", "openvino_detokenizer.bin", "config.json", "generation_config.json",
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "parity.json", "README.md", "llmkit.json",
    }  # fmt: skip

    assert 'OVModelForCausalLM.from_pretrained("DIR")' in Path("out/README.md").read_text()
    assert "site-packages" not in Path("out/openvino_model.xml").read_text()

    runs_as_the_page_says(chain.model, capsys)

    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}, limit: 2}}]"
    scores = []
    for path, runtime in ((chain.model, "transformers"), ("out", "openvino")):
        outcome = cli("eval", "--model", path, "-s", tasks, "-s", f"runtime={runtime}", "-o", runtime)
        assert outcome.code == 0, outcome.err
        results = json.loads(Path(runtime, "results.json").read_text())
        scores.append(results["tasks"]["perplexity"]["results"]["model"]["scores"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5, abs=1e-6)


def runs_as_the_page_says(model, capsys):
    """The lines of docs/export-openvino.md write what transformers writes."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    exec(code.replace("openvino/openvino_", "out/openvino_"), {})
    ours = Transformers().load(str(model))
    (own,) = ours.answer([Generate(tuple(ours.read("The river") or ()), budget=16, exact=True)])
    assert capsys.readouterr().out.rstrip("\n") == ours.tokenizer.decode(own.ids, skip_special_tokens=True)


def test_weights_of_8_bits(pair):
    ours, theirs, _, traced = pair
    requests = [Logits(row) for row in random_rows((9, 1, 40))]
    for one, two, three in zip(*(side.answer(requests) for side in (ours, theirs, traced)), strict=True):
        assert one.shape == two.shape
        assert 1e-3 < abs(one - two).mean() < 0.1 * one.std()  # rounded indeed, and not more than that
        assert abs(three - two).max() < 1e-4 * one.std()  # the model is left with what the file has


def test_rows_of_all_lengths_are_written_together(pair):
    _, theirs, _, _ = pair
    requests = [Generate(row, budget=5, exact=True) for row in random_rows((3, 30, 1))]
    assert theirs.answer(requests) == [theirs.answer([one])[0] for one in requests]


def test_form_of_a_decoder_is_that_of_optimum_and_genai(pair):
    _, theirs, folder, _ = pair
    assert theirs.session.inputs == ["input_ids", "attention_mask", "position_ids", "beam_idx"]
    assert theirs.session.outputs == {"logits": ["?", "?", 74]}
    # Its words are no subwords, and openvino_tokenizers reads what it does not know otherwise: no wrong file is left.
    assert not [*folder.glob("openvino_*tokenizer.*")]
    assert theirs.read("cat 渡") == theirs.tokenizer("cat 渡")["input_ids"]


def test_a_processor_that_is_held_to_less(pair):
    code = f"from llmkit.runtimes.openvino import OpenVino\nprint(OpenVino().load({str(pair[2])!r}).session.inputs)"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "SSE41"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "beam_idx" in done.stdout


def test_nothing_is_sent(pair):
    assert sys.modules["openvino_telemetry"] is None


def test_an_architecture_that_was_not_tried_is_refused_with_those_that_were(cli):
    import transformers

    from headed import WORDS, tokenizer

    config = transformers.AutoConfig.for_model("mamba", vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained("model")
    tokenizer().save_pretrained("model")
    outcome = cli("export", "--model", "model", *PROBE, "-o", "out", "--json")
    assert outcome.code == outcome.json["exit_code"] == 2
    words = "exporter: openvino does not write model: the architecture 'mamba' is none that was tried; these were: alb"
    assert outcome.json["message"].startswith(words)
    assert "-s exporter=safetensors" in outcome.json["hint"]


def test_weights_that_are_no_numbers(cli, model):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    Path("model").mkdir()
    for file in model.iterdir():
        Path("model", file.name).write_bytes(file.read_bytes())
    save_file(weights, "model/model.safetensors", metadata={"format": "pt"})
    outcome = cli("export", "--model", "model", *PROBE, "-o", "out")
    assert outcome.code == 3
    assert "holds NaN or infinity in 1 of its" in outcome.err
    assert not Path("out/llmkit.json").exists()


@pytest.mark.parametrize("module", ["openvino", "openvino_tokenizers"])
def test_without_the_extra(cli, model, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == module else find(name, *more))
    outcome = cli("export", "--model", model, *PROBE, "-o", "out")
    assert outcome.code == 4
    assert "error: this needs the 'openvino' extra, which is not installed" in outcome.err
    assert 'pip install "llmkit[openvino]"' in outcome.err


def test_no_graph_in_a_folder(model):
    with pytest.raises(DataError, match=r"' holds no openvino_model.xml$") as caught:
        OpenVino().load(str(model))
    assert caught.value.hint == f"llmkit export --model {model} -s exporter=openvino -o DIR writes one"


def test_a_damaged_graph(pair, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in pair[2].iterdir():
        folder.joinpath(file.name).write_bytes(file.read_bytes())
    folder.joinpath("openvino_model.xml").write_text("<net>")
    with pytest.raises(DataError, match=r"^OpenVINO does not load '.*/broken/openvino_model.xml': "):
        OpenVino().load(str(folder))

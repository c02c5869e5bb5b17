"""export of what is no good: pickled weights, NaN, a full disk; and settings that nothing would load with."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headed import BODY, save_headed
from llmkit.exporters.safetensors import Safetensors
from llmkit.modeling.pooling import Pooling, write_pooling

pytestmark = pytest.mark.usefixtures("reload_here")

PROBE = ["-s", "parity_prompts=1", "-s", "parity_new_tokens=2"]


@pytest.fixture
def pickled(chain, tmp_path):
    """The chain's model with its weights in a pickle."""
    folder = shutil.copytree(
        chain.model, tmp_path / "pickled", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints", "*.safetensors")
    )
    torch.save(load_file(chain.model / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_are_read_where_that_is_allowed(cli, chain, pickled):
    refused = cli("export", "--model", pickled, *PROBE, "-o", "out")
    assert refused.code == 3
    assert (
        f"the model in '{pickled}' is pickled (pytorch_model.bin), and reading a pickle can run any code" in refused.err
    )
    outcome = cli("export", "--model", pickled, "--allow-pickle", *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    ours, theirs = load_file(chain.model / "model.safetensors"), load_file("out/model.safetensors")
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_program_in_a_pickle_is_never_run(cli, pickled):
    torch.save({"model.norm.weight": Evil()}, pickled / "pytorch_model.bin")
    outcome = cli("export", "--model", pickled, "--allow-pickle", *PROBE, "-o", "out")
    assert outcome.code == 3
    assert "pytorch_model.bin holds more than tensors: reading it would run code" in outcome.err
    assert not Path("ran").exists()
    assert not Path("out.failed").exists()


def test_a_weight_that_is_no_number_is_named(cli, changed):
    def change(weights):
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan

    outcome = cli("export", "--model", changed(change), *PROBE, "-o", "out")
    assert outcome.code == 3
    assert "holds NaN or infinity in 1 of its " in outcome.err
    assert "first in model.layers.1.mlp.up_proj.weight" in outcome.err


def test_settings_that_transformers_would_not_save_are_left_out_and_noted(cli, chain, tmp_path):
    folder = shutil.copytree(chain.model, tmp_path / "odd", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    place = folder / "generation_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "do_sample": False, "temperature": 0.7}))
    outcome = cli("export", "--model", folder, *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    note = "the generation config is without what does nothing in it: temperature 0.7"
    assert note in outcome.out
    assert json.loads(Path("out/parity.json").read_text())["notes"] == [note]
    assert note in Path("out/README.md").read_text()
    assert "temperature" not in Path("out/generation_config.json").read_text()


def test_weights_go_into_several_files(cli, chain):
    outcome = cli("export", "--model", chain.model, "-s", "exporter.max_shard_size=40KB", *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert len(list(Path("out").glob("model-0000*-of-0000*.safetensors"))) > 1
    assert Path("out/model.safetensors.index.json").exists()
    wrong = cli("export", "--model", chain.model, "-s", "exporter.max_shard_size=much", *PROBE, "-o", "other")
    assert wrong.code == 2
    assert "exporter.max_shard_size: a size is a whole number and KB, MB or GB: 4GB" in wrong.err


def test_a_full_disk_leaves_nothing_that_looks_like_an_export(cli, chain, monkeypatch):
    def fill(self, model, tokenizer, directory):
        (directory / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))

    monkeypatch.setattr(Safetensors, "write", fill)
    outcome = cli("export", "--model", chain.model, *PROBE, "-o", "out")
    assert outcome.code == 4
    assert "error: the disk is full" in outcome.err
    assert "free some space and run the same command again; llmkit tidy DIR" in outcome.err, "it does not go on"
    assert not Path("out").exists(), "half an export only takes room, and nothing goes on from it"
    assert not Path("out.failed").exists()


def test_the_text_is_what_was_held_out_or_what_is_given(cli, chain, jsonl):
    assert cli("export", "--model", chain.model, *PROBE, "-o", "out").code == 0
    assert json.loads(Path("out/parity.json").read_text())["text"].startswith("text held out from training (examples ")
    assert cli("export", "--model", chain.base, *PROBE, "-o", "base").code == 0
    assert json.loads(Path("base/parity.json").read_text())["text"].startswith("text held out from training (tokens ")
    own = jsonl("own.jsonl", ["the river runs to the sea and the boats go with it"])
    outcome = cli("export", "--model", chain.base, *PROBE, "-s", f"text={own}", "-o", "given")
    assert outcome.code == 0, outcome.err
    found = json.loads(Path("given/parity.json").read_text())
    assert (found["text"], found["bits_per_byte"]["bytes"]) == ("text that was given", 50)
    assert "on text that was given" in outcome.out


def test_an_output_layer_of_its_own_is_not_said_to_be_the_embedding(cli, chain, tmp_path):
    folder = shutil.copytree(chain.model, tmp_path / "own", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"], "which vLLM would believe"
    outcome = cli("export", "--model", folder, *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("out/config.json").read_text())["tie_word_embeddings"] is False
    assert "tie_word_embeddings is taken as false: the output layer is not the embedding" in outcome.out
    assert "lm_head.weight" in load_file("out/model.safetensors")


def test_another_way_of_pooling_is_another_model(cli, tmp_path):
    folder = save_headed(tmp_path / "vectors", BODY)
    write_pooling(folder, Pooling(), 16)
    assert cli("export", "--model", folder, *PROBE, "-o", "out").code == 0
    assert "up to date" in cli("export", "--model", folder, *PROBE, "-o", "out").out
    write_pooling(folder, Pooling(modes=("cls",)), 16)
    changed = cli("export", "--model", folder, *PROBE, "-o", "out")
    assert changed.code == 2
    assert "out is finished, from another run: inputs.1 changed" in changed.err


@pytest.mark.parametrize("place", ["/proc/x", "/proc/x/y"])
def test_a_place_where_no_directory_can_be_made(cli, chain, place):
    outcome = cli("export", "--model", chain.model, *PROBE, "-o", place)
    assert outcome.code == 4
    assert f"error: no directory can be made at {place}: " in outcome.err
    assert cli("predict", chain.model, "-i", "a.jsonl", "-o", place).code == 3, "what is read comes first"
    for command in (["init", place], ["export", "--report", "nothing", "-o", place]):
        outcome = cli(*command)
        assert outcome.code == 4
        assert f"error: no directory can be made at {place}: " in outcome.err


def test_a_refusal_leaves_no_empty_folder(cli, chain):
    outcome = cli("export", "--model", chain.model, "--format", "gguf", "-s", "exporter.dtype=q8_0", "-o", "new/out",
                  "--text", "nothing.jsonl")  # fmt: skip
    assert outcome.code == 3
    assert not Path("new").exists()
    own = Path("own")
    own.mkdir()
    outcome = cli("export", "--model", chain.model, *PROBE, "-s", "exporter.max_logit_difference=0",
                  "-s", "exporter.dtype=float16", "-o", own)  # fmt: skip
    assert outcome.code == 7, outcome.err
    assert list(own.iterdir()) == [], "a folder that was there stays"
    outcome = cli("export", "--model", chain.model, *PROBE, "-s", "exporter.max_logit_difference=0",
                  "-s", "exporter.dtype=float16", "-o", "new/out")  # fmt: skip
    assert outcome.code == 7
    assert [entry.name for entry in Path("new").iterdir()] == ["out.failed"]


def test_an_end_of_writing_that_no_row_is_of(cli, changed):
    model = changed(lambda weights: None)
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 999_999]}))
    outcome = cli("export", "--model", model, *PROBE, "-o", "out")
    assert outcome.code == 3
    assert f"the model in '{model}' stops writing at the token 999999, and has " in outcome.err
    assert "set eos_token_id in its generation_config.json" in outcome.err


def test_weights_of_another_class_than_the_config_says(cli, tmp_path):
    model = save_headed(tmp_path / "model", {"type": "causal_lm"}, "llama")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForQuestionAnswering"]}))
    outcome = cli("export", "--model", model, "-o", "out")
    assert outcome.code == 3
    assert " that it has no place for: " in outcome.err
    assert "its config.json says LlamaForQuestionAnswering; are the weights of another class?" in outcome.err

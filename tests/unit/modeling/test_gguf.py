"""Models in GGUF against the directories that the files were made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import gguf_files
from llmkit.core import extras
from llmkit.core.errors import DataError, SetupError
from llmkit.modeling import gguf as reading
from llmkit.modeling.gguf import opened, weights_of
from llmkit.modeling.load import load_model, read_config
from llmkit.modeling.tokenizer import load_tokenizer

TEXTS = ["The river runs 1995 times, doesn't it?", "你好\n\n a  b", "</s> is text"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return gguf_files.directory(tmp_path_factory.mktemp("gguf") / "source")


@pytest.fixture(scope="module")
def whole(source):
    return gguf_files.write(source.parent / "whole.gguf", source)


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(4, 60)[None]).logits


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": False}, {"attention_bias": True}])
def test_logits_are_those_of_the_directory(tmp_path, settings):
    source = gguf_files.directory(tmp_path / "source", **settings)
    model = AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_()
    model.save_pretrained(source)
    file = gguf_files.write(tmp_path / "model.gguf", source)
    assert torch.allclose(logits(load_model(file)), logits(load_model(source)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1"])
def test_quantized_weights_are_those_of_the_dequantizer(tmp_path, source, kind):
    file = gguf_files.write(tmp_path / f"{kind}.gguf", source, kind)
    found = load_model(file).state_dict()
    of = gguf.GGMLQuantizationType[kind]
    for name, weight in load_model(source).named_parameters():
        values = weight.detach().numpy()
        if weight.ndim == 2:
            values = gguf.dequantize(gguf.quantize(values, of), of)
        np.testing.assert_array_equal(found[name].numpy(), values, err_msg=name)
        assert found[name].dtype == torch.float32


def test_the_tokenizer_and_its_template_are_the_files_own(source, whole):
    own, found = load_tokenizer(source), load_tokenizer(whole)
    for text in TEXTS:
        assert found(text).input_ids == own(text).input_ids
        assert found(text, split_special_tokens=True).input_ids == own(text, split_special_tokens=True).input_ids
    turns = [{"role": "user", "content": "the river"}]
    assert found.apply_chat_template(turns) == own.apply_chat_template(turns)
    assert found.chat_template == gguf_files.TEMPLATE
    assert (found.bos_token_id, found.eos_token_id, found.model_max_length) == (0, 1, gguf_files.CONTEXT)
    assert found.all_special_tokens == own.all_special_tokens
    assert found.get_vocab() == own.get_vocab()  # transformers adds GPT-2's <|endoftext|> behind the last


def test_ends_and_names(tmp_path, source):
    file = gguf_files.write(
        tmp_path / "m.gguf", source, tokenizer__ggml__eot_token_id=3, tokenizer__chat_template__short="{{ bos_token }}"
    )
    model, tokenizer = load_model(file), load_tokenizer(file)
    assert model.generation_config.eos_token_id == [1, 3]  # as llama.cpp ends
    assert model.config.eos_token_id == 1
    assert tokenizer.chat_template == {"default": gguf_files.TEMPLATE, "short": "{{ bos_token }}"}
    assert tokenizer.eos_token_id == 1


def test_digits_are_cut_apart_where_the_file_says_so(tmp_path, source):
    file = gguf_files.write(tmp_path / "m.gguf", source)
    data = file.read_bytes()
    pre = b"tokenizer.ggml.pre" + b"\x08\0\0\0" + b"\x05\0\0\0\0\0\0\0"
    assert pre + b"gpt-2" in data
    smol = data.replace(pre + b"gpt-2", pre.replace(b"\x05", b"\x06") + b"smollm")
    (tmp_path / "smol.gguf").write_bytes(smol + b"\0" * 32)  # the tensors may begin 32 bytes further on
    cut = reading.read_tokenizer(reading.read_header(tmp_path / "smol.gguf")).backend_tokenizer.pre_tokenizer
    assert [piece for piece, _ in cut.pre_tokenize_str("in 1995")] == ["in", "Ġ", "1", "9", "9", "5"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"llama__rope__scaling__type": "linear", "llama__rope__scaling__factor": 4.0},
         {"rope_type": "linear", "factor": 4.0}),
        ({"llama__rope__scaling__type": "yarn", "llama__rope__scaling__factor": 2.0,
          "llama__rope__scaling__original_context_length": 128},
         {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128}),
        ({"llama__rope__scaling__type": "none"}, {"rope_type": "default"}),
    ],
)  # fmt: skip
def test_stretched_positions_are_kept(tmp_path, source, settings, expected):
    found = read_config(gguf_files.write(tmp_path / "m.gguf", source, **settings)).rope_parameters
    assert {name: found[name] for name in expected} == expected


def test_layers_with_a_window_are_not_stretched(tmp_path, source):
    settings = {"gemma3__rope__scaling__type": "linear", "gemma3__rope__scaling__factor": 8.0}
    more = {"gemma3__attention__sliding_window": 64, "gemma3__attention__key_length": 8}
    found = read_config(gguf_files.write(tmp_path / "m.gguf", source, arch="gemma3", **settings, **more))
    theta = found.rope_parameters["full_attention"]["rope_theta"]
    assert found.rope_parameters == {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": theta},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    assert (found.head_dim, found.query_pre_attn_scalar) == (8, 8)


def test_llama_3_positions_are_kept(tmp_path):
    """The factors of the file are those by which transformers' own rule divides the frequencies."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "factor": 32.0, "rope_theta": 500000.0, **reading.LLAMA3}
    source = gguf_files.directory(tmp_path / "source", rope_parameters=rope, head_dim=32)
    config = AutoModelForCausalLM.from_pretrained(source).config
    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 500000 ** (torch.arange(0, 32, 2) / 32)
    file = tmp_path / "m.gguf"
    added = gguf_files.gguf.GGUFWriter.add_tensor

    def with_factors(writer, name, tensor, **more):
        factors = name == reading.ROPE_FREQS
        return added(writer, name, (plain / stretched).numpy() if factors else tensor, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "add_tensor", with_factors)
        gguf_files.write(file, source, name=reading.ROPE_FREQS)
    found = read_config(file).rope_parameters
    assert {**found, "factor": round(found["factor"], 3)} == rope
    assert torch.allclose(logits(load_model(file)), logits(load_model(source)), rtol=0, atol=1e-5)


def cut_to(size):
    return lambda data: data[:size]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"PK" + data[2:], "it is no GGUF file"),
        (cut_to(2), "it is no GGUF file"),
        (cut_to(20), "it ends in the midst of its head, after 20 bytes"),
        (cut_to(3000), "it ends in the midst of its head"),
        (lambda data: data[:-3000], "and the file has"),
        (lambda data: data[:4] + b"\0\0\0\x03" + data[8:], "for machines of the other byte order"),
        (lambda data: data[:4] + b"\1\0\0\0" + data[8:], "of version 1"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "more than it has bytes"),
        (lambda data: data[:16] + b"\xff\0\0\0\0\0\0\0" + data[24:], "cannot be read"),
        (lambda data: data.replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0lmaaa"), "of the architecture 'lmaaa'"),
        (lambda data: data.replace(b"gpt-2", b"gpt-9"), "cuts text by the rules 'gpt-9'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, whole, change, words):
    file = tmp_path / "bad.gguf"
    file.write_bytes(change(whole.read_bytes()))
    with pytest.raises(DataError, match=r"bad\.gguf") as error:
        read_config(file)
    assert words in error.value.message
    assert error.value.hint
    with pytest.raises(DataError):
        load_tokenizer(file)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"general__type": "adapter"}, "a LoRA adapter"),
        ({"split__count": 3}, "is one of 3 parts"),
        ({"name": "blk.0.ffn_up.scale"}, "without the others it would answer otherwise"),
        ({"llama__rope__scaling__type": "longrope", "llama__rope__scaling__factor": 2.0}, "by 'longrope'"),
        ({"name": reading.ROPE_FREQS}, "stretches positions by rope_freqs.weight"),
    ],
)
def test_models_that_would_answer_otherwise_are_refused(tmp_path, source, settings, words):
    file = gguf_files.write(tmp_path / "m.gguf", source, **settings)
    with pytest.raises(DataError, match=words):
        load_model(file)


def test_tensors_that_are_not_read(tmp_path, source, whole):
    header = reading.read_header(whole)
    with pytest.raises(DataError, match="of the type Q8_K"):
        reading._block(gguf, header.path, gguf.GGMLQuantizationType.Q8_K)
    with pytest.raises(DataError, match="of the type number 99"):
        reading._block(gguf, header.path, 99)


def test_parts_are_known_by_their_name(tmp_path, whole):
    part = tmp_path / "m-00002-of-00003.gguf"
    part.write_bytes(whole.read_bytes())
    with pytest.raises(DataError, match="is one of 3 parts") as error:
        read_config(part)
    assert "--merge" in (error.value.hint or "")
    assert "m-00001-of-00003.gguf" in (error.value.hint or "")


def test_a_vocabulary_alone_is_a_tokenizer_and_no_model(tmp_path, source):
    writer = gguf.GGUFWriter(tmp_path / "vocab.gguf", "llama")
    gguf_files.add_tokenizer(writer, source)
    gguf_files.finish(writer)
    with pytest.raises(DataError, match="a vocabulary and no weights"):
        read_config(tmp_path / "vocab.gguf")
    found = reading.read_tokenizer(reading.read_header(tmp_path / "vocab.gguf"))
    assert found("the river").input_ids == load_tokenizer(source)("the river").input_ids


def test_a_file_without_a_tokenizer(tmp_path, source, monkeypatch):
    monkeypatch.setattr(gguf_files, "add_tokenizer", lambda *_: None)
    file = gguf_files.write(tmp_path / "m.gguf", source, llama__vocab_size=320)
    with pytest.raises(DataError, match="holds no tokenizer"):
        read_config(file)


def test_what_is_missing_on_the_machine(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(SetupError) as error:
        reading.check(whole)
    assert error.value.hint == extras._pip_line("gguf")
    monkeypatch.undo()
    monkeypatch.setattr(reading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(SetupError, match="of disk in float32"):
        reading._write_weights(reading.read_header(whole), opened(whole), Path("never"))


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path, source, monkeypatch):
    calls = []
    head, weights = reading._write_head, reading._write_weights
    monkeypatch.setattr(reading, "_write_head", lambda *given: calls.append("head") or head(*given))
    monkeypatch.setattr(reading, "_write_weights", lambda *given: calls.append("weights") or weights(*given))
    file = gguf_files.write(tmp_path / "m.gguf", source)
    (tmp_path / "link").symlink_to(file)  # as ollama names its files: without the suffix
    read_config(file)
    assert calls == ["head"]  # a plan reads no weights
    load_model(file), load_tokenizer(file), load_model(tmp_path / "link"), load_model(opened(file))
    assert calls == ["head", "weights"]
    gguf_files.write(file, source, "Q8_0")
    load_model(file)
    assert calls == ["head", "weights"] * 2


def test_what_is_written(whole):
    folder = opened(whole)
    assert folder.name.endswith("whole.gguf")
    assert {file.name for file in folder.iterdir()} == {
        "config.json", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    weights = weights_of(folder)
    assert {file.name for file in weights.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors",
    }  # fmt: skip
    config = json.loads((weights / "config.json").read_text())
    assert (config["architectures"], config["dtype"]) == (["LlamaForCausalLM"], "float32")
    assert "quantization_config" not in config
    assert json.loads((folder / "tokenizer_config.json").read_text()).keys() & {"is_local", "name_or_path"} == set()


def test_any_process_of_several_may_write_the_weights(tmp_path, whole, monkeypatch):
    from transformers.distributed import mixin  # where transformers asks which rank it is

    monkeypatch.setattr(mixin, "_is_torch_distributed_initialized", lambda: True)
    monkeypatch.setattr(mixin, "_get_torch_distributed_rank", lambda: 1)
    reading._write_weights(reading.read_header(whole), opened(whole), tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_nothing_is_said(tmp_path, whole, capfd):
    reading._write_weights(reading.read_header(whole), opened(whole), tmp_path)
    captured = capfd.readouterr()
    assert "Converting" not in captured.out + captured.err

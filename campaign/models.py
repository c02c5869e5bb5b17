"""Model directories from elsewhere, each with something that cannot be used, given to every command that takes one.

Every directory is made here of a tiny model, and is harmless to whatever reads it: what is wrong is a value, a name, a
shape or a file that is missing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from campaign._cases import REFUSED, Case
from campaign._chain import TRAINING, Chain

SECONDS = 20
WORDS = REFUSED - {7}
Change = Callable[[Path], None]


def cases(scratch: Path) -> Iterator[Case]:
    """Yield every case.

    Args:
        scratch: An empty folder, there until the last case is run.
    """
    chain = Chain(scratch / "chain", scratch / "kept")
    chain.make()
    for file in ("llmkit.json", "report.html"):
        (chain.kept / "base" / file).unlink()
    shutil.rmtree(chain.kept / "base" / "checkpoints")
    for group, changes, readers in (
        ("config", _configs(), ("finetune", "eval", "pretrain", "export", "plan", "predict", "lora")),
        ("weights", _weights(), ("finetune", "eval", "pretrain", "export", "predict")),
        ("tokenizer", _tokenizers(), ("finetune", "eval", "export", "predict")),
    ):
        for name, change in changes:
            for reader in readers:
                build = partial(_with_change, chain, change, reader)
                yield Case(f"{group}: {name}: {reader}", build, WORDS, seconds=SECONDS)
    for name, change in _harmless():
        for reader in ("finetune", "eval", "export"):
            build = partial(_with_change, chain, change, reader)
            yield Case(f"harmless: {name}: {reader}", build, frozenset({0}))


def _with_change(chain: Chain, change: Change, reader: str, folder: Path) -> Sequence[str]:
    shutil.copytree(chain.kept / "base", folder / "elsewhere")
    change(folder / "elsewhere")
    training = [word for setting in TRAINING for word in ("-s", setting)]
    tasks = f"tasks=[{{type: answers, data: {chain.kept / 'pairs'}, limit: 2}}]"
    return {
        "finetune": ["finetune", "--data", str(chain.kept / "pairs"), "--model", "elsewhere", *training,
                     "-s", "workers=1", "--max-steps", "1", "-o", "out"],
        "eval": ["eval", "--model", "elsewhere", "-s", tasks, "-o", "out"],
        "pretrain": ["pretrain", "--data", str(chain.kept / "tokens"), *training, "--max-steps", "1",
                     "-s", "model.path=elsewhere", "-o", "out"],
        "export": ["export", "--model", "elsewhere", "-s", "parity_prompts=1", "-s", "parity_new_tokens=2",
                   "-o", "out"],
        "lora": ["finetune", "--data", str(chain.kept / "pairs"), "--model", "elsewhere", *training, "--lora",
                 "-s", "workers=1", "--max-steps", "1", "-o", "out"],
        "predict": ["predict", "--model", "elsewhere", "-i", str(chain.kept / "texts.jsonl"), "-s", "answer=vector",
                    "-o", "out"],
        "plan": ["plan", "-s", "model.path=elsewhere", "-s", "max_steps=2"],
    }[reader]  # fmt: skip


def _edit(name: str, **values: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / name
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**known, **values}), encoding="utf-8")

    return change


def _write(name: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def _without(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return change


def _fold(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return change


def _configs() -> Iterator[tuple[str, Change]]:
    config = partial(_edit, "config.json")
    for method in ("bitsandbytes", "gptq", "awq", "fp8", "compressed-tensors", "a new one"):
        yield f"quantized by {method}", config(quantization_config={"quant_method": method, "bits": 4})
    yield "quantized by nothing named", config(quantization_config={"bits": 4})
    yield "quantized by a list", config(quantization_config=[4])
    for name in ("kernels-community/flash-attn", "flash_attention_2", "novel", 7, {"": "kernels-community/x"}):
        yield f"attention {name}", config(_attn_implementation=name, attn_implementation=name)
    for name in ("siluu", "relu9", "", 7, ["silu"], {}):
        yield f"activation {name!r}", config(hidden_act=name)
    for name in ("novel", 7, None, ["linear"], ""):
        yield f"rope type {name!r}", config(rope_scaling={"rope_type": name, "factor": 2.0}, rope_parameters=None)
    for factor in ("x", 0, -1, None, [2]):
        yield (
            f"rope factor {factor!r}",
            config(rope_scaling={"rope_type": "linear", "factor": factor, "rope_theta": 1e4}, rope_parameters=None),
        )
    yield "rope of a list", config(rope_parameters=[1], rope_scaling=[1])
    yield "rope of a word", config(rope_parameters="linear")
    for pad in (400, 10**6, -1, -7, "x", [0], 1.5):
        yield f"pad id {pad!r}", config(pad_token_id=pad)
    for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "num_attention_heads",
                "num_key_value_heads", "head_dim", "max_position_embeddings"):  # fmt: skip
        sizes: list[Any] = [0, -1, "x", None, 1.5, [2]]
        sizes += [] if key == "max_position_embeddings" else [10**6, 10**9, 10**30]
        for size in sizes:
            if size is None and key in ("num_key_value_heads", "head_dim"):
                continue  # null is for the default
            yield f"{key} {size!r}", config(**{key: size})
    yield "4,000 layers", config(num_hidden_layers=4000)
    for kind in ("novel", 7, None, [], "", "vit", "clip"):
        yield f"model_type {kind!r}", config(model_type=kind)
    yield "code of its own", config(model_type="novel", auto_map={"AutoConfig": "configuration_novel.NovelConfig"})
    yield "architectures a word", config(architectures="LlamaForCausalLM")
    yield "architectures of numbers", config(architectures=[7])
    yield "dtype of no kind", config(dtype="float33")
    yield "layer types of no kind", config(layer_types=["novel", "novel"])
    yield "an epsilon of a word", config(rms_norm_eps="x")
    for name, content in {"a list": "[]", "null": "null", "a word": '"x"', "empty": "", "cut": '{"model_type": "lla',
                          "an empty object": "{}", "not UTF-8": b'{"model_type": "\xff"}', "deep": "[" * 10**5,
                          "NaN": '{"model_type": NaN}'}.items():  # fmt: skip
        yield f"config.json {name}", _write("config.json", content)
    yield "config.json a folder", _fold("config.json")
    yield "config.json missing", _without("config.json")
    yield "an adapter", _adapter


def _adapter(folder: Path) -> None:
    _without("config.json", "model.safetensors")(folder)
    _edit("adapter_config.json", peft_type="LORA", base_model_name_or_path="someone/base", r=8)(folder)
    _write("adapter_model.safetensors", b"")(folder)


def _change_weights(change: Callable[[dict[str, Any]], None]) -> Change:
    def changed(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return changed


def _weights() -> Iterator[tuple[str, Change]]:
    up = "model.layers.1.mlp.up_proj.weight"

    def renamed(weights: dict[str, Any]) -> None:
        weights["model.layers.1.mlp.upward.weight"] = weights.pop(up)

    yield "a name changed", _change_weights(renamed)
    yield "one missing", _change_weights(lambda weights: weights.pop(up))
    yield "a layer too many", _change_weights(lambda weights: weights.update({up.replace("1", "2"): weights[up] + 1}))
    yield "a bias too many", _change_weights(lambda w: w.update({up.replace("weight", "bias"): w[up][:, 0] + 1}))
    yield "turned", _change_weights(lambda weights: weights.update({up: weights[up].T.contiguous()}))
    yield "cut", _change_weights(lambda weights: weights.update({up: weights[up][:5].contiguous()}))
    yield "flat", _change_weights(lambda weights: weights.update({up: weights[up].flatten()}))
    yield "empty", _change_weights(lambda weights: weights.update({up: weights[up][:0].contiguous()}))
    yield "a layer less than there are", _edit("config.json", num_hidden_layers=1)
    yield "a layer more than there are", _edit("config.json", num_hidden_layers=3)
    yield "a bias that is not there", _edit("config.json", attention_bias=True)
    yield "none", _change_weights(lambda weights: weights.clear())
    for dtype in ("int8", "uint8", "int32", "float8_e4m3fn"):
        yield f"of {dtype}", _change_weights(partial(_cast, dtype))
    for name, content in {"empty": b"", "noise": b"\x07" * 500, "a long header": b"\xff" * 7 + b"\x7f{}",
                          "a page of HTML": b"<!doctype html><title>Not found</title>",
                          "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n",
                          }.items():  # fmt: skip
        yield f"model.safetensors {name}", _write("model.safetensors", content)
    yield "model.safetensors cut", lambda folder: _cut(folder / "model.safetensors")
    yield "model.safetensors a folder", _fold("model.safetensors")
    yield "no weights", _without("model.safetensors")
    for name in ("pytorch_model.bin", "model.pt", "model.gguf", "tf_model.h5", "flax_model.msgpack"):
        yield f"only {name}", partial(_renamed, name)
    yield "only a pickle", _pickled
    for name, index in {
        "outside": {"weight_map": {"a": "../model.safetensors"}},
        "at the root": {"weight_map": {"a": "/model.safetensors"}},
        "of a missing file": {"weight_map": {"a": "model-00001-of-00002.safetensors"}},
        "of a pickle": {"weight_map": {"a": "pytorch_model.bin"}},
        "of numbers": {"weight_map": {"a": 7}},
        "of a list": {"weight_map": ["model.safetensors"]},
        "of nothing": {"weight_map": {}},
        "without a map": {"metadata": {}},
        "a list": [],
    }.items():
        yield f"an index {name}", partial(_indexed, index)
    for name, content in {"a list": "[]", "null": "null", "cut": '{"eos', "not UTF-8": b"\xff"}.items():
        yield f"generation_config.json {name}", _write("generation_config.json", content)
    yield "generation_config.json a folder", _fold("generation_config.json")


def _cast(dtype: str, weights: dict[str, Any]) -> None:
    import torch

    for name in list(weights):
        weights[name] = (weights[name] * 50).to(getattr(torch, dtype))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _renamed(name: str, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / name)


def _pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _indexed(index: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    _write("model.safetensors.index.json", json.dumps(index))(folder)


def _tokenizers() -> Iterator[tuple[str, Change]]:
    for name, content in {"a list": "[]", "null": "null", "empty": "", "cut": '{"version": "1.0", "model": {',
                          "an empty object": "{}", "another": '{"model": {"type": "Novel"}}',
                          "not UTF-8": b"\xff\xfe"}.items():  # fmt: skip
        yield f"tokenizer.json {name}", _write("tokenizer.json", content)
    for name, content in {"a list": "[]", "null": "null", "cut": '{"eos', "not UTF-8": b"\xff"}.items():
        yield f"tokenizer_config.json {name}", _write("tokenizer_config.json", content)
    yield "no tokenizer.json", _without("tokenizer.json")
    yield "no tokenizer at all", _without("tokenizer.json", "tokenizer_config.json")
    yield "tokenizer.json a folder", _fold("tokenizer.json")
    yield "tokenizer_config.json a folder", _fold("tokenizer_config.json")
    yield "an end that is a number", _edit("tokenizer_config.json", eos_token=7)
    yield "an end that is a list", _edit("tokenizer_config.json", eos_token=["a"])
    yield (
        "ids above the embedding",
        _edit("tokenizer_config.json", additional_special_tokens=[f"<|new {i}|>" for i in range(50)]),
    )


def _harmless() -> Iterator[tuple[str, Change]]:
    yield "as it was", lambda _: None
    yield "no generation config", _without("generation_config.json")
    yield "unknown fields", _edit("config.json", colour="red", transformers_version="3.0.0")
    yield "code of its own for a known architecture", _edit("config.json", auto_map={"AutoConfig": "a.B"})
    yield "an index of one file", _as_one_shard
    yield "a buffer of an older version", _change_weights(_with_buffer)


def _as_one_shard(folder: Path) -> None:
    from safetensors import safe_open

    name = "model-00001-of-00001.safetensors"
    (folder / "model.safetensors").rename(folder / name)
    with safe_open(folder / name, "pt") as file:
        index = {"metadata": {}, "weight_map": dict.fromkeys(file.keys(), name)}
    _write("model.safetensors.index.json", json.dumps(index))(folder)


def _with_buffer(weights: dict[str, Any]) -> None:
    import torch

    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)

"""export to GGUF, through the command line: llama.cpp loads the file and answers the same, or nothing is exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gguf_exports
import gguf_files
from llmkit.evaluation.probes import TEXTS

GGUF = ("-s", "exporter.type=gguf")
PROBE = ("-s", "parity_prompts=1", "-s", "parity_new_tokens=4")


@pytest.fixture
def export(cli, reload_here):
    """Export a model with a short probe, asked in this process."""

    def run(model, *more, out="out"):
        return cli("export", "--model", model, *GGUF, *PROBE, "-o", out, *more)

    return run


def test_the_chains_model_is_proven_by_llama_cpp_in_a_fresh_process(cli, chain):
    """The home-made tokenizer, its chat template and two ends of writing, as they are served then."""
    done = cli("export", "--model", chain.model, *GGUF, *PROBE, "-s", "exporter.dtype=float32", "-o", "out")
    assert done.code == 0, done.err
    parity = json.loads(Path("out/parity.json").read_text())
    assert parity["passed"]
    assert parity["equal_tokens"] == parity["tokens"] >= 4
    assert parity["max_logit_difference"] <= 1e-4 * parity["logit_spread"]
    assert parity["runtimes"]["export"]["runtime"]["type"] == "llama_cpp"
    assert parity["runtimes"]["export"]["versions"].keys() == {"llama.cpp", "xllamacpp"}
    assert {file.name for file in Path("out").iterdir()} >= {"model.gguf", "parity.json", "README.md", "llmkit.json"}
    assert not list(Path("out").glob("*.safetensors"))
    card = Path("out/README.md").read_text(encoding="utf-8")
    assert "library_name: gguf" in card and "model.gguf" in card and "from_pretrained" not in card


def test_what_was_exported_is_measured_and_goes_on(cli, chain, export):
    assert export(chain.model, "-s", "exporter.dtype=q8_0").code == 0
    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}, limit: 4}}]"
    done = cli("eval", "--model", "out/model.gguf", "-s", "runtime=llama_cpp", "-s", tasks, "-o", "scores")
    assert done.code == 0, done.err
    done = cli("eval", "--model", chain.model, "-s", tasks, "-o", "before")
    assert done.code == 0, done.err
    results = [json.loads(Path(name, "results.json").read_text()) for name in ("scores", "before")]
    found, expected = (next(iter(one["tasks"].values()))["results"]["model"]["scores"] for one in results)
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=0.02)
    lineage = cli("lineage", "out", "--verify")
    assert lineage.code == 0


@pytest.mark.parametrize("dtype", ["q4_0", pytest.param("q5_0", marks=pytest.mark.slow)])
def test_what_is_rounded_otherwise_is_said(export, chain, dtype):
    done = export(chain.model, "-s", f"exporter.dtype={dtype}")
    assert done.code == 0, done.err
    assert "token_embd.weight, which makes the logits, is Q8_0" in done.out + done.err
    assert json.loads(Path("out/parity.json").read_text())["notes"]


@pytest.mark.slow
@pytest.mark.cells(format="gguf", runtime="llama.cpp")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_k", "q5_0", "q4_k", "q4_0"])
@pytest.mark.parametrize("name", gguf_exports.DECODERS)
def test_every_architecture_in_every_format(export, name, dtype):
    source = gguf_exports.save(Path("source"), name)
    done = export(source, "-s", f"exporter.dtype={dtype}")
    assert done.code == 0, done.err


@pytest.mark.cells(format="gguf", runtime="llama.cpp", model="bert", head="vectors")
@pytest.mark.parametrize(
    "dtype",
    ["float32", *(pytest.param(name, marks=pytest.mark.slow) for name in ("float16", "bfloat16", "q8_0", "q4_k"))],
)
def test_an_encoder_gives_the_same_vectors(export, dtype):
    source = gguf_exports.encoder(Path("source"))
    done = export(source, "-s", f"exporter.dtype={dtype}")
    assert done.code == 0, done.err
    parity = json.loads(Path("out/parity.json").read_text())
    assert parity["answer"] == "vector"
    # llama.cpp's normal form D knows no Korean: what is known to differ is said, and not asked.
    assert "note" in done.out
    assert "Korean is read otherwise" in parity["notes"][-1]
    assert 0 < parity["equal"]["texts"] < len(TEXTS) + 10


def unknown(folder):
    gguf_exports.tiny.model("olmo2", vocab_size=320).save_pretrained(folder)
    gguf_files.tokenizer().save_pretrained(folder)
    return folder


def normalizing(folder):
    from tokenizers import normalizers

    tokenizer = gguf_files.tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return gguf_exports.save(folder, "llama", tokenizer)


def not_finite(folder):
    model = gguf_exports.decoder("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    model.save_pretrained(folder)
    gguf_files.tokenizer().save_pretrained(folder)
    return folder


REFUSED = {
    "architecture": (unknown, 2, "it is a olmo2, which is not written to GGUF; valid: bert, gemma, gemma2,"),
    "tokenizer": (normalizing, 2, "llama.cpp has no normalizer for such a tokenizer, and its tokenizer has NFC"),
    "numbers": (not_finite, 3, "model.norm.weight"),
    "window": (
        lambda folder: gguf_exports.save(folder, "mistral", sliding_window=32), 2,
        "llama.cpp has no sliding window for a mistral: from 32 tokens on it would answer otherwise",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_anything_is_written(export, case):
    make, code, words = REFUSED[case]
    done = export(make(Path("source")))
    assert done.code == code, done.err
    assert words in done.err
    assert "Traceback" not in done.err
    assert not list(Path().rglob("*.gguf"))


def test_a_missing_runtime_is_said_before_anything_is_written(export, chain, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else find(name))
    done = export(chain.model)
    assert done.code == 4
    assert "this needs the 'llama-cpp' extra, which is not installed" in done.err
    assert 'pip install "llmkit[llama-cpp]"' in done.err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else find(name))
    done = export(chain.model)
    assert done.code == 4
    assert 'pip install "llmkit[gguf]"' in done.err


def test_an_export_that_llama_cpp_does_not_load_is_none(export, chain, monkeypatch):
    from llmkit.exporters import gguf

    write = gguf.Gguf.write

    def cut(self, model, tokenizer, directory):
        notes = write(self, model, tokenizer, directory)
        file = directory / "model.gguf"
        file.write_bytes(file.read_bytes()[:-4096])
        return notes

    monkeypatch.setattr(gguf.Gguf, "write", cut)
    done = export(chain.model)
    assert done.code == 7
    assert "error: the export does not load: llama.cpp does not load" in done.err
    assert not Path("out/llmkit.json").exists()


def test_an_assertion_that_ends_the_process_has_words(cli, chain, add_member):
    """llama.cpp ends the whole process where an assertion fails: the fresh one, whose last words are told."""
    code = (
        "import os, sys\n"
        "from llmkit.runtimes import Runtime\n\n\n"
        "class Asserting(Runtime):\n"
        '    """Dies as ggml does."""\n\n'
        "    def load(self, where, *, date=None):\n"
        '        """Abort."""\n'
        '        print("ggml.c:12: GGML_ASSERT(n > 0) failed", file=sys.stderr, flush=True)\n'
        "        os.abort()\n"
    )
    add_member("runtime", "asserting", code)
    exporter = (
        "from llmkit.exporters.gguf import Gguf\n"
        "from llmkit.runtimes.asserting import Asserting\n\n\n"
        "class Wrong(Gguf):\n"
        '    """A file that llama.cpp has an assertion against."""\n\n'
        "    def runtime(self):\n"
        '        """Return what dies."""\n'
        "        return Asserting()\n"
    )
    add_member("exporter", "wrong", exporter)
    done = cli("export", "--model", chain.model, "-s", "exporter=wrong", *PROBE, "-o", "out")
    assert done.code == 7, done.err
    assert "GGML_ASSERT(n > 0) failed" in done.err
    assert not Path("out/llmkit.json").exists()

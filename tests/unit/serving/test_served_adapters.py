"""Models that share a base: its weights are in memory once, and each answers as it does alone."""

from __future__ import annotations

import pytest
import torch

from headed import BODY, save_headed, tokenizer
from llmkit.core.adapter import base_digest
from llmkit.core.registry import Family
from llmkit.modeling.adapters import Base
from llmkit.modeling.adapters.ia3 import IA3
from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.adapters.prefix import Prefix
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import load_model
from llmkit.runtimes import Label, Logits
from llmkit.runtimes._bases import Bases
from llmkit.runtimes.transformers import Transformers
from llmkit.serving.engine import EngineSettings, Sampling
from llmkit.serving.running import RunningEngine
from served import save_writer
from tiny import byte_tokenizer

KINDS = {"lora": LoRA(r=4), "dora": LoRA(r=2, dora=True), "ia3": IA3(), "prefix": Prefix(tokens=3)}


def save_adapter(folder, base, adapter, seed):
    """Save an adapter whose every weight is drawn: it changes what the base answers."""
    model = load_model(base)
    adapter.wrap(model, head_of(model.config), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    adapter.save(folder, model, Base(str(base), base_digest(base)))
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("adapters")
    base = save_writer(place / "base")
    made = {name: save_adapter(place / name, base, adapter, n) for n, (name, adapter) in enumerate(KINDS.items())}
    return {"base": base, **made}


def opened(folder, bases):
    return RunningEngine(str(folder), None, EngineSettings(places=4, cache_bytes=1 << 22), lambda _: None, bases)


def ids_of(stream):
    return tuple(i for piece in stream for i in piece.ids)


def test_interleaved_answers_are_those_of_each_alone(folders):
    prompts = [tuple(range(65 + n, 90 + n)) for n in range(4)]
    told = Sampling(max_tokens=12, temperature=0)
    wanted, logits = {}, {}
    for name, folder in folders.items():
        with opened(folder, None) as alone:
            wanted[name] = [ids_of(alone.submit(prompt, told)) for prompt in prompts]
        logits[name] = Transformers().load(str(folder)).answer([Logits(prompts[0])])[0]
    assert len({tuple(each) for each in wanted.values()}) == len(wanted), "each model says something else"
    bases = Bases(map(str, folders.values()))
    engines = {name: opened(folder, bases) for name, folder in folders.items()}
    try:
        for _ in range(2):
            streams = [(name, n, engines[name].submit(p, told)) for n, p in enumerate(prompts) for name in engines]
            for name, n, stream in streams:
                assert ids_of(stream) == wanted[name][n], name
        for name, engine in engines.items():
            assert abs(engine.running.answer([Logits(prompts[0])])[0] - logits[name]).max() < 1e-4, name
    finally:
        for engine in engines.values():
            engine.close()


def test_the_base_is_in_memory_once_and_stays_as_it_is(folders):
    bases = Bases(map(str, folders.values()))
    models = {name: bases.load(str(folder)) for name, folder in folders.items()}
    untouched = dict(load_model(folders["base"]).named_parameters())
    for name, weight in models["base"].model.named_parameters():
        assert torch.equal(weight, untouched[name])
    size = sum({w.data_ptr(): w.nbytes for w in models["base"].model.parameters()}.values())
    together = {w.data_ptr(): w.nbytes for each in models.values() for w in each.model.parameters()}
    own = {name: bases.own_bytes(each) for name, each in models.items()}
    assert own["base"] == 0
    assert all(0 < own[name] < size / 2 for name in KINDS)
    assert sum(together.values()) == size + sum(own.values())


def test_what_stands_alone_is_loaded_as_before(folders):
    bases = Bases([str(folders["lora"])])
    assert bases.load(str(folders["lora"])) is None
    with opened(folders["lora"], bases) as found:
        assert found.shared == ""


def test_labels_of_two_adapters_on_one_encoder(tmp_path):
    base = save_headed(tmp_path / "base", BODY)
    for n, labels in enumerate((["no", "yes"], ["bad", "fair", "good"])):
        head = Family("head").parse({"type": "sequence_classification", "labels": labels})
        model = load_model(base, head, seed=n)
        LoRA(r=2).wrap(model, head, seed=n)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.add_(0.1)
        LoRA(r=2).save(tmp_path / str(n), model, Base(str(base), base_digest(base)))
        tokenizer().save_pretrained(tmp_path / str(n))
    where = [str(tmp_path / str(n)) for n in range(2)]
    bases = Bases(where)
    for each in where:
        wanted = Transformers().load(each).answer([Label("a fair text")])[0]
        assert bases.load(each).answer([Label("a fair text")])[0] == pytest.approx(wanted, abs=1e-5)
    one, other = (dict(bases.load(each).model.named_parameters()) for each in where)
    same = [name for name in one if name in other and one[name].data_ptr() == other[name].data_ptr()]
    assert any("embeddings" in name for name in same)
    assert not any("classifier" in name or "lora" in name for name in same)

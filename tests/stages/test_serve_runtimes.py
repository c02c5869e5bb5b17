"""The server over every runtime: what a client gets is what the runtime of the model's files answers."""

from __future__ import annotations

import httpx
import numpy as np
import openai
import pytest

import gguf_exports
import headed
import onnx_models
from llmkit.exporters.gguf import Gguf
from llmkit.modeling.load import load_model
from llmkit.modeling.pooling import Pooling, write_pooling
from llmkit.runtimes import Embed, Generate, Label
from llmkit.runtimes.transformers import Transformers
from llmkit.serving.engine import EngineSettings
from llmkit.serving.running import RunningEngine
from llmkit.serving.service import Service
from served import serving

TEXTS = ["a river", "the mill", "no. 5!"]


def opened(where):
    return RunningEngine(str(where), None, EngineSettings(places=4, cache_bytes=1 << 24), lambda _: None)


def test_vectors_of_an_onnx_export(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    source = onnx_models.save_reader(tmp_path / "source", "bert", headed.BODY)
    pair = onnx_models.export(source, tmp_path / "out")
    pair.theirs.close()
    wanted = pair.ours.answer([Embed(text) for text in TEXTS])
    with opened(tmp_path / "out") as engine, serving(Service({"m": engine})) as address:
        assert (engine.runtime, engine.facts.can) == ("onnxruntime", {"embeddings"})
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            found = client.embeddings.create(model="m", input=TEXTS)
            for one, vector in zip(found.data, wanted, strict=True):
                np.testing.assert_allclose(one.embedding, vector, atol=1e-4)
            assert found.usage.prompt_tokens == sum(map(pair.ours.tokens, map(Embed, TEXTS)))
            with pytest.raises(openai.BadRequestError, match=r"input\[1\]: the text is too long"):
                client.embeddings.create(model="m", input=["a", "a " * 300])
        refused = httpx.post(f"{address}/v1/classify", json={"model": "m", "input": "a"})
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, "model: 'm' neither labels nor rates")


def test_labels_of_an_onnx_export(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    source = onnx_models.save_reader(tmp_path / "source", "bert", headed.SENTIMENT)
    pair = onnx_models.export(source, tmp_path / "out")
    pair.theirs.close()
    wanted = pair.ours.answer([Label(TEXTS[0]), Label(TEXTS[1], "a pair")])
    with opened(tmp_path / "out") as engine, serving(Service({"m": engine})) as address:
        assert (engine.runtime, engine.facts.can) == ("onnxruntime", {"classify"})
        asked = [TEXTS[0], {"text": TEXTS[1], "pair": "a pair"}]
        found = httpx.post(f"{address}/v1/classify", json={"model": "m", "input": asked}).json()["data"]
    for one, logits in zip(found, wanted, strict=True):
        chances = np.exp(logits - logits.max())
        np.testing.assert_allclose(one["probs"], chances / chances.sum(), atol=1e-5)
        assert one["label"] == headed.SENTIMENT["labels"][int(logits.argmax())]


def test_vectors_of_an_encoder_in_gguf(tmp_path):
    source = gguf_exports.encoder(tmp_path / "source")
    pooling = Pooling(modes=("mean",), normalized=True, max_tokens=32, prompt="search: ", prompts={"query": "search: "})
    (tmp_path / "out").mkdir()
    for folder in (source, tmp_path / "out"):
        write_pooling(folder, pooling, 32)
    ours = Transformers().load(str(source))
    Gguf(dtype="float32").write(load_model(source), ours.tokenizer, tmp_path / "out")
    wanted = ours.answer([Embed(text) for text in TEXTS])
    with opened(tmp_path / "out") as engine, serving(Service({"m": engine})) as address:
        assert (engine.runtime, engine.facts.can) == ("llama_cpp", {"embeddings"})
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            found = client.embeddings.create(model="m", input=TEXTS)
            for one, vector in zip(found.data, wanted, strict=True):
                np.testing.assert_allclose(one.embedding, vector, atol=2e-3)
            same = client.embeddings.create(model="m", input=TEXTS[0], extra_body={"input_type": "query"})
            np.testing.assert_allclose(same.data[0].embedding, found.data[0].embedding, atol=1e-6)
            with pytest.raises(openai.BadRequestError, match="the text is too long"):
                client.embeddings.create(model="m", input="river " * 100)


def test_texts_of_an_encoder_decoder(tmp_path):
    source = onnx_models.save_writer(tmp_path / "t5", "t5")
    ours = Transformers().load(str(source))
    with opened(source) as engine, serving(Service({"m": engine})) as address:
        assert engine.facts.can == {"completions"}
        wanted = ours.answer([Generate(tuple(engine.encode(text)), 8) for text in TEXTS])
        assert len({one.text for one in wanted}) > 1
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            told = {"model": "m", "max_tokens": 8, "temperature": 0}
            found = client.completions.create(prompt=TEXTS, **told)
            assert [choice.text for choice in found.choices] == [one.text for one in wanted]
            assert found.usage.prompt_tokens == sum(len(engine.encode(text)) for text in TEXTS)
            chunks = list(client.completions.create(prompt=TEXTS[0], stream=True, **told))
            assert "".join(chunk.choices[0].text for chunk in chunks) == wanted[0].text
            with pytest.raises(openai.BadRequestError, match="has no chat template"):
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])

"""OpenVINO GenAI, a program in C++ that knows nothing of llmkit, writes from an export what transformers writes."""

from __future__ import annotations

import pytest

from llmkit.runtimes import Generate
from llmkit.runtimes._openvino_sessions import library
from llmkit.runtimes.transformers import Transformers

pytestmark = pytest.mark.slow
# Its defaults are for speed: keys and values in 8 bits, and sums as the device likes them.
EXACT = {"KV_CACHE_PRECISION": "f32", "INFERENCE_PRECISION_HINT": "f32", "ATTENTION_BACKEND": "SDPA"}


@pytest.mark.cells(format="openvino", runtime="openvino-genai")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_texts_are_those_of_the_model(cli, chain, dtype):
    library()
    import openvino_genai

    probe = ["-s", "exporter=openvino", "-s", f"exporter.dtype={dtype}", "-s", "parity_prompts=1"]
    assert cli("export", "--model", chain.model, *probe, "-o", "out").code == 0
    pipeline = openvino_genai.LLMPipeline("out", "CPU", **EXACT)
    how = openvino_genai.GenerationConfig()
    how.max_new_tokens, how.do_sample, how.apply_chat_template, how.ignore_eos = 12, False, False, True
    ours = Transformers().load(str(chain.model))
    for prompt in ("The river", "Why do boats"):
        (own,) = ours.answer([Generate(tuple(ours.read(prompt) or ()), budget=12, exact=True)])
        written = pipeline.generate(prompt, how)
        assert written
        if dtype == "float32":
            assert written == ours.tokenizer.decode(own.ids, skip_special_tokens=True)

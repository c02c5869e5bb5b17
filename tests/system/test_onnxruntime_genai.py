"""Decoders in onnxruntime-genai, which needs its own config beside the graph: it writes the same tokens."""

from __future__ import annotations

import numpy as np
import pytest

from llmkit.runtimes import Generate
from onnx_models import export, random_rows, save_writer

pytestmark = pytest.mark.slow
ROWS = random_rows((9, 1, 17, 5))


@pytest.mark.cells(format="onnx", runtime="onnxruntime-genai")
@pytest.mark.parametrize(
    ("arch", "dtype"),
    [("llama", "float32"), ("llama", "int8"), ("gpt2", "float32"), ("gpt_neox", "float32"), ("gemma", "float32"),
     ("gemma2", "float32"), ("mistral", "float32"), ("qwen2", "float32"), ("qwen3", "float32"), ("phi3", "float32")],
)  # fmt: skip
def test_its_tokens_are_ours(tmp_path, arch, dtype):
    import onnxruntime_genai

    pair = export(save_writer(tmp_path / "model", arch), tmp_path / "out", dtype)
    model = onnxruntime_genai.Model(str(tmp_path / "out"))
    for row in ROWS:
        settings = onnxruntime_genai.GeneratorParams(model)
        settings.set_search_options(max_length=len(row) + 10, do_sample=False)
        generator = onnxruntime_genai.Generator(model, settings)
        generator.append_tokens(np.array([row], np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        found = tuple(int(i) for i in generator.get_sequence(0)[len(row) :])
        (ours,) = pair.theirs.answer([Generate(row, budget=10)])
        assert (found[:-1] if found[-1:] == (4,) else found) == ours.ids

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import torch
from blocks import VOCABULARY, model, packed

from llmkit.core.registry import Family
from llmkit.modeling.isolation import measure_isolation
from llmkit.objectives import Objective
from llmkit.objectives.documents.causal_lm import CausalLM

PAGE = (Path(__file__).parents[3] / "docs" / "objectives.md").read_text(encoding="utf-8")
FAMILY = Family("document_objective")


def test_the_page_tells_of_every_objective_and_its_fields():
    for name in FAMILY.members():
        assert f"| `{name}` |" in PAGE
        for field in FAMILY.load(name).model_fields:
            assert f"`{field}`" in PAGE, f"{name}.{field}"


def test_every_objective_is_whole():
    assert FAMILY.members() == [
        "causal_lm", "fill_in_the_middle", "masked_lm", "next_sentence", "prefix_lm", "sentence_order",
        "span_corruption",
    ]  # fmt: skip
    for name in FAMILY.members():
        part = FAMILY.load(name)
        assert part.__doc__ != Objective.__doc__
        assert all(field.description for field in part.model_fields.values())
        objective = FAMILY.parse(name)
        assert objective.type_name == name
        assert objective.model_head().type_name == objective.head
        assert objective.raw_length(512) > 0
        objective.check(VOCABULARY)
        assert all(isinstance(i, int) for ids in objective.around(VOCABULARY) for i in ids)
        assert objective.packings


def test_the_example_works():
    (code,) = re.findall(
        r"^```python\n(# src/llmkit/objectives/documents/noisy_context.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    module = types.ModuleType("noisy_context")
    sys.modules[module.__name__] = module  # pydantic looks a model's annotations up there
    try:
        exec(compile(code, "objectives.md", "exec"), vars(module))
        objective = module.NoisyContext(share=0.3)
    finally:
        del sys.modules[module.__name__]
    batch = packed(CausalLM(), rows=40)
    tensors, counts = objective.collate(batch, VOCABULARY, 0)
    expected, same = CausalLM().collate(batch, VOCABULARY, 0)
    assert counts == same
    assert torch.equal(tensors["labels"], expected["labels"])
    changed = tensors["input_ids"] != expected["input_ids"]
    ordinary = torch.from_numpy(~np.isin(batch.input_ids, VOCABULARY.special))
    assert not changed[~ordinary].any()
    assert 0.25 < changed[ordinary].float().mean() < 0.33
    assert measure_isolation(model("llama", objective.head), objective, VOCABULARY) == 0

"""Tests that multiply integers of 8 bits, on processors that do it wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

from llmkit.runtimes._rounding import _is_exact


def need_exact_products() -> None:
    """Leave a test where int8 is refused, which one of its own shows; a processor with VNNI must not be refused."""
    if _is_exact(lambda layer: quantize_(layer, Int8DynamicActivationInt8WeightConfig(set_inductor_config=False))):
        return
    told = "vnni" in Path("/proc/cpuinfo").read_text().lower()
    assert not told or {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"} & {*os.environ}, "it has what it takes"
    pytest.skip("integer products are not exact on this processor, and int8 is refused")

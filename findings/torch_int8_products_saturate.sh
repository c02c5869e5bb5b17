#!/usr/bin/env bash
# torch on CPUs, `torch._int_mm` of int8 by int8, by which torchao computes dynamically quantized layers.
#
# Guess:  sums of products of 8 bits are collected in 32 bits, as the type of the result says: they are exact.
# Real:   where the processor has no VNNI (AVX2 and the first AVX-512; here oneDNN is told so), pairs of products are
#         added in 16 bits, which two of 127 * 127 and more do not fit into once one side is shifted to be unsigned:
#         sums come out too small, here by 99 %, and nothing is said.
# Seen:   torch 2.13.0.
# Hurts:  whoever evaluates or serves an int8 model on an older processor: its scores are not those of the model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0 "numpy<3"
for isa in AVX2 DEFAULT; do
ONEDNN_MAX_CPU_ISA=$isa "$folder/venv/bin/python" -W ignore - "$isa" <<'PYTHON'
import sys
from pathlib import Path

import torch

largest = torch.full((32, 64), 127, dtype=torch.int8)
found, exact = int(torch._int_mm(largest, largest.T.contiguous())[0, 0]), 127 * 127 * 64
print(f"ONEDNN_MAX_CPU_ISA={sys.argv[1]}: 64 products of 127 * 127 add up to {found:,}; exact: {exact:,}")
if sys.argv[1] == "AVX2":
    assert found < exact, "the sum is exact: this has changed"
elif "vnni" in Path("/proc/cpuinfo").read_text():
    assert found == exact, "not even VNNI is exact: this has changed"
PYTHON
done

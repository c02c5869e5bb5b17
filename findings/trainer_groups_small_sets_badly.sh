#!/usr/bin/env bash
# transformers.Trainer, train_sampling_strategy="group_by_length", on data sets of the size people fine-tune on.
#
# Guess:  rows of like length share a batch, so little of a batch is padding, however many rows there are.
# Real:   rows are sorted within stretches of min(50, rows // (4 * batch)) batches. A set of 1,600 rows and 32 a batch is
#         sorted in stretches of 12 batches, one of 400 rows in stretches of 3: the smaller the set, the more padding,
#         42% of a batch at 400 rows and 4% at 6,400. A set small enough to be sorted as a whole is sorted least.
# Seen:   transformers 5.23.0, torch 2.13.0.
# Hurts:  whoever fine-tunes on some hundred or thousand rows and turns this on to save time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 "numpy<3"
"$folder/venv/bin/python" - <<'PYTHON'
import random

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

BATCH = 32


def padding(order, lengths):
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    return 1 - sum(lengths) / sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)


def measured(num_rows):
    draw = random.Random(0)
    lengths = [min(256, max(4, int(draw.lognormvariate(3.9, 0.8)))) for _ in range(num_rows)]
    grouped = LengthGroupedSampler(BATCH, lengths=lengths, generator=torch.Generator().manual_seed(0))
    whole = sorted(range(num_rows), key=lengths.__getitem__)
    mixed = draw.sample(range(num_rows), num_rows)
    return [padding(order, lengths) for order in (list(grouped), whole, mixed)]


found = {rows: measured(rows) for rows in (400, 1600, 6400, 25600)}
print(f"{'rows':>6} {'group_by_length':>16} {'sorted whole':>13} {'random':>7}")
for rows, shares in found.items():
    print(f"{rows:6} " + "{:16.1%} {:13.1%} {:7.1%}".format(*shares))
small, large = found[400], found[25600]
assert small[0] > 3 * large[0], "a small set is grouped as well as a large one now"
assert small[0] > 2 * small[1], "a small set is sorted as a whole now"
print("as described: the smaller the set, the more padding")
PYTHON

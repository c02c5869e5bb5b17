"""Heads over texts as graphs: labels of texts and pairs, padded together, against transformers."""

from __future__ import annotations

import numpy as np
import pytest

from headed import SENTIMENT
from llmkit.runtimes import Label, Logits
from onnx_models import export, random_rows, save_reader

TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!", "Wind from the sea"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("head")
    return export(save_reader(root / "model", "bert", SENTIMENT), root / "out")


def test_numbers_of_rows_of_all_lengths(pair):
    requests = [Logits(row) for row in random_rows((9, 1, 17, 48))]
    for ours, theirs in zip(pair.ours.answer(requests), pair.theirs.answer(requests), strict=True):
        assert ours.shape == theirs.shape == (3,)
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def test_labels_of_texts_and_pairs(pair):
    requests = [*(Label(text) for text in TEXTS), Label("a b", "c d"), Label("a b c d")]
    ours, theirs = pair.ours.answer(requests), pair.theirs.answer(requests)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)
    assert np.abs(theirs[-1] - theirs[-2]).max() > 1e-3  # which text of a pair a token is of counts
    assert pair.theirs.facts.labels == ("bad", "good", "fair")


def test_no_decoders_files_beside_it(pair):
    assert not (pair.folder / "genai_config.json").exists()
    assert pair.theirs.session.inputs == ["input_ids", "attention_mask", "token_type_ids"]
    assert pair.theirs.session.outputs == {"logits": ["batch_size", 3]}

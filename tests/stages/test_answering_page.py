"""The page about answers from a text does what it shows, and its recipe runs as it stands."""

from __future__ import annotations

import json

import pytest
import transformers
from tokenizers import decoders

from headed import BODY, save_headed
from pages import run_page


@pytest.fixture
def encoder(tmp_path):
    """Have the model that the page names: a BERT of letters."""
    folder = save_headed(tmp_path / "encoder", BODY, max_position_embeddings=400)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.decoder = decoders.WordPiece()
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("encoder")
def test_the_page_does_what_it_shows(cli):
    assert run_page("howto-answering.md", cli) == 3


def test_the_recipe_runs_as_it_stands(cli, encoder, tmp_path):
    paragraphs = [
        {"context": f"Boat {'abcdefgh'[i]} leaves at {i}.",
         "qas": [{"id": str(i), "question": "When?", "answers": [{"text": f"at {i}", "answer_start": 14}]}]}
        for i in range(8)
    ]  # fmt: skip
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    outcome = cli("finetune", "-r", "question-answering", "--model", encoder, "--max-steps", 1, "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["metrics"]["rows"] + outcome.json["metrics"]["validation_rows"] == 8

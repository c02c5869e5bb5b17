"""Every shipped recipe of eval as it stands, in a folder with what it names: a model, and a few rows of its kind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from headed import BODY, NAMES, READER, SENTIMENT, save_headed
from llmkit.cli.main import run
from llmkit.core.errors import SetupError
from llmkit.core.recipes import shipped_recipes
from llmkit.data.rendering import CHAT_TEMPLATE
from llmkit.evaluation.confinement import Confinement, Limits
from llmkit.evaluation.needles import LANGUAGES
from texts import sentences, write_jsonl
from tiny import byte_tokenizer, model
from tiny_settings import TINY_TRAINING

RECIPES = sorted(path.stem for path in (shipped_recipes() / "eval").glob("*.yaml"))
PROBLEMS = Path(__file__).parents[1] / "toys" / "problems" / "own.jsonl"
TEXTS = sentences(12, seed=40)
QUESTIONS = [
    {"question": f"What does {text.split()[2]} do?", "choices": [text[9:30], text[30:45]], "answer": i % 2}
    for i, text in enumerate(TEXTS)
]
CHATS = [
    {"messages": [{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": text[:20]}]}
    for i, text in enumerate(TEXTS)
]
ROWS = {
    "classes": {"reviews.csv": [{"text": text, "label": ("bad", "good")[i % 2]} for i, text in enumerate(TEXTS)]},
    "multiple-choice": {"questions.jsonl": QUESTIONS},
    "programs": {"problems.jsonl": [json.loads(PROBLEMS.read_text(encoding="utf-8").splitlines()[0])]},
    "search": {
        "scored-pairs.jsonl": [{"text": text, "pair": text[:12], "label": i / 12} for i, text in enumerate(TEXTS)],
        "queries.jsonl": [{"query": text[:12], "positive": text[12:30]} for text in TEXTS],
    },
    "spans": {"questions.jsonl": [
        {"question": "which story?", "context": text[:30], "answers": [text.split()[1]] if i % 3 else []}
        for i, text in enumerate(TEXTS)
    ]},
    "summaries": {"articles.jsonl": [{"document": text, "summary": text[:20]} for text in TEXTS[:4]]},
    "tags": {"tagged.jsonl": [
        {"words": text.split()[:5], "tags": ["B-LOC", "O", "O", "O", "B-PER"]} for text in TEXTS if len(text) > 30
    ]},
    "translations": {"pairs.jsonl": [
        {"en": text[:20], "zh": chinese}
        for text, chinese in zip(TEXTS, ("早上好。", "他在看书。", "我们去北京。"), strict=False)
    ]},
}  # fmt: skip
HEADS = {"classes": SENTIMENT, "tags": NAMES, "spans": READER, "search": BODY}
MAIN = {
    "answers": {"answers": "bits_per_byte", "generation": "rouge1"},
    "classes": {"classification": "accuracy"},
    "long-context": {"passkey": "acc"},
    "multiple-choice": {"multiple_choice": "acc"},
    "perplexity": {"perplexity": "bits_per_byte"},
    "programs": {"code": "pass@1"},
    "pseudo-perplexity": {"objective": "loss", "pseudo_perplexity": "pseudo_bits_per_byte"},
    "search": {"similarity": "spearman", "retrieval": "ndcg_at_10"},
    "spans": {"question_answering": "exact_match"},
    "speed": {"efficiency": "decode_tokens_per_s[batch=1]"},
    "summaries": {"summarization": "rouge1"},
    "tags": {"token_classification": "f1"},
    "translations": {"translation": "chrf"},
}
"""Recipe to the tasks that it has, with the score of each that stands first."""


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A chat model of 1,024 positions, with a tokenizer that has English words; every other token ends what it says."""
    folder = tmp_path_factory.mktemp("writer")
    words = LANGUAGES["en"]
    texts = [*words.filler, *TEXTS, *[words.before, words.needle, words.question] * 5]
    tokenizer = byte_tokenizer().train_new_from_iterator(texts, 800)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    made = model(vocab_size=len(tokenizer), max_position_embeddings=1024)
    made.generation_config.eos_token_id = [*range(1, len(tokenizer), 2)]
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def masked(chain, tmp_path_factory):
    """A folder with tokens of a tokenizer with a mask, and a model that two steps have taught to fill it in."""
    root = tmp_path_factory.mktemp("masked")
    sizes = "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}"
    for command in (
        ["tokenize", "-i", chain.corpus, "-s", "tokenizer={type: wordpiece, vocab_size: 400}",
         "-s", "validation_fraction=0.1", "-s", "test_fraction=0.05", "-o", root / "tokens"],
        ["pretrain", "--data", root / "tokens", "-s", "objective=masked_lm", "-s", "model.arch=bert",
         "-s", f"model.config={sizes}", *TINY_TRAINING, "--max-steps", 2, "-o", root / "bert"],
    ):  # fmt: skip
        assert run([*map(str, command), "-q"]) == 0, command
    return root


@pytest.fixture
def lay_out(request, chain, tmp_path):
    """Put what a recipe names into the current folder."""

    def made(name):
        build = tmp_path / "build"
        build.mkdir()
        (build / "heldout").mkdir()
        write_jsonl(build / "heldout" / "chats.jsonl", CHATS)
        places = {"base": chain.base, "tokens": chain.tokens}
        if name == "pseudo-perplexity":
            root = request.getfixturevalue("masked")
            places |= {"bert": root / "bert", "tokens": root / "tokens"}
        elif name in HEADS:
            places["model"] = save_headed(tmp_path / "headed", HEADS[name], max_position_embeddings=128)
        else:
            places["model"] = request.getfixturevalue("writer")
        for role, where in places.items():
            (build / role).symlink_to(where)
        for file, rows in ROWS.get(name, {}).items():
            write_rows(tmp_path / file, rows)

    return made


def write_rows(path, rows):
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_each_has_a_case():
    assert sorted(MAIN) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_as_it_stands(cli, lay_out, name):
    if name == "programs":
        try:
            Confinement(Limits()).check()
        except SetupError as error:
            pytest.skip(f"the kernel of this machine confines no programs: {error.message}")
    lay_out(name)
    outcome = cli("eval", "-r", f"eval/{name}", "-o", "out")
    assert outcome.code == 0, outcome.err
    tasks = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
    assert {task: next(iter(found["results"]["model"]["scores"])) for task, found in tasks.items()} == MAIN[name]
    page = Path("out/report.html").read_text(encoding="utf-8")
    for task, score in MAIN[name].items():
        lines = Path(f"out/samples-{task}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == sum(found["num_samples"] for found in tasks[task]["results"].values()) > 0
        assert f"  {task} {score} " in outcome.out
        assert score in page
    if name == "speed":  # a task that has scores of its parts alone shows all of them
        scores = tasks["efficiency"]["results"]["model"]["scores"]
        assert len(scores) == 16
        assert all(f"  efficiency {score} " in outcome.out for score in scores)
        assert "Scores of parts" not in page

"""How often `llmkit search` finds the section of a help text that its heading names, by words, by vectors and by both.

python benchmarks/retrieval.py --data libreoffice.en-zh.jsonl.gz [--model DIR] [--train] [--json FILE]

The data are paragraphs of help pages in two languages (`src`, `tgt`, `file`, `id`), of which those are headings whose
id begins with `hd`. A page without its headings is a document. A question is a heading that stands once in the data,
has two English words or more and a section of 20 or more; a passage answers it that overlaps the section. So nobody
chose the questions, and the words of the heading are taken out of what is searched. Pages are held out by the SHA-256
of their names, one in five; only their questions are asked, and all pages are searched. `--train` first trains the
model on the pairs of heading and section of the other pages. Both languages are asked the same questions.

Recall@k is the share of questions with an answer among the first k passages.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "src", "zh": "tgt"}
SHARE = 5
WORDS, SECTION_WORDS = 2, 20
DEPTHS = (1, 5, 10)


def pages_of(path: Path, column: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the text of each page, and its sections, each with its heading in both languages and its place."""
    pages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            pages[row["file"]].append(row)
    texts, sections = {}, []
    for name, rows in pages.items():
        text, section = "", None
        for row in rows:
            if row["id"].startswith("hd"):
                section = {"page": name, "heading": row[column], "english": row["src"], "words": 0, "start": len(text)}
                sections.append(section)
                continue
            text += row[column] + "\n"
            if section is not None:
                section["words"] += len(row["src"].split())
                section["end"] = len(text)
        texts[name] = text
    return texts, sections


def asked(sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sections whose headings are questions."""
    count = Counter(one["english"] for one in sections)
    return [
        one for one in sections
        if count[one["english"]] == 1 and len(one["english"].split()) >= WORDS and one["words"] >= SECTION_WORDS
    ]  # fmt: skip


def is_held_out(page: str) -> bool:
    """Tell whether a page's questions are asked."""
    return int(hashlib.sha256(page.encode()).hexdigest(), 16) % SHARE == 0


def llmkit(*words: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "llmkit", *map(str, words)], check=True, stdout=sys.stderr)


def train(model: Path, texts: dict[str, str], sections: list[dict[str, Any]], work: Path) -> None:
    """Train a model on the questions that are not asked."""
    pairs = [
        {"query": one["heading"], "positive": texts[one["page"]][one["start"] : one["end"]]}
        for one in asked(sections)
        if not is_held_out(one["page"])
    ]
    data = work / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")
    llmkit("finetune", "--model", model, "--data", data, "-s", "objective=embedding", "--epochs", 2, "--lr", "5e-5",
           "-s", "batch_rows=64", "-s", "context_length=256", "-s", "overlength=truncate", "-s", "precision=float32",
           "-s", "validation_fraction=0.05", "-o", work / "trained")  # fmt: skip


def recall(index: Path, questions: list[dict[str, Any]], by: str) -> dict[str, float]:
    """Return the share of questions that are answered among the first passages, and milliseconds a search."""
    from llmkit.retrieval import Retriever

    retriever = Retriever.open(index)
    retriever.search("anything at all", by=by)  # what is loaded with the first search is loaded
    ranks, begun = [], time.perf_counter()
    for one in questions:
        found = retriever.search(one["heading"], max(DEPTHS), by=by)
        right = (
            rank
            for rank, passage in enumerate(found, 1)
            if passage.meta["page"] == one["page"] and passage.start < one["end"] and passage.end > one["start"]
        )
        ranks.append(next(right, 10**9))
    milliseconds = 1000 * (time.perf_counter() - begun) / len(questions)
    return {**{f"recall@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in DEPTHS}, "ms": milliseconds}


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="an English embedding model")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for language, column in LANGUAGES.items():
            texts, sections = pages_of(args.data, column)
            questions = [one for one in asked(sections) if is_held_out(one["page"])]
            work = Path(folder) / language
            work.mkdir()
            rows = ({"text": text, "page": name} for name, text in texts.items() if text.strip())
            data = work / "pages.jsonl"
            data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            models: dict[str, Path | None] = {"": None}
            if args.model and language == "en":
                models["given"] = args.model
                if args.train:
                    models["trained"] = work / "trained"
            for name, model in models.items():
                if name == "trained":
                    train(args.model, texts, sections, work)
                index = work / f"index-{name}"
                llmkit("index", "-i", data, *(["--model", model] if model else []), "-o", index)
                passages = json.loads((index / "index.json").read_text())["passages"]
                for by in ("vectors", "both") if model else ("words",):
                    found = recall(index, questions, by)
                    label = f"{language} {by} {name}".strip()
                    results[label] = {"questions": len(questions), "passages": passages, **found}
                    print(label, results[label], file=sys.stderr, flush=True)
    print(f"{'':22}{'questions':>10}{'passages':>10}" + "".join(f"{f'recall@{k}':>11}" for k in DEPTHS) + f"{'ms':>8}")
    for label, one in results.items():
        shares = "".join(f"{one[f'recall@{k}']:>11.3f}" for k in DEPTHS)
        print(f"{label:22}{one['questions']:>10,}{one['passages']:>10,}{shares}{one['ms']:>8.1f}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

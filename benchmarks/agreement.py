"""Do the quality steps decide as datatrove's filters do? One rule at a time, on the documents of JSON Lines files.

python benchmarks/agreement.py FILE_OR_DIRECTORY ... [--pieces 3000] [--field text] [--show 5] [--limit N]

Both tools see the text after our `normalize` step, which takes blanks off line ends among other things. Each rule is
switched on alone in both tools, at its default, words and lines counted `as: datatrove`. Where they disagree, the value
each measured is found by bisecting its threshold. Needs the development dependencies `datatrove` and `spacy`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.data import Document as TheirDocument
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from llmkit.cleaning.steps import Step
from llmkit.cleaning.steps.c4_quality import C4Quality
from llmkit.cleaning.steps.fineweb_quality import FinewebQuality
from llmkit.cleaning.steps.gopher_quality import GopherQuality
from llmkit.cleaning.steps.gopher_repetition import GopherRepetition
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.data.corpus import Document

OFF: dict[type[Step], dict[str, Any]] = {
    step: {name: None for name, field in step.model_fields.items() if "None" in str(field.annotation)}
    for step in (GopherQuality, GopherRepetition, FinewebQuality, C4Quality)
}
OFF[C4Quality] |= {name: False for name, field in C4Quality.model_fields.items() if field.annotation is bool}
THEIR_OFF: dict[type, dict[str, Any]] = {
    GopherQualityFilter: dict.fromkeys(
        ["min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
         "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words"]
    ),
    GopherRepetitionFilter: dict.fromkeys(
        ["dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"]
    )
    | {"top_n_grams": (), "dup_n_grams": ()},
    FineWebQualityFilter: {"line_punct_thr": 0, "short_line_thr": math.inf, "char_duplicates_ratio": math.inf,
                           "new_line_ratio": math.inf},
    C4QualityFilter: dict.fromkeys(["min_num_sentences", "min_words_per_line", "max_word_length"], -1)
    | dict.fromkeys(["remove_citations", "filter_no_terminal_punct", "filter_lorem_ipsum", "filter_javascript",
                     "filter_curly_bracket", "filter_policy"], False),
}  # fmt: skip
HIGHEST = 1e9


@dataclass(frozen=True)
class Rule:
    """One rule in both tools.

    Attributes:
        name: Our name, `step.rule`.
        ours: Our step with this rule alone, at a threshold.
        theirs: Their filter with this rule alone, at a threshold.
        reason: What their reason for dropping must contain, where one threshold of theirs is two rules of ours.
        default: The published threshold; None for a rule without one.
    """

    name: str
    ours: Callable[[Any], Step]
    theirs: Callable[[Any], Any]
    reason: str = ""
    default: float | None = None

    def drops(self, text: str) -> bool:
        """Say whether our rule drops a text."""
        return self._we_drop(text, self.default)

    def they_drop(self, text: str, threshold: float | None = None) -> bool:
        """Say whether their rule drops a text; what makes it fail is dropped."""
        try:
            result = self.theirs(self.default if threshold is None else threshold).filter(TheirDocument(text, "0"))
        except (ZeroDivisionError, ValueError):  # no words or no lines
            return True
        return isinstance(result, tuple) and self.reason in result[1]

    def values(self, text: str) -> tuple[str, str]:
        """Return the values that we and they compare with the threshold, as far as a threshold shows them."""
        if self.default is None:
            return "", ""
        return _bisect(lambda at: self._we_drop(text, at)), _bisect(lambda at: self.they_drop(text, at))

    def _we_drop(self, text: str, threshold: float | None) -> bool:
        return self.ours(threshold).apply(Document("0", text, "agreement")) is not None


def _bisect(drops: Callable[[float], bool]) -> str:
    low, high = 1e-9, HIGHEST
    if drops(low) == drops(high):
        return "all" if drops(low) else "none"
    upper = drops(high)
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if drops(middle) == upper else (middle, high)
    return f"{high:.4g}"


def _rule(step: type[Step], name: str, their: type, their_name: str, reason: str = "", **extra: Any) -> Rule:
    default = step.model_fields[name].default
    whole = isinstance(default, int)

    def ours(threshold: Any) -> Step:
        value = math.ceil(threshold) if whole else float(threshold)
        return step.model_construct(**{**_defaults(step), **OFF[step], name: value})

    def theirs(threshold: Any) -> Any:
        if their_name in ("top_n_grams", "dup_n_grams"):
            order = int(name.split("_")[1])
            return their(**{**THEIR_OFF[their], their_name: ((order, threshold),)})
        return their(**{**THEIR_OFF[their], **extra, their_name: math.ceil(threshold) if whole else threshold})

    if isinstance(default, bool):
        off = {**_defaults(step), **OFF[step], name: True}
        return Rule(
            f"{step.__name__}.{name}", lambda _: step(**off), lambda _: their(**{**THEIR_OFF[their], name: True})
        )
    return Rule(f"{step.__name__}.{name}", ours, theirs, reason, default)


def _defaults(step: type[Step]) -> dict[str, Any]:
    found = {name: field.get_default(call_default_factory=True) for name, field in step.model_fields.items()}
    return found | ({"as": "datatrove"} if "as" in found else {})


def rules() -> list[Rule]:
    """Return all rules that both tools have."""
    found = [
        _rule(GopherQuality, ours, GopherQualityFilter, theirs, reason)
        for ours, theirs, reason in (
            ("min_words", "min_doc_words", ""),
            ("max_words", "max_doc_words", ""),
            ("min_avg_word_length", "min_avg_word_length", ""),
            ("max_avg_word_length", "max_avg_word_length", ""),
            ("max_hash_ratio", "max_symbol_word_ratio", "hashes"),
            ("max_ellipsis_ratio", "max_symbol_word_ratio", "ellipsis"),
            ("max_bullet_lines_ratio", "max_bullet_lines_ratio", ""),
            ("max_ellipsis_lines_ratio", "max_ellipsis_lines_ratio", ""),
            ("min_alpha_words_ratio", "max_non_alpha_words_ratio", ""),
            ("min_stop_words", "min_stop_words", ""),
        )
    ]
    for name in GopherRepetition.__annotations__:
        theirs = {"t": "top_n_grams"}.get(name[0], "dup_n_grams") if name.endswith("gram") else name
        found.append(_rule(GopherRepetition, name, GopherRepetitionFilter, theirs))
    fineweb = ("line_punct_thr", "short_line_thr", "char_duplicates_ratio", "new_line_ratio")
    found += [_rule(FinewebQuality, name, FineWebQualityFilter, name) for name in fineweb]
    c4 = ("filter_lorem_ipsum", "filter_curly_bracket")
    found += [_rule(C4Quality, name, C4QualityFilter, name) for name in c4]
    # Without any line rule, datatrove counts a blank line as a sentence.
    found.append(_rule(C4Quality, "min_num_sentences", C4QualityFilter, "min_num_sentences", min_words_per_line=1))
    found.append(Rule("C4Quality (all)", lambda _: C4Quality(**{"as": "datatrove"}), lambda _: C4QualityFilter()))
    return found


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut a text at paragraph borders into pieces of about `size` characters; 0 leaves it whole."""
    piece = ""
    for paragraph in text.split("\n\n") if size else [text]:
        if piece and len(piece) + len(paragraph) > size:
            yield piece
            piece = ""
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph
    yield piece


def read(path: Path, field: str) -> Iterator[str]:
    """Yield the texts of a JSON Lines file, or of all such files in a directory."""
    if path.is_dir():
        for file in sorted(path.rglob("*.jsonl*")):
            yield from read(file, field)
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            row = json.loads(line)
            messages = row.get("messages")
            yield "\n".join(message["content"] for message in messages) if messages else row[field]


def main() -> None:
    """Print a table, the disagreements and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--pieces", type=int, default=0, help="cut documents into pieces of this many characters")
    parser.add_argument("--field", default="text")
    parser.add_argument("--show", type=int, default=5, help="disagreements shown per rule")
    parser.add_argument("--limit", type=int, default=None, help="documents per input")
    options = parser.parse_args()
    table = rules()
    summary = {}
    for path in options.inputs:
        normalized = (Normalize().rewrite(text, Document("0", text, "agreement")) for text in read(path, options.field))
        texts = [piece for text in normalized for piece in pieces(text, options.pieces) if piece.strip()]
        texts = texts[:: max(1, len(texts) // options.limit)] if options.limit else texts
        result = compare(table, texts)
        summary[path.name] = result
        print(f"\n{path.name}: {len(texts)} documents\n{'rule':42} {'ours':>6} {'theirs':>6} {'agree':>8}")
        for rule in table:
            ours, theirs, apart = (result[rule.name][key] for key in ("ours", "theirs", "apart"))
            print(f"{rule.name:42} {ours:6} {theirs:6} {1 - len(apart) / len(texts):8.2%}")
            for index in apart[: options.show]:
                print("    ours {} theirs {}: {!r}".format(*rule.values(texts[index]), texts[index][:90]))
    print(json.dumps({name: {rule: len(row["apart"]) for rule, row in rows.items()} for name, rows in summary.items()}))


def compare(table: list[Rule], texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return per rule how many documents each tool drops, and the positions of those they disagree about."""
    result: dict[str, dict[str, Any]] = {rule.name: {"ours": 0, "theirs": 0, "apart": []} for rule in table}
    for index, text in enumerate(texts):  # documents outside: their tokenizer keeps the last few texts
        for rule in table:
            ours, theirs = rule.drops(text), rule.they_drop(text)
            row = result[rule.name]
            row["ours"] += ours
            row["theirs"] += theirs
            if ours != theirs:
                row["apart"].append(index)
    return result


if __name__ == "__main__":
    main()

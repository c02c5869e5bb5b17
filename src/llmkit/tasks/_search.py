"""What is searched with what: from rows that say what belongs together, or from a corpus, queries and judgements.

The layout of the latter is that of BEIR (Thakur et al. 2021): a folder with `corpus.jsonl` (`_id`, `title`, `text`),
`queries.jsonl` (`_id`, `text`) and `qrels/test.tsv` (`query-id`, `corpus-id`, `score`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError, nearest
from llmkit.evaluation.reading import Unreadable, read_table, shown

if TYPE_CHECKING:
    from llmkit.data.sources import Source
    from llmkit.evaluation.reading import Item

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"


@dataclass
class Search:
    """Queries, the texts that are searched, and what belongs together.

    Attributes:
        queries: Name of each query -> its text.
        pool: The texts, each once.
        relevant: Name of a query -> text of the pool -> how much it belongs, over 0.
    """

    queries: dict[str, str] = field(default_factory=dict)
    pool: dict[str, None] = field(default_factory=dict)
    relevant: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, name: str, query: str, text: str) -> None:
        """Add a pair that belongs together."""
        self.queries.setdefault(name, query)
        self.pool[text] = None
        self.relevant.setdefault(name, {})[text] = 1.0

    def without(self, unread: set[tuple[str, bool]]) -> int:
        """Leave out texts that a model does not read, and queries of which nothing is left.

        Args:
            unread: Texts, each with whether it is a query.

        Returns:
            How many queries are left out.
        """
        before = len(self.queries)
        self.pool = {text: None for text in self.pool if (text, False) not in unread}
        for name, query in [*self.queries.items()]:
            own = {text: gain for text, gain in self.relevant[name].items() if text in self.pool}
            self.relevant[name] = own
            if not own or (query, True) in unread:
                del self.queries[name], self.relevant[name]
        return before - len(self.queries)


def searches_of(rows: Iterable[Item], *, negatives: bool, both: bool) -> dict[str, Search]:
    """Return what `forward` searches, and `backward`: equal texts are one, and one may belong to several.

    Args:
        rows: Of the kinds `triplet` and `source_target`.
        negatives: Texts that do not belong are searched as well.
        both: The other way round, too.
    """
    found = {"forward": Search(), **({"backward": Search()} if both else {})}
    names: tuple[dict[str, str], dict[str, str]] = ({}, {})  # text -> its name, of either side
    for row in rows:
        query, texts = _sides(row.fields)
        for text in texts:
            found["forward"].add(names[0].setdefault(query, row.id), query, text)
            if both:
                found["backward"].add(names[1].setdefault(text, f"{row.id}:{len(names[1])}"), text, query)
        if negatives:
            found["forward"].pool |= dict.fromkeys(row.fields.get("negatives") or ())
    return found


def _sides(fields: Mapping[str, Any]) -> tuple[str, list[str]]:
    if "positive" in fields:
        return fields["query"], [fields["positive"]]
    return fields["source_text"], fields["targets"]


def is_judged(source: Source) -> bool:
    """Tell whether data are a folder with a corpus, queries and judgements."""
    root = Path(source.root())
    return root.is_dir() and all(_file(root, name) is not None for name in (CORPUS, QUERIES))


def read_judged(source: Source, split: str, limit: int | None, unreadable: Unreadable) -> tuple[Search, list[str]]:
    """Return the search of a folder with judgements, and notes on judgements of what is not there.

    Raises:
        DataError: There are no judgements of the split, a file lacks a column, or no judgement names what is there.
    """
    root = Path(source.root())
    judged = _file(root / QRELS, f"{split}.tsv")
    if judged is None:
        have = sorted({path.name.partition(".")[0] for path in (root / QRELS).glob("*.tsv*")})
        raise DataError(
            f"tasks.data: {shown(source)} has no {QRELS}/{split}.tsv{nearest(split, have)}",
            "name it: -s tasks.0.split=NAME",
        )
    texts = {name: " ".join(filter(None, (str(row.get("title") or ""), row["text"]))).strip()
             for name, row in _rows(source, _file(root, CORPUS), ("_id", "text"), unreadable)}  # fmt: skip
    queries = {name: row["text"] for name, row in _rows(source, _file(root, QUERIES), ("_id", "text"), unreadable)}
    found, lost = Search(pool=dict.fromkeys(texts.values())), 0
    for name, row in _rows(source, judged, ("query-id", "corpus-id", "score"), unreadable):
        gain, text = float(row["score"]), texts.get(str(row["corpus-id"]))
        if name not in queries or text is None:
            lost += 1
        elif gain > 0:
            found.queries[name] = queries[name]
            found.relevant.setdefault(name, {})[text] = gain
    if not found.queries:
        raise DataError(
            f"tasks.data: no judgement of {judged} names a query and a text that are there ({lost:,} name others)",
            f"query-id is an _id of {QUERIES}, corpus-id one of {CORPUS}: head -3 {judged}",
        )
    found.queries = dict(islice(found.queries.items(), limit))
    found.relevant = {name: found.relevant[name] for name in found.queries}
    return found, [f"{lost:,} judgements are of queries or texts that are not there"] if lost else []


def _rows(
    source: Source, path: Path | None, columns: tuple[str, ...], unreadable: Unreadable
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a file, each with its name, which is in the first of its columns."""
    part = source.model_copy(update={"path": str(path)})
    for item in read_table(part, unreadable):
        for column in columns:
            if item.fields.get(column) is None:
                raise DataError(
                    f"tasks.data: {path} has a row without '{column}'{nearest(column, item.fields)}",
                    f"every row needs {', '.join(columns)}",
                )
        yield str(item.fields[columns[0]]), item.fields


def _file(folder: Path, name: str) -> Path | None:
    return next(
        (path for path in sorted(folder.glob(f"{name}*")) if path.name[len(name) :] in ("", ".gz", ".zst")), None
    )

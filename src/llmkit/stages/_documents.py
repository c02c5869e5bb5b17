"""Documents of a fine-tuning: raw text, corpora and tokens are described, encoded by the model's tokenizer, shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from llmkit.cleaning.reading import Readable, describe_inputs, read_inputs
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus, Tokens
from llmkit.data.corpus import CorpusWriter, Document
from llmkit.data.sources import Broken, Source
from llmkit.data.sources._remote import is_url
from llmkit.data.sources._tabular import Tabular
from llmkit.data.sources.code import Code, holds_code
from llmkit.data.sources.files import Files
from llmkit.tokenization.for_training import tokens_for_training
from llmkit.training.documents import check_tokenizers
from llmkit.training.preview import say_broken
from llmkit.work.engine import Engine

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.objectives.documents import DocumentObjective
    from llmkit.objectives.documents._plans import PackingChoice
    from llmkit.training.config import RowTrainingConfig


class FoundDocuments(NamedTuple):
    """What a run on documents reads: text, tokens that are there already, and the model."""

    data: Readable
    tokens: list[Path]
    model: Path

    def encode(
        self,
        place: Path,
        tokenizer: PreTrainedTokenizerFast,
        engine: Engine,
        context: Context,
        validation_fraction: float,
    ) -> list[Path]:
        """Return the folders of tokens: those that are there, and one with all else, encoded in a folder."""
        if not self.data.groups:
            return self.tokens
        corpora, _ = read_inputs(self.data, None, place, engine, context)
        made = tokens_for_training(
            corpora, tokenizer, place, engine, context.console, validation_fraction=validation_fraction
        )
        return [*self.tokens, made]


def describe_documents(
    data: Sequence[Source], columns: Mapping[str, str], inputs: Inputs
) -> tuple[Readable, list[Path]]:
    """Add the documents of a run to its inputs; return text to be encoded, and token artifacts.

    Raises:
        ConfigError: Columns are named that documents do not have.
        DataError: Something is not there, or is no text; or the tokens are of several tokenizers.
    """
    sources = text_sources(data, columns)
    tokens = [inputs.add_artifact(source.root(), "tokens", role="data") for source in sources if _is_tokens(source)]
    check_tokenizers(tokens)
    others = [source for source in sources if not _is_tokens(source)]
    return describe_inputs(others, inputs, kind="corpus", role="data"), tokens


def text_sources(data: Sequence[Source], columns: Mapping[str, str]) -> list[Source]:
    """Return the sources with the column of their text, where the run names it.

    Raises:
        ConfigError: Other columns are named.
    """
    if other := sorted(columns.keys() - {"text"}):
        raise ConfigError(
            f"columns.{other[0]}: documents have a text alone", "-s columns.text=COLUMN, or an objective over rows"
        )
    return [text_source(source, columns) for source in data]


def text_source(source: Source, columns: Mapping[str, str]) -> Source:
    """Return a source as it is read here: a folder in which there is nothing else to read is one of code."""
    if isinstance(source, Files) and not is_url(source.path) and not _is_readable(source) and holds_code(source.path):
        return Code(path=source.path)
    if columns and isinstance(source, Tabular):
        return source.model_copy(update={"text_field": columns["text"]})
    return source


def _is_readable(source: Files) -> bool:
    if read_manifest(Path(source.root())) is not None:
        return True
    try:
        return bool(source.files())
    except DataError:
        return False


def _is_tokens(source: Source) -> bool:
    manifest = read_manifest(Path(source.root()))
    return manifest is not None and manifest.kind == Tokens.KIND


def first_documents(data: Sequence[Source], count: int, place: Path, console: Console) -> Path:
    """Write the first documents of text sources, or of corpora, to a corpus in a folder, which is returned.

    Raises:
        DataError: There is none that can be read.
    """
    folder = place / "first"
    folder.mkdir()
    writer = CorpusWriter(folder)
    broken: list[str] = []
    for number, text in enumerate(islice(_texts(data, broken), count)):
        writer.write(Document(f"{number:032x}", text, "data"))
    writer.close()
    say_broken(broken, console)
    if not writer.num_bytes:
        raise DataError("data: there is no document that can be read", "llmkit clean --preview says why")
    return folder


def _texts(data: Sequence[Source], broken: list[str]) -> Iterator[str]:
    for source in data:
        root = Path(source.root())
        if read_manifest(root) is not None:
            yield from (row["text"] for row in Corpus(root).rows(["text"]))
            continue
        for file in source.files():
            for record in source.read(file):
                if isinstance(record, Broken):
                    broken.append(f"{record.place(file.path)}: {record.reason}")
                else:
                    yield record.text


def show_documents(
    data: Sequence[Source],
    columns: Mapping[str, str],
    config: RowTrainingConfig,
    model: str,
    objective: DocumentObjective,
    packing: PackingChoice,
    count: int,
    console: Console,
) -> None:
    """Show the first blocks of a run as the model sees them: of tokens, else of the first `count` documents."""
    from llmkit.modeling.gguf import model_directory
    from llmkit.training.document_preview import preview_documents

    sources = text_sources(data, columns)
    tokens = [Path(source.root()) for source in sources if _is_tokens(source)]
    with TemporaryDirectory(prefix="llmkit-preview-") as place, Engine(workers=1) as engine:

        def encode(tokenizer: PreTrainedTokenizerFast) -> list[Path]:
            if tokens:
                return tokens
            corpus = first_documents(sources, count, Path(place), console)
            return [tokens_for_training([corpus], tokenizer, Path(place), engine, console, validation_fraction=0.0)]

        preview_documents(config, objective, packing, model_directory(located(model)), tokens, encode, count, console)

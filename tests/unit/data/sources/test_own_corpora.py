"""Reading what we have written ourselves, and names that no report could hold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from source_rows import read, rows, texts, write

from llmkit.core.digest import digest_file
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Manifest
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import CorpusWriter, Document
from llmkit.data.sources import Record
from llmkit.data.sources.files import Files

CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]


def artifact(path, kind, documents):
    path.mkdir(parents=True)
    if documents:
        writer = CorpusWriter(path, documents[0].kind)
        for document in documents:
            writer.write(document)
        writer.close()
    write(path / "report.json", b'{"text": "a report is no document"}')
    write(path / "rejected" / "sample.jsonl", rows("rejected"))
    write(path / "README.md", b"# a card is no document")
    manifest = Manifest(
        "clean", 1, kind, "id", "identity", {}, [], [], {}, None, {}, None, {}, "2024-01-01T00:00:00Z", 1.0
    )
    manifest.write(path / "llmkit.json")
    return path


@pytest.fixture
def corpus(tmp_path):
    documents = [
        Document("0" * 32, "你好", "web", "zh", meta={"url": "u", "n": [1]}),
        Document("1" * 32, "b", "books"),
    ]
    return artifact(tmp_path / "corpus", "corpus", documents)


EXPECTED = [Record(0, "你好", "web", meta={"url": "u", "n": [1]}, language="zh"), Record(1, "b", "books")]


def test_a_corpus_comes_back_as_it_was(corpus):
    assert Files(path=str(corpus)).kind() == "corpus"
    assert read(corpus) == EXPECTED
    assert read(corpus / "data-00000.parquet") == EXPECTED
    assert read(corpus.parent / "cor*") == EXPECTED
    assert [row.source for row in read(corpus, name="mine")] == ["mine", "mine"]


def test_its_rejects_do_not_come_back(corpus):
    assert "rejected" not in texts(read(str(corpus / "**")))
    assert texts(read(corpus / "rejected")) == ["rejected"]  # unless they are asked for


def test_another_column_of_it_is_read_like_any_table(corpus):
    first, _ = read(corpus, text_field="source")
    assert (first.text, first.meta["text"], first.meta["meta"]) == ("web", "你好", '{"n": [1], "url": "u"}')


@pytest.mark.parametrize("pattern", ["", "data-00000.parquet", "data-*.parquet", "../examp*"])
def test_examples_come_back_as_examples(tmp_path, pattern):
    path = artifact(
        tmp_path / "examples",
        "examples",
        [Document("0" * 32, "2+2?\n4", "chat", row={"messages": CHAT}, kind=CONVERSATION)],
    )
    source = Files(path=str(path / pattern))
    assert source.kind() == "examples"
    (file,) = source.files()
    assert list(source.read(file)) == [Record(0, "2+2?\n4", "chat", {"messages": CHAT})]


def test_examples_and_other_files_do_not_mix(corpus, tmp_path):
    artifact(
        tmp_path / "examples",
        "examples",
        [Document("0" * 32, "2+2?\n4", "chat", row={"messages": CHAT}, kind=CONVERSATION)],
    )
    with pytest.raises(DataError, match="matches examples and other files"):
        Files(path=str(tmp_path / "*")).kind()
    assert Files(path=str(tmp_path / "c*")).kind() == "corpus"
    assert Files(path="x" * 5000).kind() == "corpus"  # too long a name to be looked up


def test_a_parquet_file_of_someone_else_with_such_a_column(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"], "source": ["s"], "meta": ["m"]}), tmp_path / "data-0.parquet")
    assert read(tmp_path) == [Record(0, "a", "data-0", meta={"source": "s", "meta": "m"})]


def test_meta_that_is_no_json_is_kept(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = {"id": "i", "text": "a", "source": "s", "language": "und", "meta": "{"}
    pq.write_table(pa.table({name: [value] for name, value in values.items()}), tmp_path / "a.parquet")
    assert read(tmp_path) == [Record(0, "a", "s", meta={"meta": "{"})]


def test_an_unfinished_artifact_says_so(tmp_path):
    write(tmp_path / "half" / ".partial" / "run.json", b"{}")
    with pytest.raises(DataError, match="half: it is unfinished") as caught:
        Files(path=str(tmp_path / "half")).files()
    assert caught.value.hint == "run the command that writes it again: it goes on"


def test_an_artifact_of_another_kind_says_so(tmp_path):
    path = artifact(tmp_path / "tokens", "tokens", [])
    with pytest.raises(DataError, match="tokens: it holds tokens, not a corpus or examples"):
        Files(path=str(path)).files()


# --- names


def test_a_name_that_is_not_utf8_becomes_printable(tmp_path):
    folder = os.fsencode(tmp_path)
    Path(os.fsdecode(folder + b"/caf\xe9.jsonl")).write_bytes(rows("a"))
    source = Files(path=str(tmp_path))
    (found,) = source.files()
    assert (found.name, found.path) == ("caf\\xe9.jsonl", f"file://{tmp_path}/caf%E9.jsonl")
    assert list(source.read(found)) == [Record(0, "a", "caf\\xe9")]
    assert found.digest == digest_file(os.fsdecode(folder + b"/caf\xe9.jsonl"))
    inputs = Inputs()
    inputs.add_files(source.root(), [found], role="files")
    assert json.loads(inputs.listing[0].encode())["name"] == "caf\\xe9.jsonl"
    assert len(source.spans(found, 3)) == 1


def test_a_hundred_thousand_empty_documents(tmp_path):
    path = write(tmp_path / "a.jsonl.gz", b'{"text":""}\n' * 100_000)
    source = Files(path=str(path))
    (file,) = source.files()
    assert sum(row.text == "" for row in source.read(file)) == 100_000

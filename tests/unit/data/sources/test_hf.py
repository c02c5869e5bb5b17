from __future__ import annotations

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import source_rows
from source_rows import rows, summary, texts, write

from llmkit.core.errors import DataError
from llmkit.data.sources import Broken, Record, Span, hf
from llmkit.data.sources.hf import Hf

CHAT = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好"}]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf")))
    datasets.disable_progress_bars()
    hf._builder.cache_clear()
    hf._open.cache_clear()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "d" / "train-0.jsonl", rows("a", "b"))
    write(tmp_path / "d" / "train-1.jsonl", rows("c"))
    write(tmp_path / "d" / "test.jsonl", rows("t"))
    return tmp_path / "d"


def read(**fields):
    source = Hf(**fields)
    return [row for file in source.files() for row in source.read(file)]


def test_a_directory_is_streamed_by_shards(folder):
    source = Hf(path=str(folder))
    files = source.files()
    assert [file.name for file in files] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert [file.path for file in files] == [f"{folder}/train-0.jsonl", f"{folder}/train-1.jsonl"]
    assert [file.num_bytes for file in files] == [28, 14]
    assert [list(source.read(file)) for file in files] == [
        [Record(0, "a", "d"), Record(1, "b", "d")],
        [Record(0, "c", "d")],
    ]
    assert source.root() == str(folder)


def test_in_full_and_several_splits(folder):
    assert [row.text for row in read(path=str(folder), split="train+test", streaming=False)] == ["a", "b", "c", "t"]


def test_the_identity_is_of_the_contents(folder, tmp_path):
    def digests(path):
        return [file.digest for file in Hf(path=str(path)).files()]

    first = digests(folder)
    assert len(set(first)) == 2
    for name in ("train-0.jsonl", "train-1.jsonl", "test.jsonl"):
        write(tmp_path / "e" / name, (folder / name).read_bytes())
    assert digests(tmp_path / "e") == first
    write(tmp_path / "e" / "train-1.jsonl", rows("C"))
    hf._builder.cache_clear()
    hf._open.cache_clear()
    assert set(digests(tmp_path / "e")).isdisjoint(first)


@pytest.mark.parametrize("with_splits", [True, False])
def test_what_save_to_disk_wrote(tmp_path, with_splits):
    data = datasets.Dataset.from_dict({"text": [f"第{n}" for n in range(10)], "n": range(10)})
    (datasets.DatasetDict(train=data) if with_splits else data).save_to_disk(tmp_path / "saved")
    source = Hf(path=str(tmp_path / "saved"))
    (file,) = source.files()
    whole = list(source.read(file))
    assert whole[3] == Record(3, "第3", "saved", meta={"n": 3})
    spans = source.spans(file, file.num_bytes // 3)
    assert len(spans) > 2
    assert [row for span in spans for row in source.read_span(file, span)] == whole
    assert source.spans(file, 10**9) == [Span(num_bytes=file.num_bytes)]


def test_messages(tmp_path):
    data = datasets.Dataset.from_dict({"chat": [CHAT, CHAT[:1]]})
    data.save_to_disk(tmp_path / "saved")
    source = Hf(path=str(tmp_path / "saved"), messages_field="chat")
    assert source.kind() == "examples"
    assert read(path=str(tmp_path / "saved"), messages_field="chat") == [
        Record(0, "你好\n您好", "saved", {"messages": CHAT}),
        Broken(1, "field 'chat' has no message of the assistant", excerpt=ascii({"chat": CHAT[:1]})),
    ]


def test_classes_have_their_names_where_rows_are_labelled(tmp_path):
    names = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names, "tags": datasets.List(names)})
    rows = {"text": ["a", "b"], "label": [1, -1], "tags": [[0, 1], []]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    first, second = read(path=str(tmp_path / "saved"), row="text_label")
    assert first == Record(0, "a", "saved", {"text": "a", "label": "good"}, {"tags": ["bad", "good"]})
    assert second.reason == "field 'label' is null, not a string or an integer"
    assert read(path=str(tmp_path / "saved"))[0].meta == {"label": 1, "tags": [0, 1]}


def test_images_are_left_out(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    data = datasets.Dataset.from_dict({"text": ["a"], "image": [None]}, features=features)
    data.save_to_disk(tmp_path / "saved")
    assert read(path=str(tmp_path / "saved")) == [Record(0, "a", "saved")]


def test_a_row_that_cannot_be_read_costs_no_other(folder):
    write(folder / "train-1.jsonl", rows("c") + b'{"text": \n' + rows("d"))
    assert summary(read(path=str(folder))) == [
        "a", "b", "c", "! invalid JSON at column 9: Expecting value", "d"
    ]  # fmt: skip


def test_where_a_loader_of_its_own_breaks_off_the_run_fails(folder):
    for file in folder.iterdir():
        file.unlink()
    card = "---\nconfigs:\n- config_name: default\n  data_files: '*.csv'\n  sep: ';'\n  chunksize: 2\n---\n"
    write(folder / "README.md", card)
    write(folder / "a.csv", "text;n\na;1\nb;2\nc;3\nd;4\ne;5;6\nf;6\n")
    source = Hf(path=str(folder))
    (file,) = source.files()
    found = source.read(file)
    assert [next(found).text for _ in range(4)] == ["a", "b", "c", "d"]
    with pytest.raises(DataError, match="the dataset breaks off after row 4, and nobody knows what is behind that: "):
        next(found)


def test_a_folder_gives_the_same_documents_as_its_files(tmp_path):
    folder = tmp_path / "d"
    write(folder / "a.jsonl", rows("a", "b") + b"{\n" + rows("c") + b'{"text": 7}\n{"text": "x", "n": {"m": [1]}}')
    write(folder / "b.csv", 'text,n\n"one\ntwo",1\nbad\nlast,2\n')
    write(folder / "c.tsv", 'text\tn\n"Wait\t1\nhere"\t2\n')
    write(folder / "d.txt.gz", "one\ntwo\n")
    write(folder / "e.json", '[{"text": "j", "n": 1}, {"text": null}]')
    write(folder / "sub" / "f.md", "---\ntitle: t\n---\nbody")
    words = [b"bytes", b"\xff", "港口".encode()]
    pq.write_table(
        pa.table({"text": words, "day": pa.array([0, 2932897, 1], pa.int32()).cast("date32")}), folder / "g.parquet"
    )
    write(folder / "h.arrow", b"ARROW1 is no more than how it begins")
    from_files = source_rows.read(folder)
    from_hub = read(path=str(folder))
    assert summary(from_hub) == summary(from_files)
    assert [getattr(row, "meta", None) for row in from_hub] == [getattr(row, "meta", None) for row in from_files]
    assert summary(from_hub)[:3] == [
        "a",
        "b",
        "! invalid JSON at column 2: Expecting property name enclosed in double quotes",
    ]
    assert len(from_hub) == 19


def test_what_was_saved_is_read_as_the_files_are(tmp_path):
    datasets.Dataset(pa.table({"text": [b"a", b"\xff", None], "raw": [b"\xff", b"b", None]})).save_to_disk(
        tmp_path / "saved"
    )
    assert summary(read(path=str(tmp_path / "saved"))) == summary(source_rows.read(tmp_path / "saved"))
    assert read(path=str(tmp_path / "saved"))[0].meta == {"raw": "/w=="}


def test_a_large_file_of_a_dataset_is_cut_as_the_file_itself(folder):
    write(folder / "train-0.jsonl", rows(*map(str, range(1000))))
    source = Hf(path=str(folder))
    file = source.files()[0]
    spans = source.spans(file, 4000)
    assert len(spans) > 2
    assert texts(row for span in spans for row in source.read_span(file, span)) == [str(n) for n in range(1000)]


def test_an_unknown_split_names_the_nearest(folder):
    with pytest.raises(DataError, match=r"has no split 'trian'; did you mean 'train'\?") as caught:
        Hf(path=str(folder), split="trian").files()
    assert caught.value.hint


def test_a_name_on_the_hub_without_the_hub(monkeypatch):
    import huggingface_hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    source = Hf(path="nobody/such_a_dataset")
    assert source.root() == "hf://datasets/nobody/such_a_dataset"
    with pytest.raises(DataError, match=r"^cannot load the dataset nobody/such_a_dataset: ") as caught:
        source.files()
    assert caught.value.hint == "the hub is switched off: unset HF_HUB_OFFLINE, or give a local directory"

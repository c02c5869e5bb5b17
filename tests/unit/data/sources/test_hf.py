from __future__ import annotations

import datasets
import pytest
from source_rows import rows, write

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
    assert files[0].path == f"{folder}/train-00000-of-00002"
    assert sum(file.num_bytes for file in files) in (41, 42)
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


def test_a_stream_that_breaks_off_keeps_its_rows(folder):
    write(folder / "train-1.jsonl", rows("c") + b'{"text": ')
    *kept, last = read(path=str(folder))
    assert [row.text for row in kept[:2]] == ["a", "b"]
    assert last.reason.startswith("the dataset breaks off here: ")
    assert last.row == len(kept) - 2


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

from __future__ import annotations

import datasets

from llmkit.data.corpus import CorpusWriter, Document, write_card


def write(directory, text):
    directory.mkdir(parents=True)
    writer = CorpusWriter(directory)
    writer.write(Document("0" * 32, text, "notes"))
    writer.close()
    write_card(directory, kind="corpus", num_documents=1, num_bytes=len(text), sources={"notes": 1})


def test_corpora_in_folders_of_one_name_are_not_taken_for_each_other(tmp_path):
    # Of equal size, too: the loader's cache knows a folder by its name and what its card says, not by its path.
    for place, text in (("one", "a river"), ("two", "the fox")):
        write(tmp_path / place / "corpus", text)
    for _ in range(2):
        for place, text in (("one", "a river"), ("two", "the fox")):
            folder = str(tmp_path / place / "corpus")
            rows = datasets.load_dataset(folder, split="train", cache_dir=str(tmp_path / "cache"))
            assert rows["text"][:] == [text]


def test_the_card_lists_the_largest_sources_and_sums_up_the_others(tmp_path):
    sources = {f"file{i}": 1 for i in range(200)} | {"a|b\nc": 7}
    write_card(tmp_path, kind="corpus", num_documents=207, num_bytes=9, sources=sources)
    rows = [line for line in (tmp_path / "README.md").read_text().split("\n") if line.startswith("| ")][1:]
    assert rows[0] == "| a\\|b c | 7 |"
    assert rows[-1] == "| and 151 more | 151 |"
    assert len(rows) == 51

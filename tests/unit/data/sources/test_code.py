from __future__ import annotations

import pytest

from llmkit.core.errors import DataError
from llmkit.core.registry import Family
from llmkit.data.sources import Record
from llmkit.data.sources.code import Code, holds_code


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "src/a.py": "a = 1\r\nb = 2\n", "src/deep/b.JS": "let x", "src/empty.py": "", "src/.hidden.py": "no",
        "README.md": "# Words", "data.json": "{}", "notes/text.txt": "words",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def read(source):
    return {
        file.name: [(r.text, r.source) for r in source.read(file) if isinstance(r, Record)] for file in source.files()
    }


def test_each_file_of_code_is_a_document(project):
    source = Family("source").parse({"type": "code", "path": str(project)})
    assert read(source) == {
        "src/a.py": [("a = 1\nb = 2\n", "py")], "src/deep/b.JS": [("let x", "js")], "src/empty.py": [],
    }  # fmt: skip
    assert source.kind() == "corpus"


def test_a_file_and_a_glob_are_taken(project):
    assert [*read(Code(path=str(project / "src/a.py")))] == ["a.py"]
    assert [*read(Code(path=str(project / "**/*.py")))] == ["src/a.py", "src/empty.py"]
    assert [*read(Code(path=str(project), suffixes=[".js"]))] == ["src/deep/b.JS"]
    assert [*read(Code(path=str(project / "notes/text.txt")))] == ["text.txt"], "a file that is named is read"


def test_a_file_is_read_once_whatever_leads_to_it(tmp_path):
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/a.py").write_text("a = 1", encoding="utf-8")
    (tmp_path / "src/deep/b.py").write_text("b = 1", encoding="utf-8")
    (tmp_path / "src/deep/also.py").symlink_to("../a.py")
    (tmp_path / "src/deep/loop").symlink_to("..")
    names = [file.name for file in Code(path=str(tmp_path / "src")).files()]
    assert names == ["a.py", "deep/b.py"]
    assert [file.name for file in Code(path=str(tmp_path / "src/**")).files()] == names
    assert [file.name for file in Code(path=str(tmp_path / "src/**/*.py")).files()] == names


def test_bytes_that_are_no_text_are_set_aside(tmp_path):
    (tmp_path / "bad.py").write_bytes(b"x = '\xff\xfe\x81'\n")
    source = Code(path=str(tmp_path))
    (broken,) = source.read(source.files()[0])
    assert not isinstance(broken, Record)


def test_nothing_to_read_is_an_error(project):
    with pytest.raises(DataError, match="no source code in"):
        Code(path=str(project / "notes")).files()
    with pytest.raises(DataError, match="no such file or directory"):
        Code(path=str(project / "gone")).files()
    assert holds_code(str(project / "src"))
    assert not holds_code(str(project / "notes"))
    assert not holds_code(str(project / "gone"))

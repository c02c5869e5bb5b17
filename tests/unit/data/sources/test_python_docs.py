from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.core.errors import DataError
from llmkit.data.sources import Broken, Record, python_docs
from llmkit.data.sources.python_docs import PythonDocs, normalize


def read(**fields):
    source = PythonDocs(**fields)
    return {(file.name, row.row): row for file in source.files() for row in source.read(file)}


SHARED = "Join the parts of a path, inserting a separator."
LONGER = f"{SHARED} Then remove every separator that was doubled."

LIBRARY = {
    "posix.py": f'"""A module."""\ndef join(a):\n    """join(a) -> str\n\n    {SHARED}\n\n    More.\n    """\n',
    "nt/__init__.py": f'''
if True:
    class Path:
        """The kind of path that another system would have had."""
        def join(self):
            """Join the PARTS of a path,
            inserting   a separator.
            """
            def inner(): "A function inside a function is not public at all."
        def __repr__(self):
            """Return a private text that nobody will ask about."""
        async def both(self): "{LONGER}"
''',
    "old.py": "print 'Python 2 has no parentheses'\n",
    "latin.py": b"# coding: latin-1\n'''caf\xe9 \\d'''\n",
    "silent.py": "x = 1\n",
    "pydoc_data/topics.py": f"topics = {{'path': 'See also: {SHARED.upper()}', 'for': 'The for loop.\\n'}}\n",
    "idlelib/help.html": "<p>Join the <b>parts</b> of a path,\n<i>inserting</i> a separator.</p>",
    # Nothing of these is documentation of the library.
    "test/test_a.py": "'''Skipped'''",
    "json/tests/a.py": "'''Skipped'''",
    "idlelib/idle_test/a.py": "'''Skipped'''",
    "site-packages/x/a.py": "'''Skipped'''",
    "dist-packages/a.py": "'''Skipped'''",
    "config-3.11-linux/a.py": "'''Skipped'''",
    "python-config.py": "'''Skipped'''",
    "notes.txt": "Skipped",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of a few files, in place of the real one."""
    for name, content in LIBRARY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    return tmp_path


def hold_out(monkeypatch, *answers):
    """Let the hash choose these answers."""
    chosen = {normalize(answer) for answer in answers}
    monkeypatch.setattr(python_docs, "_share", lambda answer: 0.0 if normalize(answer) in chosen else 1.0)


def test_files_are_the_modules_the_topics_and_the_page(library):
    files = PythonDocs().files()
    assert [file.name for file in files] == [
        "idlelib/help.html",
        "latin.py",
        "nt/__init__.py",
        "old.py",
        "posix.py",
        "pydoc_data/topics.py",
        "silent.py",
    ]
    assert [file.path for file in files] == [str(library / file.name) for file in files]
    assert files[1].num_bytes == len(LIBRARY["latin.py"])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"include": ["html"]}, ["idlelib/help.html"]),
        ({"include": ["topics"]}, ["pydoc_data/topics.py"]),
        ({"include": ["docstrings"]}, ["latin.py", "nt/__init__.py", "old.py", "posix.py", "silent.py"]),
        ({"form": "pairs"}, ["latin.py", "nt/__init__.py", "old.py", "posix.py", "silent.py"]),
    ],
)
def test_include_chooses_the_files(library, fields, expected):
    assert [file.name for file in PythonDocs(**fields).files()] == expected


def test_text_has_every_docstring_topic_and_page(library):
    rows = read(heldout_fraction=0.0)
    assert rows.pop(("old.py", 0)).reason.startswith("not valid Python: ")
    assert {key: (row.meta["name"], row.text) for key, row in rows.items()} == {
        ("idlelib/help.html", 0): ("idlelib.help", LIBRARY["idlelib/help.html"]),
        ("latin.py", 0): ("latin", "café \\d"),
        ("nt/__init__.py", 0): ("nt.Path", "The kind of path that another system would have had."),
        ("nt/__init__.py", 1): ("nt.Path.join", "Join the PARTS of a path,\ninserting   a separator."),
        ("nt/__init__.py", 2): ("nt.Path.join.inner", "A function inside a function is not public at all."),
        ("nt/__init__.py", 3): ("nt.Path.__repr__", "Return a private text that nobody will ask about."),
        ("nt/__init__.py", 4): ("nt.Path.both", LONGER),
        ("posix.py", 0): ("posix", "A module."),
        ("posix.py", 1): ("posix.join", f"join(a) -> str\n\n{SHARED}\n\nMore."),
        ("pydoc_data/topics.py", 0): ("topics.for", "The for loop."),
        ("pydoc_data/topics.py", 1): ("topics.path", f"See also: {SHARED.upper()}"),
    }
    assert {row.source for row in rows.values()} == {"python_docs"}
    assert [name for (name, _), row in rows.items() if row.meta.get("format") == "html"] == ["idlelib/help.html"]


def test_a_file_that_does_not_parse_is_one_broken_row_in_both_forms(library):
    for form in ("text", "pairs"):
        broken = [row for row in read(form=form).values() if isinstance(row, Broken)]
        assert [(row.row, row.line) for row in broken] == [(0, 1)]


def test_pairs_ask_about_public_functions_methods_and_classes(library):
    source = PythonDocs(form="pairs", heldout_fraction=0.0)
    assert source.kind() == "examples"
    rows = [row for row in read(form="pairs", heldout_fraction=0.0).values() if isinstance(row, Record)]
    assert [row.text for row in rows] == [
        "What is nt.Path?\nThe kind of path that another system would have had.",
        "What does nt.Path.join do?\nJoin the PARTS of a path, inserting a separator.",
        f"What does nt.Path.both do?\n{LONGER}",
        f"What does posix.join do?\n{SHARED}",
    ]
    assert rows[0].fields == {
        "messages": [
            {"role": "user", "content": "What is nt.Path?"},
            {"role": "assistant", "content": "The kind of path that another system would have had."},
        ]
    }
    assert rows[0].meta == {"name": "nt.Path"}


def test_the_limits_are_inclusive(library):
    def answers(**limits):
        rows = read(form="pairs", heldout_fraction=0.0, **limits).values()
        return {row.text.partition("\n")[2] for row in rows if isinstance(row, Record)}

    assert SHARED in answers(max_answer_chars=len(SHARED))
    assert SHARED not in answers(max_answer_chars=len(SHARED) - 1)
    assert LONGER in answers(min_answer_chars=len(LONGER))
    assert LONGER not in answers(min_answer_chars=len(LONGER) + 1)


def test_what_contains_a_held_out_answer_is_left_out(library, monkeypatch):
    hold_out(monkeypatch, SHARED)
    everything = read(heldout_fraction=0.0).keys()
    containing = {
        ("idlelib/help.html", 0),  # with markup between the words
        ("nt/__init__.py", 1),  # the same answer at another name, in other case and spacing
        ("nt/__init__.py", 4),  # another answer that contains it
        ("posix.py", 1),
        ("pydoc_data/topics.py", 1),
    }
    assert read(heldout_fraction=0.1).keys() == everything - containing
    assert PythonDocs(heldout_fraction=0.1).left_out() == 5
    assert PythonDocs(heldout_fraction=0.1, include=["topics"]).left_out() == 1
    assert PythonDocs(heldout_fraction=0.0).left_out() == 0


def test_pairs_of_one_answer_are_on_one_side_and_all_kept(library, monkeypatch):
    hold_out(monkeypatch, SHARED)

    def questions(split):
        rows = read(form="pairs", split=split, heldout_fraction=0.1).values()
        return [row.text.partition("\n")[0] for row in rows if isinstance(row, Record)]

    assert questions("heldout") == ["What does nt.Path.join do?", "What does posix.join do?"]
    assert questions("train") == ["What is nt.Path?"]
    # nt.Path.both contains the held-out answer and is on neither side.
    assert PythonDocs(form="pairs", heldout_fraction=0.1).left_out() == 3
    assert PythonDocs(form="pairs", split="heldout", heldout_fraction=0.1).left_out() == 0


def test_rows_keep_their_numbers_whatever_is_held_out(library, monkeypatch):
    before = read(heldout_fraction=0.0)
    hold_out(monkeypatch, SHARED)
    after = read(heldout_fraction=0.1)
    assert after
    assert all(row == before[key] for key, row in after.items())


@pytest.mark.parametrize(
    ("docstring", "answer"),
    [
        ("Wrap a paragraph\nto fit.\n\nMore.", "Wrap a paragraph to fit."),
        ("  Two   spaces.\n", "Two spaces."),
        ("fill(text, width) -> str\n\nReturn the text.", "Return the text."),
        ("fill(text, width=70)\nfill(text).\nReturn the text.", "Return the text."),
        ("a, b = split(x)\nReturn two parts.", "Return two parts."),
        ("'name' is the key.", "'name' is the key."),
        ("fill(text) -> str", ""),
        ("S.join(iterable) -> str -- join strings", ""),
        (">>> fill('a')\n'a'", ""),
        ("Do it.\n>>> fill('a')", ""),
        (".. deprecated:: 3.4", ""),
        (":param x: a number", ""),
        ("Keyword arguments:\n- a: first", ""),
        ("Return one of the following:\n\n* this", ""),
        ("Heading\n=======", ""),
        ("", ""),
    ],
)
def test_the_answer_is_the_first_paragraph_of_prose(docstring, answer):
    assert python_docs._answer(docstring) == answer


def test_the_hash_is_that_of_the_normalized_answer():
    # blake2b of "join the parts" with 8 bytes, as b2sum -l 64 prints it.
    assert python_docs._share("Join  the\nＰarts") == 0xC96700AFADCCD99E / 2**64


@given(st.text(), st.text(" \t\n\u3000", min_size=1))
def test_normalizing_ignores_case_and_space(text, space):
    assert normalize(text) == normalize(space + text + space)
    assert "\n" not in normalize(text)
    assert "  " not in normalize(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": "heldout"}, "form 'text' has no held-out split; use form: pairs"),
        ({"form": "pairs", "include": ["topics"]}, "form 'pairs' needs 'docstrings' in include"),
        ({"min_answer_chars": 500}, "min_answer_chars is greater than max_answer_chars"),
        ({"include": []}, "at least 1 item"),
        ({"include": ["manual"]}, "'topics', 'docstrings' or 'html'"),
        ({"heldout_fraction": 0.6}, "less than or equal to 0.5"),
        ({"min_answer_chars": 5}, "greater than or equal to 20"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        PythonDocs(**fields)


def test_a_python_without_sources_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match=re.escape(f"no documentation (html) in {tmp_path}")):
        PythonDocs(include=["html"]).files()


def test_a_python_without_idle_has_the_rest(library):
    (library / "idlelib/help.html").unlink()
    names = [file.name for file in PythonDocs().files()]
    assert "idlelib/help.html" not in names
    assert "posix.py" in names


# The tests below read the standard library of the Python that runs them.


def test_the_real_library_is_large_and_whole():
    rows = read(heldout_fraction=0.0)
    assert not [row for row in rows.values() if isinstance(row, Broken)]
    assert sum(name == "pydoc_data/topics.py" for name, _ in rows) >= 70
    assert sum(name.endswith(".py") for name, _ in rows) >= 5000
    assert all(row.text.strip() for row in rows.values())
    assert not {"test", "tests", "site-packages"} & {part for name, _ in rows for part in name.split("/")}
    texts = {row.meta["name"]: row.text for row in rows.values()}
    assert texts["textwrap.fill"].startswith("Fill a single paragraph of text, returning a new string.\n\nReformat")
    assert "statement is used to iterate over" in normalize(texts["topics.for"])


def test_no_held_out_answer_occurs_on_the_train_side():
    heldout = {normalize(row.fields["messages"][1]["content"]) for row in read(form="pairs", split="heldout").values()}
    train = read(form="pairs")
    text = read()
    assert len(heldout) >= 50
    assert len(train) >= 1000
    # 5 % of the answers; the sampling error of thousands is below one percentage point.
    assert 0.03 < len(heldout) / (len({row.text.partition("\n")[2] for row in train.values()}) + len(heldout)) < 0.07
    everything = "\n".join(normalize(row.text) for row in [*train.values(), *text.values()])
    assert not [answer for answer in heldout if answer in everything]
    assert PythonDocs().left_out() == len(read(heldout_fraction=0.0)) - len(text)


def test_the_sides_depend_on_the_fraction_and_the_limits_only():
    expected = read(form="pairs", split="heldout")
    assert read(form="pairs", split="heldout", include=["docstrings"]) == expected
    # A larger fraction only adds to the held-out side.
    assert read(form="pairs", split="heldout", heldout_fraction=0.1).items() >= expected.items()


def test_another_process_reads_the_same():
    code = (
        "from llmkit.data.sources.python_docs import PythonDocs\n"
        "source = PythonDocs(form='pairs', split='heldout')\n"
        "print([(file.name, row.row, row.text) for file in source.files() for row in source.read(file)])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"},
    )
    rows = [(*key, row.text) for key, row in read(form="pairs", split="heldout").items()]
    assert out.stdout == f"{rows}\n"

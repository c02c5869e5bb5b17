"""clean, through the command line: every row is accounted for, and ids depend on the content alone."""

from __future__ import annotations

import bz2
import gzip
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus

# Eight rows: two kept, four unreadable (lines 2 to 5), one blank, one duplicate up to its spaces.
MIXED = """\
{"text": "hello there", "url": "a"}
{"text": "broken
{"text": 3}
[1, 2]
{"title": "no text"}
{"text": "   "}
{"text": "hello  there", "url": "b"}
{"text": "你好，世界。", "tags": ["x"]}
"""
REASONS = {
    2: "invalid JSON at column 10",
    3: "field 'text' is a number, not a string",
    4: "the row is an array, not an object",
    5: "no field 'text'; the row has: title",
}


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED, encoding="utf-8")
    return path


def report(out):
    return json.loads((Path(out) / "report.json").read_text(encoding="utf-8"))


def test_every_row_is_kept_rejected_or_failed(cli, mixed):
    outcome = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out")
    assert outcome.code == 0
    found = report("out")
    assert found["documents"] == {"read": 8, "kept": 2, "rejected": 2, "failed": 4}
    assert found["files"] == {str(mixed): {"rows": 8, "kept": 2, "rejected": 2, "failed": 4}}
    rules = {rule["rule"]: rule["documents"] for rule in found["rules"]}
    assert rules == {"unreadable": 4, "length.min_chars": 1, "exact_duplicates": 1}
    assert "documents  2 kept of 8" in outcome.out
    assert "unreadable 4, length.min_chars 1, exact_duplicates 1" in outcome.out


def test_a_broken_row_is_named_with_file_and_line(cli, mixed):
    outcome = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out")
    for line, reason in REASONS.items():
        assert f"warning: {mixed}:{line}: {reason}" in outcome.err
    rejected = {row["file"]: row for row in pq.read_table("out/rejected").to_pylist() if row["rule"] == "unreadable"}
    assert set(rejected) == {f"{mixed}:{line}" for line in REASONS}
    assert rejected[f"{mixed}:2"]["text"] == '{"text": "broken'


def test_samples_say_why_a_document_fell(cli, mixed):
    cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out")
    kept = {row["text"]: row["id"] for row in Corpus("out").rows()}
    fell = {row["rule"]: row for row in pq.read_table("out/rejected").to_pylist()}
    assert (fell["length.min_chars"]["value"], fell["length.min_chars"]["threshold"]) == ("0", "1")
    assert fell["exact_duplicates"]["value"] == f"same as {kept['hello  there']}"
    assert fell["exact_duplicates"]["text"] == "hello there"
    assert fell["exact_duplicates"]["id"] > kept["hello  there"]


def test_strict_stops_at_the_first_broken_row(cli, mixed):
    outcome = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out", "--strict")
    assert outcome.code == 3
    assert f"error: {mixed}:2: invalid JSON at column 10" in outcome.err
    assert "leave out --strict" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_the_corpus_is_what_load_dataset_reads(cli, mixed, tmp_path):
    import datasets

    cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out")
    ours = list(Corpus("out").rows())
    theirs = datasets.load_dataset("out", split="train", cache_dir=str(tmp_path / "cache")).to_list()
    assert ours == theirs
    assert [row["text"] for row in ours] == ["hello  there", "你好，世界。"]
    assert [json.loads(row["meta"]) for row in ours] == [{"url": "b"}, {"tags": ["x"]}]
    assert {row["source"] for row in ours} == {"mixed"}


def test_ids_do_not_depend_on_the_number_of_workers(cli, jsonl, monkeypatch):
    # Four tasks instead of one: otherwise two workers would never meet.
    monkeypatch.setattr("llmkit.cleaning.plan.TASK_BYTES", 1)
    for part in range(4):
        jsonl(f"in/part-{part}.jsonl", [f"text {part * 10 + i} or the same" if i else "everywhere" for i in range(20)])
    for workers in (1, 2):
        assert cli("clean", "-i", "in", "-o", f"out{workers}", "--workers", workers).code == 0
    one, two = (Path(f"out{workers}/data-00000.parquet").read_bytes() for workers in (1, 2))
    assert one == two
    assert read_manifest(Path("out1")).id == read_manifest(Path("out2")).id
    texts = [row["text"] for row in Corpus("out2").rows()]
    # Texts 11 to 19 of part 0 stand in part 1 again, and so on: one copy of each stays, the one with the smallest id.
    assert sorted(texts) == sorted(["everywhere", *(f"text {n} or the same" for n in range(1, 50))])


def test_ids_do_not_depend_on_where_the_input_lies(cli, jsonl, tmp_path):
    jsonl("here/a/x.jsonl", ["one", "two"])
    jsonl("here/b/x.jsonl", ["one more"])
    shutil.copytree("here", "deep/down/there")
    for source, out in (("here", "out1"), (tmp_path / "deep/down/there", "out2")):
        assert cli("clean", "-i", source, "-o", out).code == 0
    rows1, rows2 = list(Corpus("out1").rows()), list(Corpus("out2").rows())
    assert rows1 == rows2
    assert len({row["id"] for row in rows1}) == 3


def test_row_and_file_are_part_of_the_id(cli, jsonl):
    jsonl("in/a.jsonl", ["same", "same"])
    jsonl("in/b.jsonl", ["same"])
    cli("clean", "-i", "in", "-o", "out", "-s", "steps=[]")
    assert len({row["id"] for row in Corpus("out").rows()}) == 3


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".txt", ".parquet"])
def test_other_formats_give_the_same_text(cli, tmp_path, suffix):
    import pyarrow as pa

    path = tmp_path / f"x{suffix}"
    if suffix == ".jsonl.gz":
        path.write_bytes(gzip.compress(b'{"text": "caf\\u00e9"}\n'))
    elif suffix == ".txt":
        path.write_text("café", encoding="utf-8")
    else:
        pq.write_table(pa.table({"text": ["café"]}), path)
    assert cli("clean", "-i", path, "-o", "out").code == 0
    assert [(row["text"], row["source"]) for row in Corpus("out").rows()] == [("café", "x")]


def test_labelled_rows_become_examples(cli, jsonl):
    messages = [{"role": "user", "content": "What is 2+2? "}, {"role": "assistant", "content": "4 "}]
    path = jsonl("chat.jsonl", [{"chat": messages}, {"chat": [messages[0]]}])
    source = f"inputs=[{{type: files, path: {path}, messages_field: chat}}]"
    outcome = cli("clean", "--max-failed", 0.9, "-s", source, "-o", "out", "--json")
    assert outcome.code == 0
    assert outcome.json["kind"] == "examples"
    (row,) = Corpus("out").rows()
    assert [message["content"] for message in row["messages"]] == ["What is 2+2?", "4"]
    assert row["text"] == "What is 2+2?\n4"
    assert f"{path}:2: field 'chat' has no message of the assistant" in outcome.err


def test_text_and_labelled_rows_do_not_mix(cli, mixed):
    outcome = cli("clean", "-s", f"inputs=[{mixed}, {{type: files, path: {mixed}, messages_field: m}}]", "-o", "out")
    assert outcome.code == 2
    assert "error: inputs: some give a corpus and some give examples; clean them into two outputs" in outcome.err


def test_an_own_corpus_is_an_input_and_lineage_goes_on_through_it(cli, mixed):
    cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "first")
    assert cli("clean", "-i", "first", "-o", "second", "-s", "steps=[{type: length, min_chars: 8}]").code == 0
    assert [row["text"] for row in Corpus("second").rows()] == ["hello  there"]
    tree = cli("lineage", "second", "--json").json["lineage"]
    assert [tree["kind"], tree["inputs"][0]["kind"], tree["inputs"][0]["inputs"][0]["path"]] == [
        "corpus",
        "corpus",
        str(mixed),
    ]


def test_steps_that_did_nothing_or_too_much_are_pointed_out(cli, jsonl):
    path = jsonl("a.jsonl", ["a", "b", "c", "long enough"])
    outcome = cli("clean", "-i", path, "-o", "out", "-s", "steps=[normalize, {type: length, min_chars: 5}]")
    assert "note: step 0 (normalize) neither changed nor dropped a document" in outcome.out
    assert "note: step 1 (length) dropped 75% of the documents that reached it" in outcome.out


def test_the_same_command_again_is_up_to_date(cli, mixed):
    first = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out", "--json").json
    again = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out", "--json", "--workers", 2).json
    assert (first["status"], again["status"]) == ("done", "up to date")
    assert again["id"] == first["id"]
    with mixed.open("a", encoding="utf-8") as file:
        file.write('{"text": "one more"}\n')
    changed = cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out")
    assert changed.code == 2
    assert "error: out is finished, from another run: inputs.0 changed" in changed.err
    assert cli("clean", "--max-failed", 0.9, "-i", mixed, "-o", "out", "--force").code == 0
    assert report("out")["documents"]["kept"] == 3


def test_dry_run_shows_where_each_value_comes_from(cli, tmp_path):
    (tmp_path / "r.yaml").write_text("inputs: [x.jsonl]\nsteps:\n  - normalize\n  - {type: length}\n", encoding="utf-8")
    outcome = cli("clean", "-r", "r.yaml", "-s", "steps.1.min_chars=7", "--workers", 2, "--dry-run", "--json")
    assert outcome.code == 0
    assert outcome.json["config"]["steps"][1] == {
        **outcome.json["config"]["steps"][1],
        "type": "length",
        "min_chars": 7,
    }
    origins = outcome.json["origins"]
    assert origins["inputs.0.path"] == "r.yaml:1"
    assert origins["steps.0.type"] == "r.yaml:3"
    assert origins["steps.1.min_chars"] == "--set"
    assert origins["workers"] == "--workers"
    assert origins["engine"] == "default"
    assert not list(tmp_path.glob("*/.partial"))


def test_a_set_below_a_named_option_refines_what_the_option_gave(cli, jsonl):
    path = jsonl("in.jsonl", [{"body": "a first text"}, {"body": "a second text"}])
    outcome = cli("clean", "-i", path, "-s", "inputs.0.text_field=body", "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["metrics"]["documents_kept"] == 2


def test_cleaning_a_corpus_again_reads_its_rows_only_and_keeps_the_lineage(cli, chain):
    again = cli("clean", "-i", chain.corpus, "-o", "again", "--json")
    assert again.code == 0, again.err
    rows = json.loads((chain.corpus / "llmkit.json").read_text())["metrics"]["documents_kept"]
    assert again.json["metrics"]["documents_read"] == rows
    tree = cli("lineage", "again", "--json").json["lineage"]
    assert [node["kind"] for node in tree["inputs"]] == ["corpus"]
    assert [node["kind"] for node in tree["inputs"][0]["inputs"]] == ["files"]


def test_duplicates_in_two_inputs_of_one_name_are_found(cli, jsonl):
    first, second = jsonl("a/x.jsonl", ["the very same text"]), jsonl("b/x.jsonl", ["the very same text"])
    outcome = cli("clean", "-i", first, "-i", second, "-o", "out", "--json")
    assert outcome.json["metrics"]["rules"] == {"exact_duplicates": 1}


def test_strict_does_not_accept_what_a_tolerant_run_has_made(cli, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"text": "good"}\n{broken\n', encoding="utf-8")
    assert cli("clean", "--max-failed", 0.9, "-i", path, "-o", "out").code == 0
    outcome = cli("clean", "--max-failed", 0.9, "-i", path, "-o", "out", "--strict")
    assert outcome.code == 3
    assert "1 unreadable rows left out" in outcome.err


def test_an_artifact_inside_the_input_is_passed_over(cli, jsonl):
    folder = jsonl("in/x.jsonl", ["one text", "another text"]).parent
    assert cli("clean", "-i", folder, "-o", folder / "build").code == 0
    again = cli("clean", "-i", folder, "-o", folder / "build")
    assert again.code == 0
    assert "is up to date" in again.out


def test_control_characters_of_the_data_do_not_reach_the_terminal(cli, tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"te\\u001b[31mxt": "a"}\n{"text": "b"}\n', encoding="utf-8")
    outcome = cli("clean", "-i", path, "-o", "out")
    assert "\x1b" not in outcome.err
    assert "\\x1b[31m" in outcome.err


# --- inputs that are out to do harm


def accounted(out):
    """The counts of a run, having checked every file's rows."""
    found = report(out)
    for count in found["files"].values():
        assert count["rows"] == count["kept"] + count["rejected"] + count["failed"]
    return found["documents"]


GLOBAL = "steps=[normalize, exact_duplicates, near_duplicates, duplicate_lines, {type: cap, limit: 1000000000}]"


def test_many_empty_documents(cli, jsonl):
    path = jsonl("empty.jsonl", [""] * 20_000 + ["one with text"])
    assert cli("clean", "-i", path, "-o", "all", "-s", "steps=[]", "-q").code == 0
    assert accounted("all") == {"read": 20_001, "kept": 20_001, "rejected": 0, "failed": 0}
    assert cli("clean", "-i", path, "-o", "one", "-s", GLOBAL, "-q").code == 0
    assert accounted("one") == {"read": 20_001, "kept": 2, "rejected": 19_999, "failed": 0}


def test_a_first_task_of_which_nothing_is_left(cli, jsonl, monkeypatch):
    monkeypatch.setattr("llmkit.cleaning.plan.TASK_BYTES", 10)
    path = jsonl("x.jsonl", ["", "", "some text"])
    assert cli("clean", "-i", path, "-o", "kept", "-s", "steps=[]").code == 0
    assert accounted("kept")["kept"] == 3
    assert cli("clean", "-i", path, "-o", "fell", "-s", "steps=[length]").code == 0
    assert accounted("fell")["kept"] == 1


def test_many_identical_documents(cli, jsonl):
    text = " ".join(f"word{i}" for i in range(50))
    path = jsonl("same.jsonl", [text] * 3_000)
    for name, steps in (("exact", "exact_duplicates"), ("near", "near_duplicates"), ("lines", "duplicate_lines")):
        assert cli("clean", "-i", path, "-o", name, "-s", f"steps=[{steps}]", "-q").code == 0
        assert accounted(name) == {"read": 3_000, "kept": 1, "rejected": 2_999, "failed": 0}


def test_one_line_without_an_end(cli, tmp_path):
    (tmp_path / "line.jsonl").write_bytes(b'{"text": "' + b"word " * 2_000_000)
    (tmp_path / "line.txt").write_bytes(b"word " * 2_000_000)
    inputs = "inputs=[line.jsonl, line.txt]"
    assert cli("clean", "-s", inputs, "-s", GLOBAL, "-o", "out", "-q", "--max-failed", 0.9).code == 0
    assert accounted("out") == {"read": 2, "kept": 1, "rejected": 0, "failed": 1}


def test_a_gzip_file_that_is_cut_off(cli, tmp_path):
    import random

    rng = random.Random(0)
    lines = [json.dumps({"text": f"{rng.getrandbits(200):x}"}) for _ in range(2000)]
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-3000])
    assert cli("clean", "-i", "cut.jsonl.gz", "-o", "out", "-s", GLOBAL).code == 0
    found = accounted("out")
    assert found["failed"] == 1
    assert found["kept"] > 1000


def test_rows_of_odd_characters(cli, tmp_path):
    rows = [
        b'{"text": "NUL \\u0000 and \x00 go"}',
        b'{"text": "a lone \\ud800 surrogate"}',
        b'{"text": "latin-1 caf\xe9"}',
        '{"text": "\u202e\u2028\x85 \ufeff \U0001f9ff 好"}'.encode(),
        b'{"text": NaN}',
        b"\xff\xfe",
    ]
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(rows))
    (tmp_path / "gb.txt").write_bytes(("春天来了，花开了，我们去公园看花。" * 20).encode("gb18030"))
    (tmp_path / "utf16.txt").write_text("two bytes per character", encoding="utf-16")
    inputs = "inputs=[odd.jsonl, gb.txt, utf16.txt]"
    outcome = cli("clean", "--max-failed", 0.9, "-s", inputs, "-s", GLOBAL, "-o", "out")
    assert outcome.code == 0, outcome.err
    found = accounted("out")
    assert (found["read"], found["kept"], found["failed"]) == (8, 4, 4)
    texts = [row["text"] for row in Corpus("out").rows()]
    assert "NUL  and  go" in texts  # `normalize` takes them out; other steps see them
    assert "春天来了，花开了，我们去公园看花。" * 20 in texts
    assert "two bytes per character" in texts


def test_deeply_nested_html(cli, jsonl):
    path = jsonl("deep.jsonl", ["<div>" * 100_000 + "the text inside of it all" + "</div>" * 100_000, "<p>shallow</p>"])
    outcome = cli("clean", "-i", path, "-o", "out", "-s", "steps=[html]")
    assert outcome.code == 0, outcome.err
    assert accounted("out")["read"] == 2


def test_equal_rows_of_two_inputs_of_one_name_have_two_ids(cli, jsonl):
    first, second = jsonl("a/x.jsonl", ["same", "rows"]), jsonl("b/x.jsonl", ["same", "rows"])
    assert cli("clean", "-i", first, "-i", second, "-o", "out", "-s", "steps=[]").code == 0
    assert len({row["id"] for row in Corpus("out").rows()}) == 4


def test_a_file_that_changes_while_it_is_read(cli, jsonl, monkeypatch):
    path = jsonl("x.jsonl", ["one", "two"])
    from llmkit.cleaning import task

    original = task.rows_of

    def slow(piece):
        with path.open("a", encoding="utf-8") as file:
            file.write('{"text": "three"}\n')
        return original(piece)

    monkeypatch.setattr(task, "rows_of", slow)
    outcome = cli("clean", "-i", path, "-o", "out")
    assert outcome.code == 3
    assert f"error: {path} changed while it was read" in outcome.err
    monkeypatch.undo()
    assert cli("clean", "-i", path, "-o", Path(path).parent / "out").code == 0


@pytest.mark.parametrize("nth", range(1, 60, 6))
def test_a_disk_that_is_full_and_then_is_not(cli, jsonl, monkeypatch, nth):
    import os

    path = jsonl("x.jsonl", [f"document {i % 7} with a few words" for i in range(12)])
    command = ["clean", "-i", path, "-s", "steps=[normalize, exact_duplicates, near_duplicates, shuffle]", "-q"]
    assert cli(*command, "-o", "straight").code == 0
    original, calls = os.fsync, 0

    def full(descriptor):
        nonlocal calls
        calls += 1
        if calls >= nth:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    outcome = cli(*command, "-o", "out")
    monkeypatch.setattr(os, "fsync", original)
    if outcome.code == 0:
        assert calls < nth
    else:
        assert outcome.code == 4
        # Where, and how much: the file's disk or, where the system names no file, that of the output.
        said = r"error: the disk is full: \S*out\S* \([\d,]+\.\d MB of [\d,]+\.\d MB are free there\)\n"
        assert re.search(said, outcome.err), outcome.err
        assert cli(*command, "-o", "out").code == 0
    assert read_manifest(Path("out")).id == read_manifest(Path("straight")).id
    assert report("out") == report("straight")


# Prints the exit code and the largest memory of a run, its workers' included, in bytes.
_PEAK = """
import resource, sys
from llmkit.cli.main import run
code = run(sys.argv[1:])
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(code, peak * 1024)
"""


def peak(*arguments):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    code, size = done.stdout.split()[-2:]
    assert code == "0", done.stderr
    return int(size)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["word and then ", "春天来了，花开了。"])
def test_a_document_of_100_mb(tmp_path, unit):
    text = unit * (100_000_000 // len(unit.encode()))
    path = tmp_path / "large.txt"
    path.write_text(text, encoding="utf-8")
    steps = "steps=[normalize, exact_duplicates, near_duplicates, duplicate_lines]"
    size = peak("clean", "-i", path, "-o", tmp_path / "out", "-s", steps, "-q", "--workers", 1)
    assert accounted(tmp_path / "out")["kept"] == 1
    assert size < 1.5e9, f"{size / 1e9:.2f} GB"


@pytest.mark.slow
def test_a_gzip_bomb(tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"text": "good"}\n{"text": "')
        for _ in range(100):
            file.write(b"a" * 10**7)
        file.write(b'"}\n{"text": "also good"}\n')
    size = peak("clean", "-i", path, "-o", tmp_path / "out", "-s", GLOBAL, "-q", "--workers", 1)
    assert accounted(tmp_path / "out") == {"read": 3, "kept": 2, "rejected": 0, "failed": 1}
    assert size < 1.5e9, f"{size / 1e9:.2f} GB"


def test_text_field_names_the_column_of_every_input(cli, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"body": "text of {name}"}}\n')
    outcome = cli("clean", "-i", tmp_path / "a.jsonl", "-i", tmp_path / "b.jsonl", "--text-field", "body", "-o", "out")
    assert outcome.code == 0
    assert [row["text"] for row in Corpus("out").rows()] == ["text of a", "text of b"]
    outcome = cli("clean", "--text-field", "body", "-o", "other")
    assert outcome.code == 2
    assert "--text-field goes with --input" in outcome.err


WIKI_PAGE = (
    "<page><title>Rhein</title><ns>0</ns><id>1</id><revision><timestamp>2026-01-02T00:00:00Z</timestamp>"
    "<text xml:space='preserve'>The '''Rhine''' ({{lang|de|Rhein}}) is {{convert|1233|km|mi}} long.</text>"
    "</revision></page>\n"
)


def test_a_dump_of_a_wiki_becomes_the_text_of_its_articles(cli, tmp_path):
    dump = f"<mediawiki xml:lang='en'>{WIKI_PAGE}{WIKI_PAGE.replace('</text>', '&oops;</text>')}</mediawiki>"
    (tmp_path / "enwiki.xml.bz2").write_bytes(bz2.compress(dump.encode()))
    outcome = cli("clean", "-i", tmp_path / "enwiki.xml.bz2", "-o", "out", "-s", "steps=[markup]", "--max-failed", 0.9)
    assert outcome.code == 0, outcome.err
    assert report("out")["documents"] == {"read": 2, "kept": 1, "rejected": 0, "failed": 1}
    table = pq.read_table(Corpus(Path("out")).files()[0])
    assert table["text"].to_pylist() == ["The Rhine (Rhein) is 1233 km long."]
    assert json.loads(table["meta"][0].as_py())["title"] == "Rhein"


def test_a_page_without_text_is_a_counted_drop(cli, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text("<html><body><script>x()</script></body></html>")
    (tmp_path / "pages" / "b.html").write_text("<html><body><p>Some text.</p></body></html>")
    assert cli("clean", "-i", tmp_path / "pages", "-o", "out", "-s", "steps=[html]").code == 0
    assert {rule["rule"]: rule["documents"] for rule in report("out")["rules"]} == {"html.empty": 1}

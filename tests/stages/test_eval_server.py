"""`llmkit eval` of a model behind an address, beside the directory that the server answers from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gguf_files
from completions_server import Served, serving
from llmkit.runtimes.transformers import Transformers


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return gguf_files.directory(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def served(directory):
    with serving(Served(Transformers().load(str(directory)))) as served:
        yield served


@pytest.fixture
def rows(cli) -> str:
    asked = [{"messages": [{"role": "user", "content": f"the {word}"}, {"role": "assistant", "content": "river"}]}
             for word in ("mill", "clock", "rain")]  # fmt: skip
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    assert cli("clean", "--row", "auto", "-i", "rows.jsonl", "-o", "rows").code == 0
    return "rows"


def results(path: str = "out") -> dict:
    return json.loads((Path(path) / "results.json").read_text())["tasks"]


def test_it_scores_and_writes_as_the_directory_does(cli, served, directory, rows):
    tasks = f"tasks=[{{type: answers, data: {rows}}}, {{type: generation, data: {rows}, max_new_tokens: 4}}]"
    asked = ["-s", "runtime.type=openai", "-s", f"runtime.tokenizer={directory}", "-s", "runtime.positions=258"]
    done = cli("eval", "--model", served.url, "--baseline", directory, "-s", tasks, *asked, "-o", "out")
    assert done.code == 0, done.err
    for task in results().values():
        model, baseline = task["results"]["model"], task["results"]["baseline"]
        assert model["scores"] == pytest.approx(baseline["scores"], rel=1e-5)
        assert any("no digest of its weights" in note for note in model["notes"])
        assert not any("digest" in note for note in baseline["notes"])
    tree = cli("lineage", "out", "--json").json["lineage"]
    node = next(node for node in tree["inputs"] if node["role"] == "model")
    assert (node["path"], node["problems"]) == (served.url, [])
    assert cli("lineage", "out", "--verify").code == 0
    before = len(served.seen)
    again = cli("eval", "--model", served.url, "--baseline", directory, "-s", tasks, *asked, "-o", "out")
    assert "up to date" in again.out + again.err
    assert len(served.seen) == before


def test_an_address_chooses_the_runtime_and_turns_are_sent(cli, served, rows):
    task = f"tasks=[{{type: generation, data: {rows}, max_new_tokens: 4}}]"
    done = cli("eval", "--model", served.url, "-s", task, "-o", "out")
    assert done.code == 0, done.err
    assert served.seen[-1][0] == "/v1/chat/completions"
    assert results()["generation"]["results"]["model"]["num_samples"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words", "hint"),
    [
        (["--model", "{url}"], 3,
         "does not answer score requests: likelihoods are those of ids", "-s runtime.tokenizer=DIR"),
        (["--model", "http://127.0.0.1:9/v1"], 4,
         "no server answers at http://127.0.0.1:9/v1", "start the server"),
        (["--model", "{url}", "-s", "runtime={type: openai, model: tny}"], 3,
         "has no model 'tny'; did you mean 'tiny'?", "curl"),
        (["--model", "http://me:secret@127.0.0.1/v1"], 2,
         "is not taken, since it is written down", "environment variable"),
        (["--model", "https://huggingface.co/org/name"], 3,
         "https://huggingface.co/org/name, and no such model in the cache", "hf download org/name"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said(cli, served, rows, arguments, code, words, hint):
    given = [word.replace("{url}", served.url) for word in arguments]
    done = cli("eval", *given, "-s", "tasks=[{type: answers, data: rows}]", "-o", "out")
    assert done.code == code, done.err
    assert words in done.err
    assert hint in done.err
    assert "secret" not in done.err
    assert "Traceback" not in done.err

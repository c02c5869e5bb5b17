"""clean gives the same bytes whoever does the work: one process or several, or a Ray cluster of two nodes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmkit.data.artifacts import Corpus

WORDS = [f"{a}{b}" for a in ("ba", "ko", "mi", "tu", "re", "so") for b in ("lan", "dor", "ves", "pim", "gut", "han")]
CHINESE = "春夏秋冬山水花鸟天地人心东西南北上下左右红黄蓝白大小多少来去"
RECIPE = """
steps:
  - normalize
  - exact_duplicates
  - {type: duplicate_lines, min_chars: 20}
  - near_duplicates
  - {type: cap, limit: 12000}
  - {type: mixture, weights: {a: 1, b: 1, zh: 2}}
"""


def write_inputs(folder):
    """Three sources, English and Chinese, with copies, near-copies, boilerplate and a broken row each."""
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "zh")):
        rng = random.Random(seed)
        rows = []
        for i in range(60):
            text = "".join(rng.choices(CHINESE, k=60)) if name == "zh" else " ".join(rng.choices(WORDS, k=60))
            boilerplate = "版权所有，未经许可不得转载，违者必究。" * 2 if name == "zh" else "All rights reserved. " * 3
            if i % 5 == 0:
                text += f"\n\n{boilerplate.strip()}\n\nend {i}"
            rows += [text, *([text + " tail"] if i % 7 == 0 else []), *([text] if i % 11 == 0 else [])]
        lines = [json.dumps({"text": row}, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join([*lines[:9], "{broken", *lines[9:]]) + "\n", encoding="utf-8")


@pytest.fixture
def small(monkeypatch):
    """Many tasks, buckets and shards out of little text."""
    for name in ("plan.TASK_BYTES", "shards.SHARD_CHARS", "run.SHARD_CHARS"):
        monkeypatch.setattr(f"llmkit.cleaning.{name}", 8000)
    monkeypatch.setattr("llmkit.cleaning.plan.BUCKET_INPUT_BYTES", 20_000)


@pytest.fixture
def clean(cli, small, tmp_path):
    """Run the recipe and return the bytes of the corpus and the report, whose paths are cut to names."""
    write_inputs(tmp_path / "in")
    (tmp_path / "r.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "shuffled.yaml").write_text(RECIPE + "  - shuffle\n", encoding="utf-8")

    def call(out, *options, source="in", recipe="r.yaml"):
        outcome = cli("clean", "-i", source, "-r", recipe, "-o", out, "-q", *options)
        assert outcome.code == 0, outcome.err
        report = (Path(out) / "report.json").read_text(encoding="utf-8")
        for count in json.loads(report)["files"].values():
            assert count["rows"] == count["kept"] + count["rejected"] + count["failed"]
        found = {path.name: path.read_bytes() for path in sorted(Path(out).glob("data-*.parquet"))}
        return {**found, "report": report.replace(f"{Path(source).absolute()}/", "")}

    return call


@pytest.mark.parametrize("recipe", [pytest.param("r.yaml", marks=pytest.mark.slow), "shuffled.yaml"])
def test_any_number_of_workers(clean, recipe):
    one = clean("one", "--workers", 1, recipe=recipe)
    assert len(one) > 3
    report = json.loads(one["report"])
    assert all(step["changed"] + step["dropped"] for step in report["steps"][1:6])
    assert [count["failed"] for count in report["files"].values()] == [1, 1, 1]
    assert clean("two", "--workers", 2, recipe=recipe) == one
    assert clean("three", "--workers", 3, recipe=recipe) == one


def test_inputs_that_lie_elsewhere(clean, tmp_path):
    shutil.copytree(tmp_path / "in", tmp_path / "deep/down/there")
    assert clean("elsewhere", source=tmp_path / "deep/down/there") == clean("here")


def test_other_task_sizes_change_the_borders_of_files_only(clean, monkeypatch):
    def rows(out):
        return list(Corpus(out).rows())

    small = clean("small", "--workers", 1)
    monkeypatch.setattr("llmkit.cleaning.plan.TASK_BYTES", 3000)
    smaller = clean("smaller", "--workers", 1)
    monkeypatch.setattr("llmkit.cleaning.plan.TASK_BYTES", 10**6)
    monkeypatch.setattr("llmkit.cleaning.plan.BUCKET_INPUT_BYTES", 10**6)
    whole = clean("whole", "--workers", 1)
    assert rows("smaller") == rows("small") == rows("whole")
    assert len(whole) < len(small)
    counts = [{**json.loads(made["report"]), "counted": None} for made in (small, smaller, whole)]
    for name in ("documents", "bytes", "rules", "sources", "files"):
        assert counts[0][name] == counts[1][name] == counts[2][name]


# Ray runs in processes of its own: what it leaves behind in a process would reach the other tests. The driver is the
# command line itself, and the cluster has two nodes with one CPU each, one of which goes away in the middle.
_CLUSTER = """
import json, logging, os, sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20,
                  "include_dashboard": False})
second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
cluster.wait_for_nodes()
os.environ["RAY_ADDRESS"] = cluster.address

import llmkit.cleaning.plan as plan, llmkit.cleaning.run as run_module, llmkit.cleaning.shards as shards
plan.TASK_BYTES = shards.SHARD_CHARS = run_module.SHARD_CHARS = 8000
plan.BUCKET_INPUT_BYTES = 20_000
from llmkit.cli.main import run

def code(out, *options):
    return run(["clean", "-i", "in", "-r", "shuffled.yaml", "-o", out, "-q", "--engine", "ray", *options])

def remove():
    while not list(Path("lost/.partial/scratch").glob("**/done-1/*.done")):
        time.sleep(0.01)
    cluster.remove_node(second)
    removed.append(True)

answers, removed = {"both": code("both")}, []
answers["cpus"] = ray.cluster_resources()["CPU"]
answers["nodes"] = len({node["NodeID"] for node in ray.nodes() if node["Alive"]})
answers["strict"] = code("strict", "--strict")
thread = threading.Thread(target=remove)
thread.start()
answers["lost"] = code("lost")
thread.join()
answers["removed"] = removed
print(json.dumps(answers), flush=True)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_ray_cluster_of_two_nodes_one_of_which_is_lost(clean, tmp_path):
    local = clean("local", recipe="shuffled.yaml")
    environment = {
        **os.environ,
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    done = subprocess.run(
        [sys.executable, "-c", _CLUSTER], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers == {"both": 0, "cpus": 2.0, "nodes": 2, "strict": 3, "lost": 0, "removed": [True]}, done.stderr
    # A broken row is the same user error as in a local process, told in the same words.
    assert f"error: {tmp_path / 'in/a.jsonl'}:10: invalid JSON" in done.stderr
    for out in ("both", "lost"):
        files = {path.name: path.read_bytes() for path in sorted((tmp_path / out).glob("data-*.parquet"))}
        assert files == {name: data for name, data in local.items() if name != "report"}
        report = (tmp_path / out / "report.json").read_text(encoding="utf-8")
        assert report.replace(f"{tmp_path / 'in'}/", "") == local["report"]

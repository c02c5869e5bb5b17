"""`llmkit serve` as a process: from its first line to its last."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from llmkit.cli.main import run
from served import process, save_writer

TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_writer(tmp_path_factory.mktemp("made") / "writer", max_position_embeddings=4096)


def test_from_the_command_to_sigterm_in_mid_stream(folder):
    with process(str(folder), "--model", f"again={folder}", "--cache-gb", "0.05") as (server, address):
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["writer", "again"]
            told = {"model": "again", "messages": TURNS, "seed": 1, "max_tokens": 300}
            whole = client.chat.completions.create(**told).choices[0]
            chunks = client.chat.completions.create(**told, stream=True)
            begun = [next(chunks), next(chunks)]
            server.send_signal(signal.SIGTERM)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in [*begun, *chunks])
            assert text == whole.message.content, "what is being written comes to its end"
        assert server.wait(10) == 0
        assert "SIGTERM: no new requests" in server.stderr.read()


@pytest.mark.slow
def test_what_takes_too_long_at_sigterm_is_ended(folder):
    # One text after another: side by side they all end within a second, wherever the draws meet the end of writing.
    with process(str(folder), "--drain", "0.1", "--batch", "1", "--cache-gb", "0.05") as (server, address):
        host, _, port = urlsplit(address).netloc.partition(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
            body = json.dumps(
                {"model": "writer", "prompt": "a", "n": 16, "max_tokens": 4000, "stream": True, "seed": 1}
            )
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.readline()
            server.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert server.wait(30) == 0
            assert time.monotonic() - begun < 30, "what is not written by then is ended"
            with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                assert b"[DONE]" not in reply.read()


def open_files(server):
    return len([*Path(f"/proc/{server.pid}/fd").iterdir()])


@pytest.mark.slow
def test_clients_that_are_killed_leave_nothing_behind(folder):
    client = (
        "import sys, http.client, json\n"
        "c = http.client.HTTPConnection(sys.argv[1])\n"
        "body = json.dumps({'model': 'writer', 'prompt': 'a', 'n': 8, 'max_tokens': 4000, 'stream': True})\n"
        "c.request('POST', '/v1/completions', body, {'Content-Type': 'application/json'})\n"
        "r = c.getresponse(); r.readline(); print('begun', flush=True); r.read()\n"
    )
    with process(str(folder), "--cache-gb", "0.05") as (server, address):
        httpx.get(f"{address}/metrics")  # what is loaded at the first request stays
        files = open_files(server)
        started = [
            subprocess.Popen([sys.executable, "-c", client, urlsplit(address).netloc], stdout=subprocess.PIPE)
            for _ in range(3)
        ]
        for one in started:
            assert one.stdout.readline() == b"begun\n"
        for one in started:
            one.kill()
            one.wait()
            one.stdout.close()
        end = time.monotonic() + 30
        while 'llmkit_batch_requests{model="writer"} 0.0' not in httpx.get(f"{address}/metrics").text:
            assert time.monotonic() < end, "they are still written for"
            time.sleep(0.05)
        while open_files(server) > files:
            assert time.monotonic() < end, "their connections are still open"
            time.sleep(0.05)


def test_what_cannot_be_served_is_said_at_once(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LLMKIT_API_KEY", raising=False)

    def refused(*arguments):
        return run(["serve", *map(str, arguments)]), capsys.readouterr().err

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = refused(folder, "--port", taken.getsockname()[1])
    assert code == 4
    assert "cannot be listened at: Address already in use" in said
    code, said = refused(folder, "--host", "0.0.0.0")
    assert code == 2
    assert "there is no key" in said
    assert "--insecure" in said
    code, said = refused(tmp_path / "none", "--port", "0")
    assert code == 3
    assert "does not exist" in said
    code, said = refused("--model", f"a={folder}", "--model", f"a={folder}")
    assert code == 2
    assert "two models are called 'a'" in said

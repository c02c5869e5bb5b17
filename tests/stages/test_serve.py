"""The server's interface, asked with OpenAI's own client and, for what that would never send, in bare words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import socket
import struct
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
import pytest

import headed
from llmkit.serving.engine import EngineSettings
from llmkit.serving.limits import Keys, Limits
from llmkit.serving.running import RunningEngine
from llmkit.serving.service import Service
from loops import in_a_loop
from served import open_writer, save_writer, serving

TURNS = [{"role": "user", "content": "Hi"}]
GREEDY = {"model": "tiny", "messages": TURNS, "temperature": 0, "max_tokens": 20}
UNIQUE = {"type": "array", "uniqueItems": True}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    with open_writer(save_writer(tmp_path_factory.mktemp("writer")), places=16) as found:
        yield found


@pytest.fixture(scope="module")
def service(writer, tmp_path_factory):
    votes = tmp_path_factory.mktemp("votes") / "votes.jsonl"
    return Service({"tiny": writer}, Limits(body_bytes=1 << 20, read_s=1.0), votes=votes)


@pytest.fixture(scope="module")
def address(service):
    with serving(service) as found:
        yield found


@pytest.fixture
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def text(writer):
    return writer.submit(TURNS, sampling()).text()


def sampling():
    from llmkit.serving.engine import Sampling

    return Sampling(max_tokens=20, temperature=0)


def bare(address):
    return closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=10))


def posted(address, path, body, **headers):
    """Status and body of a request, sent as it is."""
    with bare(address) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def test_a_chat_is_what_the_engine_writes(client, text):
    reply = client.chat.completions.create(**GREEDY)
    assert reply.choices[0].message.content == text
    assert reply.choices[0].finish_reason == "length"
    assert (reply.object, reply.model) == ("chat.completion", "tiny")
    usage = reply.usage
    assert (usage.completion_tokens, usage.total_tokens) == (20, usage.prompt_tokens + 20)


def test_a_stream_is_the_same_text_and_ends_with_done(client, address, text):
    chunks = list(client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 20
    lines = httpx.post(f"{address}/v1/chat/completions", json={**GREEDY, "stream": True}).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert not any('"usage"' in line for line in lines)


def test_a_stop_text_is_cut_off_over_the_borders_of_chunks(client, text):
    stop = text[3:8]
    wanted = text[: text.find(stop)]
    reply = client.chat.completions.create(**GREEDY, stop=stop)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (wanted, "stop")
    chunks = list(client.chat.completions.create(**GREEDY, stop=["never", stop], stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == wanted


def test_several_choices_and_a_seed(client):
    told = {"model": "tiny", "messages": TURNS, "n": 3, "seed": 4, "max_tokens": 8}
    first, again = (client.chat.completions.create(**told) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) == 3
    streamed = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(**told, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [streamed[i] for i in range(3)] == texts


def test_log_probabilities_of_both_routes(client, text):
    chat = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert b"".join(bytes(one.bytes) for one in chat).decode("utf-8", "replace") == text
    assert all(one.logprob == one.top_logprobs[0].logprob <= 0 for one in chat)
    whole = client.completions.create(model="tiny", prompt="ab", max_tokens=4, temperature=0, logprobs=1).choices[0]
    assert len(whole.logprobs.tokens) == len(whole.logprobs.token_logprobs) == len(whole.logprobs.text_offset) == 4


def test_completions_of_texts_and_of_ids(client, writer):
    told = {"model": "tiny", "max_tokens": 6, "temperature": 0}
    texts = client.completions.create(**told, prompt=["ab", "c"], n=2)
    assert len(texts.choices) == 4
    assert texts.usage.prompt_tokens == 3
    ids = client.completions.create(**told, prompt=[list(writer.encode(prompt)) for prompt in ("ab", "c")])
    assert [choice.text for choice in ids.choices] == [texts.choices[0].text, texts.choices[2].text]
    one = client.completions.create(**told, prompt=list(writer.encode("ab")))
    assert one.choices[0].text == texts.choices[0].text
    assert client.completions.create(model="tiny", prompt="ab").usage.completion_tokens <= 16


def test_a_schema_is_followed(client):
    schema = {"name": "colour", "schema": {"enum": ["red", "green"]}}
    told = {"type": "json_schema", "json_schema": schema}
    reply = client.chat.completions.create(**{**GREEDY, "max_tokens": 60}, response_format=told)
    assert json.loads(reply.choices[0].message.content) in ("red", "green")


@pytest.mark.parametrize(("changes", "field", "words"), [
    ({"logit_bias": {"1": 2}}, "logit_bias", "not supported"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [{"role": "usr", "content": "x"}]}, "messages[0].role", "did you mean 'user'"),
    ({"messages": [{"role": "user", "content": "x", "cache": 1}]}, "messages[0].cache", "not read"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type", "only text"),
    ({"messages": [{"role": "user", "content": "x" * 300}]}, "messages", "tokens long"),
    ({"max_tokens": 1000}, "max_tokens", "there is room for 256"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "another number"),
    ({"temperature": -1}, "temperature", "greater than or equal to 0"),
    ({"temperature": "1"}, "temperature", "valid number"),
    ({"n": 99}, "n", "less than or equal to 16"),
    ({"stop": [""]}, "stop[0]", "at least 1 character"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation",
     "not supported"),
    ({"tool_choice": "required"}, "tool_choice", "'auto' or 'none'"),
    ({"tools": [TOOL]}, "tools", "shows no tools"),
    ({"tools": [TOOL, {"type": "function"}]}, "tools[1].function", "it is missing"),
    ({"tools": [{"type": "function", "function": "f"}]}, "tools[0].function", "has to be an object"),
    ({"tools": [{"type": "function", "function": {"name": 3}}]}, "tools[0].function.name", "has to be a text"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "it is missing"),
    ({"tools": [{"type": "web", "function": {"name": "a"}}]}, "tools[0].type", "only functions"),
    ({"stop": ""}, "stop", "at least 1 character"),
    ({"stop": ["a", 3]}, "stop[1]", "valid string"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": UNIQUE}}},
     "response_format", "uniqueItems"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}}},
     "response_format", "no text does"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"anyOf": [{"$ref": "#"}]}}}},
     "response_format", "no text does"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": []}}}},
     "response_format", "cannot be followed"),
])  # fmt: skip
def test_what_is_not_supported_is_refused_by_its_name(address, changes, field, words):
    status, reply = posted(address, "/v1/chat/completions", json.dumps({**GREEDY, **changes}))
    assert (status, reply["error"]["param"]) == (400, field)
    assert words in reply["error"]["message"]
    assert reply["error"]["message"].startswith(field), "and says so once"


def test_a_null_is_as_good_as_nothing(address):
    assert posted(address, "/v1/chat/completions", json.dumps({**GREEDY, "logit_bias": None, "stop": None}))[0] == 200


@pytest.mark.parametrize(("body", "status", "words"), [
    (b'{"model": ', 400, "no JSON"),
    (b"\xff\xfe", 400, "not UTF-8"),
    (b"[1]", 400, "no JSON object"),
    (b'{"model": "tiny", "temperature": NaN}', 400, "NaN"),
    (b'{"model": "tiny", "prompt": "\\ud800"}', 400, "half of a character"),
    (b"[" * 100_000, 400, "no JSON"),
    (b'{"model": "tiny", "prompt": "a", "temperature": 1e999}', 400, "1e999 is larger than any number"),
    (b'{"model": "tiny", "prompt": "a", "user": {"a": -1e400}}', 400, "-1e400 is larger than any number"),
    (b'{"model": "tiny", "prompt": "a", "tools": ' + b"[" * 700 + b"]" * 700 + b"}", 400, "more than 100 deep"),
    (b'{"model": "tiny", "prompt": "a", "temperature": 1' + b"0" * 400 + b"}", 400, "temperature: "),
    (b" " * (10 << 20), 413, "1,048,576 bytes"),
])  # fmt: skip
def test_bodies_that_are_none(address, body, status, words):
    found, reply = posted(address, "/v1/completions", body)
    assert found == status
    assert words in reply["error"]["message"]


def test_another_kind_of_body_is_refused(address):
    status, reply = posted(address, "/v1/completions", b"{}", **{"Content-Type": "text/plain"})
    assert (status, reply["error"]["message"]) == (415, "the body has to be application/json")


def test_a_body_that_does_not_come(address):
    with bare(address) as connection:
        connection.putrequest("POST", "/v1/completions")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"{")
        assert connection.getresponse().status == 408


def test_names_that_are_none(client, address):
    with pytest.raises(openai.NotFoundError, match="no model 'tyni'; valid: tiny"):
        client.chat.completions.create(**{**GREEDY, "model": "tyni"})
    with pytest.raises(openai.BadRequestError, match="makes no vectors"):
        client.embeddings.create(model="tiny", input="x")
    assert httpx.get(f"{address}/nothing").status_code == 404
    reply = httpx.get(f"{address}/v1/completions")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert httpx.get(f"{address}/../pyproject.toml").status_code == 404
    assert httpx.get(f"{address}/{'a' * 300}.js").status_code == 404, "no name of a file is as long"


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_makes_room(address, writer, stream):
    body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 250, "n": 8, "seed": 1, "stream": stream})
    for _ in range(3):
        with bare(address) as connection:
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            until(lambda: writer.load()["running"] > 0)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: writer.load()["running"] == writer.load()["waiting"] == 0)
    assert posted(address, "/v1/chat/completions", json.dumps(GREEDY))[0] == 200


def test_others_go_on_beside_one_that_does_not_read(address, client, text):
    with closing(socket.create_connection(urlsplit(address).netloc.split(":"), timeout=10)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 200, "n": 8, "stream": True, "logprobs": 20})
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        slow.sendall(f"{head}\r\n\r\n{body}".encode())
        assert [client.chat.completions.create(**GREEDY).choices[0].message.content for _ in range(3)] == [text] * 3


def test_64_streams_are_each_what_one_alone_is(address, writer):
    told = {"model": "tiny", "max_tokens": 12, "temperature": 0}
    prompts = [f"{n} {'x' * (n % 7)}" for n in range(64)]

    async def one(client, prompt):
        chunks = await client.completions.create(**told, prompt=prompt, stream=True)
        return "".join([chunk.choices[0].text async for chunk in chunks])

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, prompt) for prompt in prompts))

    from llmkit.serving.engine import Sampling

    wanted = [writer.submit(prompt, Sampling(max_tokens=12, temperature=0)).text() for prompt in prompts]
    assert in_a_loop(all_of_them()) == wanted


def test_models_health_and_numbers(client, address):
    (model,) = client.models.list()
    assert (model.id, client.models.retrieve("tiny").id) == ("tiny", "tiny")
    assert model.can == ["chat", "completions"]
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    assert httpx.get(f"{address}/ready").status_code == 200
    numbers = httpx.get(f"{address}/metrics").text
    for name in ("queue_requests", "batch_requests", "generated_tokens_total", "time_to_first_token_seconds_count",
                 "requests_total", "engine_alive"):  # fmt: skip
        assert f"llmkit_{name}{{" in numbers


def test_the_engines_death_is_seen_and_mended(writer):
    with serving(Service({"tiny": writer})) as address:
        gate, load = threading.Event(), writer.writer._make
        writer.writer._make = lambda: gate.wait(5) and load()
        writer.writer.places.begin = None  # not to be called
        status, reply = posted(address, "/v1/chat/completions", json.dumps(GREEDY))
        assert (status, reply["error"]["type"]) == (503, "server_error")
        assert httpx.get(f"{address}/health").status_code == 503
        assert httpx.get(f"{address}/ready").status_code == 503
        gate.set()
        until(lambda: httpx.get(f"{address}/health").status_code == 200)
        assert posted(address, "/v1/chat/completions", json.dumps(GREEDY))[0] == 200
        writer.writer._make = load


def test_a_description_that_needs_nothing_from_elsewhere(address):
    page = httpx.get(f"{address}/docs")
    assert "max_completion_tokens" in page.text
    assert "http://" not in page.text.replace(address, "")
    assert "https://" not in page.text
    assert httpx.get(f"{address}/openapi.json").json()["openapi"].startswith("3.1")


def test_votes_become_rows(address, service):
    asked = {
        "prompt": TURNS,
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }
    assert posted(address, "/page/votes", json.dumps(asked))[0] == 201
    liked = {"prompt": TURNS, "completion": asked["chosen"], "label": True}
    assert posted(address, "/page/votes", json.dumps(liked))[0] == 201
    assert [json.loads(line) for line in service.votes.read_text().splitlines()] == [asked, liked]
    for vote, words in (
        ({"prompt": TURNS, "label": True}, "chosen: a judgement has chosen and rejected, or completion and label"),
        ({**liked, "completion": []}, "completion: there is no answer in it: a judgement is of one message or more"),
        ({**asked, "rejected": []}, "rejected: there is no answer in it: a judgement is of one message or more"),
        ({**liked, "completion": [{"role": "usr", "content": "x"}]}, "completion[0].role"),
    ):
        status, reply = posted(address, "/page/votes", json.dumps(vote))
        assert (status, reply["error"]["message"].startswith(words)) == (400, True), reply
    assert httpx.get(f"{address}/page/config").json()["votes"] is True


def test_votes_that_cannot_be_kept_are_told_so(writer, tmp_path, cli):
    gone = tmp_path / "gone" / "votes.jsonl"
    with serving(Service({"tiny": writer}, votes=gone)) as address:
        liked = {"prompt": TURNS, "completion": [{"role": "assistant", "content": "a"}], "label": True}
        status, reply = posted(address, "/page/votes", json.dumps(liked))
    assert (status, reply["error"]["message"]) == (
        500, "the judgement was not kept: votes.jsonl: No such file or directory",
    )  # fmt: skip
    refused = cli("serve", writer.where, "--votes", str(gone), "--port", "0")
    assert refused.code == 4
    assert f"--votes: {gone} cannot be written: No such file or directory" in refused.err
    assert "mkdir -p" in refused.err


@pytest.mark.parametrize(("arguments", "words"), [
    (["--runtime", "lama"], "--runtime: unknown runtime 'lama'; did you mean 'llama_cpp'?"),
    (["--drain", "inf"], "'--drain': Input should be less than or equal to 604800"),
    (["--drain", "nan"], "'--drain': Input should be"),
    (["--drain", "-1"], "'--drain': Input should be greater than or equal to 0"),
    (["--timeout", "inf"], "'--timeout': Input should be less"),
    (["--timeout", "nan"], "'--timeout': Input should be"),
    (["--max-body-mb", "inf"], "'--max-body-mb': Input should be less"),
    (["--cache-gb", "nan"], "'--cache-gb': Input should be"),
    (["--cache-gb", "inf"], "'--cache-gb': Input should be less"),
])  # fmt: skip
def test_options_that_are_none(writer, cli, arguments, words):
    refused = cli("serve", writer.where, "--port", "0", *arguments)
    assert refused.code == 2
    assert words in refused.err


def test_a_model_without_a_name(cli):
    refused = cli("serve", "")
    assert refused.code == 2
    assert "the model has an empty name" in refused.err


def test_an_address_is_taken_as_a_whole_before_the_models_are_loaded():
    """A socket that is bound alone leaves its port to another that binds it too: the later one would die loaded."""
    from llmkit.core.errors import SetupError
    from llmkit.serving.server import _listening

    with _listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port), timeout=5)):
            pass
        with pytest.raises(SetupError, match="Address already in use"), _listening("127.0.0.1", port):
            pass
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(SetupError) as caught, _listening(host, 0):
            pass
        assert "--host 127.0.0.1" in caught.value.hint


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_what_is_written_is_given_as_long_as_was_said(writer, monkeypatch, seconds):
    import uvicorn

    from llmkit.serving import server

    found = []

    async def serve(self, sockets):
        found.append(self.config.timeout_graceful_shutdown)

    monkeypatch.setattr(uvicorn.Server, "serve", serve)
    server._run(Service({"tiny": writer}, Limits(drain_s=seconds)), None, print)
    assert found == [seconds]


def test_what_is_asked_is_answered_from_documents(writer, cli, jsonl):
    from llmkit.retrieval import Retriever, prompt

    rows = [{"text": "Lima lies by the sea.", "url": "https://example.org/lima"}, {"text": "Oslo is in the north."}]
    assert cli("index", "-i", jsonl("pages.jsonl", rows), "-o", "idx").code == 0
    documents = Retriever.open("idx")
    told = {"model": "tiny", "temperature": 0, "max_tokens": 5}
    turns = [{"role": "user", "content": "Lima?"}]
    with serving(Service({"tiny": writer}, documents=documents)) as address:
        reply = httpx.post(f"{address}/v1/chat/completions", json={**told, "messages": turns}).json()
        (cited,) = reply["citations"]
        assert cited == {
            "n": 1,
            "title": "pages.jsonl",
            "source": "https://example.org/lima",
            "text": "Lima lies by the sea.",
        }
        informed = prompt(turns, documents.search("Lima?"))
        assert reply["usage"]["prompt_tokens"] == len(writer.encode(informed))
        assert "[1] Lima lies by the sea." in informed[0]["content"]
        lines = httpx.post(f"{address}/v1/chat/completions", json={**told, "messages": turns, "stream": True}).text
        chunks = [json.loads(line[6:]) for line in lines.split("\n\n") if line.startswith("data: {")]
        assert chunks[0]["citations"] == [cited]
        assert not any("citations" in chunk for chunk in chunks[1:])
        nothing = [{"role": "user", "content": "Kigali?"}]
        reply = httpx.post(f"{address}/v1/chat/completions", json={**told, "messages": nothing}).json()
        assert reply["citations"] == []
        long = [{"role": "user", "content": "Lima? " + "x" * 200}]
        reply = httpx.post(f"{address}/v1/chat/completions", json={**told, "messages": long}).json()
        assert reply["citations"] == [], "there is room for the question alone"
        assert reply["choices"]


def test_the_page_may_run_nothing_of_others(address):
    page = httpx.get(address)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert httpx.get(f"{address}/app.js").headers["content-type"].startswith("text/javascript")
    assert httpx.get(f"{address}/%2e%2e/app.py").status_code == 404


def test_keys_rates_and_hosts(writer, tmp_path, monkeypatch):
    monkeypatch.delenv("LLMKIT_API_KEY", raising=False)
    (tmp_path / "keys").write_text(hashlib.sha256(b"secret").hexdigest() + " ada\n")
    guarded = Service({"tiny": writer}, Limits(rate=2), Keys.read(tmp_path / "keys"))
    with serving(guarded) as address:
        assert httpx.get(f"{address}/v1/models").status_code == 401
        assert httpx.get(f"{address}/metrics").status_code == 401
        assert httpx.get(f"{address}/health").status_code == 200
        with openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
            assert [model.id for _ in range(2) for model in client.models.list()] == ["tiny"] * 2
            with pytest.raises(openai.RateLimitError) as caught:
                client.models.list()
            assert int(caught.value.response.headers["retry-after"]) in (29, 30)
    with serving(Service({"tiny": writer}, hosts=frozenset(("127.0.0.1",)))) as address:
        assert httpx.get(f"{address}/v1/models").status_code == 200
        assert httpx.get(f"{address}/v1/models", headers={"Host": "evil.example"}).status_code == 403
        port = urlsplit(address).netloc.partition(":")[2]
        for target, status in (("http://127.0.0.1:8080/v1/models", 200), ("HTTP://127.0.0.1", 200),
                               ("http://127.0.0.1/v1/models?x=1", 200), ("http://evil.example/v1/models", 403),
                               ("ftp://127.0.0.1/v1/models", 404)):  # fmt: skip
            with bare(address) as connection:  # as a proxy is asked: the host of the target is the one that counts
                connection.putrequest("GET", target, skip_host=True)
                connection.putheader("Host", f"127.0.0.1:{port}" if status != 200 else "evil.example")
                connection.endheaders()
                assert connection.getresponse().status == status, target
        for path, status in ((b"/health", b"200"), (b"/v1/models", b"403")):
            with closing(socket.create_connection(urlsplit(address).netloc.split(":"), timeout=10)) as old:
                old.sendall(b"GET " + path + b" HTTP/1.0\r\n\r\n")
                assert old.recv(100).split()[1] == status
    with serving(Service({"tiny": writer}, hosts=frozenset(("localhost",)))) as address:
        assert httpx.get(f"{address}/v1/models", headers={"Host": "LocalHost:80"}).status_code == 200


def test_a_full_queue_says_when_to_come_back(tmp_path):
    with (
        open_writer(save_writer(tmp_path / "m"), places=1, queue=1) as small,
        serving(Service({"m": small})) as address,
    ):
        body = {"model": "m", "prompt": "a", "max_tokens": 1}
        small.writer._waiting.append(None)  # unseen: nobody wakes the writer
        reply = httpx.post(f"{address}/v1/completions", json=body)
        small.writer._waiting.clear()
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        status, reply = posted(address, "/v1/completions", json.dumps({**body, "prompt": ["a"] * 2000, "n": 2}))
        assert (status, reply["error"]["message"]) == (
            400, "prompt: 2,000 x 2 texts are asked for in one request, at most 1 may be",
        )  # fmt: skip
        status, reply = posted(address, "/v1/completions", json.dumps({**body, "n": 2}))
        assert (status, reply["error"]["param"]) == (400, "n")


def other(where):
    """An engine of what does not write."""
    return RunningEngine(str(where), None, EngineSettings(), lambda _: None)


def test_vectors(tmp_path, monkeypatch):
    where = headed.save_headed(tmp_path / "m", headed.BODY)
    with other(where) as engine, serving(Service({"m": engine})) as address:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            floats = client.embeddings.create(model="m", input=["a b", "c"], encoding_format="float")
            packed = client.embeddings.create(model="m", input=["a b", "c"])  # the client asks for base64
            assert floats.data[1].embedding == pytest.approx(packed.data[1].embedding, abs=1e-6)
            assert floats.usage.prompt_tokens == 4 + 3, "two letters and one, each text between two special tokens"
            with pytest.raises(openai.BadRequestError, match="not trained for shorter"):
                client.embeddings.create(model="m", input="a", dimensions=2)
            long = rf"input\[1\]: the text is too long, 302 tokens: the model reads {engine.positions} tokens"
            with pytest.raises(openai.BadRequestError, match=long):
                client.embeddings.create(model="m", input=["a", "a " * 300])
            with monkeypatch.context() as patch, pytest.raises(openai.BadRequestError, match="too long, with all"):
                patch.setattr(engine.running, "tokenizer", None)  # as of an encoder in GGUF
                client.embeddings.create(model="m", input="a " * 300)
            with pytest.raises(openai.BadRequestError, match=r"input\[1\]: it is empty"):
                client.embeddings.create(model="m", input=["a", ""])
            engine.dimensions = (4,)
            short = client.embeddings.create(model="m", input="c", dimensions=4).data[0].embedding
            begin = np.array(floats.data[1].embedding[:4])
            assert short == pytest.approx(begin / np.linalg.norm(begin), abs=1e-6)
        body = {"model": "m", "input": "c", "encoding_format": "base64"}
        raw = httpx.post(f"{address}/v1/embeddings", json=body).json()["data"][0]["embedding"]
        assert np.frombuffer(base64.b64decode(raw), "<f4") == pytest.approx(floats.data[1].embedding, abs=1e-6)
        assert posted(address, "/v1/completions", json.dumps({"model": "m", "prompt": "a"}))[0] == 400


@pytest.mark.parametrize(("spec", "keys"), [
    (headed.SENTIMENT, {"index", "label", "probs", "num_classes"}),
    (headed.TOPICS, {"index", "labels", "probs", "num_classes"}),
    (headed.STARS, {"index", "values"}),
])  # fmt: skip
def test_labels_and_ratings(tmp_path, spec, keys):
    from llmkit.runtimes import Label

    where = headed.save_headed(tmp_path / "m", spec)
    with other(where) as engine, serving(Service({"m": engine})) as address:
        body = {"model": "m", "input": ["a b", {"text": "c", "pair": "d"}]}
        reply = httpx.post(f"{address}/v1/classify", json=body).json()
        first, second = reply["data"]
        for text, words in (("", "it is empty"), ("a " * 300, "the model reads")):
            status, refused = posted(address, "/v1/classify", json.dumps({"model": "m", "input": text}))
            assert (status, refused["error"]["param"]) == (400, "input")
            assert words in refused["error"]["message"]
        status, refused = posted(address, "/v1/classify", json.dumps({"model": "m", "input": ["a", {"pair": "b"}]}))
        assert (status, refused["error"]["param"]) == (400, "input[1].text")
        assert set(first) == keys
        outputs = engine.running.answer([Label("c", "d")])[0].astype(float)
        if spec == headed.STARS:
            assert second["values"] == pytest.approx(outputs.tolist(), abs=1e-5)
        elif spec == headed.TOPICS:
            assert second["probs"] == pytest.approx((1 / (1 + np.exp(-outputs))).tolist(), abs=1e-5)
        else:
            assert sum(second["probs"]) == pytest.approx(1)
            assert second["label"] == headed.SENTIMENT["labels"][int(outputs.argmax())]

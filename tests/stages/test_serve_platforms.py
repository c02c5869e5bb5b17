"""The routes by which SageMaker and Vertex AI ask a container, over HTTP."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest

import headed
from llmkit.serving.engine import EngineSettings, Sampling
from llmkit.serving.limits import Keys, Limits
from llmkit.serving.routes import platforms
from llmkit.serving.running import RunningEngine
from llmkit.serving.service import Service
from served import open_writer, save_writer, serving

PREDICT, HEALTH = "/v1/endpoints/7/deployedModels/8:predict", "/well"
GREEDY = {"temperature": 0, "max_tokens": 12}
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def vertex():
    """Vertex AI's names of its routes, as the server finds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(platforms.PREDICT, PREDICT)
        patch.setenv(platforms.HEALTH, HEALTH)
        yield


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    with open_writer(save_writer(tmp_path_factory.mktemp("writer")), places=16) as found:
        yield found


@pytest.fixture(scope="module")
def service(writer):
    return Service({"tiny": writer}, Limits(body_bytes=1 << 16))


@pytest.fixture(scope="module")
def address(service, vertex):
    with serving(service) as found:
        yield found


def asked(address, path, body=None, **headers):
    """Status and reply, JSON or not."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)) as connection:
        given = {"Content-Type": "application/json", **headers} if content is not None else headers
        connection.request("GET" if content is None else "POST", path, content, given)
        reply = connection.getresponse()
        text = reply.read().decode()
        kind = reply.headers.get_content_type()
    return reply.status, json.loads(text) if kind == "application/json" else text


def written(writer, prompt, **settings):
    return writer.submit(prompt, Sampling(**{"temperature": 0.0, "max_tokens": 12, **settings})).text()


def test_both_ask_whether_it_is_well(address, service):
    assert asked(address, "/ping") == asked(address, HEALTH) == (200, {"status": "ok"})
    service.draining = True
    try:
        assert asked(address, "/ping")[0] == asked(address, HEALTH)[0] == 503
    finally:
        service.draining = False


def test_an_invocation_is_any_of_the_other_bodies(address, writer):
    status, found = asked(address, "/invocations", {"messages": TURNS, **GREEDY})
    assert (status, found["object"], found["model"]) == (200, "chat.completion", "tiny")
    assert found["choices"][0]["message"]["content"] == written(writer, TURNS)
    status, found = asked(address, "/invocations", {"model": "tiny", "prompt": [5, 9, 20], **GREEDY})
    assert (status, found["choices"][0]["text"]) == (200, written(writer, [5, 9, 20]))


def test_what_platforms_ask_is_timed(address):
    assert asked(address, "/invocations", {"prompt": "a", **GREEDY})[0] == 200
    assert 'llmkit_request_seconds_count{route="/invocations"}' in asked(address, "/metrics")[1]


def test_an_invocation_streams(address, writer):
    status, found = asked(address, "/invocations", {"prompt": "Hi", "stream": True, **GREEDY})
    events = [line.removeprefix("data: ") for line in found.splitlines() if line.startswith("data: ")]
    assert (status, events[-1]) == (200, "[DONE]")
    parts = [json.loads(event)["choices"][0]["text"] for event in events[:-1]]
    assert "".join(parts) == written(writer, "Hi")
    assert len(parts) > 2


def test_predictions_come_in_the_order_of_the_instances(address, writer):
    """Bodies and plain texts beside each other; parameters are of all of them."""
    body = {"instances": [{"prompt": "b"}, "Hi", {"prompt": "a", "stop": "\n"}], "parameters": GREEDY}
    status, found = asked(address, PREDICT, body)
    assert status == 200
    first, second, third = found["predictions"]
    assert first["choices"][0]["text"] == written(writer, "b")
    assert second["choices"][0]["message"]["content"] == written(writer, TURNS)
    assert third["choices"][0]["text"] == written(writer, "a", stop=("\n",))


REFUSED = {
    "a list for a name": ("/invocations", {"prompt": "a", "model": ["t"]}, "model: Input should be a valid string"),
    "an object for a name": ("/invocations", {"prompt": "a", "model": {}}, "model: Input should be a valid string"),
    "a name of one of two": (PREDICT, {"instances": ["a", {"prompt": "a", "model": []}]}, "instances[1]: model: Input"),
    "no question": ("/invocations", {"max_tokens": 2}, "it has none of messages, prompt and input"),
    "a wrong field": ("/invocations", {"prompt": "a", "best_of": 2}, "best_of: this field is not supported"),
    "an unknown model": ("/invocations", {"prompt": "a", "model": "tin"}, "no model 'tin'; did you mean 'tiny'?"),
    "what it cannot": ("/invocations", {"input": "a"}, "'tiny' neither labels nor rates"),
    "no JSON": ("/invocations", b"{", "the body is no JSON"),
    "one of two": (PREDICT, {"instances": ["a", {"prompt": "a", "n": 99}]}, "instances[1]: n: Input should be less"),
    "a stream": (PREDICT, {"instances": ["a"], "parameters": {"stream": True}}, "instances[0].stream: a prediction"),
    "none": (PREDICT, {"instances": []}, "instances: List should have at least 1 item"),
    "too many": (PREDICT, {"instances": ["a"] * 257}, "instances: List should have at most 256 items"),
    "another word": (PREDICT, {"instances": ["a"], "parametres": {}}, "parametres: this field is not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_named(address, case):
    path, body, words = REFUSED[case]
    status, found = asked(address, path, body)
    assert status in {400, 404}
    assert words in found["error"]["message"]


def test_a_body_that_is_too_large(address):
    assert asked(address, "/invocations", {"prompt": "a" * 70_000})[0] == 413


def test_keys_are_needed_for_what_computes(writer, vertex):
    import hashlib

    keys = Keys(((hashlib.sha256(b"secret").digest(), "mine"),))
    with serving(Service({"tiny": writer}, keys=keys)) as address:
        assert asked(address, "/ping")[0] == asked(address, HEALTH)[0] == 200
        for path, body in (("/invocations", {"prompt": "a"}), (PREDICT, {"instances": ["a"]})):
            assert asked(address, path, body)[0] == 401
            assert asked(address, path, body, Authorization="Bearer secret")[0] == 200


def test_without_vertex_ai_there_is_no_route_of_it(writer, monkeypatch):
    monkeypatch.delenv(platforms.PREDICT, raising=False)
    monkeypatch.delenv(platforms.HEALTH, raising=False)
    assert [route.path for route in platforms.routes({})] == ["/ping", "/invocations"]
    with serving(Service({"tiny": writer})) as address:
        assert asked(address, PREDICT, {"instances": ["a"]})[0] in {404, 405}


@pytest.mark.parametrize(("head", "key"), [(headed.SENTIMENT, "label"), (headed.BODY, "embedding")])
def test_texts_are_labelled_and_made_into_vectors(tmp_path, vertex, head, key):
    folder = headed.save_headed(tmp_path / "model", head)
    with (
        RunningEngine(str(folder), None, EngineSettings(), lambda _: None) as engine,
        serving(Service({"reader": engine})) as address,
    ):
        status, found = asked(address, "/invocations", {"input": ["The bread is good.", "No"]})
        assert status == 200
        together = asked(address, PREDICT, {"instances": ["The bread is good.", {"input": "No"}]})[1]["predictions"]
    for one, two in zip(together, found["data"], strict=True):
        assert one["data"][0][key] == (two[key] if key == "label" else pytest.approx(two[key], abs=1e-5))

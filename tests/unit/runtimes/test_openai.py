"""The runtime for servers against a real one, in a thread, that answers from the runtime for directories."""

from __future__ import annotations

import email.utils
import json
import re
import time
from pathlib import Path

import pytest

import gguf_files
from completions_server import Served, serving, status
from llmkit.core.errors import ConfigError, DataError, SetupError
from llmkit.core.inputs import Inputs
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Generate, Score, Written, is_address
from llmkit.runtimes import _http as http
from llmkit.runtimes.openai import OpenAI
from llmkit.runtimes.transformers import Transformers

KEY = "sk-never-written-down"
PROMPTS = [(0, 5, 6, 7), (0, 40), (0, 9, 9, 12, 80, 81)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return gguf_files.directory(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def local(directory):
    return Transformers().load(str(directory))


@pytest.fixture
def served(local):
    with serving(Served(local)) as served:
        yield served


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """What is waited between two attempts; nobody waits."""
    found: list[float] = []
    init = http.Server.__init__
    monkeypatch.setattr(http.Server, "__init__", lambda self, *given: init(self, *given, sleep=found.append))
    return found


def remote(served, directory=None, **fields):
    return OpenAI(tokenizer=directory and str(directory), **fields).load(served.url)


def test_what_is_an_address():
    assert all(map(is_address, ("http://127.0.0.1:8000/v1", "HTTPS://a.example/v1")))
    assert not any(map(is_address, ("build/model", "/a/http", "https://huggingface.co/org/name", "ftp://a/b")))


def test_scores_are_those_of_the_model_here(served, local, directory):
    requests = [Score(prompt[:1], prompt[1:]) for prompt in PROMPTS] + [Score((0, 5, 6), (7,)), Score((0, 5), (6, 7))]
    assert remote(served, directory).answer(requests) == pytest.approx(local.answer(requests), rel=1e-5)
    path, _, body = served.seen[0]
    assert (path, body["model"], body["echo"], body["max_tokens"]) == ("/v1/completions", "tiny", True, 1)


def test_texts_are_those_of_the_model_here(served, local, directory):
    requests = [Generate(prompt, 12) for prompt in PROMPTS] + [Generate(PROMPTS[0], 8, temperature=1.5, seed=3)]
    (first,) = local.answer([Generate(PROMPTS[0], 12)])
    requests.append(Generate(PROMPTS[0], 12, stop=(first.text[4:6],)))
    found = remote(served, directory).answer(requests)
    expected = local.answer(requests)
    assert [(one.text, one.ended) for one in found] == [(one.text, one.ended) for one in expected]
    assert {one.ids for one in found} == {None}
    assert found[-1].ended
    assert not found[0].ended


def test_only_what_is_asked_of_the_draws_is_sent(served, directory):
    asked = [Generate(PROMPTS[0], 4), Generate(PROMPTS[0], 4, temperature=0.7, seed=5, top_p=0.9, top_k=40, min_p=0.1)]
    for one in asked:
        remote(served, directory).answer([one])
    names = ("temperature", "seed", "top_p", "top_k", "min_p")
    found = [{name: body[name] for name in names if name in body} for _, _, body in served.seen]
    assert found == [
        {"temperature": 0.0, "seed": 0},
        {"temperature": 0.7, "seed": 5, "top_p": 0.9, "top_k": 40, "min_p": 0.1},
    ]


def test_turns_are_templated_by_the_server(served, local):
    turns = ({"role": "user", "content": "the river"},)
    (found,) = remote(served).answer([Generate(turns, 6)])
    ids = local.tokenizer.apply_chat_template(list(turns), add_generation_prompt=True)["input_ids"]
    (expected,) = local.answer([Generate(tuple(ids), 6)])
    assert found == Written(None, expected.text, expected.ended)
    assert served.seen[0][0] == "/v1/chat/completions"
    assert served.seen[0][2]["messages"] == [dict(turns[0])]


def test_answers_come_in_order_and_several_are_on_their_way(served, directory):
    inside: list[int] = []
    most: list[int] = []

    def slow(handler):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        status(200, json.dumps({"choices": [{"text": str(len(most)), "finish_reason": "stop"}]}))(handler)

    served.faults = [slow] * 8
    found = remote(served, directory, parallel=4).answer([Generate((0, place), 1) for place in range(2, 10)])
    assert len(found) == 8
    assert 2 <= max(most) <= 4
    served.change = lambda reply: reply
    bodies = [Generate((0, place), 2) for place in range(2, 10)]
    again = remote(served, directory, parallel=4).answer(bodies)
    assert again == [remote(served, directory).answer([one])[0] for one in bodies]


@pytest.mark.parametrize(("stated", "given", "expected"), [(None, None, None), (64, None, 62), (64, 32, 30)])
def test_positions_leave_room_for_the_token_that_is_written(served, stated, given, expected):
    served.models = {"tiny": stated}
    assert remote(served, positions=given).facts.positions == expected
    served.length = lambda most: {"meta": {"n_ctx_train": 9999, "n_ctx": most}}  # llama.cpp
    assert remote(served, positions=given).facts.positions == expected


def test_what_it_does_not_take(served, directory):
    alone, whole = remote(served), remote(served, directory)
    assert "runtime.tokenizer=DIR" in (alone.takes(Score((0,), (1,))) or "")
    assert whole.takes(Score((0,), (1,))) is None
    assert alone.takes(Generate((0,), 1)) is None
    assert whole.takes(Embed("a"))
    assert whole.takes(Generate((0,), 1, exact=True))
    assert whole.takes(Generate((0,), 1, inputs={"pixel_values": [1]}))
    assert whole.tokens(Score((0, 1), (2,))) == 2
    assert whole.tokens(Generate((0, 1), 5)) == 7
    assert whole.tokens(Generate(({"role": "user", "content": "abc"},), 5)) == 8
    assert whole.answer([Generate((0,), 0)]) == [Written(None, "", ended=False)]
    assert (whole.facts.start, alone.facts.start) == (0, None)


def test_the_model_is_found_by_its_name(served):
    assert remote(served).name == "tiny"
    served.models = {"tiny": None, "other": None}
    with pytest.raises(ConfigError, match="serves 2 models"):
        remote(served)
    with pytest.raises(DataError, match="did you mean 'other'") as error:
        remote(served, model="othr")
    assert error.value.exit_code == 3
    assert remote(served, model="other").name == "other"
    served.models = {}
    with pytest.raises(ConfigError, match="serves 0 models"):
        remote(served)


def test_the_input_has_the_address_and_the_name_and_no_digest_of_weights(served, directory):
    inputs = Inputs()
    OpenAI(tokenizer=str(directory)).add_input(inputs, served.url + "/", "model")
    model, tokenizer = inputs.entries
    assert (model.role, model.path, model.kind) == ("model", served.url, "files")
    assert json.loads(inputs.listing[0])["name"] == "tiny"
    assert json.loads(inputs.listing[0])["stated"] is True
    assert (tokenizer.role, tokenizer.path) == ("tokenizer", str(directory))
    served.models = {"tiny2": None}
    other = Inputs()
    OpenAI().add_input(other, served.url, "model")
    assert other.entries[0].digest != model.digest


def test_a_key_is_sent_and_told_to_nobody(served, monkeypatch, waits):
    served.key = KEY
    with pytest.raises(SetupError, match="wants a key") as error:
        remote(served)
    assert "runtime.key=NAME" in (error.value.hint or "")
    with pytest.raises(SetupError, match="the environment has no LLMKIT_TEST_KEY"):
        remote(served, key="LLMKIT_TEST_KEY")
    monkeypatch.setenv("LLMKIT_TEST_KEY", KEY)
    there = remote(served, key="LLMKIT_TEST_KEY")
    assert there.answer([Generate((0, 5), 2)])
    assert KEY not in repr(there.server) + json.dumps(OpenAI(key="LLMKIT_TEST_KEY").spec(mode="json"))
    monkeypatch.setenv("LLMKIT_TEST_KEY", KEY + "x")
    with pytest.raises(SetupError, match=re.escape("does not take the key in $LLMKIT_TEST_KEY")) as error:
        remote(served, key="LLMKIT_TEST_KEY")
    assert KEY not in error.value.message  # though the server repeats it
    served.key = KEY + "x"
    there = remote(served, key="LLMKIT_TEST_KEY")
    for code in (200, 400):  # a proxy that repeats what it was sent, cut in the midst of it
        served.faults = [status(code, "x" * 290 + KEY + "x")]
        with pytest.raises(DataError) as error:
            there.answer([Generate((0, 5), 2)])
        assert KEY[:6] not in error.value.message
    monkeypatch.setenv("LLMKIT_TEST_KEY", "a\nb")
    with pytest.raises(SetupError, match="is no key"):
        remote(served, key="LLMKIT_TEST_KEY")
    with pytest.raises(ValueError, match="key"):
        OpenAI(key="sk-1234")


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1/v1", "http://127.0.0.1/v1?key=secret", "http:///v1"])
def test_addresses_that_are_not_taken(url):
    with pytest.raises(ConfigError) as error:
        OpenAI().load(url)
    assert "secret" not in error.value.message


def test_a_busy_server_is_asked_again_when_it_says(served, directory, waits):
    there = remote(served, directory)
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    served.faults = [
        status(429, "{}", Retry_After="7"), status(503, Retry_After=date), status(502), status(500, Retry_After="9999"),
        status(503, Retry_After="soon"),
    ]  # fmt: skip
    assert there.answer([Generate((0, 5), 2)])
    assert len(served.seen) == 6
    assert waits[0] == 7
    assert 28 <= waits[1] <= 30
    assert 1.5 <= waits[2] <= 2.5  # 0.5 * 2**2, spread by a quarter
    assert waits[3] == 60
    assert 6 <= waits[4] <= 10


def test_what_stays_busy_is_given_up(served, directory, waits):
    there = remote(served, directory, retries=2)
    served.faults = [status(503, json.dumps({"error": {"message": "loading"}}))] * 3
    with pytest.raises(SetupError, match="answers 503: loading, 3 times") as error:
        there.answer([Generate((0, 5), 2)])
    assert error.value.exit_code == 4
    assert len(waits) == 2


def test_nobody_is_there(waits):
    with pytest.raises(SetupError, match=r"no server answers at http://127\.0\.0\.1:9/v1") as error:
        OpenAI(retries=1).load("http://127.0.0.1:9/v1")
    assert error.value.hint


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.connection.close()


def slow(handler):
    time.sleep(1.5)
    handler.connection.close()


def drops(handler):
    """A reply that never comes to its end, and never pauses for long."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(30):
        time.sleep(0.1)
        try:
            handler.wfile.write(b" ")
        except OSError:  # nobody listens any more
            return


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (status(200, "<html>hello</html>"), DataError, "the reply is no JSON: '<html>hello</html>'"),
        (status(200, "[1]"), DataError, "the reply is no JSON object"),
        (status(200, '{"choices": []}'), DataError, "the reply has no choices"),
        (status(200, '{"choices": [{"text": null}]}'), DataError, "the reply has no text"),
        (status(200, '{"choices": [{"text": "a", "finish_reason": "abort"}]}'), SetupError, "broke an answer off"),
        (status(200, "[" * 100_000), DataError, "the reply is no JSON"),
        (status(400, '{"error": {"message": "too long"}}'), DataError, r"\(400\): too long \(it was a prompt of 2"),
        (status(413, "big " * 500), DataError, r"\(413\): big .*\.\.\. \(it was a prompt of 2"),
        (status(404, '{"detail": "no model"}'), DataError, r"is not there \(404\): no model"),
        (status(302, Location="http://127.0.0.1:9/"), SetupError, "answers 302"),
        (status(418), SetupError, "answers 418"),
        (cut, SetupError, "the reply was cut off after 10 bytes"),
        (slow, SetupError, "did not answer within 0.5 s"),
        (drops, SetupError, "did not answer within 0.5 s"),
    ],
)  # fmt: skip
def test_replies_that_are_none(served, directory, waits, fault, kind, words):
    there = remote(served, directory, retries=0, timeout_s=0.5)
    served.faults = [fault]
    with pytest.raises(kind, match=words):
        there.answer([Generate((0, 5), 2)])


def test_one_that_is_refused_ends_the_batch_and_not_the_model(served, directory, waits):
    there = remote(served, directory, parallel=2)
    served.faults = [status(400, "no")]
    before = len(served.seen)
    with pytest.raises(DataError, match="no"):
        there.answer([Generate((0, place), 2) for place in range(2, 60)])
    assert len(served.seen) - before < 58  # the rest is not asked
    assert len(there.answer([Generate((0, 5), 2)])) == 1
    assert there.batch_tokens(Generate) == 8192
    assert remote(served, parallel=16).batch_tokens(Generate) == 32768


def without(*path):
    def change(reply):
        inner = reply["choices"][0] if path[0] == "logprobs" else reply
        inner.pop(path[0])
        return reply

    return change


def logprobs(function):
    def change(reply):
        found = reply["choices"][0]["logprobs"]
        found["token_logprobs"] = function(found["token_logprobs"])
        return reply

    return change


def read(count):
    def change(reply):
        reply["usage"]["prompt_tokens"] = count
        return reply

    return change


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (without("logprobs"), DataError, "does not score what it is given"),
        (logprobs(lambda values: values[-1:]), DataError, "does not score what it is given"),  # of what it wrote
        (logprobs(lambda values: [None, *values]), DataError, "gave 6 log-probabilities, of 4 ids"),
        (logprobs(lambda values: values[:-2]), DataError, "gave 3 log-probabilities, of 4 ids"),
        (logprobs(lambda values: [*values[:2], None, *values[3:]]), DataError, "of some of the tokens"),
        (logprobs(lambda values: [*values[:2], float("-inf"), *values[3:]]), NotFiniteError, "-inf"),
        (read(5), DataError, "read 5 tokens"),  # a BOS of its own
    ],
)
def test_scores_that_are_not_those_of_the_ids(served, directory, change, kind, words):
    served.change = change
    with pytest.raises(kind, match=words):
        remote(served, directory).answer([Score((0, 5), (6, 7))])


def test_a_server_that_says_less_is_believed(served, local, directory):
    request = Score((0, 5), (6, 7))
    served.change = without("usage")
    assert remote(served, directory).answer([request]) == pytest.approx(local.answer([request]), rel=1e-5)
    served.change = lambda reply: reply | {"usage": dict.fromkeys(reply["usage"])}  # all of it null
    assert remote(served, directory).answer([request]) == pytest.approx(local.answer([request]), rel=1e-5)
    served.change = logprobs(lambda values: values[:-1])  # only of the prompt
    assert remote(served, directory).answer([request]) == pytest.approx(local.answer([request]), rel=1e-5)


def test_a_server_without_a_list_of_models(served, monkeypatch):
    with serving(Served()) as other:
        url = other.url.removesuffix("/v1") + "/api"
        with pytest.raises(DataError, match="is not there"):
            OpenAI().load(url)
        assert OpenAI(model="any").load(url).name == "any"

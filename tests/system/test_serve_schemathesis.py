"""The server is what its own description says: whatever is sent by it is answered by it, and nothing ends in a 500."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis

from llmkit.serving.engine import EngineSettings
from llmkit.serving.limits import Limits
from llmkit.serving.routes.described import description
from llmkit.serving.running import RunningEngine
from llmkit.serving.service import Service
from served import save_writer, serving


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = save_writer(tmp_path_factory.mktemp("writer"))
    settings = EngineSettings(cache_bytes=1 << 24, max_output=8)
    with RunningEngine(str(folder), None, settings, lambda _: None) as engine:
        votes = tmp_path_factory.mktemp("votes") / "votes.jsonl"
        with serving(Service({"tiny": engine}, Limits(), votes=votes)) as found:
            yield found


def ask_all(address, examples):
    """Send so many requests of each kind; return how many were sent, and the statuses that came."""
    description_ = description()
    schema = schemathesis.openapi.from_dict(description_)
    schema.config.base_url = address
    statuses = []
    for result in schema.get_all_operations():
        operation = result.ok()
        known = set(description_["paths"][operation.path][operation.method.lower()]["responses"])

        def ask(case, known=known):
            # Else all requests would end with a 404.
            if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and len(case.body["model"]) % 2:
                case.body = {**case.body, "model": "tiny"}
            reply = case.call()
            assert str(reply.status_code) in known, (case.path, case.body, reply.text)
            assert reply.status_code < 500, (case.path, case.body, reply.text)
            if reply.status_code >= 400:
                assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
            statuses.append(reply.status_code)

        run_all(operation, ask, examples)
    return statuses


def run_all(operation, ask, examples):
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
    )  # fmt: skip
    @hypothesis.given(operation.as_strategy())
    def each(case):
        ask(case)

    each()


def test_a_few_requests_of_each_kind(address):
    assert len(ask_all(address, 4)) >= 11


@pytest.mark.slow
def test_many_requests_of_each_kind(address):
    statuses = ask_all(address, 150)
    assert len(statuses) > 500
    assert {200, 400} <= set(statuses)

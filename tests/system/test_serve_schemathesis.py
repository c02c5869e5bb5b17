"""The server is what its own description says: whatever is sent by it is answered by it, and nothing ends in a 500."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from schemathesis import checks

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


def named(operation, case):
    """Requests name the model that there is, every other time; else all would end with a 404."""
    if isinstance(case.body, dict) and "model" in case.body and len(str(case.body)) % 2:
        case.body = {**case.body, "model": "tiny"}


def ask_all(address, examples):
    schema = schemathesis.openapi.from_dict(description())
    schema.config.base_url = address
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
        )  # fmt: skip
        @hypothesis.given(operation.as_strategy())
        def ask(case, operation=operation):
            nonlocal asked
            named(operation, case)
            case.call_and_validate(checks=[checks.not_a_server_error] if hasattr(checks, "not_a_server_error") else None)
            asked += 1

        ask()
    return asked


def test_a_few_requests_of_each_kind(address):
    assert ask_all(address, 4) >= 11


@pytest.mark.slow
def test_many_requests_of_each_kind(address):
    assert ask_all(address, 150) > 500

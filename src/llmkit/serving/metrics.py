"""What goes on, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from llmkit.serving.engine import Engine

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class _Engines:
    """Reads the engines' own numbers when it is asked."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = engines

    def collect(self) -> Iterator[Any]:
        """Yield a family for each number."""
        kinds: tuple[tuple[type[Any], str, str, str], ...] = (
            (GaugeMetricFamily, "waiting", "llmkit_queue_requests", "Requests that wait for a place."),
            (GaugeMetricFamily, "running", "llmkit_batch_requests", "Requests that are worked on side by side."),
            (CounterMetricFamily, "tokens", "llmkit_generated_tokens", "Tokens written; their rate is tokens/s."),
            (CounterMetricFamily, "prompt_tokens", "llmkit_prompt_tokens", "Tokens of prompts that were read."),
            (CounterMetricFamily, "steps", "llmkit_steps", "Steps of the batch."),
            (CounterMetricFamily, "deaths", "llmkit_engine_failures", "Times that an engine has started again."),
        )
        loads = {name: engine.load() for name, engine in self.engines.items()}
        for kind, key, name, words in kinds:
            family = kind(name, words, labels=["model"])
            for model, load in loads.items():
                family.add_metric([model], load[key])
            yield family
        alive = GaugeMetricFamily("llmkit_engine_alive", "1 for an engine that works.", labels=["model"])
        for model, engine in self.engines.items():
            alive.add_metric([model], float(engine.alive))
        yield alive


class Metrics:
    """Numbers of one server.

    Args:
        engines: By the names of the models.
    """

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Engines(engines))
        self.requests = Counter(
            "llmkit_requests", "Requests, by where they went and how they ended.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.errors = Counter(
            "llmkit_errors", "Requests that failed behind their first byte, or with a status of 500 and above.",
            ["route"], registry=self.registry,
        )  # fmt: skip
        self.first = Histogram(
            "llmkit_time_to_first_token_seconds", "From a request that is read to its first token.", ["model"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.whole = Histogram(
            "llmkit_request_seconds", "From a request that is read to the end of its answer.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """Return all numbers."""
        return generate_latest(self.registry)

"""`llmkit serve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

LIMITS = "Limits"
NAME_HINT = "llmkit serve DIR, or llmkit serve --model NAME=DIR --model OTHER=DIR"
MOST_GB, MOST_MB, MOST_S = 1 << 16, 1 << 16, 7 * 24 * 3600
"""Bounds of bounds: what is above them is a slip, or infinity."""
SERVED = "transformers, llama_cpp, onnxruntime, openvino."
STEP = "Tokens of a step: of each text one, the rest of prompts; default: 256, on a GPU 2048."


def _limit(name: str, said: str, **bounds: Any) -> Any:
    return typer.Option(name, help=said, rich_help_panel=LIMITS, **bounds)


Model = Annotated[str | None, typer.Argument(metavar="MODEL", help="Directory, export or GGUF file.")]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME=DIR", help="A model under a name of its own; repeatable.")
]
Host = Annotated[str, typer.Option("--host", help="Address; one that others reach needs a key.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")]
Runtime = Annotated[str | None, typer.Option("--runtime", metavar="NAME", help=SERVED)]
KeyFile = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="SHA-256 of keys, a line each; or LLMKIT_API_KEY holds one."),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="No key, whatever the address.")]
Documents = Annotated[
    Path | None, typer.Option("--documents", metavar="INDEX", help="Answer from what `llmkit index` has indexed.")
]
Votes = Annotated[
    Path | None,
    typer.Option("--votes", metavar="FILE", help="Add what the page's readers prefer, as rows for finetune."),
]
Batch = Annotated[int, _limit("--batch", "Texts written side by side.", min=1)]
Queue = Annotated[int, _limit("--queue", "Requests that may wait; more get 429.", min=1)]
CacheGB = Annotated[
    float | None,
    _limit("--cache-gb", "Memory for keys and values; default: a sixteenth of it.", min=0.001, max=MOST_GB),
]
CacheType = Annotated[Literal["float16", "float32"], _limit("--cache-type", "Of keys and values, of models in GGUF.")]
StepTokens = Annotated[int | None, _limit("--step-tokens", STEP, min=1)]
MaxPrompt = Annotated[int | None, _limit("--max-prompt-tokens", "Of a request.", min=1)]
MaxOutput = Annotated[int | None, _limit("--max-output-tokens", "Of a text, also where nothing is asked.", min=1)]
BodyMB = Annotated[float, _limit("--max-body-mb", "Of a request.", min=0.001, max=MOST_MB)]
PerMinute = Annotated[int | None, _limit("--rate", "Requests a minute of one key or address.", min=1)]
Timeout = Annotated[float, _limit("--timeout", "Seconds for an answer.", min=0.1, max=MOST_S)]
Drain = Annotated[float, _limit("--drain", "Seconds for what is written at SIGTERM.", min=0, max=MOST_S)]


def serve(
    model: Model = None,
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    runtime: Runtime = None,
    keys: KeyFile = None,
    insecure: Insecure = False,
    documents: Documents = None,
    votes: Votes = None,
    places: Batch = 64,
    queue: Queue = 256,
    cache_gb: CacheGB = None,
    cache_type: CacheType = "float16",
    step_tokens: StepTokens = None,
    max_prompt: MaxPrompt = None,
    max_output: MaxOutput = None,
    body_mb: BodyMB = 4.0,
    rate: PerMinute = None,
    request_s: Timeout = 600.0,
    drain_s: Drain = 30.0,
) -> None:
    """Serve models behind OpenAI's interface, and a page to talk to them."""
    from llmkit.core.console import Console
    from llmkit.serving.engine import EngineSettings
    from llmkit.serving.limits import Limits
    from llmkit.serving.server import Serving
    from llmkit.serving.server import serve as run

    engine = EngineSettings(
        places, queue, cache_bytes=None if cache_gb is None else int(cache_gb * 2**30), cache=cache_type,
        step_tokens=step_tokens, max_prompt=max_prompt, max_output=max_output,
    )  # fmt: skip
    limits = Limits(body_bytes=int(body_mb * 2**20), request_s=request_s, drain_s=drain_s, rate=rate)
    served = named(model, models or ())
    run(Serving(served, host, port, runtime, keys, insecure, documents, votes, limits, engine), Console().info)


def named(model: str | None, models: Sequence[str]) -> dict[str, str]:
    """Return paths by name; a model without one is called as its last part.

    Raises:
        ConfigError: There is none, or two have one name.
    """
    from llmkit.core.errors import ConfigError

    found: dict[str, str] = {}
    if model == "":
        raise ConfigError("the model has an empty name", NAME_HINT)
    pairs = [] if model is None else [(Path(model).absolute().name, model)]
    for each in models:
        name, sign, where = each.partition("=")
        if not sign:
            name, where = Path(each).absolute().name, each
        if not name or not where:
            raise ConfigError(f"--model {each}: NAME=DIR is wanted", NAME_HINT)
        pairs.append((name, where))
    for name, where in pairs:
        if name in found:
            raise ConfigError(f"two models are called '{name}': {found[name]} and {where}", NAME_HINT)
        found[name] = where
    if not found:
        raise ConfigError("no model is named", NAME_HINT)
    return found

"""`llmkit serve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

LIMITS = "Limits"
NAME_HINT = "llmkit serve DIR, or llmkit serve --model NAME=DIR --model OTHER=DIR"
MOST_GB, MOST_MB, MOST_S = 1 << 16, 1 << 16, 7 * 24 * 3600
"""Bounds of bounds: what is above them is a slip, or infinity."""


def serve(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Directory, export or GGUF file.")] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME=DIR", help="A model under a name of its own; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address; one that others reach needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 8000,
    runtime: Annotated[
        str | None, typer.Option("--runtime", metavar="NAME", help="transformers, llama_cpp, onnxruntime, openvino.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="SHA-256 of keys, a line each; or LLMKIT_API_KEY holds one."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No key, whatever the address.")] = False,
    documents: Annotated[
        Path | None, typer.Option("--documents", metavar="INDEX", help="Answer from what `llmkit index` has indexed.")
    ] = None,
    votes: Annotated[
        Path | None,
        typer.Option("--votes", metavar="FILE", help="Add what the page's readers prefer, as rows for finetune."),
    ] = None,
    places: Annotated[
        int, typer.Option("--batch", min=1, help="Texts written side by side.", rich_help_panel=LIMITS)
    ] = 64,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Requests that may wait; more get 429.", rich_help_panel=LIMITS)
    ] = 256,
    cache_gb: Annotated[
        float | None,
        typer.Option(
            "--cache-gb",
            min=0.001,
            max=MOST_GB,
            help="Memory for keys and values; default: a sixteenth of it.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    cache_type: Annotated[
        Literal["float16", "float32"],
        typer.Option("--cache-type", help="Of keys and values, of models in GGUF.", rich_help_panel=LIMITS),
    ] = "float16",
    step_tokens: Annotated[
        int | None,
        typer.Option(
            "--step-tokens",
            min=1,
            help="Tokens of a step: of each text one, the rest of prompts; default: 256, on a GPU 2048.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_prompt: Annotated[
        int | None, typer.Option("--max-prompt-tokens", min=1, help="Of a request.", rich_help_panel=LIMITS)
    ] = None,
    max_output: Annotated[
        int | None,
        typer.Option(
            "--max-output-tokens", min=1, help="Of a text, also where nothing is asked.", rich_help_panel=LIMITS
        ),
    ] = None,
    body_mb: Annotated[
        float,
        typer.Option("--max-body-mb", min=0.001, max=MOST_MB, help="Of a request.", rich_help_panel=LIMITS),
    ] = 4.0,
    rate: Annotated[
        int | None,
        typer.Option("--rate", min=1, help="Requests a minute of one key or address.", rich_help_panel=LIMITS),
    ] = None,
    request_s: Annotated[
        float,
        typer.Option("--timeout", min=0.1, max=MOST_S, help="Seconds for an answer.", rich_help_panel=LIMITS),
    ] = 600.0,
    drain_s: Annotated[
        float,
        typer.Option(
            "--drain",
            min=0,
            max=MOST_S,
            help="Seconds for what is written at SIGTERM.",
            rich_help_panel=LIMITS,
        ),
    ] = 30.0,
) -> None:
    """Serve models behind OpenAI's interface, and a page to talk to them."""
    from llmkit.core.console import Console
    from llmkit.serving.engine import EngineSettings
    from llmkit.serving.limits import Limits
    from llmkit.serving.server import Serving
    from llmkit.serving.server import serve as run

    cache = None if cache_gb is None else int(cache_gb * 2**30)
    told = Serving(
        named(model, models or ()), host, port, runtime, keys, insecure, documents, votes,
        Limits(body_bytes=int(body_mb * 2**20), request_s=request_s, drain_s=drain_s, rate=rate),
        EngineSettings(places, queue, cache, cache=cache_type, step_tokens=step_tokens, max_prompt=max_prompt,
                       max_output=max_output),
    )  # fmt: skip
    run(told, Console().info)


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

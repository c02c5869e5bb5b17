"""`llmkit chat`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.core.errors import DataError
    from llmkit.serving.conversation import Conversation

DRAWS = "How answers are drawn"


def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory, adapter, export or GGUF file.")],
    system: Annotated[str, typer.Option("--system", metavar="TEXT", help="What the system says.")] = "",
    load: Annotated[
        Path | None, typer.Option("--load", metavar="FILE", help="Go on with the last conversation of a file.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Add the conversation to a file at the end.")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option("--documents", metavar="INDEX", help="Answer from what `llmkit index` has indexed.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="NAME", help="transformers or llama_cpp; by default by the files."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Longest answer.", rich_help_panel=DRAWS)
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0 takes the likeliest token.", rich_help_panel=DRAWS)
    ] = 0.7,
    top_p: Annotated[
        float, typer.Option("--top-p", min=1e-6, max=1, help="Share that is drawn from.", rich_help_panel=DRAWS)
    ] = 0.95,
    top_k: Annotated[
        int, typer.Option("--top-k", min=0, help="Tokens that are drawn from; 0 for all.", rich_help_panel=DRAWS)
    ] = 0,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Makes an answer repeatable.", rich_help_panel=DRAWS)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what the model says.")] = False,
) -> None:
    """Talk with a model; in a pipe, answer what comes on stdin and print nothing else."""
    from llmkit.core.console import Console
    from llmkit.core.errors import ConfigError
    from llmkit.core.given import check_given, read_stdin
    from llmkit.serving.conversation import Conversation, check_saving
    from llmkit.serving.engine import EngineSettings, Sampling, open_engine
    from llmkit.serving.terminal import Terminal, is_terminal

    console, retriever = Console(quiet=quiet), None
    check_given(system, "--system")
    question = None if is_terminal() else read_stdin().strip()
    if question == "":
        raise ConfigError("there is no question on stdin", f'echo "..." | llmkit chat {model}')
    if save is not None:
        check_saving(save)
    if not math.isfinite(temperature):
        raise ConfigError(f"--temperature: should be a finite number, not {temperature}", "--temperature 0.7")
    if documents is not None:
        from llmkit.retrieval import Retriever

        retriever = Retriever.open(documents)
    sampling = Sampling(max_tokens, temperature, top_p, top_k, seed=seed)
    with open_engine(model, settings=EngineSettings(places=1), runtime=runtime) as engine:
        if "chat" not in engine.facts.can:
            raise _silent(model, writes="completions" in engine.facts.can)
        conversation = Conversation(engine, sampling, retriever)
        if load is not None:
            conversation.load(load)
        conversation.system = system or conversation.system
        if question is None:
            console.info(f"{model} ({engine.facts.runtime}); /help lists the commands, /exit leaves")
            Terminal(conversation, console, _write).run()
        else:
            _answer(conversation, question, console)
        if save is not None and len(conversation.turns) > 1:
            conversation.save(save)


def _silent(model: str, *, writes: bool) -> DataError:
    """Return the error for a model that cannot be talked with."""
    from llmkit.core.errors import DataError

    if writes:
        why, command = "has no chat template", f"llmkit generate {model} -i prompts.jsonl -o DIR goes on with texts"
    else:
        why, command = "writes no text", f"llmkit predict {model} -i FILES -o DIR asks what it does answer"
    return DataError(f"the model in '{model}' {why}: it cannot be talked with", command)


def _answer(conversation: Conversation, question: str, console: Console) -> None:
    """Print the answer to one question."""
    from llmkit.serving.conversation import printable
    from llmkit.serving.terminal import sources

    for text in conversation.ask(question):
        _write(printable(text) if sys.stdout.isatty() else text)
    _write("\n")
    for line in sources(conversation):
        console.info(line)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

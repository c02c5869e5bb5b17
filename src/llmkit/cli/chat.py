"""`llmkit chat`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.core.errors import DataError
    from llmkit.serving.conversation import Conversation

DRAWS = "How answers are drawn"


def _draw(name: str, said: str, **bounds: Any) -> Any:
    return typer.Option(name, help=said, rich_help_panel=DRAWS, **bounds)


Model = Annotated[str, typer.Argument(metavar="MODEL", help="Directory, adapter, export or GGUF file.")]
System = Annotated[str, typer.Option("--system", metavar="TEXT", help="What the system says.")]
Load = Annotated[
    Path | None, typer.Option("--load", metavar="FILE", help="Go on with the last conversation of a file.")
]
Save = Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Add the conversation to a file at the end.")]
Documents = Annotated[
    Path | None, typer.Option("--documents", metavar="INDEX", help="Answer from what `llmkit index` has indexed.")
]
Runtime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="transformers or llama_cpp; by default by the files.")
]
MaxTokens = Annotated[int | None, _draw("--max-tokens", "Longest answer.", min=1)]
Temperature = Annotated[float, _draw("--temperature", "0 takes the likeliest token.", min=0)]
TopP = Annotated[float, _draw("--top-p", "Share that is drawn from.", min=1e-6, max=1)]
TopK = Annotated[int, _draw("--top-k", "Tokens that are drawn from; 0 for all.", min=0)]
Seed = Annotated[int | None, _draw("--seed", "Makes an answer repeatable.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only what the model says.")]


def chat(
    model: Model,
    system: System = "",
    load: Load = None,
    save: Save = None,
    documents: Documents = None,
    runtime: Runtime = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = 0.7,
    top_p: TopP = 0.95,
    top_k: TopK = 0,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Talk with a model; in a pipe, answer what comes on stdin and print nothing else."""
    from llmkit.core.console import Console
    from llmkit.serving.engine import Sampling
    from llmkit.serving.terminal import Terminal

    console = Console(quiet=quiet)
    question = _question(model, system, save, temperature)
    sampling = Sampling(max_tokens, temperature, top_p, top_k, seed=seed)
    with _conversation(model, runtime, documents, sampling) as conversation:
        if load is not None:
            conversation.load(load)
        conversation.system = system or conversation.system
        with conversation.saved_at_the_end(save):
            if question is None:
                console.info(f"{model} ({conversation.engine.facts.runtime}); /help lists the commands, /exit leaves")
                Terminal(conversation, console, _write).run()
            else:
                _answer(conversation, question, console)


def _question(model: str, system: str, save: Path | None, temperature: float) -> str | None:
    """Check what was given before a model is loaded, and return what is asked; None where a person types."""
    from llmkit.core.errors import ConfigError
    from llmkit.core.given import check_given, read_stdin
    from llmkit.serving.conversation import check_saving
    from llmkit.serving.terminal import is_terminal

    check_given(system, "--system")
    question = None if is_terminal() else read_stdin().strip()
    if question == "":
        raise ConfigError("there is no question on stdin", f'echo "..." | llmkit chat {model}')
    if save is not None:
        check_saving(save)
    if not math.isfinite(temperature):
        raise ConfigError(f"--temperature: should be a finite number, not {temperature}", "--temperature 0.7")
    return question


@contextmanager
def _conversation(model: str, runtime: str | None, documents: Path | None, sampling: Any) -> Iterator[Conversation]:
    """Open what is talked with."""
    from llmkit.serving.conversation import Conversation
    from llmkit.serving.engine import EngineSettings, open_engine

    retriever = None
    if documents is not None:
        from llmkit.retrieval import Retriever

        retriever = Retriever.open(documents)
    with open_engine(model, settings=EngineSettings(places=1), runtime=runtime) as engine:
        if "chat" not in engine.facts.can:
            raise _silent(model, writes="completions" in engine.facts.can)
        yield Conversation(engine, sampling, retriever)


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

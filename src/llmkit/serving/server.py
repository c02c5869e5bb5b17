"""A server from its first line to its last: the address, the models, requests, and what is written to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core import stop
from llmkit.core.errors import ConfigError, SetupError
from llmkit.core.extras import require
from llmkit.serving.engine import EngineSettings, open_engine
from llmkit.serving.limits import KEY_NAME, Keys, Limits

if TYPE_CHECKING:
    from llmkit.serving.engine import Engine
    from llmkit.serving.service import Service

BACKLOG = 2048
SWITCH_S = 0.0005
"""How long one thread keeps Python from another: with the usual 5 ms a step of the engine, which gives Python away at
every product of matrices, waits for the sending of what it has written."""
LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]", "::1"))


@dataclass(frozen=True)
class Serving:
    """What is served, and how.

    Attributes:
        models: Paths by name; the first is the page's.
        host: Address to listen at.
        port: 0 for any that is free.
        runtime: What runs the models; None for what their files are for.
        keys: File with the digests of keys.
        insecure: No key is needed, whatever the address.
        documents: Index of what is put before questions.
        votes: File that the page's judgements are added to.
        limits: Bounds of requests.
        engine: Bounds of each engine.
    """

    models: Mapping[str, str]
    host: str = "127.0.0.1"
    port: int = 8000
    runtime: str | None = None
    keys: Path | None = None
    insecure: bool = False
    documents: Path | None = None
    votes: Path | None = None
    limits: Limits = field(default_factory=Limits)
    engine: EngineSettings = field(default_factory=EngineSettings)


def serve(told: Serving, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, and let what is being written come to its end.

    Args:
        told: What and how.
        say: Takes a line for people; the first is the address.

    Raises:
        ConfigError: An address that others can reach needs a key.
        DataError: A model is none.
        SetupError: The address is taken, an extra is missing, or judgements cannot be kept.
    """
    require("serve", "starlette")
    require("serve", "uvicorn")
    require("serve", "prometheus_client")
    keys = Keys.read(told.keys)
    check_address(told, keys)
    if told.votes is not None:
        _check_votes(told.votes)
    documents = None
    if told.documents is not None:
        from llmkit.retrieval import Retriever

        documents = Retriever.open(told.documents)
    with _listening(told.host, told.port) as listener, _engines(told, say) as engines:
        from llmkit.serving.service import Service

        hosts = frozenset() if keys or told.insecure else LOCAL | {told.host.lower()}
        service = Service(engines, told.limits, keys, told.votes, documents, hosts=hosts)  # type: ignore[arg-type]
        port = listener.getsockname()[1]
        shown = f"[{told.host}]" if ":" in told.host else told.host
        for name, engine in engines.items():
            can = ", ".join(sorted(engine.facts.can))
            say(f"{name}: {engine.facts.where} by {engine.facts.runtime}: {can}{engine.shared}")
        say(f"http://{shown}:{port} (API: http://{shown}:{port}/v1, its description: /docs); Ctrl-C ends it")
        sys.setswitchinterval(SWITCH_S)
        _run(service, listener, say)


def _check_votes(file: Path) -> None:
    """Refuse a file that nothing can be added to; one that is not there yet is begun.

    Raises:
        SetupError: It is none.
    """
    try:
        file.open("ab").close()
    except OSError as error:
        raise SetupError(
            f"--votes: {file} cannot be written: {error.strerror}", f"mkdir -p {file.parent}, or another file"
        ) from None


def check_address(told: Serving, keys: Keys) -> None:
    """Refuse to be reached by others without a key.

    Raises:
        ConfigError: Nothing of what is needed was said.
    """
    if keys or told.insecure or is_local(told.host):
        return
    raise ConfigError(
        f"--host {told.host} lets other machines ask, and there is no key",
        f"{KEY_NAME}=SECRET llmkit serve ..., or --keys FILE, or --insecure where something else keeps them out",
    )


def is_local(host: str) -> bool:
    """Tell whether an address is this machine's alone."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address before the models are loaded, which takes longer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)  # of two that bind at once, one is refused here; who asks already, waits
        except (OSError, UnicodeError) as error:
            words = getattr(error, "strerror", None) or str(error)
            taken = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            hint = "--port 0 takes one that is free" if taken else "--host 127.0.0.1 is this machine's own address"
            raise SetupError(f"{host}:{port} cannot be listened at: {words}", hint) from None
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def _engines(told: Serving, say: Callable[[str], None]) -> Iterator[Mapping[str, Engine]]:
    with contextlib.ExitStack() as stack:
        from llmkit.runtimes._bases import Bases

        found: dict[str, Engine] = {}
        settings = told.engine
        if settings.cache_bytes is None:
            settings = replace(settings, cache_share=len(told.models))
        bases = Bases(told.models.values())
        for name, where in told.models.items():
            engine = stack.enter_context(
                open_engine(where, runtime=told.runtime, settings=settings, say=say, bases=bases)
            )
            if not engine.facts.can:
                raise ConfigError(
                    f"the model '{where}' has the head for {engine.facts.answer}, which no route is for",
                    f"llmkit predict {where} -i FILE -o DIR answers rows with it",
                )
            found[name] = engine
        yield found


def _run(service: Service, listener: socket.socket, say: Callable[[str], None]) -> None:
    import uvicorn

    from llmkit.serving.app import application

    drain: Any = service.limits.drain_s  # given to asyncio as it is, which takes halves of seconds
    config = uvicorn.Config(
        application(service), log_config=None, access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=drain,
        backlog=BACKLOG, loop="asyncio", http="h11",
        ws="none",
    )  # fmt: skip

    class Server(uvicorn.Server):
        """Leaves signals to the command line."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Do nothing."""
            yield

    server = Server(config)

    async def watch(held: Any) -> None:
        while held.name is None:
            await asyncio.sleep(stop.POLL_S)
        service.draining = True
        say(f"{held.name}: no new requests; what is being written has {service.limits.drain_s:g} s")
        server.should_exit = True

    async def both(held: Any) -> None:
        watching = asyncio.create_task(watch(held))
        try:
            await server.serve(sockets=[listener])
        finally:
            watching.cancel()

    with stop.held() as held:
        asyncio.run(both(held))

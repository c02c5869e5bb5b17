"""JSON over HTTP to a server that may be busy, slow or gone: bounded in time, size and attempts, and failing in words.

The standard library does it: which HTTP client comes with the other packages changes with their versions.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from llmkit.core.errors import ConfigError, DataError, SetupError, UserError
from llmkit.core.json import dumps

LARGEST = 256 << 20
"""Bytes of a reply; log-probabilities of a long prompt are some megabytes."""
PIECE = 1 << 16
"""Bytes read at a time."""
BUSY = (408, 429, 500, 502, 503, 504, 529)
"""What may be gone a moment later."""
LONGEST_WAIT_S = 60.0
"""Between two attempts, whatever the server asks for."""
SHOWN = 300
"""Characters of what a server says."""
LOCAL = ("localhost", "127.0.0.1", "::1")


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: the key is for the address that was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return nothing: the reply is the redirect itself."""
        return


@dataclass
class Server:
    """A server's address.

    Attributes:
        url: Without a slash at its end.
        key: What is sent as the bearer, "" for none; it is in no message.
        key_name: The environment variable that it is from, for errors; "" for none.
        timeout_s: Longest wait for the first byte of a reply, and from there for the last.
        retries: How often a request is sent again.
        sleep: Waits so many seconds.
    """

    url: str
    key: str = field(default="", repr=False)
    key_name: str = ""
    timeout_s: float = 600.0
    retries: int = 5
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ConfigError: It holds a password or a query, or no host.
        """
        parts = urlsplit(self.url)
        if parts.username or parts.password or parts.query or parts.fragment:
            shown = f"{parts.scheme}://{parts.hostname}..."
            raise ConfigError(
                f"{shown}: an address with a user, a password or a query is not taken, since it is written down",
                "put the key into an environment variable, and name that: -s runtime.type=openai -s runtime.key=NAME",
            )
        if not parts.hostname:
            raise ConfigError(f"'{self.url}' names no server", "such as http://127.0.0.1:8000/v1")
        direct = [ProxyHandler({})] if parts.hostname in LOCAL else []
        self._opener: OpenerDirector = build_opener(_Stay, *direct)

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path."""
        return self._ask(Request(self.url + path, headers=self._headers()))  # noqa: S310 - the scheme was checked

    def post(self, path: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON object and return the one that answers it.

        Raises:
            SetupError: The server is not there, too slow, stays busy, or wants another key.
            DataError: It refuses the request, or its reply is none.
        """
        body = dumps(values).encode()
        headers = {**self._headers(), "Content-Type": "application/json"}
        return self._ask(Request(self.url + path, body, headers))  # noqa: S310 - the scheme was checked

    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}

    def _ask(self, request: Request) -> dict[str, Any]:
        for attempt in range(self.retries + 1):
            try:
                return self._once(request)
            except _AgainError as error:
                if attempt == self.retries:
                    raise error.words(attempt + 1) from error.__cause__
                # Spread, so that requests that were refused together do not come back together.
                wait = 0.5 * 2**attempt * random.uniform(0.75, 1.25) if error.wait_s is None else error.wait_s  # noqa: S311
            self.sleep(min(wait, LONGEST_WAIT_S))
        raise AssertionError

    def _once(self, request: Request) -> dict[str, Any]:
        place = request.full_url
        try:
            with self._opener.open(request, timeout=self.timeout_s) as reply:
                content = self._read(reply)
        except HTTPError as error:
            raise self._refused(place, error) from error
        except http.client.IncompleteRead as error:
            raise _AgainError(f"{place}: the reply was cut off after {len(error.partial):,} bytes") from error
        except TimeoutError as error:
            raise self._slow(place) from error
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._slow(place) from error
            raise _AgainError(f"no server answers at {self.url} ({_reason(error.reason)})", gone=True) from error
        except (http.client.HTTPException, OSError) as error:
            raise _AgainError(f"{place}: the connection broke ({_reason(error)})") from error
        if len(content) > LARGEST:
            raise DataError(f"{place}: the reply is longer than {LARGEST >> 20} MB", self.look())
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            raise DataError(f"{place}: the reply is no JSON: {self._shown(content)!r}", self.look()) from None
        if not isinstance(values, dict):
            raise DataError(f"{place}: the reply is no JSON object: {self._shown(content)!r}", self.look())
        return values

    def _read(self, reply: http.client.HTTPResponse) -> bytes:
        """Return what a reply holds, or a byte more than the most; one that comes in drops would never time out."""
        content, whole, end = bytearray(), reply.length, time.monotonic() + self.timeout_s
        while left := min(LARGEST + 1 if whole is None else whole, LARGEST + 1) - len(content):
            part = reply.read1(min(left, PIECE))
            if not part and whole is not None:  # a bounded read of a reply that is cut ends in silence
                raise http.client.IncompleteRead(bytes(content))
            if not part:
                break
            content += part
            if time.monotonic() > end:
                raise TimeoutError
        return bytes(content)

    def _refused(self, place: str, error: HTTPError) -> Exception:
        """Return what to raise for a status."""
        with error:
            try:
                said = self._shown(_said(error.read(1 << 20)))
            except (http.client.HTTPException, OSError):
                said = ""
        words = f": {said}" if said else ""
        if error.code in (401, 403):
            return self._key_refused(error.code, words)
        if error.code in BUSY:
            return _AgainError(f"{place} answers {error.code}{words}", wait_s=_wait(error.headers.get("Retry-After")))
        if error.code == 404:
            return NotThereError(f"{place} is not there (404){words}", self.look())
        if error.code in (400, 413, 422):
            return DataError(f"{place} refuses a request ({error.code}){words}", self.look())
        return SetupError(f"{place} answers {error.code}{words}", self.look())

    def _key_refused(self, code: int, words: str) -> UserError:
        if self.key:
            return SetupError(
                f"{self.url} does not take the key in ${self.key_name} ({code}){words}", f"export {self.key_name}=KEY"
            )
        return SetupError(
            f"{self.url} wants a key ({code}){words}",
            "export NAME=KEY, then -s runtime.type=openai -s runtime.key=NAME",
        )

    def _shown(self, content: bytes) -> str:
        """Return what a server says, in a line, without the key: some repeat what they were sent."""
        text = content.decode("utf-8", "replace")
        text = " ".join((text.replace(self.key, "***") if self.key else text).split())  # whole, before it is cut
        return text if len(text) <= SHOWN else text[:SHOWN] + "..."

    def _slow(self, place: str) -> SetupError:
        return SetupError(
            f"{place} did not answer within {self.timeout_s:g} s",
            "-s runtime.type=openai, with a larger -s runtime.timeout_s=... or a smaller -s runtime.parallel=...",
        )

    def look(self) -> str:
        """Return what to do about replies that are none of such a server."""
        return f"is that the address of an OpenAI-compatible server? curl {self.url}/models"


class NotThereError(DataError):
    """The server has no such path, or no such model."""


class _AgainError(Exception):
    """What may go better at another attempt.

    Args:
        message: What happened.
        wait_s: What the server asks to wait, in seconds.
        gone: Nobody is there.
    """

    def __init__(self, message: str, *, wait_s: float | None = None, gone: bool = False) -> None:
        super().__init__(message)
        self.message, self.wait_s, self.gone = message, wait_s, gone

    def words(self, attempts: int) -> SetupError:
        """Return it as the user is told of it."""
        times = f", {attempts} times" if attempts > 1 else ""
        hint = (
            "start the server, or check the address and the port" if self.gone else "run the same command again later"
        )
        return SetupError(self.message + times, f"{hint}: what was answered is kept")


def _wait(header: str | None) -> float | None:
    """Return the seconds of a Retry-After, which may be a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _said(content: bytes) -> bytes:
    """Return the message of an error, which servers lay out differently."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return content
    for name in ("error", "message", "detail"):
        if isinstance(values, dict) and name in values:
            values = values[name]
    return (values if isinstance(values, str) else dumps(values)).encode("utf-8", "replace")


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

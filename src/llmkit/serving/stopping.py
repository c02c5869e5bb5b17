"""Texts that end a text: none of one is ever shown, however it falls into pieces."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Holds back the end of a text that may be the beginning of a stop text.

    Args:
        texts: The stop texts; none of them empty.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._held = ""
        self._longest = max(map(len, texts), default=1) - 1

    def add(self, text: str) -> tuple[str, bool]:
        """Return what can be shown of the text so far and has not been, and whether a stop text has come."""
        if not self.texts:
            return text, False
        whole = self._held + text
        places = [place for stop in self.texts if (place := whole.find(stop)) >= 0]
        if places:
            self._held = ""
            return whole[: min(places)], True
        keep = self._begun(whole)
        self._held = whole[len(whole) - keep :]
        return whole[: len(whole) - keep], False

    def rest(self) -> str:
        """Return what is held back, once nothing more comes."""
        held, self._held = self._held, ""
        return held

    def _begun(self, whole: str) -> int:
        """Return how many of the last characters begin a stop text."""
        for size in range(min(self._longest, len(whole)), 0, -1):
            end = whole[len(whole) - size :]
            if any(stop.startswith(end) for stop in self.texts):
                return size
        return 0

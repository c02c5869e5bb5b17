"""The identity of a run: equal identities make equal artifacts, so that finished work is never done again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llmkit.core.config import Config, dump, leaves
from llmkit.core.digest import canonical_json, digest_text
from llmkit.core.errors import DataError
from llmkit.core.inputs import PART, Inputs
from llmkit.core.reading import damaged, read_json


class Fingerprint:
    """What decides a stage's result: the stage, its behaviour version, the config as written and the inputs.

    Args:
        stage: Stage name.
        version: The stage's behaviour version; raised when the same config would give another result.
        config: The config before any `auto` is resolved.
        inputs: The inputs, by digest.
    """

    def __init__(self, stage: str, version: int, config: Config, inputs: Inputs) -> None:
        digests = [f"{item.role}:{item.digest}" for item in inputs.entries]
        self.fields = self._fields(stage, version, dump(config, mode="json", identity=True), digests)
        self.identity = digest_text(canonical_json(self.fields))[:32]
        run = self._fields(stage, version, dump(config, mode="json", identity=True, budget=False), digests)
        self.run = digest_text(canonical_json(run))[:32]
        """Identity without the budget: equal for a run and its extension."""

    @staticmethod
    def _fields(stage: str, version: int, config: dict[str, Any], inputs: list[str]) -> dict[str, Any]:
        return {"stage": stage, "stage_version": version, "config": config, "inputs": inputs}

    def differences(self, other: dict[str, Any]) -> str:
        """Name what differs from another fingerprint's fields, at most four values; of another stage, only that."""
        if other["stage"] != self.fields["stage"]:
            return f"stage: {other['stage']} there, {self.fields['stage']} now"
        mine = {".".join(map(str, path)): value for path, value in leaves(self.fields)}
        theirs = {".".join(map(str, path)): value for path, value in leaves(other)}
        lines = []
        for key in sorted({*mine, *theirs}):
            old, new = _shown(theirs.get(key, "not set")), _shown(mine.get(key, "not set"))
            if mine.get(key) == theirs.get(key) or (key.startswith("inputs.") and PART in (old, new)):
                continue  # what has changed of a part of the user's own is said with the field that names it
            name = key.removeprefix("config.")
            digest = name.startswith("inputs.") or (".type." in name and "not set" not in (old, new))
            lines.append(f"{name} changed" if digest else f"{name}: {old} there, {new} now")
        return "; ".join(lines[:4]) + (f"; and {len(lines) - 4} more" if len(lines) > 4 else "")


def _shown(value: Any) -> Any:
    """Return a value for people; of a part of the user's own, as an input, only that it is one."""
    if str(value).startswith(f"{PART}:"):
        return PART
    return f"{value[:12]}..." if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else value


def read_run(file: Path) -> dict[str, Any] | None:
    """Return the fields of the run that a file was written for; None where there is no file.

    Raises:
        DataError: It is damaged.
    """
    try:
        run = read_json(file, "stage", "stage_version", "config", "inputs")
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    if not isinstance(run["config"], dict) or not isinstance(run["inputs"], list):
        raise damaged(file, "its config or its inputs are of another kind")
    return run

"""An output that is finished already is of the same config, or the run stops where nobody says --force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.config import dump
from llmkit.core.fingerprint import Fingerprint
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import read_manifest

SETTLED = ("date",)
"""Fields that a run settles itself where they are null: what it found then is in the manifest."""


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - a run alone
    """Compare the config of a run with that of the artifact in its output; its inputs may be yet to come."""
    if run.output is None:
        return
    out = run.output.expanduser()
    manifest = read_manifest(out)
    if manifest is None:
        yield run.found("ok", f"nothing is finished in {run.output}")
        return
    stage, old = run.given.stage, manifest.config["fingerprint"]
    now = Fingerprint(stage.name, stage.version, run.config, Inputs())
    goes_on = stage.resumable and stage.kept.is_in(out)  # then a larger budget is no other run
    now.fields["config"] = dump(run.config, mode="json", identity=True, budget=not goes_on)
    theirs = _within(old["config"], now.fields["config"]) if goes_on else dict(old["config"])
    theirs |= {name: None for name in SETTLED if name in theirs and getattr(run.config, name, "") is None}
    if differs := now.differences({**old, "inputs": [], "config": theirs}):
        words = (
            f"{run.output} is finished, from another run: {differs}; this one stops there, or replaces it by --force"
        )
        yield run.found("warning", words, hint=f"llmkit preflight ... -r {run.label} -o {run.output}-2")
    else:
        yield run.found("ok", f"{run.output} is finished, by a run of this config")


def _within(values: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of nested values another mapping has as well."""
    return {
        name: _within(value, shape[name]) if isinstance(value, dict) and isinstance(shape[name], dict) else value
        for name, value in values.items()
        if name in shape
    }

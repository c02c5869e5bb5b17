"""What configs are made of: parts chosen by name, the marks on their fields, and how all of it is written out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

STRICT = ConfigDict(
    frozen=True,
    extra="forbid",
    strict=True,
    use_attribute_docstrings=True,
    protected_namespaces=(),
    allow_inf_nan=False,
)
"""What every config and part holds its fields to: no unknown names, no types converted in silence."""


@dataclass(frozen=True)
class Mark:
    """Annotation of a field that says how it counts for the identity of an artifact."""

    name: str


NotIdentity = Mark("not identity")
"""Does not change the result (workers, logging) or is replaced by a digest (input paths): not part of the identity."""

Budget = Mark("budget")
"""How far to go (`max_steps`): part of the identity, but raising it extends a finished run."""


class Part(BaseModel):
    """Base of every family member: strict, frozen, no unknown fields; its docstrings document its fields."""

    model_config = STRICT

    @property
    def type_name(self) -> str:
        """The name a recipe uses: the member's module name."""
        return type(self).__module__.rpartition(".")[2]

    def spec(self, *, mode: str = "python", identity: bool = False) -> dict[str, Any]:
        """Return the part as a recipe would write it, `type` first.

        Args:
            mode: pydantic's dump mode.
            identity: Leave out the fields marked `NotIdentity`.
        """
        return {"type": self.type_name, **dump(self, mode=mode, identity=identity)}


def dump(model: BaseModel, *, mode: str = "python", identity: bool = False, budget: bool = True) -> dict[str, Any]:
    """Return a config's or part's fields as nested plain values; of the parts inside it, `type` comes first.

    Args:
        model: The config or part.
        mode: `python` or `json`.
        identity: Leave out the fields marked `NotIdentity`.
        budget: With `identity`, keep the fields marked `Budget`.
    """
    result = {}
    for name, field in type(model).model_fields.items():
        if identity and (NotIdentity in field.metadata or (Budget in field.metadata and not budget)):
            continue
        result[name] = plain(getattr(model, name), mode=mode, identity=identity, budget=budget)
    return result


def plain(value: Any, **how: Any) -> Any:
    """Return the value of a field as plain values; `how` is as in `dump`."""
    if isinstance(value, Part):
        return {"type": value.type_name, **dump(value, **how)}
    if isinstance(value, BaseModel):
        return dump(value, **how)
    if isinstance(value, list | tuple):
        return [plain(item, **how) for item in value]
    if isinstance(value, dict):
        return {key: plain(item, **how) for key, item in value.items()}
    return value

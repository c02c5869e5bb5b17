"""What configs are made of: parts chosen by name, the marks on their fields, and how all of it is written out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from llmkit.core.own import Origin, blank, origin_of, register

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

    origin: ClassVar[Origin | None] = None
    """Where a class of the user's own is from; None for an installed one."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.origin = origin_of(cls.__module__, cls.__qualname__)
        if cls.origin is not None:
            register(cls, cls.origin)

    def __reduce_ex__(self, protocol: Any) -> Any:
        made = super().__reduce_ex__(protocol)
        if self.origin is None:
            return made
        return blank, (str(self.origin.path), self.origin.identity), *made[2:]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other fields if some are given: what was computed of the old ones does not go along."""
        copy = super().model_copy(update=update, deep=deep)
        for name in [name for name in vars(copy) if update and name not in type(self).model_fields]:
            del vars(copy)[name]
        return copy

    @property
    def type_name(self) -> str:
        """The name that people see: the member's module name, or the class's where that is the user's own."""
        return type(self).__module__.rpartition(".")[2] if self.origin is None else self.origin.name

    def spec(self, *, mode: str = "python", identity: bool = False) -> dict[str, Any]:
        """Return the part as a recipe would write it, `type` first.

        Args:
            mode: pydantic's dump mode.
            identity: Leave out the fields marked `NotIdentity`; a class of the user's own is named by its digest.
        """
        return {"type": _type(self, identity=identity), **dump(self, mode=mode, identity=identity)}

    def record(self) -> dict[str, Any]:
        """Return the part as an artifact keeps it, or another process of the run is told it, in JSON.

        A class of the user's own is named by its digest, not by a path: whoever reads the record imports no file that
        was not named by themselves.
        """
        return {"type": _type(self, identity=True), **dump(self, mode="json")}


def _type(part: Part, *, identity: bool) -> str | dict[str, Any]:
    if part.origin is None:
        return part.type_name
    return part.origin.identity if identity else part.origin.text


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


def origins(value: Any) -> Iterator[Origin]:
    """Yield where the parts of the user's own in a config are from."""
    if isinstance(value, Part) and value.origin is not None:
        yield value.origin
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from origins(item)


def plain(value: Any, **how: Any) -> Any:
    """Return the value of a field as plain values; `how` is as in `dump`."""
    if isinstance(value, Part):
        return {"type": _type(value, identity=bool(how.get("identity"))), **dump(value, **how)}
    if isinstance(value, BaseModel):
        return dump(value, **how)
    if isinstance(value, list | tuple):
        return [plain(item, **how) for item in value]
    if isinstance(value, dict):
        return {key: plain(item, **how) for key, item in value.items()}
    return value

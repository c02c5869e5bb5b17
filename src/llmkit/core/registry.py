"""Families of parts: the members are the modules of a package, and only the chosen one is imported.

A recipe names a part by its type, `objective: {type: sft, ...}` or just `objective: causal_lm`. A part is a frozen
pydantic model: its fields are its config, its methods do its work. Adding one is adding one module to the family's
package; nothing else is edited. Member modules keep heavy imports inside methods. A part of the user's own is named by
its file, `objective: {type: my/objectives.py:Mine, ...}`; see own.py.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from llmkit.core.errors import nearest
from llmkit.core.glossary import instead
from llmkit.core.own import PATTERN, is_meant, is_own, load_own, registered
from llmkit.core.part import Part
from llmkit.core.part_files import is_part_file, read_part_file

__all__ = ["PACKAGES", "Family", "Part"]
"""`Part` is defined in `part.py`: whoever adds a family finds both here."""

PACKAGES = {
    "source": "llmkit.data.sources",
    "row": "llmkit.data.rows",
    "step": "llmkit.cleaning.steps",
    "document_objective": "llmkit.objectives.documents",
    "row_objective": "llmkit.objectives.rows",
    "metric": "llmkit.metrics",
    "task": "llmkit.tasks",
    "head": "llmkit.modeling.heads",
    "adapter": "llmkit.modeling.adapters",
    "runtime": "llmkit.runtimes",
    "exporter": "llmkit.exporters",
    "tokenizer": "llmkit.tokenization.trainers",
    "optimizer": "llmkit.training.optimizers",
}


@dataclass(frozen=True)
class Family:
    """Annotation of a field that holds a part: `Annotated[Task, Family("task")]`.

    Args:
        name: Key of `PACKAGES`.
        shorthand: Where a bare string that names no member goes, as `(member, field)`: a source may be given as just a
            path. Without it a bare string must be a member's name. A mapping without `type` that gives this field
            means this member too.
        default: The member that any other mapping without `type` means; without it `type` must be given.
        elsewhere: Another family whose members are asked for here by mistake, and what to say of them then.
        joined: Another family whose members the field takes as well; a name that both have means the first's.
        also: Values that the field takes beside the members, such as `auto` and None.
        files: A bare string that ends in `.yaml` is a file with a member's fields; this one is the file's name where it
            is not among them. None where members have no files.
        without: Members that the field does not take: a part that holds another of its own family.
    """

    name: str
    shorthand: tuple[str, str] | None = None
    default: str | None = None
    elsewhere: tuple[str, str] | None = None
    also: tuple[str | None, ...] = ()
    joined: str | None = None
    files: str | None = None
    without: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What a member is called in errors: `objective` of `row_objective`."""
        return self.name.rpartition("_")[2]

    @property
    def package(self) -> str:
        """The package whose modules are the members."""
        return PACKAGES[self.name]

    def members(self) -> list[str]:
        """Names of the members, from the file names in the package; imports none of them."""
        return sorted({name for family in self.families() for name in family._modules()} - {*self.without})

    def _modules(self) -> list[str]:
        path = tuple(importlib.import_module(self.package).__path__)
        return _public_modules(path, tuple(Path(folder).stat().st_mtime_ns for folder in path))

    def families(self) -> list[Family]:
        """Return the families whose members it takes, each alone."""
        return [replace(self, joined=None), Family(self.joined)] if self.joined else [self]

    @property
    def base(self) -> type[Part]:
        """The class that all members derive from."""
        package = importlib.import_module(self.package)
        parts = _parts_of(package)
        return next(part for part in parts if all(issubclass(other, part) for other in parts))

    def own(self) -> list[type[Part]]:
        """Return the user's own members that this process has imported, the latest last."""
        return [part for part in registered() if issubclass(part, self._bases())]

    def _bases(self) -> tuple[type[Part], ...]:
        return tuple(family.base for family in self.families())

    def load(self, member: str) -> type[Part]:
        """Import one member and return the part class it defines; or a class of the user's own, `file.py:Name`.

        Raises:
            LookupError: There is no such member, or the user's own class is none.
        """
        if member not in self.members():
            if is_own(member) or is_meant(member):
                return self._checked(load_own(member), member)
            if self.elsewhere and member in Family(self.elsewhere[0]).members():
                raise LookupError(f"{member} {self.elsewhere[1]}")
            words = [word for word in self.also if word is not None]
            names = [*words, *self.members()]
            meant = (instead(family.name, member, names) for family in self.families())
            raise LookupError(
                f"unknown {self.noun} '{member}'{next(filter(None, meant), '') or nearest(member, names)}"
            )
        package = next(family.package for family in self.families() if member in family._modules())
        module = importlib.import_module(f"{package}.{member}")
        parts = _parts_of(module)
        assert len(parts) == 1, f"{module.__name__} must define exactly one public Part, found {parts}"
        return parts[0]

    def _checked(self, found: Any, text: str) -> type[Part]:
        """Return what a file of the user's own calls by a name, if it is a whole member of the family.

        Raises:
            LookupError: It is something else, or lacks what every member has.
        """
        base = self.base
        wanted = f"derive it from {base.__name__} of {base.__module__}"
        if not isinstance(found, type) or not issubclass(found, Part):
            what = "a class that is no part" if isinstance(found, type) else _article(type(found).__name__)
            raise LookupError(f"{text} is {what}: {wanted}")  # noqa: TRY004 - as for any other name
        if not issubclass(found, self._bases()):
            other = next((name for name in PACKAGES if issubclass(found, Family(name).base)), None)
            if self.elsewhere and other == self.elsewhere[0]:
                raise LookupError(f"{text} {self.elsewhere[1]}")
            kind = f"is of the family '{other}'" if other else "is a part of no family"
            message = f"{text} {kind}, and the field takes one of '{self.name}': {wanted}"
            raise LookupError(message)  # noqa: TRY004
        family = next(family for family in self.families() if issubclass(found, family.base))
        if missing := _lacks(found, [family.load(member) for member in family._modules()]):
            raise LookupError(f"{text} does not define {' and '.join(missing)}, which every {self.noun} does")
        return found

    def open(self, text: str) -> dict[str, Any]:
        """Return the mapping that a bare string stands for."""
        if self.files is not None and is_part_file(text):
            return read_part_file(text, self).fields
        if self.shorthand and not is_own(text) and (text not in self.members() or self._is_a_place(text)):
            member, field = self.shorthand
            return {"type": member, field: text}
        return {"type": text}

    def _is_a_place(self, member: str) -> bool:
        """Tell whether a folder or file is meant that is called like a member, which is nothing by its name alone."""
        return Path(member).exists() and any(field.is_required() for field in self.load(member).model_fields.values())

    def _implied(self, fields: Mapping[Any, Any]) -> str | None:
        """Return the member that fields without a `type` are of."""
        if self.shorthand and self.shorthand[1] in fields:
            return self.shorthand[0]
        return self.default

    def parse(self, value: Any) -> Any:
        """Turn a name, a mapping or a part into a part; a value of `also` stays what it is."""
        if isinstance(value, Part) or value in self.also:
            return value
        if isinstance(value, str):
            value = self.open(value)
        if not isinstance(value, Mapping):
            raise PydanticCustomError("family_type", "expected a name or a mapping with 'type'")
        if "type" not in value and (member := self._implied(value)):
            value = {"type": member, **value}
        member = value.get("type")
        if not isinstance(member, str | Mapping):
            what = "missing 'type'" if member is None else f"'type' is a name, not {member!r}"
            names = {"what": what, "names": ", ".join(self.members())}
            raise PydanticCustomError("family_type", "{what}; valid: {names}", names)
        try:
            part = self.load(member) if isinstance(member, str) else self._recorded(member)
        except LookupError as error:
            raise PydanticCustomError("family_member", "{message}", {"message": str(error)}) from None
        try:
            return part.model_validate({key: item for key, item in value.items() if key != "type"})
        except ValidationError as error:
            # The inner errors travel in the context: pydantic would otherwise flatten them to one string. The config
            # reader unfolds them to full dotted paths.
            raise PydanticCustomError("family_fields", "invalid", {"errors": error.errors(), "part": part}) from None

    def _recorded(self, identity: Mapping[str, Any]) -> type[Part]:
        """Return the user's own member that `Part.record` has named, if this process has imported it.

        Raises:
            LookupError: It has not; nothing is imported by what a record says.
        """
        if found := [part for part in registered(identity) if issubclass(part, self._bases())]:
            return found[0]
        name, digest = identity.get("name"), str(identity.get("file"))[:12]
        raise LookupError(f"{self.noun} '{name}', from a file with the digest {digest}..., is not known here")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part, info: part.spec(mode=info.mode) if isinstance(part, Part) else part, info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        words = [word for word in self.also if word is not None]
        names: JsonSchemaValue = {"enum": [*words, *self.members()], "type": "string"}
        if self.shorthand:
            names = {"type": "string", "description": f"one of {', '.join(self.members())}, or a {self.shorthand[1]}"}
        options = [names, *([{"type": "null"}] if None in self.also else [])]
        if self.files is not None:
            options.append({"type": "string", "pattern": r"\.ya?ml$", "description": f"a {self.noun} in a file"})
        for member in self.members():
            # Through the handler, so that the definitions of a member's groups end up at the root, where `$ref` looks.
            item = handler.resolve_ref_schema(handler(self.load(member).__pydantic_core_schema__))
            properties = {"type": {"const": member}, **item.get("properties", {})}
            required = [] if self._implied(dict.fromkeys(item.get("required", []))) == member else ["type"]
            options.append({**item, "properties": properties, "required": [*required, *item.get("required", [])]})
        own = {"type": "string", "pattern": PATTERN, "description": f"a {self.noun} of your own: path/to/file.py:Name"}
        options += [] if self.shorthand else [own]
        options.append({"type": "object", "properties": {"type": own}, "required": ["type"]})
        return {"anyOf": options}


@functools.cache
def _public_modules(folders: tuple[str, ...], changed: tuple[int, ...]) -> list[str]:  # noqa: ARG001
    """Return the names of the modules in a package's folders: listed anew when something came or went, by `changed`."""
    return [module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _parts_of(module: ModuleType) -> list[type[Part]]:
    """Return the public parts that a module defines."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Part)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]


def _lacks(part: type[Part], installed: Sequence[type[Part]]) -> list[str]:
    """Return what a part leaves to its base that no installed member does: methods that only raise, names unset."""
    names = {name for cls in part.__mro__ for name in vars(cls)} | {*part.__class_vars__}
    return sorted(
        name for name in names if _is_left(part, name) and not any(_is_left(other, name) for other in installed)
    )


def _is_left(part: type[Part], name: str) -> bool:
    found = inspect.getattr_static(part, name, None)
    if found is None:
        return not hasattr(part, name) and name in part.__class_vars__
    function: Any = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
    code = getattr(function, "__code__", None)
    only_raises = code is not None and code.co_names == ("NotImplementedError",)
    return only_raises or bool(getattr(function, "__isabstractmethod__", False))

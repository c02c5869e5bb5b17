"""Families of parts: the members are the modules of a package, and only the chosen one is imported.

A recipe names a part by its type, `objective: {type: sft, ...}` or just `objective: causal_lm`. A part is a frozen
pydantic model: its fields are its config, its methods do its work. Adding one is adding one module to the family's
package; nothing else is edited. Member modules keep heavy imports inside methods.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from llmkit.core.errors import nearest
from llmkit.core.glossary import instead
from llmkit.core.part import Part

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
        also: Values that the field takes beside the members, such as `auto` and None.
    """

    name: str
    shorthand: tuple[str, str] | None = None
    default: str | None = None
    elsewhere: tuple[str, str] | None = None
    also: tuple[str | None, ...] = ()

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
        package = importlib.import_module(self.package)
        return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))

    def load(self, member: str) -> type[Part]:
        """Import one member and return the part class it defines.

        Raises:
            LookupError: There is no such member.
        """
        if member not in self.members():
            if self.elsewhere and member in Family(self.elsewhere[0]).members():
                raise LookupError(f"{member} {self.elsewhere[1]}")
            words = [word for word in self.also if word is not None]
            names = [*words, *self.members()]
            raise LookupError(
                f"unknown {self.noun} '{member}'{instead(self.name, member, names) or nearest(member, names)}"
            )
        module = importlib.import_module(f"{self.package}.{member}")
        parts = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Part)
            and value.__module__ == module.__name__
            and not value.__name__.startswith("_")
        ]
        assert len(parts) == 1, f"{module.__name__} must define exactly one public Part, found {parts}"
        return parts[0]

    def open(self, text: str) -> dict[str, Any]:
        """Return the mapping that a bare string stands for."""
        if self.shorthand and text not in self.members():
            member, field = self.shorthand
            return {"type": member, field: text}
        return {"type": text}

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
        if not isinstance(value.get("type"), str):
            raise PydanticCustomError(
                "family_type", "missing 'type'; valid: {names}", {"names": ", ".join(self.members())}
            )
        try:
            part = self.load(value["type"])
        except LookupError as error:
            raise PydanticCustomError("family_member", "{message}", {"message": str(error)}) from None
        try:
            return part.model_validate({key: item for key, item in value.items() if key != "type"})
        except ValidationError as error:
            # The inner errors travel in the context: pydantic would otherwise flatten them to one string. The config
            # reader unfolds them to full dotted paths.
            raise PydanticCustomError("family_fields", "invalid", {"errors": error.errors(), "part": part}) from None

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
        for member in self.members():
            # Through the handler, so that the definitions of a member's groups end up at the root, where `$ref` looks.
            item = handler.resolve_ref_schema(handler(self.load(member).__pydantic_core_schema__))
            properties = {"type": {"const": member}, **item.get("properties", {})}
            required = [] if self._implied(dict.fromkeys(item.get("required", []))) == member else ["type"]
            options.append({**item, "properties": properties, "required": [*required, *item.get("required", [])]})
        return {"anyOf": options}

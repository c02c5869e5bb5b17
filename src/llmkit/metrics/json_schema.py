"""JSON as asked for: the share of outputs that can be read, and the share that is valid against a JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import field_validator

from llmkit.core.errors import ConfigError, DataError
from llmkit.metrics import TextMetric

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

Valid = Callable[[Any], bool]
_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL | re.IGNORECASE)
_UNREADABLE: Any = object()
SCHEMA = "a schema is such as {type: object, required: [answer]}: -s tasks.0.metrics.0.rules=... has one for all rows"


class JsonSchema(TextMetric):
    """Read each prediction as JSON (RFC 8259: no NaN, no comments, nothing behind it) and validate it.

    The scores are `json`, the share that can be read, and `json_schema`, the share that is also valid. Without a schema
    of its own each row's reference is its schema, and one of several is enough. Needs the extra `json`; nothing is
    downloaded: a schema refers to itself and to the drafts of JSON Schema alone. `format` is not checked, as the
    standard has it.
    """

    says: ClassVar[str] = "Share of predictions that are JSON, and share valid against a schema, 0 to 100."

    rules: dict[str, Any] | None = None
    """The JSON schema, written as YAML or JSON; null: each reference is one. `$schema` says which draft, 2020-12 if
    nothing does."""
    fenced: bool = True
    """Take a Markdown fence off, in which chat models put JSON."""

    @field_validator("rules")
    @classmethod
    def _is_schema(cls, rules: dict[str, Any] | None) -> dict[str, Any] | None:
        if rules is not None:
            try:
                _validator(rules)
            except DataError as error:
                raise ValueError(error.message) from None
        return rules

    @property
    def needs_references(self) -> bool:
        """Whether references are needed: as schemas, where none is given."""
        return self.rules is None

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return json_schema and json.

        Raises:
            ConfigError: The schema refers to what is not in it.
            DataError: A reference is no schema.
        """
        from llmkit.evaluation.measures import mean

        own = None if self.rules is None else _validator(self.rules)
        known: dict[str, Valid] = {}

        def schema(text: str) -> Valid:
            if text not in known:
                known[text] = _validator(_schema_of(text))
            return known[text]

        read = [self.read(text) for text in predictions]
        valid = [
            value is not _UNREADABLE and any(check(value) for check in ([own] if own else map(schema, options)))
            for value, options in zip(read, references, strict=True)
        ]
        return {
            "json_schema": mean([100.0 * one for one in valid]),
            "json": mean([100.0 * (value is not _UNREADABLE) for value in read]),
        }

    def unusable(self, references: Sequence[str]) -> str:
        """Return that a reference is no schema, if it is to be one."""
        if self.rules is not None:
            return ""
        try:
            for text in references:
                _validator(_schema_of(text))
        except DataError:
            return "have a reference that is no JSON schema"
        return ""

    def read(self, text: str) -> Any:
        """Return the value that a text is; a mark of its own where it is no JSON."""
        fence = _FENCE.match(text) if self.fenced else None
        try:
            return json.loads(fence[1] if fence else text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return _UNREADABLE


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _schema_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"metric 'json_schema': a reference is no JSON: {error}: {text[:80]}", SCHEMA) from None


def _validator(rules: Any) -> Valid:
    """Return what tells whether a value is valid.

    Raises:
        SetupError: The extra is not installed.
        DataError: The rules are no schema.
    """
    from llmkit.core.extras import require

    jsonschema = require("json")
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(rules, dict | bool):
        raise DataError(f"a JSON schema is an object, not {type(rules).__name__}", SCHEMA)
    kind = jsonschema.validators.validator_for(rules, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(rules)
    except jsonschema.SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise DataError(f"this is no JSON schema: {error.message}{f', at {where}' if where else ''}", SCHEMA) from None
    made = kind(rules, registry=Registry())  # without one of its own it would download what a schema refers to

    def valid(value: Any) -> bool:
        try:
            return bool(made.is_valid(value))
        except Unresolvable as error:
            raise ConfigError(
                f"metrics.json_schema.rules: it refers to {error.ref}, which is not in it: nothing is downloaded",
                "put it under $defs and refer to '#/$defs/NAME'",
            ) from None
        except RecursionError:
            return False  # nested deeper than anything that was asked for

    return valid

"""A toy: a small picture and what it shows, `{"pixels": [[0.0, 1.0], [1.0, 0.0]], "label": 1}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.data.rows import Row, RowError


class Picture(Row):
    """Rows without any text."""

    aliases: ClassVar = {"pixels": ("pixels", "image"), "label": ("label", "digit")}

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the lines of pixels and the label."""
        pixels = raw.get(self.column("pixels"))
        if not isinstance(pixels, list) or len({len(line) for line in pixels}) != 1:
            raise RowError("the lines of the picture differ in length")
        return {"pixels": pixels, "label": int(raw[self.column("label")])}

    def schema(self) -> list[Any]:
        """Return the columns of numbers."""
        import pyarrow as pa

        return [pa.field("pixels", pa.list_(pa.list_(pa.float32()))), pa.field("label", pa.int64())]

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return the pixels as text: equal pictures are one."""
        return str(row["pixels"])

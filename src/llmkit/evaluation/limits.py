"""How far the answers of an export may be from the model's, by what was rounded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llmkit.modeling.heads import Answer

Form = Literal["float32", "bfloat16", "float16", "8-bit", "4-bit"]
"""What is left of the weights: of 6 bits and more 8-bit is asked, of fewer 4-bit."""

# Rounding the weights moves the logits: in float32 by the order of sums only, in bfloat16 by about 2^-8 and in float16
# by 2^-11 of their spread, several times over. Relative: a limit that suits a large model's logits passes zeros.
DIFFERENCES = {"float32": 1e-4, "bfloat16": 0.2, "float16": 0.05}
TOP1, BITS = 0.98, 0.05
COSINES = {"8-bit": 0.99, "4-bit": 0.95}
NUMBERS = {"8-bit": 0.1, "4-bit": 0.3}
LABELS = {"8-bit": TOP1, "4-bit": 0.9}
GRAPH, FLOOR = 2.0, 0.005
"""Times what rounding the layers' inputs changes, and of the spread, by what numbers may be off those of the rounded
weights. Two that round independently differ by 1.4 times that; what is rounded alike differs by less, until the layers
are so many that the order of sums decides everywhere: SmolLM2-135M in Q8_0 and Q4_0 by 0.030 where the rounding changes
0.033 and 0.044. The floor is for tables in float16 by which llama.cpp computes GELU."""


@dataclass(frozen=True)
class Limits:
    """What an export must hold; None asks nothing.

    Attributes:
        difference: Largest difference of a number.
        top1: Least share of what is chosen by the numbers that is the same, or that the model holds for almost as
            likely as its own choice (`differences.TIE`): the likeliest token of each position, the label of each token
            or text, both ends of a span. On text, where any was asked.
        bits: Most that bits per byte of text may grow, as a share: 0.05 is 5 %. Asked of models that write text from
            left to right; of others nothing.
        cosine: Least cosine of a vector and the model's.
        graph: Most that numbers may be off those of the model with the rounded weights, in times of what rounding its
            layers' inputs changes (and `FLOOR`): roots of mean squares. It tells a wrong graph, such as of positions
            that turn otherwise, from weights that are coarse, and is asked where the exporter leaves them in the model.
        exact: All choices are equal, all greedy tokens included.
    """

    difference: float | None = None
    top1: float | None = None
    bits: float | None = None
    cosine: float | None = None
    graph: float | None = None
    exact: bool = False

    @classmethod
    def of(cls, form: Form, answer: Answer, spread: float) -> Limits:
        """Return what is asked of a form of weights by default.

        Args:
            form: What is left of the weights.
            answer: The model's kind of answer.
            spread: Standard deviation of its numbers; of an answer `number`, their root mean square.
        """
        if form in DIFFERENCES:
            return cls(difference=DIFFERENCES[form] * spread, exact=form == "float32")
        if answer == "vector":
            return cls(cosine=COSINES[form], graph=GRAPH)
        if answer == "number":
            return cls(difference=NUMBERS[form] * spread, graph=GRAPH)
        if form == "4-bit" and answer == "tokens":
            return cls(bits=BITS, graph=GRAPH)
        return cls(top1=LABELS[form], graph=GRAPH)

    def facts(self) -> dict[str, float | bool]:
        """Return what is asked, for receipts."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}

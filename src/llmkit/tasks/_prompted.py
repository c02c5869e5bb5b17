"""What tasks have in common that put a prompt before a model: its parts, solved examples, and the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from llmkit.core.errors import DataError
from llmkit.core.registry import Family
from llmkit.data.sources import Source
from llmkit.evaluation.prompting import Prompt, TemplateText
from llmkit.evaluation.reading import add_source
from llmkit.tasks import DataTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.inputs import Inputs
    from llmkit.evaluation.few_shot import Shot


class PromptedTask(DataTask):
    """A task with a prompt; a template is Jinja over a row's columns, and a column's name alone is that column."""

    asking: ClassVar[frozenset[str]] = frozenset({
        "prompt", "description", "delimiter", "num_shots", "shots", "shots_data", "seed", "shot_delimiter", "chat",
        "multiturn",
    })  # fmt: skip

    prompt: TemplateText | None = None
    """Template of the question, up to where the answer begins; null goes by the names of the columns."""
    answer: TemplateText | None = None
    """Column or template of the right answer; null goes by the names of the columns."""
    description: TemplateText = ""
    """What stands before everything; with a chat template it is the system's turn."""
    delimiter: str = " "
    """Between a question and its answer; a chat template has its own."""
    num_shots: int = Field(0, ge=0)
    """Solved examples before each question."""
    shots: Literal["first", "drawn"] = "first"
    """The first rows for all questions, which are computed once, or others for each, drawn as lm-eval draws them."""
    shots_data: Annotated[Source | None, Family("source", shorthand=("files", "path"), also=(None,))] = None
    """Where examples are from; null takes them from `data`, never the question itself."""
    seed: int = 1234
    """Seed of the drawn examples."""
    shot_delimiter: str = "\n\n"
    """Behind each example."""
    chat: Literal["auto", "on", "off"] = "auto"
    """Ask in the model's chat template; `auto` does where it has one."""
    multiturn: bool = True
    """With a chat template, make each example two turns; else all is one turn of the user's."""

    def add_input(self, inputs: Inputs) -> None:
        """Add the data, and those that examples are of."""
        super().add_input(inputs)
        if self.shots_data is not None:
            add_source(self.shots_data, inputs, self.artifacts)


class Contexts:
    """Puts questions as a task says: as text, or in a model's chat template.

    Args:
        task: The task.
        tokenizer: The model's.
        answered: End where an answer begins, behind what the template writes before one, as an empty thought; else
            where the model is to write.

    Attributes:
        chat: The chat template is used.
        tokenizer: The model's or, if it had to be given a template, a copy.
    """

    def __init__(self, task: PromptedTask, tokenizer: PreTrainedTokenizerFast, *, answered: bool) -> None:
        from llmkit.data.rendering import ensure_template
        from llmkit.evaluation.few_shot import Spoken

        self.task, self.answered = task, answered
        self.chat = task.chat == "on" or (task.chat == "auto" and bool(tokenizer.chat_template))
        self.tokenizer = deepcopy(tokenizer) if self.chat else tokenizer  # the next task asks it the same question
        if self.chat:
            ensure_template(self.tokenizer)
        self._spoken = Spoken(self.tokenizer)
        self._description = Prompt(task.description, "tasks.description")

    def of(self, asked: Sequence[tuple[Mapping[str, Any], Sequence[Shot], str]]) -> list[str | DataError]:
        """Return the prompts, or why one is refused: by the template or, as `FAKES`, for a token that fakes a turn.

        Args:
            asked: Of each question the row's columns, its examples, and its text.
        """
        from llmkit.data.borders import literal_specials
        from llmkit.evaluation.exchanges import FAKES
        from llmkit.evaluation.few_shot import as_text, as_turns

        between = self.task.delimiter, self.task.shot_delimiter
        parts = [(self._description.render(fields), shots, text) for fields, shots, text in asked]
        if not self.chat:
            return [as_text(*part, *between) for part in parts]
        turns = [as_turns(*part, text=None if self.task.multiturn else between) for part in parts]
        fakes = list(literal_specials(self.tokenizer, turns))
        honest = [each for each, fake in zip(turns, fakes, strict=True) if fake is None]
        made = iter(self._spoken.contexts(honest, answered=self.answered))
        return [next(made) if fake is None else DataError(FAKES, "leave the row out") for fake in fakes]

"""Chat templates: those of a directory, those that are shipped, and conversations to text.

The template that training uses is saved with the model, and `apply_chat_template` is what renders it in training,
evaluation and serving alike, so that the three cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.inputs import Inputs, RawFile
from llmkit.data.calls import Messages, write_calls
from llmkit.data.chat import for_template, is_plain
from llmkit.data.clock import CLOCK, KEY, clock, has_clock
from llmkit.data.templates.shipped import CHAT_TEMPLATE, DEFAULT_TOKENS, SHIPPED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Turns = Sequence[dict[str, Any]]
"""A conversation, see `llmkit.data.chat`: {role, content} in order."""

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
"""For models that are asked without turns."""
DEFAULT = "default"
"""Name of the template that is meant where none is named."""
ROLES_SHOWN = 12
REFUSED_HINT = "leave such conversations out of the data, or give the tokenizer another chat_template"
TOOLS_HINT = "llmkit finetune -s template=chatml_tools trains with one that does, or give the tokenizer another one"


def templates_in(folder: Path) -> dict[str, str]:
    """Return the chat templates of a tokenizer's directory by name, as transformers finds them, without loading it."""
    found = {path.stem: path for path in template_files(folder)}
    if (folder / "chat_template.jinja").is_file():
        found[DEFAULT] = folder / "chat_template.jinja"
    if found:
        return {name: _read(path) for name, path in found.items()}
    template = tokenizer_settings(folder).get("chat_template")
    if isinstance(template, list):
        several = (item for item in template if isinstance(item, dict))
        return {str(item.get("name")): str(item.get("template")) for item in several}
    return {DEFAULT: template} if isinstance(template, str) and template else {}


def template_files(folder: Path) -> list[Path]:
    """Return the files of a tokenizer's templates beside the default one; they are named after them."""
    return sorted((folder / "additional_chat_templates").glob("*.jinja"))


def asks_for_date(folder: Path) -> bool:
    """Return whether the chat template in a directory asks for the date, and no training has recorded one."""
    return has_clock(templates_in(folder).get(DEFAULT, "")) and KEY not in tokenizer_settings(folder)


def add_templates(folder: Path, inputs: Inputs) -> None:
    """Add the named templates of a model made elsewhere to what a run reads: they lie in a folder of their own."""
    files = template_files(folder)
    if files and inputs.entries[-1].kind == "files":
        raw = [RawFile(str(file.resolve()), file.name, file.stat().st_size) for file in files]
        inputs.add_files(str(files[0].parent.resolve()), raw, role="templates")


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """Return what tokenizer_config.json says.

    Raises:
        DataError: It cannot be read.
    """
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    try:
        settings = json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from None
    return settings if isinstance(settings, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def chosen_template(templates: str | Mapping[str, str] | None, name: str | None = None) -> str:
    """Return the template of a name; the default where none is named, and ChatML where there is none at all.

    Args:
        templates: A tokenizer's, as it has them: one, several by name, or none.
        name: Which: one of these, or of those that are shipped.

    Raises:
        ConfigError: There is none of that name, or none is named and there are several without a default.
        DataError: It is no text.
    """
    named: Mapping[str, Any] = templates if isinstance(templates, Mapping) and templates else {}
    named = named or ({DEFAULT: templates} if templates else {})
    if not named and name in (None, DEFAULT):
        return CHAT_TEMPLATE
    template = named.get(name or DEFAULT)
    if isinstance(template, str):
        return template
    if template is not None:
        raise DataError(f"the chat template in tokenizer_config.json is no text: {str(template)[:40]}")
    if name in SHIPPED:
        return SHIPPED[name].text
    if name is not None:
        raise ConfigError(
            f"template: the model has no chat template '{name}'{nearest(name, [*named, *SHIPPED])}",
            hint=f"shipped, for models that have none: {', '.join(SHIPPED)}",
        )
    raise ConfigError(
        f"the model has several chat templates and none is the default: {', '.join(sorted(named))}",
        hint="llmkit finetune -s template=NAME trains with one and saves it with the model",
    )


def give_template(tokenizer: PreTrainedTokenizerFast, name: str | None, say: Callable[[str], None]) -> None:
    """Give the tokenizer one template, its own or a shipped one, and the tokens that it writes; say what is new.

    Args:
        tokenizer: The tokenizer.
        name: Of the template; None for its own or, where there is none, ChatML.
        say: Takes a line for people.

    Raises:
        ConfigError, DataError: See `chosen_template` and `ensure_template`.
    """
    own = tokenizer.chat_template
    if name is None and ensure_template(tokenizer):
        say("the tokenizer has no chat template: it gets the ChatML one")
        return
    tokenizer.chat_template = chosen_template(own, name)
    if name not in SHIPPED or (isinstance(own, Mapping) and name in own):
        return
    from tokenizers import AddedToken

    vocabulary, wanted = tokenizer.get_vocab(), SHIPPED[name].tokens
    known = {token.content for token in tokenizer.added_tokens_decoder.values()}
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in wanted if token not in known])
    new = [token for token in wanted if token not in vocabulary]
    instead = " instead of its own" if own else ""
    tokens = f", and the tokens {' '.join(new)}" if new else ""
    say(f"the tokenizer gets the chat template '{name}'{instead}{tokens}")


def ensure_template(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Give the tokenizer the default template if it has none; return whether it was given one.

    Raises:
        DataError: The tokenizer has neither a template nor the tokens of the default one.
    """
    if tokenizer.chat_template:
        return False
    vocabulary = tokenizer.get_vocab()
    gone = [token for token in DEFAULT_TOKENS if token not in vocabulary]
    if gone:
        raise DataError(
            f"the tokenizer has no chat template, and the default one needs {' and '.join(gone)}",
            hint="-s template=chatml adds these tokens and trains their rows, as do other names that are shipped;"
            " `llmkit tokenize` makes tokenizers that have them",
        )
    tokenizer.chat_template = CHAT_TEMPLATE
    return True


def give_plain_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Give the tokenizer a template that writes prompts as they stand, as it begins a text, and EOS behind answers."""
    starts = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    tokenizer.chat_template = ("{{ bos_token }}" if starts else "") + PLAIN_TEMPLATE


def render(tokenizer: PreTrainedTokenizerFast, turns: Turns, *, prompt: bool = False) -> str:
    """Return the text of a conversation; with `prompt`, ending where the assistant is to speak.

    Raises:
        DataError: The template refuses the conversation, such as one whose roles do not alternate.
    """
    (text,) = render_all(tokenizer, [turns], prompt=prompt)
    if isinstance(text, DataError):
        raise text
    return text


def encode_prompt(tokenizer: PreTrainedTokenizerFast, turns: Turns) -> list[int]:
    """Return the ids up to where the assistant is to speak; no special token is added twice."""
    ids: list[int] = tokenizer(render(tokenizer, turns, prompt=True), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    return ids


def render_all(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns], *, prompt: bool = False
) -> list[str | DataError]:
    """Return the text of each conversation, or why the template refuses it.

    Raises:
        ConfigError: There are several templates, and none is the default.
        DataError: The template is not valid.
    """
    from llmkit.data.templates.compiled import compile_template, explained, rendered

    # `apply_chat_template` does the same, three times as slowly: it also copies what may be no plain text.
    template = chosen_template(tokenizer.chat_template)
    compiled = compile_template(template)
    shared = {"tools": None, "documents": None, "add_generation_prompt": prompt, **tokenizer.special_tokens_map}
    shared = {**compiled.globals, CLOCK: clock(tokenizer), **shared}

    def write(messages: Messages, variables: Mapping[str, Any]) -> str | DataError:
        try:
            return rendered(compiled, messages, variables)
        except Exception as error:  # noqa: BLE001 - a template is a program: it may raise anything
            return _refused(messages, explained(error, compiled))

    found: list[str | DataError] = []
    for turns in conversations:
        if is_plain(turns):  # as `write` does, for most
            try:
                found.append(rendered(compiled, turns, shared))
            except Exception as error:  # noqa: BLE001 - see above
                found.append(_refused(turns, explained(error, compiled)))
            continue
        messages, tools = for_template(turns)
        made = write_calls(messages, partial(write, variables={**shared, "tools": tools} if tools else shared))
        found.append(_refused(turns, "it writes no calls of tools", TOOLS_HINT) if made is None else made)
    return found


def _refused(turns: Messages, why: str, hint: str = REFUSED_HINT) -> DataError:
    roles = ", ".join(turn["role"] for turn in turns[:ROLES_SHOWN]) + (", ..." if len(turns) > ROLES_SHOWN else "")
    return DataError(f"the chat template refuses a conversation of {roles}: {why}", hint=hint)

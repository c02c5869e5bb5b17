"""Tasks of lm-evaluation-harness asked of any model of ours: it says what to ask, and what the answers are worth.

lm-eval drives a model by calling it. Here its tasks say first what they will ask, then the engine answers (batched,
kept, resumed, by any runtime), and then lm-eval is run with a model that knows the answers already. Prompts, scores
and standard errors are therefore lm-eval's own. Needs the extra `harness`; imported where that is known to be there.
"""

from __future__ import annotations

import io
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval import evaluator
from lm_eval.api.model import LM, TemplateLM
from lm_eval.evaluator_utils import get_sample_size
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs
from lm_eval.tasks import TaskManager

from llmkit.core.errors import ConfigError, DataError, UserError
from llmkit.evaluation.asked import positions_of, rolling_requests, tokenizer_here
from llmkit.evaluation.harness_names import unknown
from llmkit.runtimes import Generate, Request, Running, Score

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

SEED = 1234
"""lm-eval's own, of the draws of few-shot examples."""
MAX_NEW_TOKENS = 256
"""lm-eval's own, where a task does not say."""


def load_tasks(name: str, include_path: str | None, num_fewshot: int | None) -> dict[str, Any]:
    """Return tasks and groups of a name, as `TaskManager.load` does.

    Args:
        name: Of a task, a group or a tag.
        include_path: A folder of tasks; where it has the name, those of lm-eval are not looked at.
        num_fewshot: Examples before each question; None for the task's own number.

    Raises:
        ConfigError: There is no such task.
        DataError: Its data are not on this machine, or its file is damaged.
    """
    manager = TaskManager(include_path=include_path, include_defaults=False) if include_path else _its_own()
    if name not in manager.all_tasks and include_path:
        manager = TaskManager(include_path=include_path)
    if name not in manager.all_tasks:
        raise unknown(name, manager.all_tasks)
    with _offline(), _its_own_errors(name, "loaded"):
        found: dict[str, Any] = manager.load([name])
    for task in found["tasks"].values():
        if getattr(task, "UNSAFE_CODE", False):
            raise ConfigError(
                f"tasks.task: '{name}' runs code that the model writes, and lm-eval does not confine it",
                "the task `code` does: -s tasks.0.type=code",
            )
        if num_fewshot is not None and task.get_config("num_fewshot") != 0:
            task.set_config(key="num_fewshot", value=num_fewshot)
        elif task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=SEED)
    return found


@cache
def _its_own() -> TaskManager:
    """Return the index of lm-eval's own tasks, which those of a run share: it takes half a minute to build."""
    return TaskManager()


@contextmanager
def _its_own_errors(name: str, what: str) -> Iterator[None]:
    """Say of which task an error is: lm-eval, datasets and the task's own code raise anything.

    Args:
        name: Of the task.
        what: What it cannot be: `loaded`, `asked`, `scored`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:300]
        hint = None
        if "hub" in why.casefold() or isinstance(error, ConnectionError):
            hint = "its data are read from the cache of the hub alone: download them once by lm-eval itself"
        elif "Sample larger than population" in why:
            hint = "it has fewer documents than num_fewshot asks for: lower it"
        raise DataError(
            f"tasks.task: the task '{name}' of lm-eval cannot be {what}: {type(error).__name__}: {why}", hint
        ) from error


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the hub's clients from the network: what is cached is read, anything else is an error at once."""
    import datasets.config
    import huggingface_hub.constants

    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = before


@contextmanager
def _as_lm_eval() -> Iterator[None]:
    """Seed what lm-eval seeds, keep its progress bars to itself, and give the random states back."""
    states = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(SEED)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@dataclass(frozen=True)
class Asked:
    """What one request of lm-eval asks a model.

    Attributes:
        instance: The request.
        requests: The same, as runtimes take it.
        truncated: The context did not fit, and its beginning was cut, as lm-eval does.
    """

    instance: Instance
    requests: list[Request]
    truncated: bool = False


class Harness:
    """One task, or one group of tasks, on one model.

    Args:
        model: The model.
        found: What `load_tasks` returned.
        limit: Documents of each task at most.
        chat: Prompts go through the model's chat template.
    """

    def __init__(self, model: Running, found: Mapping[str, Any], *, limit: int | None, chat: bool) -> None:
        self.found, self.limit, self.chat = found, limit, chat
        self.encoder = _Encoder(model)
        self.known: dict[int, Any] = {}

    def documents(self) -> Iterator[tuple[str, int, list[Asked]]]:
        """Yield, for each document, the name of its task, its number, and what is asked about it."""
        for name, task in self.found["tasks"].items():
            with _as_lm_eval(), _its_own_errors(name, "asked"):
                task.build_all_requests(
                    limit=get_sample_size(task, self.limit), rank=0, world_size=1, apply_chat_template=self.chat,
                    chat_template=self.encoder.apply_chat_template if self.chat else None,
                    tokenizer_name=self.encoder.tokenizer_name if self.chat else "",
                )  # fmt: skip
            # What was asked is what is scored: lm-eval would build its requests again, and draw other examples.
            task.build_all_requests = lambda **_: None
            by_document: dict[int, list[Instance]] = defaultdict(list)
            for instance in task.instances:
                by_document[instance.doc_id].append(instance)
            greedy = task.OUTPUT_TYPE == "loglikelihood" or "exact_match" in getattr(task, "_metric_fn_list", {})
            for number, instances in by_document.items():
                yield name, number, [self.encoder.asked(instance, greedy=greedy) for instance in instances]

    def answer(self, asked: Asked, answers: Sequence[Any]) -> None:
        """Take in what a model has answered."""
        kind = asked.instance.request_type
        if kind == "loglikelihood_rolling":
            self.known[id(asked.instance)] = float(sum(answers))
        elif kind == "generate_until":
            self.known[id(asked.instance)] = answers[0].text
        else:
            score = asked.requests[0]
            assert isinstance(score, Score)
            is_greedy = len(answers) > 1 and answers[1].ids == score.target
            self.known[id(asked.instance)] = (float(answers[0]), is_greedy)

    def results(self) -> dict[str, Any]:
        """Return what lm-eval makes of the answers: `results`, `samples`, `versions` and so on, by task."""
        with _as_lm_eval(), _offline(), _its_own_errors(", ".join(self.found["tasks"]), "scored"):
            found: dict[str, Any] = evaluator.evaluate(_Answered(self.known), self.found, limit=self.limit)
        return found


class _Encoder(TemplateLM):  # type: ignore[misc]
    """Says in ids what lm-eval asks in text, as lm-eval's own `hf` model does."""

    def __init__(self, model: Running) -> None:
        super().__init__()
        self.tokenizer = tokenizer_here(model)
        self.max_length = positions_of(model)

    def asked(self, instance: Instance, *, greedy: bool) -> Asked:
        """Return what a request asks; `greedy` if it matters whether the model would write the answer itself."""
        kind = instance.request_type
        if kind == "loglikelihood_rolling":
            ids = self.tok_encode(instance.args[0])
            return Asked(instance, list(rolling_requests(ids, start=self.prefix_token_id, max_length=self.max_length)))
        if kind == "generate_until":
            return self._written(instance)
        ((context, target),) = self.loglikelihood([instance], disable_tqdm=True)
        if not 0 < len(target) <= self.max_length:
            raise DataError(
                f"tasks.task: an answer of {len(target):,} tokens, and the model has {self.max_length:,} positions",
                "leave the task out of --harness, or measure a model that takes longer rows",
            )
        whole = (*context, *target)[-(self.max_length + 1) :]
        kept = whole[: len(whole) - len(target)]
        requests: list[Request] = [Score(kept, tuple(target))]
        if greedy:
            requests.append(Generate(kept, len(target), exact=True))
        return Asked(instance, requests, truncated=len(kept) < len(context))

    def _written(self, instance: Instance) -> Asked:
        context, settings = instance.args
        wanted = normalize_gen_kwargs(settings, MAX_NEW_TOKENS)
        budget, until = wanted["max_gen_toks"], wanted["until"]
        if budget >= self.max_length:
            raise ConfigError(
                f"tasks.task: it writes up to {budget:,} tokens, and the model has {self.max_length:,} positions",
                f"lower max_gen_toks in the task's generation_kwargs, below {self.max_length:,}",
            )
        ids = self.tok_encode(context) or [self.prefix_token_id]
        kept = ids[-(self.max_length - budget) :]
        stops = tuple(stop for stop in until if stop)
        temperature = float(wanted.get("temperature") or 0.0) if wanted.get("do_sample") else 0.0
        request = Generate(tuple(kept), budget, stops, temperature, seed=instance.doc_id or 0)
        return Asked(instance, [request], truncated=len(kept) < len(ids))

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id  # type: ignore[no-any-return]

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        more = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        found: list[int] = self.tokenizer.encode(string, **more)
        return found

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        found: str = self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )  # fmt: skip
        return found

    def _loglikelihood_tokens(self, requests: list[tuple[Any, list[int], list[int]]], **_: Any) -> list[Any]:
        return [(context, target) for _, context, target in requests]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError


class _Answered(LM):  # type: ignore[misc]
    """A model that has answered already."""

    def __init__(self, known: Mapping[int, Any]) -> None:
        super().__init__()
        self.known = known

    def _answers(self, requests: Sequence[Instance], **_: Any) -> list[Any]:
        return [self.known[id(instance)] for instance in requests]

    loglikelihood = loglikelihood_rolling = generate_until = _answers

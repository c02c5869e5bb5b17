"""finetune with chat templates of other people: with a clock, several by name, none that works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest
from llmkit.data import clock
from llmkit.data.rendering import CHAT_TEMPLATE

DATED = "{{ strftime_now('%d%m') }}" + CHAT_TEMPLATE


@pytest.fixture
def today(monkeypatch):
    """Let it be a day."""
    return lambda date: monkeypatch.setattr(clock, "today", lambda: date)


@pytest.fixture
def finetune(cli, chain, training_options, tmp_path):
    """Fine-tune a copy of the base model that has a chat template, or several by name, for one step."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def run(template, *more, steps=1, out="out"):
        if not Path("foreign").exists():
            tokenizer = AutoTokenizer.from_pretrained(chain.base)
            tokenizer.chat_template = template
            tokenizer.save_pretrained("foreign")
            AutoModelForCausalLM.from_pretrained(chain.base).save_pretrained("foreign")
        options = [*training_options, "-s", "validation_fraction=0", "-s", "workers=1", "--max-steps", steps]
        return cli("finetune", "--data", chain.pairs, "--model", "foreign", *options, "-o", out, *more)

    return run


def settings(folder):
    return json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_a_run_has_one_date_whatever_day_it_is(finetune, cli, chain, today):
    today("2026-11-28")
    outcome = finetune(DATED)
    assert outcome.code == 0
    assert "the chat template asks for the date: it is 2026-11-28 in this run, whenever it goes on" in outcome.err
    assert settings("out")["chat_date"] == "2026-11-28"
    manifest = read_manifest(Path("out"))
    assert manifest.config["fingerprint"]["config"]["date"] == "2026-11-28"

    today("2026-11-29")
    assert "up to date" in (again := finetune(DATED)).out + again.err
    assert finetune(DATED, "-s", "date=2026-11-28", out="given").code == 0
    assert read_manifest(Path("given")).id == manifest.id
    assert finetune(DATED, out="next").code == 0
    assert read_manifest(Path("next")).identity != manifest.identity
    assert finetune(DATED, steps=2).code == 0  # goes on from its last checkpoint
    assert settings("out")["chat_date"] == "2026-11-28"
    other = finetune(DATED, "-s", "date=2026-11-30", steps=2)
    assert other.code == 2
    assert "date: 2026-11-28 there, 2026-11-30 now" in other.err

    tasks = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 8}}]"
    scores = []
    for day in ("2026-11-29", "2027-01-01"):  # eval asks on the day of the training
        today(day)
        assert cli("eval", "--model", "out", "-s", tasks, "-o", f"scores-{day}").code == 0
        scores.append(read_manifest(Path(f"scores-{day}")))
    assert scores[0].identity == scores[1].identity
    assert scores[0].id == scores[1].id
    assert scores[0].config["written"]["date"] is None


def test_eval_of_a_model_that_records_no_date_has_one(finetune, cli, chain, today):
    finetune(DATED, "--dry-run")  # only makes the model's directory
    tasks = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 8}}]"
    today("2026-11-28")
    assert cli("eval", "--model", "foreign", "-s", tasks, "-o", "one").code == 0
    before = read_manifest(Path("one"))
    today("2027-01-01")
    again = cli("eval", "--model", "foreign", "-s", tasks, "-o", "one")
    assert "up to date" in again.out + again.err
    assert cli("eval", "--model", "foreign", "-s", tasks, "-s", "date=2026-11-28", "-o", "two").code == 0
    assert cli("eval", "--model", "foreign", "-s", tasks, "-o", "three").code == 0
    assert read_manifest(Path("two")).id == before.id
    assert read_manifest(Path("three")).identity != before.identity


def test_a_template_without_a_clock_has_no_date(finetune, today):
    today("2026-11-28")
    assert finetune(CHAT_TEMPLATE, "-s", "date=2026-11-01").code == 0
    assert "chat_date" not in settings("out")
    assert read_manifest(Path("out")).config["written"]["date"] is None


def test_of_several_templates_one_is_chosen_and_saved_alone(finetune):
    several = {"short": CHAT_TEMPLATE, "long": "{{ 'long' }}" + CHAT_TEMPLATE}
    outcome = finetune(several)
    assert outcome.code == 2
    assert "error: the model has several chat templates and none is the default: long, short" in outcome.err
    outcome = finetune(several, "-s", "template=shorts")
    assert outcome.code == 2
    assert "error: template: the model has no chat template 'shorts'; did you mean 'short'?" in outcome.err
    assert finetune(several, "-s", "template=long").code == 0
    assert Path("out/chat_template.jinja").read_text(encoding="utf-8") == several["long"]
    assert not Path("out/additional_chat_templates").exists()
    roles = {item.role for item in read_manifest(Path("out")).inputs}
    assert roles == {"data", "model", "templates"}


def test_a_template_is_for_chats(cli, chain):
    outcome = cli("finetune", "--data", chain.pairs, "--model", chain.base, "-s", "objective=classification", "-s",
                  "template=rag", "-o", "out")  # fmt: skip
    assert outcome.code == 2
    assert "template is for chats: classification needs no chat template" in outcome.err


def test_a_template_that_does_not_compile_is_said_before_anything_is_read(finetune):
    outcome = finetune("{% for message in messages %}\n{{ message.content }")
    assert outcome.code == 3
    assert "error: the chat template is not valid: unexpected '}' (line 2)" in outcome.err
    assert not Path("out").exists() or not any(Path("out").iterdir())


def test_what_a_template_raises_is_a_row_left_out(finetune):
    outcome = finetune("{{ messages[0].content + 1 }}")
    assert outcome.code == 3
    assert "the chat template refuses a conversation of user, assistant: TypeError: can only concatenate" in outcome.err

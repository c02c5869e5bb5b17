"""The clock of chat templates: two days, one date."""

from __future__ import annotations

import pytest

from llmkit.core.config import resolve
from llmkit.core.context import Context
from llmkit.core.durable import write_json
from llmkit.core.errors import ConfigError
from llmkit.core.manifest import PARTIAL
from llmkit.core.move import RUN
from llmkit.data import clock
from llmkit.data.clock import date_of, has_clock, set_date, settle_date
from llmkit.data.rendering import render
from llmkit.stages.finetune import Config
from tiny import byte_tokenizer

DATED = "{{ strftime_now('%d %b %Y %H:%M') }} {{ messages[0].content }}"
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def today(monkeypatch):
    """Let it be a day."""

    def be(date: str) -> None:
        monkeypatch.setattr(clock, "today", lambda: date)

    return be


@pytest.mark.parametrize(
    ("template", "has"),
    [
        (DATED, True),
        ("{% if strftime_now is defined %}{% set date = strftime_now('%Y') %}{% endif %}", True),
        ("strftime_now {# strftime_now() #}{{ 'strftime_now' }}", False),
        ("{% set date_string = date_string or '26 Jul 2024' %}", False),
        ("{{ strftime_now( ", True),
        ("{{ $ strftime_now( ", False),  # no template: said where it is compiled
    ],
)
def test_a_template_with_a_clock(template, has):
    assert has_clock(template) is has


def test_what_is_rendered_has_the_date_that_was_settled(today, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = byte_tokenizer(template=DATED)
    today("2026-11-29")
    assert render(tokenizer, TURNS) == "29 Nov 2026 00:00 Hi"
    set_date(tokenizer, "2026-11-28")
    assert render(tokenizer, TURNS) == "28 Nov 2026 00:00 Hi"
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert date_of(loaded) == "2026-11-28"
    assert render(loaded, TURNS) == "28 Nov 2026 00:00 Hi"
    set_date(loaded, None)
    assert render(loaded, TURNS) == "29 Nov 2026 00:00 Hi"


def test_the_date_is_the_given_one_else_the_recorded_one_else_today(today, tmp_path):
    today("2026-11-29")
    context = Context(tmp_path)
    assert settle_date(None, context) == "2026-11-29"
    (tmp_path / PARTIAL).mkdir()
    write_json(tmp_path / PARTIAL / RUN, {"config": {"date": "2026-11-28"}})
    assert settle_date(None, context) == "2026-11-28"
    assert settle_date("2026-01-31", context) == "2026-01-31"
    (tmp_path / PARTIAL / RUN).write_text("{")  # killed while it was written
    assert settle_date(None, context) == "2026-11-29"


def test_what_goes_on_from_the_checkpoint_of_another_run_has_its_date(today, tmp_path):
    today("2026-11-29")
    (tmp_path / "one" / PARTIAL).mkdir(parents=True)
    write_json(tmp_path / "one" / PARTIAL / RUN, {"config": {"date": "2026-11-28"}})
    for place in ("one/.partial/checkpoints/step-00000001", "one/checkpoints/step-00000001"):
        context = Context(tmp_path / "two", resume=str(tmp_path / place))
        assert settle_date(None, context) == "2026-11-28"


def test_every_process_of_a_run_has_the_date_of_the_first(today, tmp_path):
    class Follower:
        rank = 1

        def hear(self, key):
            assert key == "date"
            return {"date": "2026-11-28"}

    today("2026-11-29")
    assert settle_date(None, Context(tmp_path, team=Follower())) == "2026-11-28"


@pytest.mark.parametrize("wrong", ["28.11.2026", "2026-02-30", "20261128", "2026-11-28T10:00"])
def test_what_is_no_date_is_refused(wrong):
    with pytest.raises(ConfigError, match="date"):
        resolve(Config, sets=[f"date={wrong}", "data=[rows]", "model=m"])

"""A name that lm-eval does not have is found without its index."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from llmkit.core.errors import ConfigError
from llmkit.evaluation import harness_names
from llmkit.evaluation.harness_names import check_name


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An lm-eval of four files."""
    tasks = tmp_path / "lm_eval" / "tasks" / "arc"
    tasks.mkdir(parents=True)
    (tasks / "arc_easy.yaml").write_text("tag:\n  - ai2_arc\ntask: arc_easy\ndataset_path: allenai/ai2_arc\n")
    (tasks / "arc_challenge.yaml").write_text("include: arc_easy.yaml\ntask: arc_challenge\n")
    (tasks / "_arc_group.yaml").write_text('group: "arc_all"\ntask:\n  - arc_easy\n  - task: arc_hard\n    limit: 3\n')
    (tasks / "_default_template_yaml").write_text("tag: arc_templated\n")
    monkeypatch.setattr(
        harness_names, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path / "lm_eval")])
    )
    return tmp_path


@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge", "arc_all", "ai2_arc", "arc_hard", "arc_templated"])
def test_a_name_of_a_task_a_group_or_a_tag_may_be_asked_for(installed, name):
    check_name(name, None)


@pytest.mark.parametrize(
    ("typed", "near"), [("arc_esay", "arc_easy"), ("ai2_arcs", "ai2_arc"), ("arc_al", "arc_all"), ("xyzzy", None)]
)
def test_a_name_that_is_nowhere_is_told_of_with_the_one_that_is_near(installed, typed, near):
    said = f"; did you mean '{near}'?" if near else "; valid: "
    with pytest.raises(ConfigError, match=re.escape(f"tasks.task: lm-eval has no task '{typed}'{said}")) as caught:
        check_name(typed, None)
    assert "lm-eval ls tasks" in str(caught.value.hint)


def test_tasks_of_ones_own_come_first_and_those_of_lm_eval_are_there_beside_them(installed):
    own = installed / "own"
    own.mkdir()
    (own / "mine.yaml").write_text("task: my_arc\n")
    check_name("my_arc", str(own))
    check_name("arc_easy", str(own))
    with pytest.raises(ConfigError, match="did you mean 'my_arc'"):
        check_name("my_arcs", str(own))

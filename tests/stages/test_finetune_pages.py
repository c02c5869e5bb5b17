"""The pages about finetune do what they show, on a tiny model whose template writes tools, calls and reasoning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pages import DOCS, run_page

TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\nTools:' }}{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ m.content if m.content is defined }}{% for call in m.tool_calls or [] %}{{ '<tool_call>\n' }}"
    "{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}{{ '\n</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def model(chain, tmp_path):
    """Have the model that the pages name: the chain's base with another chat template."""
    shutil.copytree(chain.base, tmp_path / "model", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "model/chat_template.jinja").write_text(TEMPLATE)
    (tmp_path / "model/llmkit.json").unlink()
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))


@pytest.mark.parametrize(("page", "commands"), [("finetune-start.md", 6), ("howto-chat.md", 8)])
@pytest.mark.usefixtures("model")
def test_a_page_does_what_it_shows(page, commands, cli):
    assert run_page(page, cli) >= commands


def test_the_table_of_layouts_names_kinds_that_there_are():
    from llmkit.core.registry import Family

    page = (DOCS / "finetune-start.md").read_text(encoding="utf-8")
    kinds = {cell.split("|")[2].strip(" `") for cell in page.splitlines() if cell.startswith("| `{")}
    assert kinds
    assert kinds <= {*Family("row").members()}


def test_the_recipe_for_chats_runs_as_it_stands(chain, cli):
    shutil.copytree(chain.base, "base", ignore=shutil.ignore_patterns("checkpoints", "llmkit.json"))
    config = json.loads(Path("base/config.json").read_text())
    Path("base/config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    outcome = cli("finetune", "-r", "chat", "--model", "base", "--max-steps", 1, "-s", "precision=float32",
                  "-s", "context_length=512", "-s", "batch_tokens=512", "-o", "out", "--json")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.json["metrics"]["rows"] > 1000
    assert Path("out/chat_template.jinja").is_file()

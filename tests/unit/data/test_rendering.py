"""Chat templates of a directory: one, several by name, or none."""

from __future__ import annotations

import json

import pytest

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import Inputs
from llmkit.data.rendering import CHAT_TEMPLATE, add_templates, chosen_template, render, templates_in
from tiny import byte_tokenizer

SEVERAL = {"default": "D{{ messages[0].content }}", "tool_use": "T{{ messages[0].content }}", "rag": "R"}


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("template", [SEVERAL, {"rag": "R", "tool_use": "T"}, "one", None])
def test_templates_are_found_as_transformers_finds_them(tmp_path, template, files):
    from transformers import AutoTokenizer

    byte_tokenizer(template=template).save_pretrained(tmp_path, save_jinja_files=files)
    loaded = AutoTokenizer.from_pretrained(tmp_path).chat_template
    assert loaded == template
    assert templates_in(tmp_path) == ({"default": template} if isinstance(template, str) else template or {})


def test_the_named_one_is_chosen_else_the_default():
    assert chosen_template(SEVERAL, "tool_use") == SEVERAL["tool_use"]
    assert chosen_template(SEVERAL) == chosen_template(SEVERAL, "default") == SEVERAL["default"]
    assert chosen_template("one") == chosen_template("one", "default") == "one"
    assert chosen_template(None) == chosen_template({}) == CHAT_TEMPLATE


@pytest.mark.parametrize(
    ("templates", "name", "says"),
    [
        (SEVERAL, "tool-use", "template: the model has no chat template 'tool-use'; did you mean 'tool_use'?"),
        (
            "one",
            "rag",
            "template: the model has no chat template 'rag'; valid: chatml, chatml_tools, default, gemma, llama3, phi3,"
            " plain",
        ),
        ({"rag": "R", "tool_use": "T"}, None, "several chat templates and none is the default: rag, tool_use"),
    ],
)
def test_what_cannot_be_chosen_is_said(templates, name, says):
    with pytest.raises(ConfigError) as error:
        chosen_template(templates, name)
    assert says in error.value.message


@pytest.mark.parametrize("wrong", [5, {"default": 5}])
def test_a_template_that_is_no_text_is_said(wrong):
    with pytest.raises(DataError, match=r"the chat template in tokenizer_config\.json is no text: 5"):
        chosen_template(wrong)


def test_a_tokenizer_with_several_renders_with_the_default_or_says_why_not():
    turns = [{"role": "user", "content": "Hi"}]
    assert render(byte_tokenizer(template=SEVERAL), turns) == "DHi"
    with pytest.raises(ConfigError, match="none is the default: rag") as error:
        render(byte_tokenizer(template={"rag": "R"}), turns)
    assert "-s template=NAME" in error.value.hint


def test_named_templates_of_a_foreign_model_are_what_a_run_reads(tmp_path):
    byte_tokenizer(template=SEVERAL).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')

    def digests():
        inputs = Inputs()
        inputs.add_directory(tmp_path, ("model",), role="model")
        add_templates(tmp_path, inputs)
        return [(item.role, item.digest, item.num_files) for item in inputs.entries]

    (_, (role, before, number)) = digests()
    assert (role, number) == ("templates", 2)
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("R2")
    assert digests()[1][1] != before


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer_config\.json is no JSON"):
        templates_in(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": [3, {"name": "a", "template": "A"}]}))
    assert templates_in(tmp_path) == {"a": "A"}
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"chat_template\.jinja cannot be read"):
        templates_in(tmp_path)

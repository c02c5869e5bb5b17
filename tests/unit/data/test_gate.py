"""Every answer is learned behind what inference shows, up to where it stops: in all styles, with tools and thoughts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from llmkit.core.errors import DataError
from llmkit.data.borders import borders_of
from llmkit.data.chat import mark_trained
from llmkit.data.packing import IGNORED
from llmkit.data.rendering import encode_prompt
from llmkit.data.targets import encode_chats
from llmkit.modeling.templated import templated_encoder
from styles import STYLES, THOUGHTS, TOOLS, TURNS, calls, said, style, user
from tiny import byte_tokenizer


def passed(tokenizer, turns):
    """Return the parts of a conversation as texts that are learned, each part checked at the gate."""
    (found,), (sooner,) = (encode_chats(tokenizer, [turns], fast) for fast in (None, templated_encoder(tokenizer)))
    assert not isinstance(found, DataError), found
    stops = borders_of(tokenizer).end_ids
    prompts = {tuple(encode_prompt(tokenizer, turns[:i])): i for i in range(1, len(turns))}
    learned, asked = [], []
    for part, same in zip(found.parts, sooner.parts, strict=True):
        np.testing.assert_array_equal(part.labels, same.labels, strict=True)
        texts = []
        for answer in part.answers:
            asked.append(prompts[tuple(part.ids[: answer.start].tolist())])
            targets = part.labels[answer.start - 1 : answer.end]
            targets = targets[targets != IGNORED]
            assert targets[-1] in stops
            texts.append(tokenizer.decode(targets))
        assert (part.labels != IGNORED).sum() == sum(len(run(part, answer)) for answer in part.answers)
        learned.append(texts)
    assert sorted(asked) == [
        i for i, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("train", True)
    ]
    return learned


def run(part, answer):
    targets = part.labels[answer.start - 1 : answer.end]
    return targets[targets != IGNORED]


EMPTY = "<think>\n\n</think>\n\n"
ANSWERS = ["It is 3.", "You are welcome.", "So long!"]
TALKS = {
    "chatml": [[f"{text}<|im_end|>" for text in ANSWERS]],
    "qwen3": [[f"{EMPTY}{text}<|im_end|>"] for text in ANSWERS],
    "llama3": [[f"{text}<|eot|>" for text in ANSWERS]],
    "phi3": [[f"{text}<|end|>" for text in ANSWERS]],
    "gemma": [[f"{text}<end>" for text in ANSWERS]],
    "deepseek": [[f"\n</think>\n\n{text}<｜end｜>"] for text in ANSWERS],
    "mistral": [[f" {text}<|eos|>" for text in ANSWERS]],
    "closes": [[f"</think>{text}<|eos|>"] for text in ANSWERS],
    "glm": [[f"\n<think></think>\n{text}<|eos|>" for text in ANSWERS]],
}


@pytest.mark.parametrize("name", STYLES)
def test_each_answer_is_learned_where_inference_asks_for_it(name):
    assert passed(style(name), TURNS) == TALKS[name]


def test_earlier_thoughts_are_learned_where_they_are_thought():
    assert passed(style("qwen3"), THOUGHTS) == [
        ["<think>\none more than 2\n</think>\n\nIt is 3.<|im_end|>"],
        ["<think>\npolite\n</think>\n\nYou are welcome.<|im_end|>"],
    ]
    assert passed(style("glm"), THOUGHTS) == [
        ["\n<think>one more than 2</think>\nIt is 3.<|eos|>"],
        ["\n<think>polite</think>\nYou are welcome.<|eos|>"],
    ]
    assert passed(style("deepseek"), THOUGHTS) == [
        ["one more than 2\n</think>\n\nIt is 3.<｜end｜>"],
        ["polite\n</think>\n\nYou are welcome.<｜end｜>"],
    ]
    (made,) = encode_chats(style("phi3"), [THOUGHTS])  # writes none
    assert made.notes == {"reasoning": 2}


def test_calls_of_tools_are_answers():
    call = '<tool_call>\n{{"name": "weather", "arguments": {{"city": "{}"}}}}\n</tool_call><|im_end|>'
    rome, oslo = call.format("Rome"), call.format("Oslo")
    assert passed(style("chatml"), TOOLS) == [[f"\n{rome}", "Sunny.<|im_end|>", f"\n{oslo}", "Rain.<|im_end|>"]]
    assert passed(style("qwen3"), TOOLS) == [
        [f"{EMPTY}\n{rome}"], [f"{EMPTY}Sunny.<|im_end|>"], [f"{EMPTY}\n{oslo}"], [f"{EMPTY}Rain.<|im_end|>"],
    ]  # fmt: skip
    rome, oslo = (f'{{"name": "weather", "parameters": {{"city": "{city}"}}}}<|eom|>' for city in ("Rome", "Oslo"))
    assert passed(style("llama3"), TOOLS) == [[rome, "Sunny.<|eot|>", oslo, "Rain.<|eot|>"]]
    tokenizer = style("llama3")
    assert borders_of(tokenizer).end_ids == tuple(tokenizer.convert_tokens_to_ids(["<|eot|>", "<|eom|>"]))
    rome = "\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome\n</tool_call>"
    assert passed(style("glm"), TOOLS)[0][0] == f"\n<think></think>{rome}<|eos|>"


def test_a_template_may_want_arguments_as_json_and_nothing_beside_calls():
    rome = '<｜call｜>function<｜sep｜>weather\n{"city": "Rome"}<｜end｜>'
    assert passed(style("deepseek"), TOOLS[:2]) == [[f"\n</think>\n\n{rome}"]]


def test_calls_with_thoughts_of_one_question_share_an_example():
    turns = [*TOOLS[:1], calls("Rome", reasoning_content="look"), TOOLS[2], said("Sunny.", reasoning_content="I see")]
    ((first, last),) = passed(style("qwen3"), turns)
    assert first.startswith("<think>\nlook\n</think>\n\n\n<tool_call>")
    assert last == "<think>\nI see\n</think>\n\nSunny.<|im_end|>"


def test_what_comes_before_a_question_may_be_written_otherwise_once_it_is_answered():
    system = {"role": "system", "content": "Be brief."}
    assert passed(style("mistral"), [system, *TURNS]) == [[f" {text}<|eos|>"] for text in ANSWERS]
    (made,) = encode_chats(style("mistral"), [[system, *TURNS]])
    assert style("mistral").decode(made.parts[1].ids) == (
        "<|bos|>[INST]1 + 2?[/INST] It is 3.<|eos|>[INST]Be brief.\n\nThanks[/INST] You are welcome.<|eos|>"
    )


def test_a_thought_is_closed_as_the_template_does_it():
    assert passed(style("closes"), THOUGHTS) == [
        ["one more than 2</think>It is 3.<|eos|>", "polite</think>You are welcome.<|eos|>"]
    ]


def test_thinking_that_inference_never_asks_for_is_left_out_and_noted():
    # As of templates whose prompts have an empty thought: an answer that thinks does not follow from them.
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        "{{ '<think>' + (m.reasoning_content or '') + '</think>' if m.role == 'assistant' }}"
        "{{ m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think></think>' }}{% endif %}"
    )
    (made,) = encode_chats(byte_tokenizer(template=template), [THOUGHTS])
    assert made.notes == {"reasoning": 2}
    assert passed(byte_tokenizer(template=template), THOUGHTS) == [
        ["It is 3.<|im_end|>"], ["You are welcome.<|im_end|>"],
    ]  # fmt: skip


def test_calls_are_not_taken_for_written_because_a_tool_of_that_name_is():
    template = "{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}"
    (found,) = encode_chats(byte_tokenizer(template=template), [TOOLS])
    assert isinstance(found, DataError)
    assert found.message.endswith("it writes no calls of tools")


def test_a_token_that_ends_each_call_ends_no_turn():
    template = (
        "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
        "{{ '<turn>' + c.function.name + c.function.arguments | tojson + '<end>' }}{% endfor %}"
        "{% else %}{{ '<turn>' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<turn>' }}{% endif %}"
    )
    tokenizer = byte_tokenizer(template=template)
    tokenizer.add_tokens([AddedToken("<end>", special=True), AddedToken("<turn>", special=True)])
    turns = [user("Rome?"), calls("Rome"), user("Hm?"), said("Yes.")]
    assert passed(tokenizer, turns) == [['weather{"city": "Rome"}<end><|im_end|>', "Yes.<|im_end|>"]]


@pytest.mark.parametrize("name", ["phi3", "gemma"])
def test_calls_that_the_template_does_not_write_are_refused(name):
    (found,) = encode_chats(style(name), [[user("Rome?"), calls("Rome")]])
    assert isinstance(found, DataError)
    assert found.message.endswith("refuses a conversation of user, assistant: it writes no calls of tools")
    assert "-s template=chatml_tools" in found.hint


def test_tools_that_the_template_does_not_write_are_noted():
    turns = [*TOOLS[:1], said("No idea.")]
    (made,) = encode_chats(style("phi3"), [turns])
    assert made.notes == {"tools": 1}
    (made,) = encode_chats(style("chatml"), [turns])
    assert not made.notes


@pytest.mark.parametrize("name", STYLES)
def test_what_has_no_weight_is_read_and_not_learned(name):
    turns = [*TURNS[:3], said("You are welcome.", weight=0), *TURNS[4:]]
    (made,) = encode_chats(style(name), [mark_trained(turns, "assistant")])
    learned = [text for texts in passed(style(name), mark_trained(turns, "assistant")) for text in texts]
    flat = [text for texts in TALKS[name] for text in texts]
    assert learned == [flat[0], flat[2]]
    assert "welcome" in style(name).decode(made.parts[-1].ids)
    (last,) = (text for texts in passed(style(name), mark_trained(TURNS, "last")) for text in texts)
    assert last == flat[2]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>{}[]"), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(STYLES)), st.integers(1, 3))
def test_the_gate_holds_whatever_is_said(data, name, number):
    tokenizer = style(name)
    turns = []
    for _ in range(number):
        answer = data.draw(TEXT.filter(str.strip))
        thought = {"reasoning_content": data.draw(TEXT)} if data.draw(st.booleans()) else {}
        turns += [user(data.draw(TEXT)), said(answer, **thought)]
    assert sum(map(len, passed(tokenizer, turns))) == number

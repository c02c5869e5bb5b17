"""What is learned of a conversation: after the ids that inference sends, up to a token at which it stops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.core.errors import DataError
from llmkit.data.borders import borders_of, literal_special, mend_template
from llmkit.data.packing import IGNORED
from llmkit.data.rendering import CHAT_TEMPLATE, encode_prompt
from llmkit.data.targets import encode_chats
from llmkit.evaluation.exchanges import scored_answer
from llmkit.modeling.templated import templated_encoder
from tiny import byte_tokenizer, runs

USER, ANSWER = {"role": "user", "content": "Add 1 and 2"}, {"role": "assistant", "content": "It is 3."}
SYSTEM, THANKS = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Thanks"}
WELCOME = {"role": "assistant", "content": "You are welcome"}
TALK = [SYSTEM, USER, ANSWER, THANKS, WELCOME]

ROLES = (
    "{% for m in messages %}{{ m.role.upper() + ': ' + (m.content | trim) + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{{ '<think>\\n\\n</think>\\n\\n' if loop.last and m.role == 'assistant' }}{{ m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""As Qwen3's: an empty thought before the last answer only."""
BEGINS_TO_THINK = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
"""As DeepSeek-R1's: the prompt begins a thought, and no answer shows one."""


def encode_parts(tokenizer, turns, **how):
    """Encode one conversation, with the tokenizer and with what is faster, which has to find the same."""
    (found,), (sooner,) = (
        encode_chats(tokenizer, [turns], fast, **how) for fast in (None, templated_encoder(tokenizer))
    )
    if isinstance(found, DataError):
        assert (found.message, found.hint) == (sooner.message, sooner.hint)
        raise found
    assert found.notes == sooner.notes
    for part, same in zip(found.parts, sooner.parts, strict=True):
        np.testing.assert_array_equal(same.ids, part.ids, strict=True)
        np.testing.assert_array_equal(same.labels, part.labels, strict=True)
        assert same.answers == part.answers
    return found


def encode_chat(tokenizer, turns, **how):
    """Encode a conversation of which one rendering is enough."""
    (part,) = encode_parts(tokenizer, turns, **how).parts
    return part


def learned(tokenizer, messages):
    """Return the texts that are learned; each is checked to follow the prompt's ids and to end where one stops."""
    prompts = [
        encode_prompt(tokenizer, messages[:i]) for i in range(1, len(messages)) if messages[i]["role"] == "assistant"
    ]
    texts = []
    for part in encode_parts(tokenizer, messages).parts:
        for answer in part.answers:
            targets = run_ids(part.labels, answer)
            assert targets[-1] in borders_of(tokenizer).end_ids
            texts.append(tokenizer.decode(targets))
            assert part.ids[: answer.start].tolist() in prompts
        assert (part.labels != IGNORED).sum() == sum(len(run_ids(part.labels, answer)) for answer in part.answers)
    return texts


def run_ids(labels, answer):
    part = labels[max(0, answer.start - 1) : answer.end]
    return part[part != IGNORED]


def unigram(template, *, added=()):
    """A SentencePiece-like tokenizer: blanks belong to the words behind them."""
    pieces = ["▁Answer:", "▁Paris", "▁What", "▁capital?", "Paris", "▁", "▁is", "▁in", "▁France", "."]
    vocabulary = [("<unk>", 0.0), ("</s>", 0.0), *((piece, -1.0) for piece in pieces)]
    vocabulary += [(letter, -9.0) for letter in "Answer:Pais?capitlWhFrne."]
    backend = Tokenizer(models.Unigram(list(dict(vocabulary).items()), unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_tokens(list(added))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    tokenizer.chat_template = template
    return tokenizer


def test_chatml_by_hand():
    tokenizer = byte_tokenizer()
    made = encode_chat(tokenizer, [SYSTEM, USER, ANSWER])
    prompt = encode_prompt(tokenizer, [SYSTEM, USER])
    said = [
        *tokenizer("It is 3.", add_special_tokens=False)["input_ids"],
        tokenizer.convert_tokens_to_ids("<|im_end|>"),
    ]
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert made.ids.tolist() == prompt + said + newline
    assert made.labels.tolist() == [IGNORED] * (len(prompt) - 1) + said + [IGNORED] * 2
    assert learned(tokenizer, TALK) == ["It is 3.<|im_end|>", "You are welcome<|im_end|>"]


FOREIGN = {
    "llama-2": (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
        "{% elif m.role == 'system' %}{{ '<<SYS>>' + m.content }}"
        "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
        [" It is 3.<|eos|>", " You are welcome<|eos|>"],
    ),
    "roles by name, ended by no token": (ROLES, [" It is 3.<|eos|>", " You are welcome<|eos|>"]),
    "end of turn and blanks": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + ' ' + m.content + '<|im_end|> \\n ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}",
        ["It is 3.<|im_end|>", "You are welcome<|im_end|>"],
    ),
    "ended twice when nothing follows, as Phi-3's": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
        "{{ '<|im_start|>assistant\\n' if add_generation_prompt else eos_token }}",
        ["It is 3.<|im_end|>", "You are welcome<|im_end|>"],
    ),
    "a thought before the last answer": (
        THINKS,
        ["<think>\n\n</think>\n\nIt is 3.<|im_end|>", "<think>\n\n</think>\n\nYou are welcome<|im_end|>"],
    ),
    "a prompt that ends with an empty thought": (
        CHAT_TEMPLATE.replace("assistant\n' }}", "assistant\n<think>\n</think>' }}"),
        ["It is 3.<|im_end|>", "You are welcome<|im_end|>"],
    ),
    "an ender that also ends what comes before an answer": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role }}{{ '<|pad|>' if m.role == 'assistant' }}"
        "{{ m.content + '<|pad|><|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}",
        ["<|pad|>It is 3.<|pad|><|im_end|>", "<|pad|>You are welcome<|pad|><|im_end|>"],
    ),
    "a prompt that begins to think": (
        BEGINS_TO_THINK,
        ["\n</think>\n\nIt is 3.<|im_end|>", "\n</think>\n\nYou are welcome<|im_end|>"],
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_templates(name):
    template, said = FOREIGN[name]
    tokenizer = byte_tokenizer(template=template)
    assert learned(tokenizer, TALK) == said
    assert not encode_parts(tokenizer, TALK).notes


def test_what_the_data_thinks_is_learned_where_the_prompt_begins_to_think():
    tokenizer = byte_tokenizer(template=BEGINS_TO_THINK)
    thinking = {"role": "assistant", "content": "<think>\n1 + 2\n</think>\n\nIt is 3."}
    assert learned(tokenizer, [USER, thinking]) == ["1 + 2\n</think>\n\nIt is 3.<|im_end|>"]
    made = encode_chat(tokenizer, [USER, thinking], scored=True)
    assert tokenizer.decode(made.ids[made.answers[0].said : made.answers[0].said_end]) == "It is 3."


@pytest.mark.parametrize("name", FOREIGN)
def test_the_answer_itself_is_told_from_what_stands_around_it(name):
    tokenizer = byte_tokenizer(template=FOREIGN[name][0])
    (answer,) = (made := encode_chat(tokenizer, [USER, ANSWER], scored=True)).answers
    assert tokenizer.decode(made.ids[answer.said : answer.said_end]) == "It is 3."
    assert answer.content == "It is 3."


def test_an_answer_whose_first_token_reaches_into_the_prompt_gets_tokens_of_its_own():
    # The text alone would be "▁Answer: ▁Paris </s>": inference sends "▁Answer: ▁", and "Paris" is to follow it.
    template = "{% for m in messages %}{{ m.content + (' Answer: ' if m.role == 'user' else eos_token) }}{% endfor %}"
    tokenizer = unigram(template)
    asked, said = {"role": "user", "content": "What capital?"}, {"role": "assistant", "content": "Paris"}
    made = encode_chat(tokenizer, [asked, said])
    tokens = tokenizer.convert_ids_to_tokens(made.ids.tolist())
    assert tokens == ["▁What", "▁capital?", "▁Answer:", "▁", "Paris", "</s>"]
    assert learned(tokenizer, [asked, said]) == ["Paris</s>"]
    # The first of two shares a token with its prompt, so it is learned apart: later prompts have the other tokens.
    assert learned(tokenizer, [asked, said, asked, said]) == ["Paris</s>", "Paris</s>"]
    both = encode_parts(tokenizer, [asked, said, asked, said])
    assert (len(both.parts), both.notes) == (2, {})


@pytest.mark.parametrize(("special", "rstrip"), [(False, False), (True, True), (False, True)])
def test_the_end_of_a_turn_is_learned_however_its_token_is_marked(special, rstrip):
    tokenizer = byte_tokenizer(template=CHAT_TEMPLATE.replace("<|im_end|>", "<end>"))
    tokenizer.add_tokens([AddedToken("<end>", special=special, rstrip=rstrip, normalized=False)])
    assert borders_of(tokenizer).ender == "<end>"
    assert learned(tokenizer, TALK) == ["It is 3.<end>", "You are welcome<end>"]
    assert literal_special(tokenizer, [{"role": "user", "content": "see <end>!"}]) == "<end>"


def test_a_template_that_asks_for_nothing_is_mended():
    asks_nothing = CHAT_TEMPLATE.split("{% if add_generation_prompt")[0]
    tokenizer, told = byte_tokenizer(template=asks_nothing), []
    mend_template(tokenizer, told.append)
    assert tokenizer.chat_template != asks_nothing
    assert encode_prompt(tokenizer, [USER]) == encode_prompt(byte_tokenizer(), [USER])
    assert learned(tokenizer, TALK) == ["It is 3.<|im_end|>", "You are welcome<|im_end|>"]
    assert told == [
        'the chat template asks for no answer: prompts now end with "<|im_start|>assistant\\n", which it writes before'
        " each answer"
    ]
    told.clear()
    mend_template(tokenizer, told.append)
    assert told == []


def test_a_template_that_ends_no_turn_teaches_eos_or_is_refused():
    tokenizer, told = byte_tokenizer(template=ROLES), []
    mend_template(tokenizer, told.append)
    assert told == ["the chat template ends no turn with a token: <|eos|> is learned as the end of each answer"]
    made = encode_chat(tokenizer, TALK)
    assert made.ids.tolist().count(tokenizer.eos_token_id) == 0  # it is a target, and nothing reads it
    assert (made.labels == tokenizer.eos_token_id).sum() == 2
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="an answer would never end") as error:
        mend_template(tokenizer, told.append)
    assert "give the tokenizer an eos_token" in error.value.hint


def test_a_template_whose_prompt_does_not_lead_to_the_answer_is_refused():
    template = CHAT_TEMPLATE.replace("assistant\\n' }}{% endif", "bot\\n' }}{% endif").replace("assistant\n", "bot\n")
    with pytest.raises(DataError, match="does not begin an answer with the prompt that asks for it") as error:
        encode_chat(byte_tokenizer(template=template), TALK)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_blanks_in_an_answer_are_learned(trim_offsets):
    # Pythia's and other tokenizers trim blanks from the offsets of a token: one of blanks only becomes empty.
    tokenizer = byte_tokenizer(trim_offsets=trim_offsets)
    code = "if a:\n    return  b\n\n        # c"
    assert learned(tokenizer, [USER, {"role": "assistant", "content": code}]) == [code + "<|im_end|>"]


def test_an_opening_greeting_is_context():
    greeting = {"role": "assistant", "content": "Welcome"}
    assert learned(byte_tokenizer(), [greeting, USER, ANSWER]) == ["It is 3.<|im_end|>"]
    assert learned(byte_tokenizer(), [greeting]) == []
    assert encode_parts(byte_tokenizer(), [greeting, USER, ANSWER]).notes == {"unasked": 1}


def test_answers_that_are_rewritten_once_more_follows_are_learned_apart():
    # As templates do that show the thinking of the last answer only.
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
        "{{ m.content if loop.last or m.role != 'assistant' else m.content.split('</think>')[-1] }}"
        "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    tokenizer = byte_tokenizer(template=template)
    thinking = {"role": "assistant", "content": "<think>1 + 2</think>It is 3."}
    assert learned(tokenizer, [USER, thinking]) == ["<think>1 + 2</think>It is 3.<|im_end|>"]
    first, second = encode_parts(tokenizer, [USER, thinking, THANKS, WELCOME]).parts
    assert learned(tokenizer, [USER, thinking, THANKS, WELCOME]) == [
        "<think>1 + 2</think>It is 3.<|im_end|>", "You are welcome<|im_end|>",
    ]  # fmt: skip
    assert tokenizer.decode(first.ids).endswith("<think>1 + 2</think>It is 3.<|im_end|>\n")
    assert "<think>" not in tokenizer.decode(second.ids)
    # Without a thought there is nothing to rewrite: one rendering has both.
    assert len(encode_chat(tokenizer, [USER, ANSWER, THANKS, WELCOME]).answers) == 2
    # The last answer decides, though a turn that follows would rewrite it.
    assert learned(tokenizer, [USER, thinking, THANKS]) == ["<think>1 + 2</think>It is 3.<|im_end|>"]


@pytest.mark.parametrize("adds_bos", [False, True])
def test_one_bos_whatever_the_tokenizer_adds(adds_bos):
    tokenizer = byte_tokenizer()
    if adds_bos:
        from tokenizers import processors

        bos = ("<|bos|>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[bos]
        )
        assert tokenizer("x")["input_ids"].count(tokenizer.bos_token_id) == 1
    assert (encode_chat(tokenizer, TALK).ids == tokenizer.bos_token_id).sum() == 1
    assert encode_prompt(tokenizer, TALK).count(tokenizer.bos_token_id) == 1


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=5),
    with_system=st.booleans(),
)
def test_what_is_learned_is_what_was_said(contents, with_system):
    tokenizer = byte_tokenizer()
    messages = [SYSTEM] * with_system
    messages += [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    assert literal_special(tokenizer, messages) is None
    assert learned(tokenizer, messages) == [content + "<|im_end|>" for content in contents[1::2]]
    made = encode_chat(tokenizer, messages)  # one rendering
    if len(contents) % 2 == 0:
        assert runs(made.labels != IGNORED)[-1].start + 1 == made.answers[-1].start


def test_literal_special_tokens_are_found():
    tokenizer = byte_tokenizer()
    assert literal_special(tokenizer, TALK) is None
    for token in ("<|im_end|>", "<|eos|>", "<|pad|>"):
        assert literal_special(tokenizer, [USER, {"role": "assistant", "content": f"see {token}!"}]) == token


TRIMS_THOUGHTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] | trim }}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)


def test_an_answer_is_not_looked_for_in_the_question():
    said = [{"role": "user", "content": "What is it"}, {"role": "assistant", "content": " "}]
    (found,) = encode_chats(byte_tokenizer(template=TRIMS_THOUGHTS), [said])
    assert isinstance(found, DataError)
    assert found.message.startswith("the answer is empty, and its prompt has begun a thought")


def test_what_the_template_drops_is_counted_and_has_no_bytes():
    tokenizer = byte_tokenizer(template=TRIMS_THOUGHTS.replace("<think>\\n' }}", "' }}"))
    thinking = {"role": "assistant", "content": "<think>" + "so long " * 9 + "</think>It is 3."}
    made = encode_parts(tokenizer, [USER, thinking])
    assert (made.notes, [answer.content for answer in made.parts[0].answers]) == ({"altered": 1}, ["It is 3."])
    assert not encode_parts(tokenizer, [USER, ANSWER]).notes


def test_a_greeting_behind_a_system_turn_is_context():
    assert learned(byte_tokenizer(), [SYSTEM, WELCOME, USER, ANSWER]) == ["It is 3.<|im_end|>"]


@pytest.mark.parametrize("end", ["{{ eos_token if not add_generation_prompt }}", "{{ '' }}\n"])
def test_a_template_that_asks_for_nothing_is_mended_whatever_it_ends_with(end):
    turns = "{% for m in messages %}{{ '### ' + m.role + ':\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    tokenizer, told = byte_tokenizer(template=turns + end), []
    mend_template(tokenizer, told.append)
    assert len(told) == 1
    assert learned(tokenizer, [USER, ANSWER]) == ["It is 3.<|im_end|>"]


def test_an_answer_without_tokens_is_none():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="[UNK]")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (made,) = encode_chats(tokenizer, [[{"role": "user", "content": " "}, {"role": "assistant", "content": " "}]])
    assert made.parts[0].ids.size == 0


def test_a_control_token_that_the_normalizer_makes_is_seen():
    tokenizer = byte_tokenizer(template=CHAT_TEMPLATE.replace("<|im_end|>", "<end>"))
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.add_tokens(["<end>"])
    assert literal_special(tokenizer, [{"role": "user", "content": "hi ＜end＞"}]) == "<end>"


def test_half_of_a_surrogate_pair_is_refused():
    tokenizer = byte_tokenizer(template=CHAT_TEMPLATE.replace("<|im_start|>", "<|im_start|>\\ud83d\\ude00"))
    with pytest.raises(DataError, match="the chat template refuses"):
        encode_chat(tokenizer, [USER, ANSWER])


def test_an_earlier_answer_is_not_scored_for_the_last():
    tokenizer = byte_tokenizer(template=CHAT_TEMPLATE.replace("<|im_end|>", "<end>"))
    tokenizer.add_tokens([AddedToken("<end>", special=True, single_word=True, normalized=False)])
    talk = [USER, ANSWER, THANKS, WELCOME]
    (made,) = encode_chats(tokenizer, [talk], scored=True)
    assert (len(made.parts), made.notes) == (1, {"joined": 1})
    assert scored_answer(tokenizer, talk) == ([], [], "")

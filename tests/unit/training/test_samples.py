from __future__ import annotations

import json

import pytest
import torch

from llmkit.training.samples import Sampler, SamplesConfig, prompt_ids
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()
IDS = TOKENIZER("The sea", add_special_tokens=False).input_ids


def sampler(directory, *, step=0, prompts=None, max_positions=64, **config):
    tiny = model(vocab_size=len(TOKENIZER))
    config = SamplesConfig(**{"max_new_tokens": 6, **config})
    prompts = [[256], IDS] if prompts is None else prompts
    return Sampler(tiny, TOKENIZER, prompts, config, max_positions=max_positions, directory=directory, step=step)


def test_default_prompts_are_nothing_and_the_first_words_of_documents():
    documents = [list(range(20)), [], [5], [6]]
    assert prompt_ids(SamplesConfig(count=3), TOKENIZER, prefix=[256], documents=documents) == [
        [256], [256, *range(8)], [256, 5],
    ]  # fmt: skip
    assert prompt_ids(SamplesConfig(count=1), TOKENIZER, prefix=[], documents=documents) == [list(range(8))]
    assert prompt_ids(SamplesConfig(count=0, prompts=["a"]), TOKENIZER, prefix=[256]) == []
    assert prompt_ids(SamplesConfig(prompts=["The sea"]), TOKENIZER, prefix=[256]) == [[256, *IDS]]


def test_greedy_text_is_the_argmax_of_full_forward_passes(tmp_path):
    job = sampler(tmp_path, prompts=[[256, *IDS]])
    ids = [256, *IDS]
    with torch.no_grad():
        for _ in range(6):
            ids.append(int(job.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == TOKENIZER.eos_token_id:
                break
    row = {"step": 3, "prompt": "The sea", "text": TOKENIZER.decode(ids[8:], skip_special_tokens=True)}
    assert job.sample(3) == [row]
    assert [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()] == [row]


@pytest.mark.parametrize("training", [True, False])
def test_training_is_not_disturbed_and_a_rerun_repeats(tmp_path, training):
    job = sampler(tmp_path, temperature=1.0)
    job.model.train(training)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = job.sample(7)
    assert torch.equal(torch.get_rng_state(), before)
    assert job.model.training is training
    assert all(parameter.grad is None for parameter in job.model.parameters())
    torch.manual_seed(6)
    assert job.sample(7) == first
    assert job.sample(8) != [{**row, "step": 8} for row in first], "the temperature was not used"


def test_a_resume_makes_the_samples_of_its_step_again(tmp_path):
    for step in (0, 5, 10):
        sampler(tmp_path, step=step, prompts=[IDS]).sample(step)
    sampler(tmp_path, step=5, prompts=[IDS]).sample(5)
    assert [json.loads(line)["step"] for line in (tmp_path / "samples.jsonl").read_text().splitlines()] == [0, 5]


def test_a_long_prompt_is_cut_to_the_positions_of_the_model(tmp_path):
    job = sampler(tmp_path, prompts=[[256, *IDS * 5]], max_positions=10)
    assert (job.max_new_tokens, job.prompts) == (6, [IDS[-4:]])
    assert job.sample(0)[0]["prompt"] == " sea"


def test_none_are_written_without_prompts(tmp_path):
    assert sampler(tmp_path, prompts=[]).sample(0) == []
    assert not list(tmp_path.iterdir())


def test_a_sample_without_text_says_so_in_the_report(tmp_path):
    from llmkit.training.report import write_report

    rows = [{"step": 0, "prompt": "", "text": " "}, {"step": 0, "prompt": "The", "text": " sea"}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "metrics.jsonl").write_text("", encoding="utf-8")
    write_report(tmp_path, title="Training", facts={})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("(no text, only special tokens)") == 1
    assert "from nothing" in page
    assert "after: The" in page

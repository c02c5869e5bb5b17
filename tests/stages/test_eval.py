"""eval, through the command line: numbers worked out by hand, and by the plain formula, one sequence at a time."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmkit.data.artifacts import Corpus
from llmkit.evaluation.asked import rolling_requests
from llmkit.runtimes import Generate, Score
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.transformers import Transformers
from llmkit.tasks.generation import Generation

VOCABULARY = 400


@pytest.fixture
def evaluate(cli):
    """Evaluate a model on tasks, given as mappings, and return results.json's tasks."""

    def run(model, *tasks, baseline=None, code=0):
        arguments = [*(["--baseline", baseline] if baseline else []), "-o", "out", "--force"]
        written = json.dumps([{**task, "data": str(task["data"])} for task in tasks])
        outcome = cli("eval", "--model", model, "-s", f"tasks={written}", *arguments)
        assert outcome.code == code, outcome.err
        return json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]

    return run


@pytest.fixture
def uniform(chain, tmp_path):
    """The base model with every weight zero: all logits are zero, so each of the 400 tokens is equally likely."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "uniform"
    shutil.copytree(chain.base, folder, ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def base(chain):
    return Transformers().load(str(chain.base))


def log_likelihood(model, context, targets):
    """By the definition: one forward pass for every target."""
    total, ids = 0.0, list(context)
    for target in targets:
        with torch.inference_mode():
            logits = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[target])
        ids.append(target)
    return total


def samples(name):
    return [json.loads(line) for line in Path(f"out/samples-{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_perplexity_of_the_uniform_model(evaluate, uniform, chain):
    scores = evaluate(uniform, {"type": "perplexity", "data": chain.corpus})["perplexity"]["results"]["model"]
    from tokenizers import Tokenizer

    texts = [row["text"] for row in Corpus(chain.corpus).rows()]
    tokenizer = Tokenizer.from_file(str(chain.base / "tokenizer.json"))
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
    num_bytes = sum(len(text.encode("utf-8")) for text in texts)
    words = sum(len(re.findall("[A-Za-z0-9]+|[\u4e00-\u9fff]", text)) for text in texts)  # a Chinese character is one
    assert (scores["num_samples"], scores["tokens"], scores["bytes"]) == (300, tokens, num_bytes)
    assert scores["scores"]["token_perplexity"] == pytest.approx(VOCABULARY, rel=1e-5)
    assert scores["scores"]["bits_per_byte"] == pytest.approx(tokens * math.log2(VOCABULARY) / num_bytes, rel=1e-6)
    assert scores["scores"]["word_perplexity"] == pytest.approx(VOCABULARY ** (tokens / words), rel=1e-4)


def test_a_split_of_tokens_is_the_text_it_was_made_of(evaluate, uniform, chain):
    task = {"type": "perplexity", "data": chain.tokens, "split": "validation"}
    result = evaluate(uniform, task)["perplexity"]["results"]["model"]
    counts = json.loads((chain.tokens / "tokens.json").read_text(encoding="utf-8"))["splits"]["validation"]
    assert result["num_samples"] == counts["documents"]
    assert (result["tokens"], result["bytes"]) == (counts["tokens"], counts["bytes"])


@given(num_ids=st.integers(0, 200), max_length=st.integers(1, 40))
def test_rolling_windows_score_each_token_once_with_the_most_context(num_ids, max_length):
    ids = list(range(1, num_ids + 1))
    requests = rolling_requests(ids, start=0, max_length=max_length)
    assert [target for request in requests for target in request.target] == ids
    for request in requests:
        window = [*request.context, *request.target]
        assert window == list(range(window[0], window[0] + len(window)))
        # All positions are used, unless the text is shorter than that.
        assert len(window) == min(max_length, num_ids) + 1


def test_log_likelihoods_are_those_of_the_definition(base):
    generator = torch.Generator().manual_seed(0)
    requests = []
    for length, split in ((2, 1), (9, 3), (9, 8), (30, 29), (5, 2)):
        ids = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
        requests.append(Score(tuple(ids[:split]), tuple(ids[split:])))
    expected = [log_likelihood(base, request.context, request.target) for request in requests]
    assert base.answer(requests) == pytest.approx(expected, abs=1e-4)


def test_a_text_longer_than_the_model_is_scored_in_windows(evaluate, cli, jsonl, chain, base):
    text = " ".join(f"Story {i} of the river and the fox." for i in range(15))
    cli("clean", "-i", jsonl("long.jsonl", [text]), "-o", "long")
    result = evaluate(chain.base, {"type": "perplexity", "data": "long"})["perplexity"]["results"]["model"]
    ids = base.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) > 2 * 64
    whole, nats = [base.facts.start, *ids], 0.0
    for begin in range(0, len(ids), 64):
        end = min(begin + 64, len(ids))
        nats -= log_likelihood(base, whole[max(0, end - 64) : begin + 1], whole[begin + 1 : end + 1])
    size = len(text.encode("utf-8"))
    assert result["scores"]["bits_per_byte"] == pytest.approx(nats / size / math.log(2), rel=1e-5)
    assert result["scores"]["token_perplexity"] == pytest.approx(math.exp(nats / len(ids)), rel=1e-4)


def test_answers_of_the_uniform_model(evaluate, uniform, chain):
    result = evaluate(uniform, {"type": "answers", "data": chain.pairs, "limit": 10})["answers"]["results"]["model"]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(chain.base / "tokenizer.json"))
    expected = []
    for row in list(Corpus(chain.pairs).rows())[:10]:
        question, answer = (message["content"] for message in row["messages"])
        prefix, targets = (
            tokenizer.encode(text, add_special_tokens=False).ids for text in (f"<|endoftext|>{question}\n\n", answer)
        )
        if len(prefix) + len(targets) <= 64 + 1:  # the last token is only a target
            expected.append((row["id"], len(answer.encode("utf-8")), len(targets)))
    found = samples("answers")
    assert [(sample["id"], sample["bytes"], sample["tokens"]) for sample in found] == expected
    assert (result["num_samples"], result["skipped"]) == (len(expected), 10 - len(expected))
    total, size = sum(sample["tokens"] for sample in found), sum(sample["bytes"] for sample in found)
    assert result["scores"]["bits_per_byte"] == pytest.approx(total * math.log2(VOCABULARY) / size, rel=1e-6)
    assert result["scores"]["token_perplexity"] == pytest.approx(VOCABULARY, rel=1e-5)


@pytest.mark.parametrize(("prompt", "before"), [
    ("chat", "<|endoftext|><|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"),
    ("plain", "<|endoftext|>Who?\n\n"),
])  # fmt: skip
def test_only_the_answers_tokens_are_scored(evaluate, cli, jsonl, chain, prompt, before):
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "the old clock 春天"}]
    source = f"inputs=[{{type: files, path: {jsonl('q.jsonl', [{'messages': messages}])}, messages_field: messages}}]"
    cli("clean", "-s", source, "-o", "pairs")
    evaluate(chain.model, {"type": "answers", "data": "pairs", "prompt": prompt})
    model = Transformers().load(str(chain.model))
    context = model.tokenizer(before, add_special_tokens=False)["input_ids"]
    answer = model.tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"]
    (sample,) = samples("answers")
    assert sample["tokens"] == len(answer)
    assert sample["bytes"] == len("the old clock 春天".encode())
    assert sample["log_likelihood"] == pytest.approx(log_likelihood(model, context, answer), abs=1e-4)


def test_answers_that_do_not_fit_are_skipped_and_counted(evaluate, cli, jsonl, chain):
    rows = [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "word " * count}] for count in (2, 200)]
    path = jsonl("q.jsonl", [{"messages": messages} for messages in rows])
    cli("clean", "-s", f"inputs=[{{type: files, path: {path}, messages_field: messages}}]", "-o", "pairs")
    result = evaluate(chain.model, {"type": "answers", "data": "pairs"})["answers"]["results"]["model"]
    assert (result["num_samples"], result["skipped"]) == (1, 1)


def test_a_prompt_and_its_completion_are_a_conversation_too(evaluate, cli, jsonl, chain):
    jsonl("q.jsonl", [{"prompt": f"What is {i}?", "completion": "the old clock"} for i in range(3)])
    said = [{"role": "user", "content": "What is {i}?"}, {"role": "assistant", "content": "the old clock"}]
    texts = [[{**turn, "content": turn["content"].format(i=i)} for turn in said] for i in range(3)]
    jsonl("m.jsonl", [{"messages": turns} for turns in texts])
    found = []
    for name in ("q", "m"):
        cli("clean", "-i", f"{name}.jsonl", "--row", "auto", "-o", name)
        both = ({"type": "answers", "data": name}, {"type": "generation", "data": name, "max_new_tokens": 4})
        found.append({task: result["results"] for task, result in evaluate(chain.model, *both).items()})
        assert [sample["turns"] for sample in samples("generation")] == [turns[:1] for turns in texts]
    assert found[0] == found[1]


def test_generation_is_greedy_and_scored_by_the_metrics(evaluate, chain):
    from llmkit.metrics.chrf import ChrF
    from llmkit.metrics.f1 import F1

    metrics = ["chrf", "accuracy", {"type": "f1", "average": "weighted"}]
    task = {"type": "generation", "data": chain.pairs, "limit": 5, "max_new_tokens": 6, "metrics": metrics}
    result = evaluate(chain.model, task)["generation"]["results"]["model"]
    model, found = Transformers().load(str(chain.model)), samples("generation")
    assert [sample["turns"][0]["content"] for sample in found] == [f"What is {i}?" for i in range(5)]
    for sample in found:
        prompt = model.tokenizer.apply_chat_template(
            sample["turns"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        output = model.model.generate(prompt, max_new_tokens=6, do_sample=False, pad_token_id=1)
        expected = model.tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True).strip()
        assert sample["prediction"] == expected
    pairs = {f"{name}s": [sample[name] for sample in found] for name in ("prediction", "reference")}
    equal = sum(sample["prediction"] == sample["reference"] for sample in found)
    f1 = F1(average="weighted").load().compute(**pairs)
    assert result["scores"] == {**ChrF().load().compute(**pairs), "accuracy": 100 * equal / 5, **f1}


def test_a_batch_generates_what_each_prompt_alone_does(base):
    asked = [Generate(prompt, 5) for prompt in ((0, 40, 50), (0,), (0, 7, 8, 9, 10, 11, 12))]
    assert base.answer(asked) == [base.answer([one])[0] for one in asked]


def test_a_baseline_stands_beside_the_model(cli, chain):
    tasks = (
        f"tasks=[{{type: answers, data: {chain.pairs}, limit: 6}}, {{type: answers, data: {chain.pairs}, limit: 3}}]"
    )
    outcome = cli("eval", "--model", chain.model, "--baseline", chain.base, "-s", tasks, "-o", "out")
    assert outcome.code == 0
    results = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
    assert list(results) == ["answers", "answers-2"]
    found = results["answers"]["results"]
    assert found["model"]["prompt"] == "chat"
    assert found["baseline"]["prompt"] == "plain"
    assert found["model"]["num_samples"] + found["model"]["skipped"] == 6
    value, before = (found[role]["scores"]["bits_per_byte"] for role in ("model", "baseline"))
    line = next(line for line in outcome.out.splitlines() if "answers bits_per_byte" in line)
    low, high = (found["model"]["estimates"]["bits_per_byte"][end] for end in ("low", "high"))
    assert f"{value:.4f} [{low:.4f}, {high:.4f}]  n {found['model']['num_samples']}   baseline {before:.4f}" in line
    told = results["answers"]["differences"]["bits_per_byte"]
    assert f"difference {value - before:+.4f} [{told['low']:+.4f}, {told['high']:+.4f}]" in line
    assert {sample["model"] for sample in samples("answers")} == {"model", "baseline"}
    again = cli("eval", "--model", chain.model, "--baseline", chain.base, "-s", tasks, "-o", "out", "--json")
    assert again.json["status"] == "up to date"


def test_a_name_on_the_hub_is_its_snapshot_in_the_cache(cli, chain, jsonl, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    place, commit = tmp_path / "cache/models--org--name", "a" * 40
    shutil.copytree(chain.base, place / "snapshots" / commit, ignore=shutil.ignore_patterns("llmkit.json", "check*"))
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)
    task = ["-s", f"tasks=[{{type: perplexity, data: {jsonl('texts.jsonl', ['A river paints.', 'Rain.'])}}}]"]
    outcome = cli("eval", "--model", "org/name", "--baseline", f"org/name@{commit}", *task, "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(Path("out/llmkit.json").read_text(encoding="utf-8"))["inputs"]
    assert {one["path"] for one in found if one["role"] != "tasks.data"} == {str(place / "snapshots" / commit)}
    for role, other in (("model", []), ("baseline", ["--model", chain.base])):
        outcome = cli("eval", *other, f"--{role}", "org/other", *task, "-o", "none")
        assert outcome.code == 3
        assert f"error: {role}: no such file or directory: org/other, and no such model in the cache" in outcome.err
        assert "-> if it is the hub's: hf download org/other, then the same command" in outcome.err


def test_a_split_that_is_not_there_is_an_error(cli, chain, jsonl):
    cli("clean", "-i", jsonl("a.jsonl", ["one", "two"]), "-o", "corpus")
    none = ["-s", "validation_fraction=0", "-s", "test_fraction=0"]
    cli("tokenize", "-i", "corpus", "--tokenizer", chain.base, "-o", "tokens", *none)
    outcome = cli("eval", "--model", chain.base, "-s", "tasks=[{type: perplexity, data: tokens}]", "-o", "out")
    assert outcome.code == 3
    assert "test" in outcome.err
    assert "tokens" in outcome.err
    assert not Path("out/llmkit.json").exists()


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("stage", ["eval", "export", "finetune"])
def test_weights_that_are_no_numbers_are_refused(cli, chain, changed, stage, value):
    def change(weights):
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value

    data = {"eval": ["-s", f"tasks=[{{type: perplexity, data: {chain.corpus}}}]"], "finetune": ["--data", chain.pairs]}
    outcome = cli(stage, "--model", changed(change), *data.get(stage, []), "-o", "out")
    assert outcome.code == 3
    found = " ".join(outcome.err.split())
    assert "holds NaN or infinity in 1 of its 20 weight tensors, first in model.layers.1.mlp.up_proj.weight" in found
    assert "use an earlier checkpoint, or get the file anew" in found
    assert not Path("out/llmkit.json").exists()


@pytest.mark.parametrize(("task", "words"), [
    ("perplexity", "gives a text the log-likelihood nan"),
    ("answers", "gives a text the log-likelihood nan"),
    ("generation", "gives logits that are NaN or infinite"),
])  # fmt: skip
def test_finite_weights_that_overflow_are_an_error_that_names_task_and_model(cli, chain, changed, task, words):
    def change(weights):  # the product of gate and up is over 3e38, and the norm of what is infinite NaN
        for name in ("gate_proj", "up_proj"):
            weights[f"model.layers.0.mlp.{name}.weight"][:] = 1e25
        weights["model.layers.0.post_attention_layernorm.weight"][:] = 1

    data = chain.corpus if task == "perplexity" else chain.pairs
    path = changed(change)
    more = ", max_new_tokens: 4" if task == "generation" else ""
    tasks = f"tasks=[{{type: {task}, data: {data}, limit: 4{more}}}]"
    outcome = cli("eval", "--model", path, "-s", tasks, "-o", "out", "--json")
    assert outcome.code == outcome.json["exit_code"] == 3
    assert f"{task} of the model: the model in '{path}' {words}" in outcome.err
    assert "its weights are finite, but what it computes is not" in outcome.err


@pytest.fixture
def reads_little(uniform, little_tokenizer):
    """The uniform model with a tokenizer of words, which knows few and none of Chinese."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (uniform / name).unlink(missing_ok=True)
    return little_tokenizer(uniform)


@pytest.mark.parametrize("task", ["perplexity", "answers"])
def test_text_that_the_tokenizer_does_not_know_gives_no_figure_per_byte(cli, jsonl, reads_little, task):
    """Ten of 14 characters, 30 of 34 bytes: a model that expects them to be unknown would have near 0 bits per byte."""
    text, kind = "the 春天来了河水流过石桥", "corpus"
    row = text if task == "perplexity" else {"prompt": "the", "completion": text}
    cli("clean", "-i", jsonl("a.jsonl", [row]), *([] if task == "perplexity" else ["--row", "auto"]), "-o", kind)
    outcome = cli("eval", "--model", reads_little, "-s", f"tasks=[{{type: {task}, data: {kind}}}]", "-o", "out")
    assert outcome.code == 0
    words = "no scores: 88.2% of the bytes are unknown to the tokenizer, and with more than 1% they mean nothing"
    assert f"{task} of the model  {words}" in outcome.out
    result = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"][task]["results"]["model"]
    assert result["scores"] == {}
    assert (result["unknown_share"], result["lost_share"]) == (round(30 / 34, 6), 0)
    assert result["notes"] == [words]
    assert samples(task)[0]["unread_bytes"] == 30


def test_an_answer_of_which_nothing_is_read_is_asked_for_nothing(cli, jsonl, uniform):
    """A tokenizer without a token for what it does not know drops it: the answer has no token to score."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    (uniform / "chat_template.jinja").unlink(missing_ok=True)
    letters = Tokenizer(models.BPE({one: i for i, one in enumerate(["<end>", *"abcdefghijklmnopqrstuvwxyz "])}, []))
    PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<end>").save_pretrained(uniform)
    rows = [{"prompt": "the", "completion": "春天"}, {"prompt": "the", "completion": "river " * 150}]
    cli("clean", "-i", jsonl("a.jsonl", rows), "--row", "auto", "-s", "steps=[]", "-o", "rows")
    outcome = cli("eval", "--model", uniform, "-s", "tasks=[{type: answers, data: rows}]", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert {row["tokens"]: row["log_likelihood"] for row in samples("answers")}[0] == 0


def test_an_encoder_decoder_is_asked_as_its_tokenizer_writes_a_text(cli, chain, tmp_path):
    """With the tokenizer's own special tokens around it, and without the blank line that a decoder goes on behind."""
    import transformers
    from tokenizers import processors

    tokenizer = transformers.AutoTokenizer.from_pretrained(chain.tokens)
    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(f"$A {end[0]}", special_tokens=[end])
    sizes = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    config = transformers.T5Config(vocab_size=VOCABULARY, eos_token_id=end[1], **sizes)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    task = Generation(data=str(chain.pairs), limit=1, max_new_tokens=4)
    measured = task.on(Transformers().load(str(tmp_path / "t5")))
    (row,) = measured.rows()
    asked = row.question.turns[0]["content"]
    assert row.put.prompt == tuple(tokenizer(asked, add_special_tokens=False)["input_ids"]) + end[1:]
    tasks = f"tasks=[{{type: generation, data: {chain.pairs}, limit: 2, max_new_tokens: 4}}]"
    assert cli("eval", "--model", tmp_path / "t5", "-s", tasks, "-o", "out").code == 0


def test_a_little_unknown_text_is_said_and_not_divided_by(cli, jsonl, reads_little, uniform):
    text = "the river , the clock . " * 40 + "a"  # 961 bytes, of which one is unknown
    cli("clean", "-s", "steps=[]", "-i", jsonl("a.jsonl", [text]), "-o", "corpus")
    outcome = cli("eval", "--model", reads_little, "-s", "tasks=[{type: perplexity, data: corpus}]", "-o", "out")
    assert outcome.code == 0
    assert "0.104% of the bytes are unknown to the tokenizer; bits per byte are of the others" in outcome.out
    result = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["perplexity"]["results"]["model"]
    assert result["scores"]["bits_per_byte"] == pytest.approx(241 * math.log2(VOCABULARY) / 960, rel=1e-6)
    assert result["scores"]["word_perplexity"] == pytest.approx(VOCABULARY ** (241 / 161), rel=1e-4)


def test_tokens_of_text_that_was_lost_are_no_text_to_score(cli, jsonl, chain, reads_little):
    cli("clean", "-i", jsonl("a.jsonl", [f"the 春天来了河水流过石桥 {i}" for i in range(30)]), "-o", "corpus")
    made = cli("tokenize", "-i", "corpus", "--tokenizer", reads_little, "-o", "tokens", "-s", "test_fraction=0.3")
    assert "of the bytes are unknown to the tokenizer; training gives no bits per byte" in made.out
    outcome = cli("eval", "--model", chain.base, "-s", "tasks=[{type: perplexity, data: tokens}]", "-o", "out")
    assert outcome.code == 0
    assert "no scores: in the split 'test' of tokens" in outcome.out
    assert "of the bytes are unknown to the tokenizer: use the corpus that it was made of" in outcome.out


def test_chinese_words_are_characters(evaluate, cli, jsonl, uniform):
    """Between white space there would be one word of 24 bytes, each a token: 400 to the power of 20 and more."""
    cli("clean", "-i", jsonl("a.jsonl", ["春天来了河水流过"]), "-s", "steps=[]", "-o", "corpus")
    result = evaluate(uniform, {"type": "perplexity", "data": "corpus"})["perplexity"]["results"]["model"]
    expected = VOCABULARY ** (result["tokens"] / 8)
    assert result["scores"]["word_perplexity"] == pytest.approx(expected, rel=1e-3)
    assert result["notes"] == ["no whitespace_word_perplexity: it is over 1,000,000,000,000"]  # it has few of those


def test_a_perplexity_too_great_is_left_out_and_said(cli, jsonl, uniform):
    cli("clean", "-i", jsonl("a.jsonl", ["x" * 200]), "-s", "steps=[]", "-o", "corpus")
    outcome = cli("eval", "--model", uniform, "-s", "tasks=[{type: perplexity, data: corpus}]", "-o", "out")
    assert outcome.code == 0
    assert "perplexity of the model      no word_perplexity: it is over 1,000,000,000,000" in outcome.out
    assert "perplexity bits_per_byte" in outcome.out
    assert "perplexity word_perplexity" not in outcome.out


def test_what_does_not_fit_is_skipped_and_counted_in_both_tasks(cli, jsonl, chain):
    rows = [{"prompt": "Q " * count, "completion": "the old clock"} for count in (1, 200, 2)]
    cli("clean", "-i", jsonl("q.jsonl", rows), "--row", "auto", "-s", "steps=[]", "-o", "pairs")
    tasks = "tasks=[{type: answers, data: pairs}, {type: generation, data: pairs, max_new_tokens: 4}]"
    outcome = cli("eval", "--model", chain.model, "-s", tasks, "-o", "out")
    assert outcome.code == 0
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]
    for task, words in (("answers", ""), ("generation", " beside 4 new tokens")):
        result = found[task]["results"]["model"]
        assert (result["num_samples"], result["skipped"]) == (2, 1)
        note = f"1 skipped: they do not fit into the 64 positions of the model{words}"
        assert result["notes"] == [note]
        assert re.search(rf"{task} of the model +{note}", outcome.out)
        assert len({sample["id"] for sample in samples(task)}) == 2
    assert [sample["turns"][0]["content"] for sample in samples("generation")] == ["Q ", "Q Q "]


def test_no_question_that_fits_is_an_error(cli, chain):
    tasks = f"tasks=[{{type: generation, data: {chain.pairs}, max_new_tokens: 63}}]"
    outcome = cli("eval", "--model", chain.model, "-s", tasks, "-o", "out")
    assert outcome.code == 3
    assert "has no question to ask: 60 skipped: they do not fit into the 64 positions of the model" in outcome.err


def test_models_that_skip_other_rows_are_said_not_to_compare(cli, jsonl, chain):
    question = "Q " * 25  # in the chat template it does not fit
    rows = [{"prompt": text, "completion": "the old clock"} for text in ("Q", question)]
    cli("clean", "-i", jsonl("q.jsonl", rows), "--row", "auto", "-s", "steps=[]", "-o", "pairs")
    tasks = "tasks=[{type: generation, data: pairs, max_new_tokens: 8}]"
    outcome = cli("eval", "--model", chain.model, "--baseline", chain.base, "-s", tasks, "-o", "out")
    assert outcome.code == 0
    assert "1 skipped: they do not fit" in outcome.out
    words = "measured on other samples than the model: they share 1, so the scores do not quite compare"
    assert words in outcome.out
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert words in page


def test_the_task_in_the_documentation_is_one_file(evaluate, chain, tmp_path, monkeypatch):
    import llmkit.tasks

    page = (Path(__file__).parents[2] / "docs/eval-own.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(DataTask)" in block]
    (tmp_path / "members").mkdir()
    (tmp_path / "members/answer_length.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(llmkit.tasks, "__path__", [*llmkit.tasks.__path__, str(tmp_path / "members")])
    task = {"type": "answer_length", "data": chain.pairs, "limit": 4, "max_new_tokens": 3}
    result = evaluate(chain.model, task)["answer_length"]["results"]["model"]
    found = samples("answer_length")
    assert result["num_samples"] == len(found) == 4
    expected = sum(row["answer"] for row in found) / sum(row["reference"] for row in found)
    assert result["scores"] == {"length_ratio": expected}
    assert found[0]["reference"] == len(next(iter(Corpus(chain.pairs).rows()))["messages"][-1]["content"])


def test_equal_requests_of_two_tasks_are_asked_once(cli, chain, monkeypatch):
    asked = []
    answer = InMemory.answer
    monkeypatch.setattr(InMemory, "answer", lambda self, requests: asked.extend(requests) or answer(self, requests))
    tasks = (
        f"tasks=[{{type: answers, data: {chain.pairs}, limit: 6}}, {{type: answers, data: {chain.pairs}, limit: 3}}]"
    )
    assert cli("eval", "--model", chain.model, "-s", tasks, "-o", "out").code == 0
    assert len(asked) == len(set(asked)) == len(samples("answers"))
    assert samples("answers")[: len(samples("answers-2"))] == samples("answers-2")


def test_a_runtime_that_is_not_there_is_named(cli, chain):
    tasks = f"tasks=[{{type: answers, data: {chain.pairs}}}]"
    outcome = cli("eval", "--model", chain.model, "-s", tasks, "-s", "runtime=transformer", "-o", "out")
    assert outcome.code == 2
    assert "runtime: unknown runtime 'transformer'; did you mean 'transformers'?" in outcome.err

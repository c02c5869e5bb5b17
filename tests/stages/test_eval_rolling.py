"""eval's perplexity beside lm-eval's own rolling log-likelihood, document by document."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from texts import sentences
from tiny import byte_tokenizer, model

SHORT = sentences(4)
LONG = [" ".join(sentences(12, seed=seed)) for seed in (3, 50)] + ["x", "", " a\n\n b ", "春天来了，花开了。"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_word_and_byte_perplexity_are_those_of_lm_eval(cli, tmp_path, arch):
    import lm_eval
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
    from lm_eval.models.huggingface import HFLM

    texts, tokenizer = SHORT + LONG, byte_tokenizer(template=None)
    length = {"n_positions": 48} if arch == "gpt2" else {"max_position_embeddings": 48}
    model(arch, vocab_size=len(tokenizer), initializer_range=0.2, **length).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    Path("texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    task = {"type": "perplexity", "data": "texts.jsonl"}
    outcome = cli("eval", "--model", tmp_path / "model", "-s", f"tasks={json.dumps([task])}", "-o", "out")
    assert outcome.code == 0, outcome.err
    samples = [json.loads(line) for line in Path("out/samples-perplexity.jsonl").read_text("utf-8").splitlines()]
    results = json.loads(Path("out/results.json").read_text("utf-8"))["tasks"]["perplexity"]["results"]
    scores = results["model"]["scores"]
    read = [sample["prompt"] for sample in samples]
    assert sorted(read) == sorted(texts)

    theirs = HFLM(pretrained=str(tmp_path / "model"), dtype="float32", device="cpu", batch_size=1)
    assert theirs.max_length == 48 and lm_eval.__version__ >= "0.4.13"
    asked = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(read)]
    found = iter(theirs.loglikelihood_rolling([one for one in asked if one.args[0]], disable_tqdm=True))
    expected = [next(found) if text else 0.0 for text in read]  # nothing is asked of an empty text
    assert max(len(tokenizer.encode(text)) for text in read) > 5 * 48
    assert [sample["log_likelihood"] for sample in samples] == pytest.approx(expected, rel=1e-5)
    words = [(value, sample["whitespace_words"]) for value, sample in zip(expected, samples, strict=True)]
    sizes = [(value, sample["bytes"]) for value, sample in zip(expected, samples, strict=True)]
    assert scores["byte_perplexity"] == pytest.approx(weighted_perplexity(sizes), rel=1e-5)
    assert scores["bits_per_byte"] == pytest.approx(bits_per_byte(sizes), rel=1e-5)
    if math.log(1e12) > -sum(expected) / sum(count for _, count in words):
        assert scores["whitespace_word_perplexity"] == pytest.approx(weighted_perplexity(words), rel=1e-5)

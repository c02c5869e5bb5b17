"""Each example of CONTRIBUTING is one file: written into its family, used, and it does what it says."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from llmkit.core.registry import PACKAGES, Family
from llmkit.data.artifacts import Corpus, Examples
from llmkit.data.packing import IGNORED
from llmkit.data.token_reader import TokenSplit
from texts import sentences, write_jsonl
from tiny import byte_tokenizer

ROOT = Path(__file__).resolve().parents[3]
FILE = re.compile(r"^`src/(llmkit/[\w/]+)/(\w+)\.py`.*?\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {
    package.replace("/", "."): (name, code)
    for package, name, code in FILE.findall((ROOT / "CONTRIBUTING.md").read_text())
}
TRAINING = ("-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "--max-steps", 1)
MODEL = ("-s", "model.arch=llama", "-s", "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1,"
         " num_attention_heads: 2}")  # fmt: skip


@pytest.fixture
def add(tmp_path_factory, monkeypatch):
    """Write a family's example into a folder of the family, and forget it after the test."""
    added = []

    def write(family):
        package = importlib.import_module(PACKAGES[family])
        name, code = EXAMPLES[package.__name__]
        assert name not in Family(family).members()
        folder = tmp_path_factory.mktemp("family")
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()
        added.append((package, name))
        return Family(family).load(name)

    yield write
    for package, name in added:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)


def test_every_family_has_one_example():
    assert set(EXAMPLES) == {*PACKAGES.values()}


def test_a_source(add, cli):
    add("source")
    mails = ["From a\nSubject: boats\n\nThe ferry leaves at nine.\n\n", "From b\nSubject: 船\n\n九点开船。\n\n"]
    parts = 'From c\nContent-Type: multipart/mixed; boundary="x"\n\n--x\n\nhidden\n--x--\n\n'
    Path("inbox").write_text("".join([*mails, parts]), encoding="utf-8")
    done = cli("clean", "-s", "inputs=[{type: mails, path: inbox}]", "-s", "steps=[normalize]", "-o", "out", "--json")
    assert done.code == 0, done.err
    rows = list(Corpus(Path("out")).rows())
    assert [row["text"] for row in rows] == ["The ferry leaves at nine.", "九点开船。"]
    assert json.loads(rows[0]["meta"]) == {"subject": "boats"}
    assert done.json["metrics"]["documents_failed"] == 1
    assert "a mail of several parts" in done.err


def test_a_row(add, cli):
    add("row")
    write_jsonl(Path("terms.jsonl"), [{"headword": "ferry", "gloss": "a boat"}, {"headword": "", "gloss": "nothing"}])
    done = cli(
        "clean", "-i", "terms.jsonl", "--row", "auto", "-s", "steps=[lowercase]", "--max-failed", 0.9, "-o", "out"
    )
    assert done.code == 0, done.err
    assert [(row["term"], row["definition"], row["text"]) for row in Examples(Path("out")).rows()] == [
        ("ferry", "a boat", "ferry\na boat")
    ]
    assert "definition (term from 'headword', definition from 'gloss')" in done.err


def test_a_step(add, cli):
    add("step")
    write_jsonl(
        Path("raw.jsonl"), [{"text": "BUY NOW or else"}, {"text": "The ferry leaves."}, {"text": "渡船九点开。"}]
    )
    steps = "steps=[{type: capitals, max_share: 0.3}]"  # 6 of 12 letters are capitals
    done = cli("clean", "-i", "raw.jsonl", "-s", steps, "-o", "out", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["rules"] == {"capitals.max_share": 1}
    assert [row["text"] for row in Corpus(Path("out")).rows()] == ["The ferry leaves.", "渡船九点开。"]


def test_an_objective_over_documents(add, cli, chain):
    from llmkit.data.packing import Batch
    from llmkit.modeling.vocabulary import vocabulary_of

    part = add("document_objective")
    ids = np.arange(6)[None]
    positions, numbers = np.array([[0, 1, 2, 0, 1, 2]]), np.array([0])
    labels = np.array([[1, 2, IGNORED, 4, 5, 6]])
    batch = Batch(numbers=numbers, input_ids=ids, labels=labels, position_ids=positions, num_tokens=np.array([6]))
    tensors, counts = part(skip=2).collate(batch, vocabulary_of(byte_tokenizer()), 0)
    assert tensors["labels"].tolist() == [[IGNORED] * 5 + [6]]
    assert counts == {"tokens": 1}
    objective = "objective={type: late_tokens, skip: 4}"
    done = cli("pretrain", "--data", chain.tokens, *MODEL, *TRAINING, "-s", objective, "-o", "out", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["steps"] == 1
    assert "bits_per_byte" not in done.json["metrics"]


def test_an_objective_over_labelled_rows(add, cli, chain):
    part, tokenizer = add("row_objective"), byte_tokenizer()
    kind, row = Family("row").load("prompt_completion")(), {"prompt": "ab", "completion": "c船"}
    end, a, b, c = (
        tokenizer.eos_token_id,
        *(tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in "abc"),
    )
    rest = tokenizer("船", add_special_tokens=False)["input_ids"]
    (whole,) = part().encode([row], kind, tokenizer, 100)
    assert whole.columns["input_ids"].tolist() == [end, a, b, c, *rest, end]
    assert whole.columns["labels"].tolist() == [IGNORED, IGNORED, c, *rest, end, IGNORED]
    assert (whole.targets, whole.num_bytes, whole.cut) == (len(rest) + 2, 4, False)
    (cut,) = part().encode([row], kind, tokenizer, 3)
    assert (cut.columns["labels"].tolist(), cut.targets, cut.cut) == ([IGNORED, IGNORED, c], 1, True)
    (none,) = part().encode([row], kind, tokenizer, 2)
    assert none.code == "long"

    rows = [{"prompt": f"{i}:", "completion": text} for i, text in enumerate(sentences(20))]
    write_jsonl(Path("rows.jsonl"), rows)
    done = cli("finetune", "--data", "rows.jsonl", "--model", chain.base, *TRAINING, "-s", "objective=continuation",
               "-s", "validation_fraction=0.2", "-o", "out", "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["metrics"]["target"] == "tokens of completions"
    assert done.json["metrics"]["bits_per_byte"] > 0


def test_each_is_also_taken_from_a_folder_of_ones_own(cli):
    Path("own").mkdir()
    for package, (name, code) in EXAMPLES.items():
        Path(f"own/{name}.py").write_text(code, encoding="utf-8")
        family = next(family for family, module in PACKAGES.items() if module == package)
        (defined,) = re.findall(r"^class (\w+)\((?!Measurement|Running)", code, re.MULTILINE)
        assert Family(family).load(f"own/{name}.py:{defined}").__name__ == defined


def test_a_metric(add, cli, chain):
    metric = add("metric")
    scores = metric().load().compute(predictions=["at nine \nor ten", "no"], references=["at nine", "yes"])
    assert scores == {"first_line": 50.0}
    assert metric(strip=False).load().compute(predictions=["a "], references=["a"]) == {"first_line": 0.0}
    task = f"tasks=[{{type: generation, data: {chain.pairs}, metrics: [first_line], limit: 2, max_new_tokens: 2}}]"
    done = cli("eval", "--model", chain.model, "-s", task, "-o", "out", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"] == {"generation": {"model": {"first_line": 0.0}}}
    estimates = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["generation"]["results"]
    assert estimates["model"]["estimates"]["first_line"]["method"] == "share"


def test_a_head(add, chain, tmp_path, capsys):
    import transformers

    from llmkit.modeling.heads import head_of
    from llmkit.modeling.load import load_model
    from llmkit.training.finish import write_card

    part = add("head")
    tokenizer = transformers.AutoTokenizer.from_pretrained(chain.base)
    config = transformers.AutoConfig.for_model(
        "t5", vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        transformers.AutoModelForTextEncoding.from_config(config).save_pretrained(tmp_path / "saved")
    model = load_model(tmp_path / "saved", part())
    assert type(model).__name__ == "T5EncoderModel"
    assert head_of(model.config) == part()
    for saved in (model, tokenizer):
        saved.save_pretrained(tmp_path / "model")
    write_card(tmp_path / "model", part(), title="an encoder", facts={})
    card = (tmp_path / "model" / "README.md").read_text()
    assert "pipeline_tag: feature-extraction" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace('"DIR"', repr(str(tmp_path / "model")))
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    length = len(tokenizer("...")["input_ids"])
    assert capsys.readouterr().out == f"torch.Size([1, {length}, 16])\n"


def test_a_tokenizer(add, cli):
    add("tokenizer")
    texts = sentences(40)
    write_jsonl(Path("raw.jsonl"), [{"text": text} for text in texts])
    done = cli("tokenize", "-i", "raw.jsonl", "-s", "tokenizer=characters", "-s", "validation_fraction=0",
               "-s", "test_fraction=0", "-o", "out", "--json")  # fmt: skip
    assert done.code == 0, done.err
    characters = sorted(set("".join(texts)))
    assert done.json["metrics"]["vocab_size"] == 2 + len(characters)
    split = TokenSplit(Path("out"), "train")
    assert split.document(0).tolist() == [2 + characters.index(character) for character in texts[0]]


def test_an_optimizer(add, cli, chain):
    part = add("optimizer")
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 3.0)
    model.weight.grad = torch.full((1, 1), 0.5)
    part(lr=0.1, weight_decay=0.0, alpha=0.96).build(model).step()
    # 3 - 0.1 * 0.5 / sqrt(0.04 * 0.25) = 3 - 0.1 / 0.2
    assert model.weight.item() == pytest.approx(2.5, abs=1e-5)
    done = cli("pretrain", "--data", chain.tokens, *MODEL, *TRAINING, "-s", "optimizer={type: rmsprop, lr: 1e-3}",
               "-o", "out", "--json")  # fmt: skip
    assert done.code == 0, done.err


def test_an_adapter(add, cli, chain):
    add("adapter")
    done = cli("finetune", "--data", chain.pairs, "--model", chain.base, *TRAINING, "-s", "adapter=bias", "-o", "out",
               "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["metrics"]["trained_parameters"] == 5 * 32  # two norms in each of two layers, and the last one


def test_a_runtime(add, chain, cli):
    from llmkit.runtimes import Generate, Score

    running = add("runtime")().load(str(chain.model))
    assert running.takes(Score((0,), (1, 2))) is None
    assert running.takes(Generate((0,), 4)) == "needs a model"
    size = len(running.tokenizer)
    assert running.answer([Score((0,), (1, 2)), Score((0, 1), (2,))]) == [-2 * math.log(size), -math.log(size)]
    assert running.facts.start == running.tokenizer.bos_token_id
    running.close()

    done = cli("eval", "--model", chain.model, "-s", "runtime=uniform", "-s",
               f"tasks=[{{type: perplexity, data: {chain.tokens}}}]", "-o", "out", "--json")  # fmt: skip
    assert done.code == 0, done.err
    scores = done.json["metrics"]["perplexity"]["model"]
    assert scores["token_perplexity"] == pytest.approx(size)


def test_a_task(add, cli, chain):
    add("task")
    task = f"tasks=[{{type: endings, data: {chain.pairs}, limit: 4, max_new_tokens: 3}}]"
    done = cli("eval", "--model", chain.model, "-s", task, "-o", "out", "--json")
    assert done.code == 0, done.err
    samples = [json.loads(line) for line in Path("out/samples-endings.jsonl").read_text().splitlines()]
    assert len(samples) == 4
    ended = sum(sample["ended"] for sample in samples)
    assert done.json["metrics"] == {"endings": {"model": {"ended": ended / 4}}}


def test_an_exporter(add, cli, chain):
    add("exporter")
    exporter = "exporter={type: small_files, largest: 40KB}"
    done = cli("export", "--model", chain.model, "-s", exporter, "-s", "parity_prompts=1", "-o", "out", "--json")
    assert done.code == 0, done.err
    files = sorted(Path("out").glob("model-*.safetensors"))
    assert len(files) > 1
    assert all(file.stat().st_size < 60_000 for file in files)
    assert done.json["metrics"]["parity"]["passed"]

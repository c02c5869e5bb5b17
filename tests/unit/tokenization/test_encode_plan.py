from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.corpus import CorpusWriter, Document
from llmkit.data.split import SPLITS, split_of
from llmkit.data.token_reader import TokenSplit
from llmkit.data.token_shards import Part, Stretch
from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization import plan, task
from llmkit.tokenization.plan import cut_pieces, encode_corpora, group_parts
from llmkit.tokenization.show import Cutter
from llmkit.tokenization.texts import training_texts
from llmkit.work.engine import Engine

FRACTIONS = {"validation_fraction": 0.2, "test_fraction": 0.2}
WORDS = ["春天", "来了。", "the", "quick", "brown", "fox.", "Yes!", "\n", "<|end|>", "1984", "🦊", "e\u0301"]


def texts(count, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(40))) for _ in range(count)]


def write(directory, documents, shard_bytes=2000):
    directory.mkdir()
    writer = CorpusWriter(directory, shard_bytes=shard_bytes)
    for i, text in enumerate(documents):
        writer.write(Document(f"{directory.name}-{i}", text, "abc"[i % 3], "en" if i % 2 else "zh"))
        if i % 7 == 6:
            writer._flush()  # small row groups
    writer.close()
    return directory


def trained(pre_tokenizer=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    backend.train_from_iterator(texts(20, seed=9), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")


def run_here(engine, function, tasks, folder):
    """A plan in this process, without notes of what was done."""
    return map(function, tasks)


def encode(corpora, directory, run_plan=run_here, tokenizer=None, **options):
    cutter = Cutter(tokenizer or trained())
    scratch = directory.with_name(f"{directory.name}-scratch")
    options = {**FRACTIONS, **options}
    return encode_corpora(
        corpora,
        cutter,
        directory,
        scratch,
        engine=Engine("local", 1),
        run_plan=run_plan,
        console=Console(quiet=True),
        **options,
    )


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "TASK_BYTES", 3000)
    return [write(tmp_path / "one", texts(60)), write(tmp_path / "two", ["", *texts(25, seed=1)])]


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_tasks_are_cut_by_bytes_and_cover_every_row_group_in_order(corpora):
    cuts = cut_pieces(corpora)
    assert len(cuts) > 3
    groups = [(piece.path, group) for cut in cuts for piece in cut for group in range(piece.start, piece.stop)]
    paths = [path for corpus in corpora for path in sorted(corpus.glob("*.parquet"))]
    assert groups == [
        (path.absolute(), group) for path in paths for group in range(pq.read_metadata(path).num_row_groups)
    ]
    for cut in cuts[:-1]:
        sizes = [piece.num_bytes for piece in cut]
        assert sum(sizes) >= 3000
        assert sum(sizes[:-1]) < 3000
    assert cut_pieces([]) == []


def test_every_document_is_there_with_its_ids(corpora, tmp_path):
    tokenizer = trained()
    made = encode(corpora, tmp_path / "out", tokenizer=tokenizer)
    rows = [
        (f"{name}-{i}", "abc"[i % 3], "en" if i % 2 else "zh", text)
        for name, documents in (("one", texts(60)), ("two", ["", *texts(25, seed=1)]))
        for i, text in enumerate(documents)
    ]
    for split in SPLITS:
        expected = [row for row in rows if split_of(row[3], **FRACTIONS) == split]
        found = TokenSplit(tmp_path / "out", split)
        assert found.num_documents == made.counts[split].num_documents == len(expected) > 5
        ids = encode_documents(tokenizer, [row[3] for row in expected])
        assert [found.document(i).tolist() for i in range(len(ids))] == [document.tolist() for document in ids]
        assert found.num_tokens == made.counts[split].num_tokens == sum(map(len, ids))
        assert found.num_bytes == made.counts[split].num_bytes == sum(len(row[3].encode()) for row in expected)
    assert made.statistics.total().documents == len(rows)
    assert made.statistics.total().tokens == sum(count.num_tokens for count in made.counts.values())
    assert made.details["name"] == "gigatoken"
    assert made.details["differences"] == []
    assert made.details["documents_checked"] > 3 * len(cut_pieces(corpora))
    assert made.statistics.total().unread.total == 0


def test_the_encoder_and_the_cuts_do_not_change_a_byte(corpora, tmp_path, monkeypatch):
    encode(corpora, tmp_path / "a")
    encode(corpora, tmp_path / "b", encoder="tokenizers")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    monkeypatch.setattr(plan, "TASK_BYTES", 1_000_000)
    assert encode(corpora, tmp_path / "c").details["name"] == "gigatoken"
    assert contents(tmp_path / "a") == contents(tmp_path / "c")


def test_one_difference_and_all_is_encoded_again(corpora, tmp_path, monkeypatch, capsys):
    encode(corpora, tmp_path / "right", encoder="tokenizers")
    encode_fast = FastEncoder.encode
    calls = []

    def wrong(self, document):
        # Only where a batch is encoded, and only from the second task on: the probes cannot tell.
        calls.append(document)
        ids = encode_fast(self, document)
        return ids[:-1] if b"one difference" in document else ids

    documents = texts(60)
    documents[28:] = ["one difference " + text for text in documents[28:]]
    changed = [write(tmp_path / "changed", documents)]
    encode(changed, tmp_path / "expected", encoder="tokenizers")
    monkeypatch.setattr(FastEncoder, "encode", wrong)
    task._encoder.cache_clear()
    made = encode(changed, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert any(b"one difference" in document for document in calls)
    assert made.details["name"] == "tokenizers"
    assert made.details["differences"][0].startswith("one difference")
    assert made.details["documents_checked"] > 0
    assert "gigatoken and tokenizers disagree on 'one difference" in capsys.readouterr().err


def test_a_difference_in_the_probes_keeps_the_fast_encoder_out(corpora, tmp_path, monkeypatch):
    monkeypatch.setattr(FastEncoder, "encode", lambda self, document: np.zeros(1, np.uint32))
    task._encoder.cache_clear()
    made = encode(corpora, tmp_path / "out")
    assert made.details["name"] == "tokenizers"
    assert made.details["why"] == "the ids of gigatoken differed"
    assert made.details["differences"]


def test_a_tokenizer_that_gigatoken_cannot_do(corpora, tmp_path):
    odd = [pre_tokenizers.Split(Regex("o+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=True)]
    tokenizer = trained(pre_tokenizers.Sequence(odd))
    made = encode(corpora, tmp_path / "out", tokenizer=tokenizer)
    assert made.details["name"] == "tokenizers"
    assert "Unknown pre_tokenizer" in made.details["why"]
    assert made.details["documents_checked"] == 0
    with pytest.raises(ConfigError, match="gigatoken cannot be used: Unknown pre_tokenizer"):
        encode(corpora, tmp_path / "other", tokenizer=tokenizer, encoder="gigatoken")


def test_special_tokens_in_text_are_special_only_where_allowed(tmp_path):
    corpus = [write(tmp_path / "corpus", ["a<|end|>b"])]
    fractions = {"validation_fraction": 0, "test_fraction": 0}
    encode(corpus, tmp_path / "text", **fractions)
    made = encode(corpus, tmp_path / "special", allow_special=True, **fractions)
    assert 0 not in TokenSplit(tmp_path / "text", "train").document(0)
    assert TokenSplit(tmp_path / "special", "train").document(0)[1] == 0
    assert made.details["name"] == "tokenizers"


def part(size, num_tokens=1):
    here = Path("x")
    return Part(Stretch(here, 0, 1), Stretch(here, 0, size - 2), Stretch(here, 0, 1), 1, num_tokens, 1)


def test_parts_are_grouped_in_order_up_to_the_limit():
    sizes = [40, 60, 10, 200, 5, 95, 3]
    groups = group_parts([part(size) for size in sizes], max_bytes=100)
    assert [[len(p.ids) + 2 for p in group] for group in groups] == [[40, 60], [10], [200], [5, 95], [3]]
    assert group_parts([]) == []


def test_a_shard_has_no_more_ids_than_its_offsets_can_count():
    half = 2**30
    assert [len(group) for group in group_parts([part(9, half), part(9, half - 1), part(9, 1)])] == [2, 1]
    with pytest.raises(DataError, match="about 2,147,483,648 tokens"):
        group_parts([part(9, 2**31)])


def test_several_shards_follow_each_other(corpora, tmp_path, monkeypatch):
    encode(corpora, tmp_path / "one-shard")
    monkeypatch.setattr(plan, "SHARD_BYTES", 1)
    monkeypatch.setattr(group_parts, "__defaults__", (1,))
    encode(corpora, tmp_path / "many")
    many, single = (TokenSplit(tmp_path / name, "train") for name in ("many", "one-shard"))
    assert len(many.shards) == len(cut_pieces(corpora)) > 1 == len(single.shards)
    assert np.concatenate(many.shards).tolist() == single.shards[0].tolist()
    assert many.offsets.tolist() == single.offsets.tolist()


def test_training_reads_the_train_split_in_order(corpora):
    documents = [*texts(60), "", *texts(25, seed=1)]
    found = list(training_texts(corpora, **FRACTIONS))
    assert [row.text for row in found] == [text for text in documents if split_of(text, **FRACTIONS) == "train"]
    assert {row.source for row in found} == {"a", "b", "c"}
    assert {row.language for row in found} == {"en", "zh"}


def test_threads_write_the_bytes_that_the_engine_writes(corpora, tmp_path, monkeypatch):
    encode(corpora, tmp_path / "threads")
    asked = []
    monkeypatch.setattr(plan, "suits", lambda engine, num_tasks: asked.append(num_tasks))
    encode(corpora, tmp_path / "engine")
    assert asked == [len(cut_pieces(corpora))]
    assert contents(tmp_path / "threads") == contents(tmp_path / "engine")

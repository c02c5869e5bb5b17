from __future__ import annotations

import hashlib

from llmkit.cleaning.steps.shuffle import Shuffle
from llmkit.data.corpus import Document, document_id


def document(i, text="x"):
    return Document(document_id("s", "f", i, text), text, "s")


def test_the_key_is_the_hash_of_seed_and_id():
    expected = hashlib.blake2b(b"7\x00" + b"a" * 32, digest_size=8).hexdigest()
    assert f"{Shuffle(seed=7).order_key(Document('a' * 32, 'any text', 's')):016x}" == expected


def test_it_drops_nothing_and_changes_nothing():
    found = document(1)
    assert Shuffle().apply(found) is None
    assert found == document(1)


def test_keys_are_spread_evenly_and_differ_by_seed():
    keys = [Shuffle().order_key(document(i)) for i in range(4000)]
    counts = [sum(key >> 61 == part for key in keys) for part in range(8)]
    assert all(400 <= count <= 600 for count in counts)  # 500 each; 100 is nearly five standard deviations
    assert keys != [Shuffle(seed=1).order_key(document(i)) for i in range(4000)]

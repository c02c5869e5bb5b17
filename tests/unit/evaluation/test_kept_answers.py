from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.errors import SetupError
from llmkit.evaluation.kept import Kept, key_of
from llmkit.runtimes import Generate, Label, Logits, Score, SpanFound, TagsFound, Written

ANSWERS = [
    -0.1 - 0.2, 1e-300, Written((3, 4), "a \u2028\nb", ended=True), Written(None, "", ended=False),
    np.array([[1.5, -np.inf], [np.nan, 3e-39]], np.float32), SpanFound(1, 4, 0.25, -1.0),
    TagsFound(**{field.name: np.arange(6.0).reshape(2, 3) for field in dataclasses.fields(TagsFound)}),
]  # fmt: skip


def assert_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, TagsFound):
        for field in dataclasses.fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    else:
        assert one == other


@pytest.mark.parametrize("on_disk", [True, False])
def test_answers_of_every_kind_come_back_to_the_bit(tmp_path, on_disk):
    kept = Kept(tmp_path / "deep" / "answers" if on_disk else None, "model")
    keys = [f"{number:032x}" for number in range(len(ANSWERS))]
    kept.add(zip(keys[:3], ANSWERS[:3], strict=True))
    assert_equal(kept[keys[1]], ANSWERS[1])
    kept.add(zip(keys[3:], ANSWERS[3:], strict=True))
    kept.close()
    again = Kept(tmp_path / "deep" / "answers", "model") if on_disk else kept
    assert len(again) == len(ANSWERS)
    for key, answer in zip(keys, ANSWERS, strict=True):
        assert key in again
        assert_equal(again[key], answer)
    assert "f" * 32 not in again
    again.close()


@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_holds_its_whole_records_and_goes_on(tmp_path_factory, cut):
    file = tmp_path_factory.mktemp("kept") / "answers"
    kept = Kept(file, "m")
    ends = [file.stat().st_size]
    for number in range(6):
        kept.add([(f"{number:032x}", float(number))])
        ends.append(file.stat().st_size)
    kept.close()
    content = file.read_bytes()[:cut]
    file.write_bytes(content)
    whole = sum(end <= cut for end in ends[1:])
    again = Kept(file, "m")
    assert [f"{number:032x}" in again for number in range(6)] == [number < whole for number in range(6)]
    again.add([("e" * 32, 7.5)])
    again.close()
    with Kept(file, "m") as last:
        assert len(last) == whole + 1
        assert last["e" * 32] == 7.5


def test_a_record_whose_bytes_changed_is_asked_again(tmp_path):
    kept = Kept(tmp_path / "answers", "m")
    kept.add([("a" * 32, 1.5), ("b" * 32, 2.5)])
    kept.close()
    content = (tmp_path / "answers").read_bytes()
    (tmp_path / "answers").write_bytes(content.replace(b"2.5", b"2.6"))
    with Kept(tmp_path / "answers", "m") as again:
        assert "a" * 32 in again
        assert "b" * 32 not in again


def test_answers_of_another_model_are_refused(tmp_path):
    Kept(tmp_path / "answers", json.dumps(["abc", {"type": "transformers"}])).close()
    with pytest.raises(SetupError, match="holds answers of another model") as caught:
        Kept(tmp_path / "answers", "other")
    assert str(tmp_path / "answers") in caught.value.hint


def test_the_key_tells_every_field_apart():
    pixels = np.zeros((2, 3), np.float32)
    different = [
        Score((1,), (2, 3)), Score((1, 2), (3,)), Score((), (1, 2, 3)), Logits((1, 2, 3)), Logits((1, 2)),
        Logits((1, 2), inputs={"pixel_values": pixels}), Logits((1, 2), inputs={"pixel_values": pixels + 1}),
        Logits((1, 2), inputs={"pixel_values": pixels.reshape(3, 2)}), Logits((1, 2), inputs={"sound": pixels}),
        *(Logits((1, 2), inputs={"images": [np.zeros(3), np.arange(9000) * (i == 1), i]}) for i in range(3)),
        Logits((1, 2), inputs={"a": {"b": 1}}), Logits((1, 2), inputs={"a": {}, "b": 1}),
        Generate((1,), 3), Generate((1,), 4), Generate((1,), 3, stop=("a",)), Generate((1,), 3, temperature=0.5),
        Generate((1,), 3, seed=1), Generate((1,), 3, exact=True), Generate(({"role": "user", "content": "a"},), 3),
        Generate(({"role": "user", "content": "b"},), 3), Label("a"), Label("a", "b"), Label("ab"),
    ]  # fmt: skip
    assert len({key_of(one) for one in different}) == len(different)
    assert key_of(Logits((1,), inputs={"p": pixels})) == key_of(Logits((1,), inputs={"p": pixels.copy()}))
    assert key_of(Score((1,), (2,))) == key_of(Score((1,), (2,)))
    with pytest.raises(TypeError, match="not JSON serializable"):
        key_of(Logits((1,), inputs={"image": object()}))

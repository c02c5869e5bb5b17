"""embedding: losses worked out by hand, the same however a step is cut, and what is measured, said and refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from labelled_models import BODIES, TOKENIZER, batch_of, headed

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.page import Page
from llmkit.data.packing import Example, LeftOut
from llmkit.data.rows.text_pair import TextPair
from llmkit.data.rows.triplet import Triplet
from llmkit.modeling.companions import Models
from llmkit.modeling.pooling import Pooling
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows._contrast import known_texts
from llmkit.objectives.rows.embedding import Embedding
from llmkit.training.gradients import Gradients, LossModule
from llmkit.training.parallel import ParallelConfig, Plan, build_accelerator

VOCABULARY = vocabulary_of(TOKENIZER)
PAIRS = [
    {"query": "a b c", "positive": "d", "negatives": ["e f", "g"]},
    {"query": "d d", "positive": "e f g h a b", "negatives": []},
    {"query": "京", "positive": "c c", "negatives": ["h"]},
    {"query": "f", "positive": "b c d", "negatives": ["a a a a a a a a", "b"]},
    {"query": "g h g", "positive": "我 北", "negatives": []},
    {"query": "c a", "positive": "d", "negatives": ["e"]},  # the first row's text once more
]
SCORED = [{"text": row["query"], "pair": row["positive"], "label": i / 5} for i, row in enumerate(PAIRS)]


def settled(rows: list[dict[str, Any]] = PAIRS, **fields: Any) -> Embedding:
    kind = TextPair(label="number") if "pair" in rows[0] else Triplet()
    begun = Embedding(**{"pooling": "mean", "normalize": True, **fields})
    return begun.settle(kind, Counter(value for row in rows for value in begun.notice(row)))


def encoded(objective: Embedding, rows: list[dict[str, Any]] = PAIRS, limit: int = 16) -> list[Example]:
    kind = TextPair(label="number") if "pair" in rows[0] else Triplet()
    found = objective.encode(rows, kind, TOKENIZER, limit)
    assert all(isinstance(example, Example) for example in found)
    return found  # type: ignore[return-value]


def taken(objective: Embedding, rows: list[dict[str, Any]], model: Any, micro_blocks: int) -> tuple[Any, Any]:
    model.zero_grad()
    module = LossModule(Models(model), objective, torch.float32)
    made = Gradients(
        build_accelerator(ParallelConfig(), model), module, objective, VOCABULARY, plan=Plan(1, 1, 1, 1), seed=5,
        micro_blocks=lambda _: micro_blocks,
    )  # fmt: skip
    loss = made.accumulate(batch_of(objective, encoded(objective, rows)), step=0, signals=[])
    return loss, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plane(*angles: float) -> torch.Tensor:
    """Points at angles in degrees, twice as far from the origin as they need to be."""
    return torch.tensor([[2 * math.cos(math.radians(a)), 2 * math.sin(math.radians(a))] for a in angles])


def outputs(queries: torch.Tensor, positives: torch.Tensor, keys: tuple[list[int], list[int]]) -> dict[str, Any]:
    found = {"query": queries, "positive": positives}
    return {**found, **{f"{side}_key": torch.tensor(key) for side, key in zip(found, keys, strict=True)}}


def test_the_contrastive_loss_by_hand():
    """Cosines 1 and 0.5 | 0.5 and 1, over a temperature of 1/2: -log(e^2 / (e^2 + e^1)) twice."""
    found = outputs(plane(0, 60), plane(0, 60), ([1, 2], [3, 4]))
    (total, weight) = settled(temperature=0.5).loss_of(found)["pairs"]
    assert weight == 1
    assert float(total) == pytest.approx(2 * math.log(1 + math.exp(-1)), rel=1e-5)
    assert float(settled(temperature=0.5, symmetric=True).loss_of(found)["pairs"][0]) == pytest.approx(float(total))


def test_negatives_of_one_row_are_held_against_all_queries():
    """A negative at 60 degrees is at 60 from the first query and on the second: cosines 1/2 and 1."""
    found = outputs(plane(0, 60), plane(0, 60), ([1, 2], [3, 4]))
    found |= {"negative": torch.stack([plane(60), plane(0) * 0]), "negative_sizes": torch.tensor([[3], [0]]),
              "negative_key": torch.tensor([[9], [0]])}  # fmt: skip
    first = math.log(math.exp(1) + 2 * math.exp(0.5)) - 1
    second = math.log(math.exp(0.5) + 2 * math.exp(1)) - 1
    total, _ = settled(temperature=1.0).loss_of(found)["pairs"]
    assert float(total) == pytest.approx(first + second, rel=1e-5)
    found["negative_key"] = torch.tensor([[4], [0]])  # the second query's own text: no wrong one for it
    total, _ = settled(temperature=1.0).loss_of(found)["pairs"]
    assert float(total) == pytest.approx(first + math.log(math.exp(0.5) + math.exp(1)) - 1, rel=1e-5)


@pytest.mark.parametrize("keys", [([1, 2], [3, 3]), ([1, 1], [3, 4])], ids=["same text", "same query"])
def test_what_belongs_to_a_query_in_another_row_is_not_taken_for_wrong(keys):
    (total, _) = settled().loss_of(outputs(plane(0, 60), plane(0, 60), keys))["pairs"]
    assert float(total) == pytest.approx(0, abs=1e-6)


def test_what_belongs_to_a_query_in_another_row_is_not_wrong_wherever_it_stands():
    """Queries 1, 1, 2 own the texts 5, 6, 6: the third row's 6 belongs to query 1, and so do the negatives 6 and 5."""
    among, further = known_texts(*map(torch.tensor, ([1, 1, 2], [5, 6, 6], [6, 5, 7])))
    assert among.tolist() == [[False, True, True], [True, False, True], [False, True, False]]
    assert further.tolist() == [[True, True, False], [True, True, False], [True, False, False]]


def test_losses_of_scored_pairs_by_hand():
    """Cosines 1/2 and 1 for the scores 4 of 5 and 1 of 5: 0.09 + 0.64; the order is wrong by 1/2: log(1 + e^(1/2))."""
    found = {"query": plane(0, 0), "positive": plane(60, 0), "score": torch.tensor([4.0, 1.0])}
    total, _ = settled(SCORED, max_score=5.0).loss_of(found)["pairs"]
    assert float(total) == pytest.approx(0.3**2 + 0.8**2, rel=1e-5)
    total, _ = settled(SCORED, criterion="cosent", temperature=1.0).loss_of(found)["pairs"]
    assert float(total) / 2 == pytest.approx(math.log(1 + math.exp(0.5)), rel=1e-5)


def test_shorter_vectors_are_parts_of_their_own():
    found = outputs(plane(0, 60), plane(0, 60), ([1, 2], [3, 4]))
    losses = settled(dimensions=[1]).loss_of(found)  # on the line both are the same point
    assert list(losses) == ["pairs", "dimensions_1"]
    assert float(losses["dimensions_1"][0]) == pytest.approx(2 * math.log(2), rel=1e-5)
    objective = settled(dimensions=[1])
    assert objective.collate(batch_of(objective, encoded(objective)), VOCABULARY, 0)[1] == {
        "pairs": 6, "dimensions_1": 6,
    }  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
@pytest.mark.parametrize("body", BODIES)
def test_a_text_has_the_vector_that_it_has_alone(tmp_path, body, pooling):
    objective = settled(pooling=pooling)
    model = headed(tmp_path, body, objective)
    found = objective.outputs(
        Models(model), objective.collate(batch_of(objective, encoded(objective)), VOCABULARY, 0)[0]
    )
    assert found["negative"].shape[:2] == (6, 2)
    for row, raw in enumerate(PAIRS):
        texts = {"query": [raw["query"]], "positive": [raw["positive"]], "negative": raw["negatives"]}
        for side, own in texts.items():
            for place, text in enumerate(own):
                inputs = TOKENIZER(text, return_tensors="pt", return_token_type_ids=False)
                hidden = model(**inputs).last_hidden_state
                expected = Pooling((pooling,)).pool(hidden, inputs["attention_mask"])[0]
                vector = found[side][row, place] if side == "negative" else found[side][row]
                torch.testing.assert_close(vector, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"symmetric": True, "dimensions": [4, 8]}], ids=["plain", "all of it"])
def test_one_batch_or_parts_of_it_give_the_same_gradient(tmp_path, fields):
    objective = settled(**fields)
    model = headed(tmp_path, "bert", objective)
    whole, expected = taken(objective, PAIRS, model, 6)
    assert whole.total > 0.1
    for size in (4, 3, 1):
        loss, found = taken(objective, PAIRS, model, size)
        assert loss.parts == pytest.approx(whole.parts, rel=1e-5)
        assert found.keys() == expected.keys()
        for name, grad in found.items():
            torch.testing.assert_close(grad, expected[name], rtol=1e-3, atol=1e-6, msg=name)


def test_a_batch_that_fits_is_run_once(tmp_path):
    objective = settled()
    model = headed(tmp_path, "bert", objective)
    seen: list[int] = []
    model.register_forward_pre_hook(lambda *_, **kwargs: seen.append(0), with_kwargs=True)
    taken(objective, PAIRS, model, 6)
    once = len(seen)
    taken(objective, PAIRS, model, 5)
    assert len(seen) - once > 2 * once  # two parts, each twice


def test_scored_pairs_are_no_matter_of_the_whole_step():
    assert settled().couples
    assert settled(SCORED, criterion="cosent").couples
    assert not settled(SCORED).couples


def test_prompts_stand_before_each_side():
    objective = settled(query_prompt="a ", positive_prompt="b ")
    example = encoded(objective)[0].columns
    assert TOKENIZER.decode(example["query_input_ids"]) == "[CLS] a a b c [SEP]"
    assert TOKENIZER.decode(example["positive_input_ids"]) == "[CLS] b d [SEP]"
    assert TOKENIZER.decode(example["negative_input_ids"]) == "[CLS] b e f [SEP] [CLS] b g [SEP]"
    assert example["negative_sizes"] == [5, 4]


def test_long_texts_are_cut_and_texts_without_tokens_left_out():
    objective = settled()
    row = {"query": "a b c d e f g h", "positive": "a", "negatives": []}
    (example,) = encoded(objective, [row], limit=6)
    assert example.cut
    assert TOKENIZER.decode(example.columns["query_input_ids"]) == "[CLS] a b c d [SEP]"
    assert example.columns["negative_sizes"] == [0, 0]
    bare = transformers.PreTrainedTokenizerFast(tokenizer_object=TOKENIZER.backend_tokenizer, pad_token="[PAD]")
    bare.backend_tokenizer.post_processor = None  # nothing is added to a text
    (found,) = objective.encode([{**row, "positive": " "}], Triplet(), bare, 8)
    assert isinstance(found, LeftOut)
    assert found.why == "no token stands for a text"


@pytest.mark.parametrize(("rows", "fields", "error", "says"), [
    (PAIRS, {"criterion": "cosine"}, ConfigError, "cosine holds pairs to a score, and the rows have none"),
    (SCORED, {"criterion": "contrastive"}, ConfigError, "the rows are pairs with a label"),
    ([{**SCORED[0], "label": 4.5}], {}, ConfigError, "scores are up to 5, and a cosine is at most 1"),
    ([{**SCORED[0], "label": "yes"}], {}, DataError, "1 rows have labels that are no numbers"),
    ([{**SCORED[0], "label": "nan"}], {}, DataError, "1 rows have labels that are no numbers"),
])  # fmt: skip
def test_rows_that_do_not_suit_are_refused(rows, fields, error, says):
    with pytest.raises(error) as raised:
        settled(rows, **fields)
    assert says in str(raised.value)
    assert raised.value.hint


def test_scores_of_five_are_divided_by_five_or_put_in_order():
    rows = [{**row, "label": 5 * row["label"]} for row in SCORED]
    assert settled(rows, max_score=5.0).criterion == "cosine"
    assert settled(rows, criterion="cosent").criterion == "cosent"
    assert settled([{**row, "label": str(i % 2)} for i, row in enumerate(SCORED)]).criterion == "cosine"


def test_measures_and_report_show_wrong_neighbours():
    """Of three queries the second has the third's text nearer than its own."""
    objective = settled()
    found = outputs(plane(0, 60, 90), plane(10, 20, 80), ([1, 2, 3], [4, 5, 6]))
    answers = objective.answers(found)
    assert objective.measures(answers) == pytest.approx(
        {"recall_at_1": 2 / 3, "recall_at_10": 1, "mrr": (1 + 1 / 2 + 1) / 3}
    )
    page = Page("report")
    shown = objective.describe(answers, page)
    assert shown == [
        (1, "its own text is number 2, with the cosine 0.766"),
        (2, "this row's text was taken for it, with 0.940"),
    ]
    same = replace_keys(answers, [(1, 4), (2, 5), (2, 6)])  # the third's text belongs to the second query as well
    assert objective.measures(same)["recall_at_1"] == 1


def replace_keys(answers: Any, keys: list[tuple[int, int]]) -> list[Any]:
    return [answer._replace(keys=key) for answer, key in zip(answers, keys, strict=True)]


def test_measures_of_scores():
    objective = settled(SCORED, dimensions=[1])
    found = {"query": plane(0, 0, 0), "positive": plane(0, 60, 90), "score": torch.tensor([1.0, 0.5, 0.0])}
    answers = objective.answers(found)
    measures = objective.measures(answers)
    assert measures["spearman"] == pytest.approx(1)
    assert measures["pearson"] == pytest.approx(1)
    assert set(measures) == {"spearman", "pearson", "spearman_dimensions_1"}
    assert objective.describe(objective.answers({**found, "score": torch.tensor([0.0, 0.5, 0.0])}), Page("r"))[0] == (
        0, "score 0, cosine 1",
    )  # fmt: skip


def test_it_says_what_is_learned():
    facts = settled(query_prompt="query: ", dimensions=[8]).facts()
    assert facts["vectors"] == "mean of the tokens' vectors, normalized; 'query: ' before queries"
    assert facts["wrong texts"] == (
        "those of the step's other rows and up to 2 of the row; copies of the own text never count"
    )
    assert settled(SCORED).facts()["criterion"] == "cosine"


def test_micro_batches_are_measured_by_their_tokens():
    objective = settled()
    batch = batch_of(objective, encoded(objective))
    feed: Any = objective.feed(FakeFeed(), VOCABULARY, 0)  # type: ignore[arg-type]
    mean = float(np.mean(batch.num_tokens))
    assert feed.micro_blocks(batch, int(3 * mean) + 1) == 3
    assert feed.micro_blocks(batch, 1) == 1


class FakeFeed:
    stream, block_tokens = None, 1.0

    def held_out(self) -> None:
        return None


def test_stacks_have_next_to_no_padding():
    from llmkit.objectives.rows._stacks import stacked, stacks

    lengths = np.array([7, 3, 400, 3, 390, 400, 200, 4, 401])
    made = stacked(np.arange(lengths.sum()), lengths, -1)
    shapes = [tuple(ids.shape) for ids, _ in stacks(made)]
    assert shapes == [(3, 401), (3, 390), (3, 4)]  # one is ended where it has 1,024 tokens and the next is shorter
    every = [row[row >= 0].tolist() for ids, _ in stacks(made) for row in ids]
    starts = np.cumsum(lengths) - lengths
    for text, place in enumerate(made["order"].tolist()):
        assert every[place] == list(range(starts[text], starts[text] + lengths[text]))

"""The page of eval and compare: what stands where, of results and samples as the files have them."""

from __future__ import annotations

import pytest

from llmkit.core.page import Page
from llmkit.evaluation.drawing import draw
from llmkit.evaluation.estimates import shown_p
from llmkit.evaluation.figures import Bars, Lines, Matrix, Points
from llmkit.evaluation.page import report
from llmkit.evaluation.page_examples import asked, expected_text, headline, judge, rest, said_text, shortened
from llmkit.evaluation.page_task import TaskShown
from pages_html import parse


@pytest.fixture
def read(tmp_path):
    def call(page):
        page.write(tmp_path / "report.html")
        return parse((tmp_path / "report.html").read_text(encoding="utf-8"))

    return call


def result(scores, *, n=4, notes=(), up=True, **facts):
    """A result as results.json has it: scores with the ends of their intervals."""
    sure = {name: {"n": n, "low": low, "high": high, "method": "mean", "stderr": 0.1, "higher_is_better": up}
            for name, (_, low, high) in scores.items()}  # fmt: skip
    values = {name: value for name, (value, _, _) in scores.items()}
    return {"scores": values, "estimates": sure, "num_samples": n, "notes": list(notes), **facts}


def sample(name, prediction, reference="at nine", **more):
    return {"id": name, "prompt": f"Q: when does {name} leave?\nA:", "prediction": prediction, "reference": reference,
            "acc": float(prediction == reference), **more}  # fmt: skip


LOST = {"difference": -0.25, "low": -0.4, "high": -0.1, "p": 0.012, "p_corrected": 0.024, "higher_is_better": True,
        "test": "McNemar exact", "n": 4, "num_won": 1, "num_lost": 2}  # fmt: skip


def shown(**more):
    found = {
        "name": "ferries", "settings": {"type": "generation", "limit": None},
        "results": {"model": result({"acc": (0.5, 0.2, 0.8)}), "baseline": result({"acc": (0.75, 0.5, 0.9)})},
        "samples": {
            "model": [sample("a", "at nine"), sample("b", "at ten"), sample("c", "at ten"), sample("d", "at nine")],
            "baseline": [sample("a", "at ten"), sample("b", "at nine"), sample("c", "at nine"), sample("d", "at nine")],
        },
        "differences": {"model": {"acc": LOST}}, "reference": "baseline",
    }  # fmt: skip
    return TaskShown(**{**found, **more})


def test_a_score_has_its_interval_its_difference_its_p_and_its_samples(read):
    found = read(report("Evaluation report", {"model": "m", "baseline": "b"}, [shown()]))
    text = [part for part in found.text if part.strip()]
    start = text.index("score")
    assert text[start : start + 18] == [
        "score", "model", "baseline", "difference", "p", "n",
        "acc\u00a0\u2191", "0.5000", "0.2000 to 0.8000", "0.7500", "0.5000 to 0.9000",
        "\u22120.2500", "worse", "0.012", "corrected 0.024", "4", "acc\u00a0\u2191", "model",
    ]  # fmt: skip
    assert "\u22120.2500 worse" in text
    assert any("95 of 100" in part for part in text)


def test_lost_samples_come_first_and_none_twice(read):
    found = read(report("Evaluation report", {"model": "m", "baseline": "b"}, [shown()]))
    heads = [part for part in found.text if part.startswith(("Worse", "Better", "Wrong", "Right"))]
    assert heads == ["Worse than baseline", "Better than baseline", "Right (1 of 2)"]
    lines = [part for part in found.text if "when does" in part and "\n" not in part]
    assert [line[:2] + line.split()[-2] for line in lines] == ["\u2717 b", "\u2717 c", "\u2713 a", "\u2713 d"]
    assert found.text.count("model wrong \u00b7 baseline right") == 2
    kinds = [one["class"] for one in found.all("div") if one.get("class", "").startswith("said")]
    assert kinds[:3] == ["said ", "said bad", "said good"]


def test_scores_of_0_and_100_are_right_and_wrong(read):
    task = shown(samples={"model": [{**sample("a", "x"), "acc": 100.0}, {**sample("b", "y"), "acc": 0.0}]})
    heads = [part for part in read(report("r", {"model": "m"}, [task])).text if part in ("Wrong", "Right", "Best")]
    assert heads == ["Wrong", "Right"]


def test_of_other_scores_the_worst_and_the_best(read):
    found = {"model": [{**sample(str(i), "x"), "rouge1": i / 10} for i in (5, 1, 9)]}
    task = shown(results={"model": result({"rouge1": (0.5, 0.4, 0.6)})}, samples=found, differences={}, reference="")
    text = read(report("r", {"model": "m"}, [task])).text
    lines = [part.split()[-2] for part in text if "when does" in part and "\n" not in part]
    assert lines == ["1", "5", "9"]  # the best three are those already, and none comes twice


def test_where_less_is_better_the_worst_is_the_greatest(read):
    rows = [{"id": f"text-{i}", "log_likelihood": -1.0} for i in range(4)]
    task = shown(
        results={"model": result({"bits_per_byte": (1.5, 1.4, 1.6)}, up=False)}, samples={"model": rows},
        differences={}, reference="", values={"model": [1.0, 3.0, 2.0, None]},
    )  # fmt: skip
    text = read(report("r", {"model": "m"}, [task])).text
    assert "Samples with the highest and the lowest bits_per_byte" in text
    assert [part for part in text if part.startswith("text-")] == ["text-1", "text-0"]
    assert "bits_per_byte\u00a0\u2193" in text


def test_a_note_that_all_models_have_stands_once(read):
    results = {"model": result({}, notes=["3 skipped", "own"]), "baseline": result({}, notes=["3 skipped"])}
    text = read(report("r", {"model": "m", "baseline": "b"}, [shown(results=results)])).text
    assert [part for part in text if part in ("3 skipped", "model: own", "model: 3 skipped")] == [
        "3 skipped",
        "model: own",
    ]


def test_scores_of_parts_are_folded_and_not_drawn(read):
    scores = {"bits_per_byte": (1.5, 1.4, 1.6), "bits_per_byte[source=wiki]": (1.2, 1.1, 1.3)}
    results = {"model": result(scores, up=False), "baseline": result(scores, up=False)}
    task = shown(results=results, samples={}, differences={}, reference="")
    found = read(report("r", {"model": "m", "baseline": "b"}, [task], ["all of it"]))
    assert "all of it" in found.text
    assert found.text.index("Scores of parts") < found.text.index("bits_per_byte[source=wiki]\u00a0\u2193")
    assert sum(one.get("role") == "img" for one in found.all("div")) == 2


def test_the_scores_of_one_model_are_drawn_where_they_share_an_axis(read):
    scores = {"acc": (0.5, 0.4, 0.6), "acc_norm": (0.6, 0.5, 0.7), "ppl": (30.0, 20.0, 40.0)}
    task = shown(results={"model": result(scores)}, samples={}, differences={}, reference="")
    found = read(report("r", {"model": "m"}, [task]))
    drawn = [one["aria-label"].split()[0] for one in found.all("div") if one.get("role") == "img"]
    assert drawn == ["acc", "acc_norm"]


def test_scores_of_parts_stand_open_where_there_are_no_others(read):
    scores = {"decode_tokens_per_s[batch=1]": (9.0, None, None), "decode_tokens_per_s[batch=2]": (17.0, None, None)}
    task = shown(results={"model": result(scores)}, samples={}, differences={}, reference="")
    found = read(report("r", {"model": "m"}, [task]))
    assert "Scores of parts" not in found.text
    assert any("decode_tokens_per_s[batch=2]" in part for part in found.text)


def test_of_many_runs_the_card_shows_the_best(read):
    runs = {
        name: result({"acc": (value, value - 0.1, value + 0.1)}) for name, value in (("a", 0.4), ("b", 0.7), ("c", 0.5))
    }
    better = {**LOST, "difference": 0.3}
    task = shown(results=runs, samples={}, differences={"b": {"acc": better}, "c": {"acc": better}}, reference="a")
    text = read(report("Comparison", {"a": "1", "b": "2", "c": "3"}, [task])).text
    assert text[text.index("0.7000") + 1] == "+0.3000 better"
    assert "acc\u00a0\u2191 \u00b7 n\u00a04\n0.6000 to 0.8000\nbest of 3: b" in text
    assert {"b \u2212 a", "c \u2212 a"} <= set(text)


def test_overlap_stands_beside_the_score_on_the_rest(read):
    overlap = {"items": 40, "overlapping": 4, "clean": {"acc": {"value": 0.45, "low": 0.4, "high": 0.5}}}
    results = {
        "model": result({"acc": (0.5, 0.2, 0.8)}, overlap=overlap),
        "baseline": result({"acc": (0.5, 0.2, 0.8)}, overlap={"why": "its training data are unknown"}),
    }
    text = read(report("r", {"model": "m", "baseline": "b"}, [shown(results=results)])).text
    assert "baseline: its training data are unknown" in text
    start = text.index("items found")
    assert text[start : start + 10] == [
        "items found", "of", "share", "acc on the rest", "model", "4", "40", "10.0%", "0.4500", "0.4000 to 0.5000",
    ]  # fmt: skip


def test_a_task_without_scores_or_samples_has_a_section_all_the_same(read):
    task = TaskShown("empty", {}, {"model": {"scores": {}, "num_samples": 0, "notes": ["nothing was asked"]}})
    assert {"empty", "nothing was asked"} <= set(read(report("r", {"model": "m"}, [task])).text)


def test_figures_of_one_title_are_drawn_together(read):
    line = Lines("Reliability", "", {"": Points([0.1, 0.9], [0.2, 0.8])}, "probability", "right", True)
    bars = Bars("By class", "", {"a": (0.5, 0.4, 0.6)}, "F1")
    table = Matrix("Confusion", "", ["a"], ["a"], [[1]], "label", "said", True)
    page = Page("r")
    draw(page, {"model": [line, bars, table], "baseline": [line, bars]})
    found = read(page)
    heads = [part for part in found.text if part in ("Reliability", "By class", "Confusion")]
    assert heads == ["Reliability", "By class", "Confusion"]
    assert len(found.all("polyline")) == 2
    assert {"model", "baseline"} <= set(found.text)


def test_a_matrix_is_drawn_for_each_model(read):
    table = Matrix("Confusion", "", ["a"], ["a"], [[1]])
    page = Page("r")
    draw(page, {"model": [table], "baseline": [table]})
    assert [one["aria-label"] for one in read(page).all("table")] == ["Confusion: model", "Confusion: baseline"]


def test_choices_are_shown_with_the_one_that_was_taken():
    one = {"id": 1, "question": "2 + 2?", "choices": ["3", "4"], "reference": 1, "prediction": 0}
    assert said_text(one) == "\u2192\t\t3\n\t\u2713\t4"
    assert expected_text(one) == "4"
    assert headline(one) == "2 + 2?"
    assert said_text({**one, "reference": [0, 1]}) == "\u2192\t\u2713\t3\n\t\u2713\t4"
    assert expected_text({**one, "reference": [0, 1]}) == "3\nor 4"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"prediction": "4", "output": "It is 4."}, "4\n\nas written: It is 4."),
        ({"prediction": "4", "output": " 4\n"}, "4"),
        ({"prediction": "", "output": ""}, "(nothing)"),
        ({"prediction": "4", "thinking": "hm", "output": "<think>hm</think>4"}, "4\n\nthought: hm"),
        ({"output": "4"}, "4"),
        ({}, ""),
        ({"prediction": ["a", "\u8239"]}, '["a", "\u8239"]'),
    ],
)
def test_what_was_said(found, text):
    assert said_text(found) == text


def test_expected_texts_may_be_several_or_none():
    assert expected_text({"reference": ["a", "b", "a"]}) == "a\nor b"
    assert expected_text({"reference": []}) == "(no answer)"


def test_the_line_of_a_sample_is_its_question():
    long, said = "Passage: " + "word " * 40 + "end", {"prediction": "I"}
    assert headline({"prompt": f"{long}\nQuestion: who?\nAnswer:", **said}) == "Question: who?"
    turns = {"turns": [{"role": "user", "content": "Hi"}], "prompt": "<|im_start|>user\nHi<|im_end|>"}
    assert headline({**turns, **said}) == "Hi"
    assert headline({"prompt": long, **said}) == "\u2026" + "word " * 17 + "end"
    assert headline({"prompt": "\u9577" * 100, **said}) == "\u2026" + "\u9577" * 89
    chat = "<|im_start|>user\nQuestion: who?\nAnswer:<|im_end|>\n<|im_start|>assistant\n"
    assert headline({"prompt": chat, **said}) == "Question: who?"
    assert headline({"prompt": f"{long}\n-"}) == "Passage: " + "word " * 15 + "word\u2026", (
        "a text that is scored itself"
    )
    assert asked({"turns": [{"role": "user", "content": "Hi"}]}) == "user: Hi"


def test_samples_that_ask_the_same_are_told_apart_by_their_ids(read):
    asked = [{**sample(name, "at ten"), "prompt": "Which number?"} for name in ("256/0", "256/0.5")]
    task = shown(results={"model": result({"acc": (0.0, 0.0, 0.8)}, n=2)}, samples={"model": asked}, differences={},
                 reference="")  # fmt: skip
    found = read(report("r", {"model": "m"}, [task]))
    assert {"\u2717 Which number? (256/0)", "\u2717 Which number? (256/0.5)"} <= set(found.text)


def test_long_texts_keep_their_beginning_and_their_end():
    text = shortened("a" * 3000 + "b" * 3000)
    assert (text[:2000], text[-2000:]) == ("a" * 2000, "b" * 2000)
    assert "[\u2026 2,000 characters \u2026]" in text


def test_the_numbers_of_a_sample_are_one_line():
    assert (
        rest({"id": 1, "tokens": 7, "log_likelihood": -1.23456, "prompt": "x"})
        == "tokens 7 \u00b7 log_likelihood -1.2346"
    )


def test_samples_that_a_model_skipped_are_left_out_on_its_side():
    judged = judge({"m": [{"id": 1}, {"id": 2}], "b": [{"id": 2}]}, {"m": [1.0, 0.0], "b": [1.0]})
    assert [list(one.samples) for one in judged] == [["m"], ["m", "b"]]
    assert judged[0].moved("b") == 0
    assert judged[1].moved("b") == -1


@pytest.mark.parametrize(("p", "text"), [(0.0001, "<0.001"), (0.0124, "0.012"), (0.5, "0.50"), (1.0, "1.00")])
def test_p_values(p, text):
    assert shown_p(p) == text

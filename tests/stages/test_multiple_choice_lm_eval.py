"""Multiple choice equals lm-evaluation-harness item by item: accuracies, and sums of log-probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny import byte_tokenizer, model

ROWS = [
    {"question": f"Where does the {animal} sleep at {i}?", "choices": ["in it", f"by the {animal} ", "no", "up there"],
     "answer": (i * 7) % 4}
    for i, animal in enumerate(("fox", "river", "clock", "bird") * 3)
]  # fmt: skip
PROMPT = "Question: {{ question }}\nAnswer:"


@pytest.fixture
def lm_eval(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(model, data, tmp_path, *, shots=0, chat=False, multiturn=False, sampler="first_n"):
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        names = ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "brier_score"]
        better = {"brier_score": False}
        metrics = [
            {"metric": name, "aggregation": "brier_score" if name in better else "mean",
             "higher_is_better": better.get(name, True)}
            for name in names
        ]  # fmt: skip
        task = {
            "task": "theirs", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
            "output_type": "multiple_choice", "test_split": "test", "fewshot_split": "test",
            "fewshot_config": {"sampler": sampler}, "doc_to_text": PROMPT, "doc_to_choice": "choices",
            "doc_to_target": "answer", "metric_list": metrics,
        }  # fmt: skip
        (folder / "theirs.yaml").write_text(json.dumps(task), encoding="utf-8")
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(model), "dtype": "float32"},
            tasks=["theirs"],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            num_fewshot=shots,
            batch_size=4,
            device="cpu",
            apply_chat_template=chat,
            fewshot_as_multiturn=multiturn,
            bootstrap_iters=0,
        )
        return found["samples"]["theirs"], found["results"]["theirs"]

    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "how",
    [
        {}, {"shots": 2}, {"shots": 2, "sampler": "default"}, {"chat": True},
        {"shots": 2, "chat": True, "multiturn": True}, {"shots": 2, "chat": True},
    ],
    ids=lambda how: "-".join(map(str, how.items())) or "plain",
)  # fmt: skip
def test_items_are_equal(cli, chain, jsonl, lm_eval, tmp_path, how):
    compare(cli, chain.model, jsonl("items.jsonl", ROWS), lm_eval, tmp_path, how)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "how", [{}, {"shots": 2}, {"shots": 2, "chat": True, "multiturn": True}],
    ids=lambda how: "-".join(map(str, how.items())) or "plain",
)  # fmt: skip
def test_items_of_a_gpt2_are_equal(cli, gpt2, jsonl, lm_eval, tmp_path, how):
    compare(cli, gpt2, jsonl("items.jsonl", ROWS), lm_eval, tmp_path, how)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A GPT-2 of bytes with a chat template, whose likelihoods differ from choice to choice."""
    folder, tokenizer = tmp_path_factory.mktemp("gpt2"), byte_tokenizer()
    model("gpt2", vocab_size=len(tokenizer), initializer_range=0.2, n_positions=512).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def compare(cli, where, data, lm_eval, tmp_path, how):
    theirs, results = lm_eval(where, data, tmp_path, **how)
    task = {
        "type": "multiple_choice", "data": str(data), "prompt": PROMPT, "mutual_info": True, "overlength": "cut",
        "num_shots": how.get("shots", 0), "shots": "drawn" if how.get("sampler") == "default" else "first",
        "chat": "on" if how.get("chat") else "off", "multiturn": how.get("multiturn", False),
    }  # fmt: skip
    outcome = cli("eval", "--model", where, "-s", f"tasks=[{json.dumps(task)}]", "-o", "out")
    assert outcome.code == 0, outcome.err
    scores = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["multiple_choice"]
    lines = Path("out/samples-multiple_choice.jsonl").read_text(encoding="utf-8").splitlines()
    ours = [json.loads(line) for line in lines]
    assert len(ours) == len(theirs) == len(ROWS)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["prompt"] == other["arguments"][0][0]
        said = [float(answer[0]) for answer in other["filtered_resps"]]
        assert mine["log_likelihoods"] == pytest.approx(said[:4], rel=1e-5)
        for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info"):
            assert mine[name] == other[name], name
    for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info"):
        assert scores["results"]["model"]["scores"][name] == pytest.approx(results[f"{name},none"])
    assert scores["results"]["model"]["scores"]["brier"] == pytest.approx(results["brier_score,none"], rel=1e-4)

"""The commands that read an artifact of the chain, kind by kind; OUT is where they write."""

from __future__ import annotations

from campaign._chain import TRAINING, Chain

Commands = dict[str, list[str]]
STEPS = [word for setting in TRAINING for word in ("-s", setting)]
ONE_STEP = [*STEPS, "--max-steps", "1"]
NO_STEPS = ["-s", "steps=[]", "-o", "OUT"]


def readers_of(chain: Chain, kind: str) -> Commands:
    """Return the commands that read an artifact, by name.

    Args:
        chain: Where it lies, and what it was made with.
        kind: One of `campaign._chain.KINDS`.
    """
    at = str(chain.root / kind)
    for_all = {
        "the same command again": chain.commands()[kind],
        "lineage": ["lineage", at],
        "lineage --verify": ["lineage", at, "--verify"],
        "summary": ["summary", at],
    }
    return for_all | {
        "corpus": _of_corpus,
        "pairs": _of_pairs,
        "tokens": _of_tokens,
        "base": _of_base,
        "model": _of_tuned,
        "adapter": _of_tuned,
        "scores": _of_nothing_more,
        "export": _of_models,
        "predictions": _of_rows,
        "answers": _of_answers,
        "index": _of_index,
    }[kind](chain, at)


def _of_nothing_more(_chain: Chain, _at: str) -> Commands:
    return {}


def _eval(model: str, task: str, data: str) -> list[str]:
    tasks = f"tasks=[{{type: {task}, data: {data}, limit: 2}}]"
    return ["eval", "--model", model, "-s", tasks, "-o", "OUT"]


def _tuning(data: str, model: str) -> list[str]:
    return ["finetune", *ONE_STEP, "-s", "workers=1", "-o", "OUT", "--data", data, "--model", model]


def _tokenizing(chain: Chain, tokenizer: str) -> list[str]:
    return ["tokenize", "-i", str(chain.root / "corpus"), "--tokenizer", tokenizer, "-s", "workers=1", "-o", "OUT"]


def _of_corpus(chain: Chain, at: str) -> Commands:
    made = chain.commands()["tokens"]
    return {
        "clean": ["clean", "-i", at, *NO_STEPS],
        "plan of clean": ["plan", "--stage", "clean", "-i", at],
        "tokenize": [*made[:-1], "OUT"],
        "lineage of what was made of it": ["lineage", made[-1], "--verify"],
        "eval": _eval(str(chain.root / "model"), "perplexity", at),
        "plan of tokenize": ["plan", "--stage", "tokenize", "-i", at],
        "index": ["index", "-i", at, "-o", "OUT"],
    }


def _of_pairs(chain: Chain, at: str) -> Commands:
    made = chain.commands()["model"]
    return {
        "clean": ["clean", "-i", at, *NO_STEPS],
        "plan of clean": ["plan", "--stage", "clean", "-i", at],
        "finetune": [*made[:-1], "OUT"],
        "lineage of what was made of it": ["lineage", made[-1], "--verify"],
        "eval": _eval(str(chain.root / "model"), "answers", at),
    }


def _of_tokens(chain: Chain, at: str) -> Commands:
    return {
        "pretrain": [*chain.commands()["base"][:-1], "OUT"],
        "eval": _eval(str(chain.root / "model"), "perplexity", at),
        "tokenize with its tokenizer": _tokenizing(chain, at),
        "plan": ["plan", "--data", at, "-s", "model=llama-7m", "--set", "max_steps=2"],
    }


def _of_models(chain: Chain, at: str) -> Commands:
    pairs, texts = str(chain.root / "pairs"), str(chain.root / "texts.jsonl")
    vectors = ["-i", texts, "-s", "answer=vector", "-o", "OUT"]
    return {
        "finetune": _tuning(pairs, at),
        "eval": _eval(at, "answers", pairs),
        "pretrain of the model": ["pretrain", "--data", str(chain.root / "tokens"), *ONE_STEP, "-o", "OUT", "-s",
                                  f"model.path={at}"],
        "plan of finetune": ["plan", "--stage", "finetune", "--set", f"model={at}", "--set", "max_steps=2"],
        "tokenize with its tokenizer": _tokenizing(chain, at),
        "predict": ["predict", "--model", at, *vectors],
        "preflight": ["preflight", "-r", "predict=", "--model", at, *vectors],
        "index": ["index", "-i", texts, "--model", at, "-o", "OUT"],
    }  # fmt: skip


def _of_base(chain: Chain, at: str) -> Commands:
    made = chain.commands()["base"]
    return _of_models(chain, at) | {
        "LoRA on it": [*_tuning(str(chain.root / "pairs"), at), "--lora"],
        "more steps": [word if word != "4" else "6" for word in made],
        "from its last checkpoint": [*made[:-1], "OUT", "--resume", f"{at}/checkpoints/step-00000004"],
        "from its weights": [*made[:-1], "OUT", "-s", f"init_from={at}"],
    }


def _of_tuned(chain: Chain, at: str) -> Commands:
    prompts = ["-i", str(chain.root / "pairs.jsonl"), "--max-new-tokens", "3", "--temperature", "1"]
    return _of_models(chain, at) | {
        "export": ["export", "--model", at, "-s", "parity_prompts=1", "-s", "parity_new_tokens=2", "-o", "OUT"],
        "generate": ["generate", at, *prompts, "-o", "OUT"],
    }


def _of_rows(_chain: Chain, at: str) -> Commands:
    return {"clean": ["clean", "-i", at, *NO_STEPS], "tidy": ["tidy", at]}


def _of_answers(chain: Chain, at: str) -> Commands:
    return _of_rows(chain, at) | {"finetune": _tuning(at, str(chain.root / "base"))}


def _of_index(_chain: Chain, at: str) -> Commands:
    return {"search": ["search", at, "the fox"], "search by words": ["search", at, "the fox", "--by", "words"]}

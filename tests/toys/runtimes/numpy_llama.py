"""A toy: Llama in NumPy, row by row, without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmkit.core.errors import DataError, SetupError
from llmkit.runtimes import Facts, Generate, Ids, Logits, Request, Running, Runtime, Score, Turns, Written


class NumpyLlama(Runtime):
    """Run a small Llama."""

    off: float = 0.0
    """What is added to the first logit: a fault, for tests of what finds it."""
    off_from: int = 0
    """Position from which on it is."""
    loud: bool = False
    """Render chats in capital letters, as no template does."""
    gone: bool = False
    """Not be installed."""
    mute: bool = False
    """Answer no requests for logits, as servers do."""

    def check_installed(self) -> None:
        """Say that it is not there, if it is to be missing."""
        if self.gone:
            raise SetupError("this needs NumPy's llama, which is not installed", "pip install it")

    def load(self, where: str, *, date: str | None = None) -> Running:
        """Load a directory of transformers, or one with `weights.npz` in place of safetensors."""
        config = json.loads((Path(where) / "config.json").read_text())
        if config["model_type"] != "llama":
            raise DataError(f"the model in '{where}' is a {config['model_type']}, not a llama")
        return _Llama(self, Path(where), config)


class _Llama(Running):
    def __init__(self, options: NumpyLlama, where: Path, config: dict[str, Any]) -> None:
        from safetensors.numpy import load_file
        from transformers import AutoTokenizer

        self.options, self.config = options, config
        packed = where / "weights.npz"
        self.weights = dict(np.load(packed)) if packed.exists() else load_file(where / "model.safetensors")
        self.tokenizer = AutoTokenizer.from_pretrained(where)
        self.facts = Facts(
            answer="tokens", positions=config["max_position_embeddings"], start=self.tokenizer.eos_token_id,
            versions={"numpy": np.__version__},
        )  # fmt: skip

    def takes(self, request: Request) -> str | None:
        if isinstance(request, Logits) and self.options.mute:
            return "it gives no numbers\nask it to generate, or use runtime: transformers"
        return None if isinstance(request, Logits | Score | Generate) else "it only reads and writes ids"

    def tokens(self, request: Request) -> int:
        if isinstance(request, Score):
            return len(request.context) + len(request.target)
        return len(request.prompt) + request.budget if isinstance(request, Generate) else len(request.ids)

    def render(self, turns: Turns, *, prompt: bool) -> str | None:
        text = super().render(turns, prompt=prompt)
        return text.upper() if text and self.options.loud else text

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        one = {Logits: self._logits, Score: self._score, Generate: self._generate}[type(requests[0])]
        return [one(request) for request in requests]

    def _logits(self, asked: Logits) -> np.ndarray:
        return self._run(asked.ids)

    def _score(self, asked: Score) -> float:
        ids = (*asked.context, *asked.target)
        rows = self._run(ids[:-1])[len(asked.context) - 1 :].astype(np.float64)
        rows -= np.log(np.exp(rows - rows.max(-1, keepdims=True)).sum(-1, keepdims=True)) + rows.max(-1, keepdims=True)
        return float(rows[np.arange(len(asked.target)), list(asked.target)].sum())

    def _generate(self, asked: Generate) -> Written:
        ids, ends = list(asked.prompt), () if asked.exact else self._ends()
        for _ in range(asked.budget):
            ids.append(int(self._run(ids)[-1].argmax()))
            if ids[-1] in ends:
                break
        new = ids[len(asked.prompt) :]
        ended = bool(new) and new[-1] in ends
        new = new[:-1] if ended else new
        return Written(tuple(new), self.tokenizer.decode(new, skip_special_tokens=True), ended)

    def _ends(self) -> tuple[int, ...]:
        ends = self.config["eos_token_id"]
        return tuple(ends) if isinstance(ends, list) else (ends,)

    def _run(self, ids: Ids | list[int]) -> np.ndarray:
        """Return the logits of a row, `[time, vocabulary]` (Touvron et al. 2023)."""
        config, w, time = self.config, self.weights, len(ids)
        heads, theta = config["num_attention_heads"], config["rope_parameters"]["rope_theta"]
        width = config["hidden_size"] // heads
        angles = np.arange(time)[:, None] / theta ** (np.arange(0, width, 2) / width)
        angles = np.concatenate([angles, angles], 1).astype(np.float32)
        hidden, unseen = w["model.embed_tokens.weight"][list(ids)], np.triu(np.full((time, time), -np.inf), 1)

        def norm(x: np.ndarray, name: str) -> np.ndarray:
            scale = np.sqrt(np.square(x).mean(-1, keepdims=True) + config["rms_norm_eps"])
            return (x / scale * w[name]).astype(np.float32)

        def turn(x: np.ndarray) -> np.ndarray:
            half = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], -1)
            return x * np.cos(angles) + half * np.sin(angles)

        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            x = norm(hidden, f"{at}.input_layernorm.weight")
            q, k, v = (
                (x @ w[f"{at}.self_attn.{n}_proj.weight"].T).reshape(time, heads, width).swapaxes(0, 1) for n in "qkv"
            )
            scores = turn(q) @ turn(k).swapaxes(1, 2) / np.sqrt(width) + unseen
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (shares / shares.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(time, -1)
            hidden = hidden + mixed @ w[f"{at}.self_attn.o_proj.weight"].T
            x = norm(hidden, f"{at}.post_attention_layernorm.weight")
            gate, up = (x @ w[f"{at}.mlp.{n}_proj.weight"].T for n in ("gate", "up"))
            hidden = hidden + (gate / (1 + np.exp(-gate)) * up) @ w[f"{at}.mlp.down_proj.weight"].T
        table = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        logits = (norm(hidden, "model.norm.weight") @ table.T).astype(np.float32)
        logits[self.options.off_from :, 0] += self.options.off
        return logits

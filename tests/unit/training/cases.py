"""Objectives with a model and blocks each, and gradients of them, for the tests of gradients and validation."""

from __future__ import annotations

import numpy as np
import torch
import transformers

from llmkit.data.packing import PairPacker
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.next_sentence import NextSentence
from llmkit.objectives.rows.sft import SFT
from llmkit.training.gradients import Gradients, LossModule
from llmkit.training.parallel import ParallelConfig, Plan, build_accelerator
from tiny import BOS, EOS, VOCABULARY, InMemory, documents, model, rows, stream

BLOCKS = 8
PAD, CLS, SEP, MASK = 57, 58, 59, 60
WORDS = Vocabulary(
    VOCABULARY, bos=BOS, eos=EOS, pad=PAD, cls=CLS, sep=SEP, mask=MASK, ids={"[M]": MASK, "[C]": CLS, "[S]": SEP}
)


class Sentences(InMemory):
    """Documents whose sentences are three tokens long."""

    def sentence_starts(self):
        return np.arange(0, self.offsets[-1], 3)


def bert():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=VOCABULARY, max_position_embeddings=32, pad_token_id=PAD, **sizes)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0  # drawn anew for each micro-batch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return transformers.BertForPreTraining(config)


def mixture():
    """Rows of it are padded, and padding is to be left out block by block."""
    return model("mixtral", num_local_experts=4, router_aux_loss_coef=0.5)


def pairs():
    ordinary = [[2 + token % 50 for token in document] for document in documents(60)]
    return PairPacker(Sentences(ordinary), 24, random_second=True, short_fraction=0.5, seed=1)


CASES = {
    "documents": (CausalLM, model, stream),
    "with z-loss": (lambda: CausalLM(z_loss=0.1), model, stream),
    "rows of which a part is learned": (SFT, model, rows),
    "routers": (SFT, mixture, rows),
    "pairs: masked tokens and next sentence": (NextSentence, bert, pairs),
}


def gradients(built, objective, micro_blocks, dtype=torch.float32):
    accelerator = build_accelerator(ParallelConfig(), built)
    module = LossModule(Models(built), objective, dtype)
    return Gradients(
        accelerator, module, objective, WORDS, plan=Plan(1, 1, 1, 1), seed=5, micro_blocks=lambda _: micro_blocks
    )


def taken(built):
    return {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}

"""llama.cpp's C interface, in the library that the package `xllamacpp` brings: what it declares, as ctypes has to know.

`xllamacpp` itself gives Python llama.cpp's server, which says the likeliest tokens and no logits; every function of
`llama.h` is in its library as well. The structures are those of llama.cpp 0.6; they have changed before, and so each
default that the library gives is compared with the one that is known: of another version the message says so, where a
wrong offset would be a crash. See https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h.
"""

from __future__ import annotations

import ctypes as c
from functools import cache
from typing import Any

from llmkit.core.errors import SetupError
from llmkit.core.extras import require

EXTRA = "llama-cpp"
ROOM = 512
"""Bytes behind a structure that is passed by value: it may have grown at its end."""
ERROR = 4
"""`GGML_LOG_LEVEL_ERROR`."""
LAST_ERRORS = 8

Handle = c.c_void_p
LogCallback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)


class ModelParams(c.Structure):
    """`llama_model_params`: nothing in it is changed, so that only its size matters."""

    _fields_ = [("all", c.c_uint8 * ROOM)]


class ContextParams(c.Structure):
    """`llama_context_params`."""

    _fields_ = [
        ("n_ctx", c.c_uint32), ("n_batch", c.c_uint32), ("n_ubatch", c.c_uint32), ("n_seq_max", c.c_uint32),
        ("n_rs_seq", c.c_uint32), ("n_outputs_max", c.c_uint32), ("n_outputs_max_per_seq", c.c_uint32),
        ("n_threads", c.c_int32), ("n_threads_batch", c.c_int32),
        ("ctx_type", c.c_int32), ("rope_scaling_type", c.c_int32), ("pooling_type", c.c_int32),
        ("attention_type", c.c_int32), ("flash_attn_type", c.c_int32),
        ("rope_freq_base", c.c_float), ("rope_freq_scale", c.c_float),
        ("yarn_ext_factor", c.c_float), ("yarn_attn_factor", c.c_float), ("yarn_beta_fast", c.c_float),
        ("yarn_beta_slow", c.c_float), ("yarn_orig_ctx", c.c_uint32), ("defrag_thold", c.c_float),
        ("cb_eval", c.c_void_p), ("cb_eval_user_data", c.c_void_p),
        ("type_k", c.c_int32), ("type_v", c.c_int32),
        ("abort_callback", c.c_void_p), ("abort_callback_data", c.c_void_p), ("reserved", c.c_void_p),
        ("embeddings", c.c_bool), ("offload_kqv", c.c_bool), ("no_perf", c.c_bool), ("op_offload", c.c_bool),
        ("swa_full", c.c_bool), ("kv_unified", c.c_bool),
        ("more", c.c_uint8 * ROOM),
    ]  # fmt: skip


DEFAULTS: dict[str, Any] = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_outputs_max_per_seq": 1,
    "n_threads": 4, "n_threads_batch": 4,
    "ctx_type": 0, "rope_scaling_type": -1, "pooling_type": -1, "attention_type": -1, "flash_attn_type": -1,
    "rope_freq_base": 0, "rope_freq_scale": 0, "yarn_ext_factor": -1, "yarn_attn_factor": -1, "yarn_beta_fast": -1,
    "yarn_beta_slow": -1, "yarn_orig_ctx": 0, "defrag_thold": -1,
    "cb_eval": None, "cb_eval_user_data": None, "type_k": 1, "type_v": 1,
    "abort_callback": None, "abort_callback_data": None, "reserved": None,
    "embeddings": False, "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True,
    "kv_unified": False,
}  # fmt: skip
"""What a library with these structures says."""


class Batch(c.Structure):
    """`llama_batch`: tokens, each with its place in a row and whether its logits are wanted."""

    _fields_ = [
        ("n_tokens", c.c_int32), ("token", c.POINTER(c.c_int32)), ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)), ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))), ("logits", c.POINTER(c.c_int8)),
    ]  # fmt: skip


_INT, _FLOATS, _TEXT, _IDS = c.c_int32, c.POINTER(c.c_float), c.c_char_p, c.POINTER(c.c_int32)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "llama_backend_init": (None,),
    "llama_version": (_TEXT,),
    "llama_log_set": (None, LogCallback, c.c_void_p),
    "llama_model_default_params": (ModelParams,),
    "llama_context_default_params": (ContextParams,),
    "llama_model_load_from_file": (Handle, _TEXT, ModelParams),
    "llama_init_from_model": (Handle, Handle, ContextParams),
    "llama_free": (None, Handle),
    "llama_model_free": (None, Handle),
    "llama_model_get_vocab": (Handle, Handle),
    "llama_model_n_ctx_train": (_INT, Handle),
    "llama_model_n_embd": (_INT, Handle),
    "llama_model_has_decoder": (c.c_bool, Handle),
    "llama_model_chat_template": (_TEXT, Handle, _TEXT),
    "llama_model_meta_val_str": (_INT, Handle, _TEXT, c.c_char_p, c.c_size_t),
    "llama_vocab_n_tokens": (_INT, Handle),
    "llama_vocab_is_eog": (c.c_bool, Handle, _INT),
    "llama_vocab_bos": (_INT, Handle),
    "llama_vocab_get_text": (_TEXT, Handle, _INT),
    "llama_vocab_eos": (_INT, Handle),
    "llama_vocab_get_add_bos": (c.c_bool, Handle),
    "llama_tokenize": (_INT, Handle, _TEXT, _INT, _IDS, _INT, c.c_bool, c.c_bool),
    "llama_token_to_piece": (_INT, Handle, _INT, c.c_char_p, _INT, _INT, c.c_bool),
    "llama_batch_init": (Batch, _INT, _INT, _INT),
    "llama_batch_get_one": (Batch, _IDS, _INT),
    "llama_batch_free": (None, Batch),
    "llama_decode": (_INT, Handle, Batch),
    "llama_encode": (_INT, Handle, Batch),
    "llama_get_memory": (Handle, Handle),
    "llama_memory_clear": (None, Handle, c.c_bool),
    "llama_memory_seq_rm": (c.c_bool, Handle, _INT, _INT, _INT),
    "llama_get_logits": (_FLOATS, Handle),
    "llama_get_embeddings_seq": (_FLOATS, Handle, _INT),
}
"""What each function returns, and what it takes."""

errors: list[str] = []
"""The last errors that the library has said, to be told."""


def _note(level: int, text: bytes | None, _data: Any) -> None:
    if level == ERROR and text:
        errors.append(text.decode("utf-8", "replace").strip())
        del errors[:-LAST_ERRORS]


_noting = LogCallback(_note)
"""Kept: the library calls it for as long as it lives."""


@cache
def library() -> Any:
    """Return the library, with nothing that it says on the terminal.

    Raises:
        SetupError: The extra is not installed, or brings a llama.cpp whose structures are others.
    """
    require(EXTRA)
    from xllamacpp import xllamacpp as extension

    found = c.CDLL(extension.__file__)
    try:
        for name, (returns, *takes) in SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = returns, takes
    except AttributeError as error:
        raise _other(str(error)) from None
    _check(found)
    found.llama_backend_init()
    return found


def listen() -> None:
    """Forget the errors, and note those that come: a server of xllamacpp takes what the library says for itself."""
    errors.clear()
    library().llama_log_set(_noting, None)


def version() -> str:
    """Return llama.cpp's."""
    return str(library().llama_version().decode())


def _check(found: Any) -> None:
    given = found.llama_context_default_params()
    for name, wanted in DEFAULTS.items():
        if getattr(given, name) != wanted:
            raise _other(f"{name} is {getattr(given, name)} by default, not {wanted}")
    one = (c.c_int32 * 1)(7)
    batch = found.llama_batch_get_one(one, 1)
    if batch.n_tokens != 1 or batch.token[0] != 7 or any((batch.embd, batch.pos, batch.seq_id, batch.logits)):
        raise _other("a batch has other fields")


def _other(what: str) -> SetupError:
    from importlib.metadata import version as installed

    return SetupError(
        f"xllamacpp {installed('xllamacpp')} has another llama.cpp than the one that is known here: {what}",
        hint=f'pip install "llmkit[{EXTRA}]" brings one that is known',
    )

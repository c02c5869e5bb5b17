"""Made keys of the kinds that `pii` knows, and what only looks like one; all random, so that none was ever issued.

Prefixes are put together here, so that no scanner for leaked keys takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable

Make = Callable[[random.Random], str]

UPPER, LETTERS, ALNUM = string.ascii_uppercase, string.ascii_letters, string.ascii_letters + string.digits
BASE32, HEX, URL = UPPER + "234567", "0123456789abcdef", string.ascii_letters + string.digits + "-_"


def text_of(characters: str, length: int) -> Make:
    """Return what makes random texts of some characters."""
    return lambda rng: "".join(rng.choice(characters) for _ in range(length))


def behind(prefix: str, characters: str, length: int) -> Make:
    """Return what makes an issuer's prefix and random characters."""
    make = text_of(characters, length)
    return lambda rng: prefix + make(rng)


def _encoded(rng: random.Random, size: int) -> str:
    return base64.urlsafe_b64encode(rng.randbytes(size)).decode().rstrip("=")


def _slack(rng: random.Random) -> str:
    return f"xo{'xb'}-{rng.randrange(10**11, 10**12)}-{rng.randrange(10**11, 10**12)}-{text_of(ALNUM, 24)(rng)}"


def _jwt(rng: random.Random) -> str:
    header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": text_of(LETTERS, 8)(rng), "iat": rng.randrange(10**9)}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join([*parts, _encoded(rng, 32)])


def _openai(rng: random.Random) -> str:
    return f"s{'k'}-proj-{_encoded(rng, 55)}T3BlbkFJ{_encoded(rng, 55)}"


def _fine_grained(rng: random.Random) -> str:
    return f"github_{'pat'}_{text_of(ALNUM, 22)(rng)}_{text_of(ALNUM, 59)(rng)}"


def _sendgrid(rng: random.Random) -> str:
    return f"S{'G'}.{text_of(URL, 22)(rng)}.{text_of(URL, 43)(rng)}"


ISSUED: dict[str, Make] = {
    "AWS access key id": behind("AK" + "IA", BASE32, 16),
    "AWS temporary key id": behind("AS" + "IA", BASE32, 16),
    "Alibaba Cloud": behind("LT" + "AI5t", ALNUM, 18),
    "Tencent Cloud": behind("AK" + "ID", ALNUM, 32),
    "GitHub": behind("gh" + "p_", ALNUM, 36),
    "GitHub fine-grained": _fine_grained,
    "GitLab": behind("gl" + "pat-", URL, 20),
    "Slack": _slack,
    "Google": behind("AI" + "za", URL, 35),
    "Hugging Face": behind("h" + "f_", LETTERS, 34),
    "Stripe": behind("s" + "k_live_", ALNUM, 24),
    "Stripe, 16 characters": behind("r" + "k_test_", ALNUM, 16),
    "OpenAI": _openai,
    "OpenAI, old": behind("s" + "k-", ALNUM, 48),
    "Anthropic": behind("s" + "k-ant-api03-", URL, 95),
    "DeepSeek": behind("s" + "k-", HEX, 32),
    "npm": behind("np" + "m_", ALNUM, 36),
    "PyPI": behind("py" + "pi-AgEIcHlwaS5vcmc", URL, 140),
    "SendGrid": _sendgrid,
    "JSON Web Token": _jwt,
}
"""Keys whose format says what they are; they are planted bare."""

NAMED: dict[str, tuple[str, Make]] = {
    "AWS secret access key": ("aws_secret_access_key = {}", text_of(ALNUM + "+/", 40)),
    "20 letters and digits": ('"password": "{}"', text_of(ALNUM, 20)),
    "32 letters and digits": ("API_KEY={}", text_of(ALNUM, 32)),
    "32 hexadecimal digits": ("secret: '{}'", text_of(HEX, 32)),
    "bearer token": ("Authorization: Bearer {}", text_of(URL, 40)),
    "密钥": ("密钥：{}", text_of(ALNUM, 24)),
}
"""Keys that only the name before them tells."""

_PARTS = (
    "gpt llama qwen mistral gemma phi bert roberta deberta t5 bloom falcon yi glm deepseek mixtral whisper clip vit "
    "base large small mini tiny xl instruct chat coder vision uncased cased multilingual distilled finetuned preview "
    "turbo awq gptq gguf int4 fp8 q4_k_m v1 v2 v3 7b 13b 70b 0.5b 8x7b 2024-07-18 20240620 it hf sst-2 english"
)


def _model(rng: random.Random) -> str:
    name = "-".join(rng.sample(_PARTS.split(), rng.randrange(3, 7)))
    return rng.choice([name, f"{rng.choice(('meta', 'org', 'sk', 'nlp-lab'))}/{name}", f"sk-{name}", name.title()])


LOOKALIKES: dict[str, Make] = {
    "MD5": lambda rng: rng.randbytes(16).hex(),
    "SHA-1": lambda rng: rng.randbytes(20).hex(),
    "SHA-256": lambda rng: rng.randbytes(32).hex(),
    "sha512-... of a lock file": lambda rng: "sha512-" + base64.b64encode(rng.randbytes(64)).decode(),
    "UUID": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "base64": lambda rng: base64.b64encode(rng.randbytes(rng.randrange(30, 300))).decode(),
    "base64url": lambda rng: base64.urlsafe_b64encode(rng.randbytes(rng.randrange(30, 300))).decode(),
    "name of a model": _model,
    "placeholder": lambda rng: rng.choice(
        ["AK" + "IA" + "X" * 16, "gh" + "p_" + "x" * 36, "gl" + "pat-your-access-token-goes-here",
         "s" + "k_live_yourstripesecretkeyhere", "s" + "k-your-openai-key-goes-here", "hf" + "_" + "x" * 34]
    ),
}  # fmt: skip
"""What is as long and as random as a key, or named like one, and is none."""

SENTENCES = (
    "see {} there", "we moved to {} last week, and it works.", "- {}\n", "({})", "第一步：{}，然后继续。", "\"{}\",",
    "<{}>", "`{}`",
)  # fmt: skip

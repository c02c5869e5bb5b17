"""Find e-mail addresses and IP addresses; numbers with dots that are versions or sections are told apart."""

from __future__ import annotations

import functools
import ipaddress
import re
import string
from collections.abc import Iterator
from importlib.resources import files

Span = tuple[int, int]

_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.%+~'_-"
"""Characters taken for a local part: those that mail systems give out, not all that RFC 5321 allows."""
_BEFORE_LOCAL = ".%+~'-"
"""Of these, what is punctuation before an address rather than its first character."""
_MAX_LOCAL = 64
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AT_DOMAIN = re.compile(rf"[@\uff20]((?:{_LABEL}\.){{1,8}}[A-Za-z](?:[A-Za-z0-9-]{{0,22}}[A-Za-z0-9]))(?![A-Za-z0-9])")
_RESERVED_NAMES = ("example", "test")
"""Of RFC 2606: no such domain exists, and addresses that end in one are written like any other."""
_FILE_ENDINGS = (".data", ".mov", ".zip")
"""Top-level domains that behind an @ are likelier a file's or an attribute's: `main@build.zip`, `cell@meta.data`."""
_MAIL_BEFORE = re.compile(
    r"(?:mail|e-mail|mailto|contact|write|to|from|邮箱|邮件|联系)[^A-Za-z0-9@]{0,4}$|<$", re.IGNORECASE
)

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4_GATE = re.compile(r"\.[0-9]{1,3}\.[0-9]")
# Not behind a letter (v1.2.3.4), a package name (kernel-4.19.0.1), a product (Chrome/87.0.42.8); no part of an OID.
_V4 = re.compile(
    rf"(?<![0-9A-Za-z_])(?<![0-9A-Za-z_]\.)(?<![A-Za-z_]-)(?<![0-9A-Za-z]/)(?:{_OCTET}\.){{3}}{_OCTET}"
    r"(?![0-9A-Za-z_]|\.[0-9]|[-~+][0-9]*[A-Za-z])"
)
# Global unicast, unique local and link-local addresses only: others are no hosts, and `std::abs` is no address. The
# pattern begins with a colon, which `re` skips to, and looks back.
_V6 = re.compile(r":(?<=(?<![0-9A-Za-z_:.])[23fF][0-9A-Fa-f]{3}:)[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,29}(?![0-9A-Za-z_:])")
_V6_FIRST = 4

_CONTEXT_CHARS = 24
# A lookup per word costs a fifth of one pattern with all the words in it.
_VERSION = (
    "v ver version versions release releases released rev revision revisions build firmware driver drivers upgrade "
    "upgraded upgrades update updated updates patch sdk section sections sec chapter clause paragraph figure fig "
    "appendix annex oid 版 升级 更新 固件 驱动 补丁 内核 条款 附录 步骤 §"
)
_NETWORK = (
    "ip ips ipv4 addr addrs address addresses host hosts hostname server servers ping subnet gateway dns nameserver "
    "route router ssh telnet curl client peer proxy bind listen :// 地址 主机 服务器 网关 域名 登录 访问 来自 代理 连接"
)
_NAMES_NETWORK = dict.fromkeys(_VERSION.split(), False) | dict.fromkeys(_NETWORK.split(), True)
_WORD = re.compile(
    "|".join(["[a-z0-9]+", *(word for word in _NAMES_NETWORK if not word.isalnum() or not word.isascii())])
)
_WORD_CHARS = string.ascii_letters + string.digits
_PORT_OR_PREFIX = re.compile("(?::[0-9]{2,5}|/[0-9]{1,2})(?![0-9.])")
_SMALL_OCTET = 40


def find_emails(text: str) -> Iterator[Span]:
    """Yield the e-mail addresses of a text; `git@host:path` names a repository and is none."""
    if "@" not in text and "\uff20" not in text:
        return
    last = 0
    for match in _AT_DOMAIN.finditer(text):
        at = match.start()
        # What belongs to the address before is no part of this one: a@example.com_b@example.com.
        head = text[max(last, at - _MAX_LOCAL - 1) : at]
        local = head[len(head.rstrip(_LOCAL)) :].rpartition("..")[2].lstrip(_BEFORE_LOCAL)
        end = match.start(1) + len(_domain(match[1]))
        if not local or len(local) > _MAX_LOCAL or end == match.start(1):
            continue
        start = at - len(local)
        if local == "git" and text[end : end + 1] == ":":
            continue
        if text.endswith(_FILE_ENDINGS, start, end) and not _MAIL_BEFORE.search(
            text, max(0, start - _CONTEXT_CHARS), start
        ):
            continue
        last = end
        yield start, end


def _domain(name: str) -> str:
    """Return the longest beginning of a name that ends in a top-level domain; nothing if there is none.

    `example.com.Thanks` is followed by the next sentence, `example.com-backup` by a part of a file's name.
    """
    while "." in name:
        rest, _, last = name.rpartition(".")
        while last:
            if last.lower() in _top_level_domains() or last.lower().startswith("xn--"):
                return f"{rest}.{last}"
            last = last.rpartition("-")[0]
        name = rest
    return ""


@functools.cache
def _top_level_domains() -> frozenset[str]:
    lines = files(__package__).joinpath("top_level_domains.txt").read_text(encoding="ascii").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split()).union(_RESERVED_NAMES)


def find_ips(text: str, *, private: bool) -> Iterator[Span]:
    """Yield the IP addresses of a text.

    Args:
        text: The text.
        private: Find private, link-local and documentation ranges as well; loopback, multicast, netmasks and the
            unspecified address name nobody and are never found.
    """
    if _V4_GATE.search(text):
        for match in _V4.finditer(text):
            if _names_host(match.group(), private=private) and _is_address(text, *match.span()):
                yield match.span()
    for match in _V6.finditer(text):
        start, end = match.start() - _V6_FIRST, match.end()
        end -= text.endswith(":", start, end) and not text.endswith("::", start, end)
        if _names_host(text[start:end], private=private):
            yield start, end


@functools.lru_cache(4096)
def _names_host(address: str, *, private: bool) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if (
        ip.is_multicast
        or ip.is_unspecified
        or ip.is_loopback
        or (ip.version == 4 and address.startswith(("0.", "255.")))
    ):
        return False
    return private or ip.is_global


def _is_address(text: str, start: int, end: int) -> bool:
    """Decide between address and version by the nearest word that tells; without one, by the size of the numbers."""
    first = max(0, start - _CONTEXT_CHARS)
    before = text[first:start]
    if first and text[first - 1] in _WORD_CHARS:  # of a word cut in two the end may be another word: sub|version
        before = before.lstrip(_WORD_CHARS)
    before = before.rpartition("\n")[2]
    if before.rstrip().endswith("第"):
        return False
    for word in reversed(_WORD.findall(before.lower())):
        if (network := _NAMES_NETWORK.get(word)) is not None:
            return network
    # 1.2.3.4 and 12.4.1.5 number versions and sections; of real addresses 1 in 1,700 has four numbers this small.
    small = all(int(octet) < _SMALL_OCTET for octet in text[start:end].split("."))
    return not small or _PORT_OR_PREFIX.match(text, end) is not None

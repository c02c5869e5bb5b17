"""Find e-mail addresses and IP addresses; numbers with dots that are versions or sections are told apart."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator

Span = tuple[int, int]

_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.%+~'_-"
"""Characters taken for a local part: those that mail systems give out, not all that RFC 5321 allows."""
_BEFORE_LOCAL = ".%+~'-"
"""Of these, what is punctuation before an address rather than its first character."""
_MAX_LOCAL = 64
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AT_DOMAIN = re.compile(rf"[@\uff20]((?:{_LABEL}\.){{1,8}}[A-Za-z][A-Za-z0-9-]{{1,23}})(?![A-Za-z0-9_])")
# Country codes, and the generic domains with the most registrations. Any other ending is likelier a file suffix or an
# attribute: `logo@2x.png`, `object@meta.data`.
_TOP_LEVEL_NAMES = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc "
    "cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb "
    "gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke "
    "kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu "
    "mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw "
    "sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz "
    "ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw "
    "com net org edu gov mil int info biz name pro aero coop museum arpa asia cat jobs mobi tel travel xyz top online "
    "shop site store tech app dev cloud club vip live work link wiki wang ink group ltd email space website icu life "
    "world today news blog media agency network digital solutions services systems company center academy school "
    "university institute foundation bank health care clinic legal law consulting engineering software design studio "
    "art photography fun pub city london berlin paris tokyo nyc africa gal global international example test"
)
_TOP_LEVEL = frozenset(_TOP_LEVEL_NAMES.split())

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
_PORT_OR_PREFIX = re.compile("(?::[0-9]{2,5}|/[0-9]{1,2})(?![0-9.])")
_SMALL_OCTET = 40


def find_emails(text: str) -> Iterator[Span]:
    """Yield the e-mail addresses of a text; `git@host:path` names a repository and is none."""
    if "@" not in text and "\uff20" not in text:
        return
    for match in _AT_DOMAIN.finditer(text):
        at = match.start()
        head = text[max(0, at - _MAX_LOCAL - 1) : at]
        local = head[len(head.rstrip(_LOCAL)) :].rpartition("..")[2].lstrip(_BEFORE_LOCAL)
        domain = match[1]
        while "." in domain and not _is_top_level(domain):
            domain = domain.rpartition(".")[0]  # write to a@example.com.Thanks
        end = match.start(1) + len(domain)
        if not local or len(local) > _MAX_LOCAL or "." not in domain or (local == "git" and text[end : end + 1] == ":"):
            continue
        yield at - len(local), end


def _is_top_level(domain: str) -> bool:
    last = domain.rpartition(".")[2].lower()
    return last in _TOP_LEVEL or last.startswith("xn--")


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
    before = text[max(0, start - _CONTEXT_CHARS) : start].rpartition("\n")[2]
    if before.rstrip().endswith("第"):
        return False
    for word in reversed(_WORD.findall(before.lower())):
        if (network := _NAMES_NETWORK.get(word)) is not None:
            return network
    # 1.2.3.4 and 12.4.1.5 number versions and sections; of real addresses 1 in 1,700 has four numbers this small.
    small = all(int(octet) < _SMALL_OCTET for octet in text[start:end].split("."))
    return not small or _PORT_OR_PREFIX.match(text, end) is not None

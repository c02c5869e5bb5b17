"""Phrases of page furniture in English and Chinese, found by word hashes: one pass, however many there are."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.cleaning.features import Features
from llmkit.cleaning.steps import _loops

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOILERPLATE = {
    "cookies": (
        "this site uses cookies", "this website uses cookies", "we use cookies", "uses cookies to", "accept cookies",
        "accept all cookies", "cookie policy", "cookie settings", "privacy policy", "terms of service", "terms of use",
        "使用cookie", "隐私政策", "隱私政策", "用户协议", "服务条款",
    ),
    "share": (
        "share this", "share on facebook", "share on twitter", "tweet this", "pin it", "like us on", "follow us on",
        "subscribe to our newsletter", "sign up for our newsletter", "click here to", "leave a comment",
        "leave a reply", "post a comment", "log in to reply", "点赞", "点个赞",
        "分享到", "分享至", "扫一扫", "微信公众号",
        "关注我们", "关注公众号", "转发本文", "發表評論", "发表评论", "我要评论", "收藏本文", "分享給",
    ),
    "copyright": (
        "all rights reserved", "copyright ©", "copyright (c)", "© copyright", "powered by", "版权所有", "版權所有",
        "未经授权不得", "未经授权禁止", "转载请注明", "轉載請註明", "免责声明", "备案号", "icp备", "违者必究",
    ),
    "navigation": (
        "skip to content", "skip to main content", "back to top", "read more", "continue reading", "previous post",
        "next post", "related posts", "related articles", "you may also like", "advertisement", "上一篇", "下一篇",
        "上一页", "下一页", "上一章", "下一章", "返回顶部", "返回首页",
        "相关阅读", "相关文章", "推荐阅读", "猜你喜欢", "点击阅读",
        "阅读全文", "查看更多", "当前位置", "返回列表", "加入书签", "延伸閱讀", "回首頁",
    ),
    "credits": (
        "责任编辑", "責任編輯", "文章来源", "本文来源", "图片来源",
        "文章來源", "编辑：", "编辑:", "来源：网络", "【打印】", "【纠错】",
    ),
}  # fmt: skip
"""Reason -> phrases; upper and lower case are the same."""
_ANYWHERE = {"cookies", "copyright", "phrases"}
"""Their phrases count anywhere in a line, the others only at its beginning: 转到下一页 and "to read more" are prose."""
_OPENING = re.compile(r"^[\W_]+")


class Phrases:
    """A set of phrases, compiled to hashes.

    Args:
        groups: Reason -> phrases.
    """

    def __init__(self, groups: dict[str, tuple[str, ...]]) -> None:
        found = [Features(phrase).tokens.hashes for group in groups.values() for phrase in group]
        found = sorted((hashes for hashes in found if len(hashes)), key=lambda hashes: int(hashes[0]))
        self.firsts = np.array([hashes[0] for hashes in found], np.uint64)
        self.flat = np.concatenate([*found, np.empty(0, np.uint64)])
        self.offsets = np.cumsum([0, *map(len, found)])
        self.groups = {reason: tuple(phrase.casefold() for phrase in group) for reason, group in groups.items()}

    def find(self, found: Features, first: int | None = None) -> NDArray[np.int64]:
        """Return the tokens at which phrases begin, ascending; among the first ones only, where a number is given."""
        hashes = found.tokens.hashes[:first]
        hits = np.empty(len(hashes), np.int64)
        return hits[: _loops.find_phrases(hashes, self.firsts, self.flat, self.offsets, hits)]

    def reason(self, line: str) -> str | None:
        """Return the reason whose phrase a line contains, or begins with where prose may well contain it."""
        folded = " ".join(line.casefold().split())
        start = _OPENING.sub("", folded)
        for reason, group in self.groups.items():
            if reason in _ANYWHERE:
                if any(phrase in folded for phrase in group):
                    return reason
            elif start.startswith(group):
                return reason
        return None


@functools.cache
def phrases(extra: tuple[str, ...], *, boilerplate: bool) -> Phrases | None:
    """Compile the built-in phrases and those of a recipe, once per process; None without any."""
    groups: dict[str, Any] = dict(BOILERPLATE) if boilerplate else {}
    if extra:
        groups["phrases"] = extra
    return Phrases(groups) if groups else None

"""Chinese for keep.py: good kinds in their layouts, junk made by rule."""

# ruff: noqa: E501 - one text a line
from __future__ import annotations

import random
from collections.abc import Iterator

from _keep_junk import base64_blocks, hex_dumps, logs, minified_code
from _keep_sources import Sources, words, wrap_chinese
from _keep_verse import CHINESE

_PLACES = words("北京 上海 广州 成都 武汉 西安 南京 杭州 昆明 沈阳")
_NAMES = words("王建国 李小红 张伟 刘洋 陈静 杨帆 赵敏 周杰 吴磊 孙丽")


def novel_chapters(sources: Sources, count: int) -> Iterator[str]:
    """Whole chapters."""
    yield from sources.chinese_chapters[:count]


def novel_pages(sources: Sources, count: int) -> Iterator[str]:
    """Pages, a line a paragraph."""
    for _ in range(count):
        yield "\n".join(f"　　{p}" for p in sources.chinese_novel.stretch(800))


def novels_wrapped(sources: Sources, count: int) -> Iterator[str]:
    """Pages in lines of 30 to 42 characters."""
    for number in range(count):
        yield "\n".join(wrap_chinese(f"　　{p}", 30 + number % 4 * 4) for p in sources.chinese_novel.stretch(800))


def newspaper(sources: Sources, count: int) -> Iterator[str]:
    """A headline, an agency, indented paragraphs of several sentences."""
    for number in range(count):
        told = sources.chinese_sentences.take(9)
        parts = ["".join(told[i : i + 3]) for i in range(0, 9, 3)]
        head = f"{_PLACES[number % 10]}举行会议讨论有关工作\n\n　　本报{_PLACES[number % 10]}{number % 12 + 1}月{number % 28 + 1}日电（记者{_NAMES[number % 10]}）"
        yield head + "\n\n　　".join(parts)


def newspaper_wrapped(sources: Sources, count: int) -> Iterator[str]:
    """The same in narrow columns, cut in mid-sentence."""
    for number in range(count):
        text = "".join(sources.chinese_sentences.take(8))
        yield wrap_chinese(text[5:-12], 24 + number % 3 * 8)


def reviews(sources: Sources, count: int) -> Iterator[str]:
    """Long reviews of one paragraph."""
    yield from (text for text in sources.chinese_reviews.take(count * 3) if len(text) > 90)


def forum(sources: Sources, count: int) -> Iterator[str]:
    """Threads: names, floors, short posts."""
    for number in range(count):
        posts = [
            f"{_NAMES[(number + i) % 10]} 发表于 2019-0{i + 1}-1{i} 1{i}:2{i}\n{i + 1}楼\n{text}"
            for i, text in enumerate(sources.chinese_reviews.take(4))
        ]
        yield "\n\n".join(posts)


def dialogues(sources: Sources, count: int) -> Iterator[str]:
    """Conversations, a line a turn."""
    for number in range(min(count, 30)):
        turns = "\n".join(sources.chinese_conversations.stretch(250)).split("\n")
        yield "\n".join(f"{'甲乙'[i % 2]}：{turn}" if number % 2 else turn for i, turn in enumerate(turns))


def help_pages(sources: Sources, count: int) -> Iterator[str]:
    """Pages of help: headings and short paragraphs."""
    yield from ("\n".join(page) for page in sources.help_pages("tgt")[: min(count, 40)])


def manual_pages(sources: Sources, count: int) -> Iterator[str]:
    """Manual pages, lines as the translators broke them."""
    yield from sources.chinese_manuals[:count]


def letters(sources: Sources, count: int) -> Iterator[str]:
    """Letters: salutation, paragraphs, greeting, date."""
    for number in range(count):
        body = "\n".join("　　" + "".join(sources.chinese_sentences.take(3)) for _ in range(2))
        yield f"{_NAMES[number % 10]}：\n　　你好！来信收到了，谢谢你的关心。\n{body}\n　　此致\n敬礼！\n\n{_NAMES[(number + 3) % 10]}\n2018年{number % 12 + 1}月{number % 28 + 1}日"


def encyclopedic(sources: Sources, count: int) -> Iterator[str]:
    """Articles: a title, sections, references in brackets."""
    for number in range(count):
        told = sources.chinese_sentences.take(9)
        parts = ["".join(told[i : i + 3]).replace("。", "。[1]", 1) for i in range(0, 9, 3)]
        yield f"{_PLACES[number % 10]}志\n\n{parts[0]}\n\n历史\n{parts[1]}\n\n影响\n{parts[2]}\n\n参考文献\n{_NAMES[number % 10]}：《研究》，{_PLACES[number % 10]}出版社，199{number % 10}年。"


def markdown(sources: Sources, count: int) -> Iterator[str]:
    """A README: headings, a list, a fence."""
    for number in range(count):
        told = sources.chinese_sentences.take(9)
        items = "\n".join(f"- **{text[:4]}**：{text[4:]}" for text in told[6:])
        yield f"# 项目{number}\n\n{''.join(told[:3])}\n\n## 安装\n\n```sh\npip install p{number}\n```\n\n{''.join(told[3:6])}\n\n## 使用\n\n{items}"


def poetry(sources: Sources, count: int) -> Iterator[str]:  # noqa: ARG001 - the same everywhere
    """Verse that everybody knows."""
    yield from CHINESE[:count]


GOOD = (
    novel_chapters, novel_pages, novels_wrapped, newspaper, newspaper_wrapped, reviews, forum, dialogues, help_pages,
    manual_pages, letters, encyclopedic, markdown, poetry,
)  # fmt: skip
_ENTRIES = words(
    "首页 新闻 体育 娱乐 财经 科技 汽车 房产 教育 健康 旅游 女性 军事 博客 论坛 视频 图片 游戏 彩票 天气 地图 邮箱 登录 注册 关于我们 "
    "联系我们 加入我们 网站地图 帮助中心 意见反馈 我的订单 购物车 收藏夹 手机版 客户端 广告服务 版权声明 友情链接 返回顶部 更多 下一页 上一页"
)
_GOODS = words(
    "手表 皮包 手机 相机 沙发 床垫 运动鞋 羽绒服 面膜 茶叶 白酒 耳机 键盘 冰箱 空调 电视 童车 奶粉 项链 地板"
)
_COOKIES = [
    "本网站使用cookie来改善您的浏览体验。", "继续浏览本网站即表示您同意我们使用cookie。", "请阅读我们的隐私政策了解更多信息。",
    "您可以随时在浏览器中更改cookie设置。", "我们使用cookie分析流量并提供个性化广告。", "点击接受即表示您同意我们的用户协议和隐私政策。",
    "必要的cookie始终处于启用状态。", "如不同意使用cookie，请关闭本页面。", "有关详情请参阅本站的服务条款。", "第三方合作伙伴可能会使用cookie收集信息。",
]  # fmt: skip
_BOILERPLATE = [
    "版权所有 未经授权不得转载", "京ICP备12345678号", "免责声明：本站内容均来自网络", "责任编辑：小王", "点击阅读全文", "分享到微信朋友圈",
    "扫一扫关注微信公众号", "上一篇：没有了", "下一篇：返回列表", "相关阅读", "推荐阅读", "猜你喜欢", "我要评论", "转载请注明出处",
    "违者必究", "增值电信业务经营许可证", "违法和不良信息举报电话：12377", "网络文化经营许可证", "本站所有资源仅供学习", "如有侵权请联系删除",
    "互联网新闻信息服务许可证", "京公网安备11010102000001号", "联系我们 广告服务 招聘信息", "技术支持：某某网络公司",
]  # fmt: skip


def _menus(rng: random.Random) -> str:
    return rng.choice(("\n", " ", " | ")).join(rng.sample(_ENTRIES, 40) + rng.sample(_GOODS, 15))


def _cookie_notices(rng: random.Random) -> str:
    return "".join(rng.sample(_COOKIES, 6))


def _link_farms(rng: random.Random) -> str:
    return "\n".join(
        f"{rng.choice(_PLACES)}{rng.choice(_GOODS)}批发 http://www.{rng.randint(100, 999)}.example.cn/{rng.randint(1, 99999)}.html"
        for _ in range(40)
    )


def _keyword_stuffing(rng: random.Random) -> str:
    return rng.choice((",", " ", "、", "_")).join(
        f"{rng.choice(_PLACES)}{rng.choice(_GOODS)}{rng.choice(('价格', '批发', '厂家', '哪里买', '图片', '排行榜'))}"
        for _ in range(70)
    )


def _boilerplate(rng: random.Random) -> str:
    return "\n".join(rng.sample(_BOILERPLATE, 14))


def _product_lists(rng: random.Random) -> str:
    return "\n".join(
        f"{rng.choice(_GOODS)}{rng.choice(_NAMES)}同款\n￥{rng.randint(9, 999)}.00\n加入购物车\n已售{rng.randint(1, 9999)}件"
        for _ in range(25)
    )


def _templated_spam(rng: random.Random) -> str:
    return "".join(
        f"您在{city}想要办理发票吗？我们{city}公司专业代开{rng.choice(_GOODS)}发票，{city}地区上门服务，欢迎来电咨询。"
        for city in rng.sample(_PLACES, 9)
    )


def _gambling(rng: random.Random) -> str:
    names = words(
        "澳门 时时彩 百家乐 真人娱乐 老虎机 开户 送彩金 平台 注册 六合彩 最新网址 官网 手机版下载 投注 稳赚 提现"
    )
    return rng.choice((" ", "，", "")).join(rng.choices(names, k=90))


def _phone_lists(rng: random.Random) -> str:
    return "\n".join(
        f"{rng.choice(_PLACES)}某某{rng.choice(_GOODS)}厂 1{rng.randint(30, 89)}{rng.randint(10000000, 99999999)} {rng.randint(1, 300)}号"
        for _ in range(30)
    )


def _wrong_encoding(rng: random.Random, prose: str) -> str:
    data = prose.encode("utf-8")[: 1500 + rng.randint(0, 30)]
    return data.decode("gbk", "replace") if rng.random() < 0.5 else data.decode("gb18030", "replace")


def _ocr_ruin(rng: random.Random, prose: str) -> str:
    return "".join(
        rng.choice("|□■丨乂亅′~^*#/\\;")
        if (draw := rng.random()) < 0.2
        else chr(rng.randint(0x4E00, 0x9F00))
        if draw < 0.4
        else char
        for char in prose
    )


def _shuffled_characters(rng: random.Random, prose: str) -> str:
    return "".join(rng.sample(prose, len(prose)))


_BY_RULE = (
    _menus, _cookie_notices, _link_farms, _keyword_stuffing, _boilerplate, _product_lists, _templated_spam, _gambling,
    _phone_lists, base64_blocks, hex_dumps, logs, minified_code,
)  # fmt: skip


def junk(sources: Sources, count: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the kinds with their texts."""
    rng = random.Random(2)
    for make in _BY_RULE:
        yield make.__name__.strip("_"), [make(rng) for _ in range(count)]
    for spoil in (_wrong_encoding, _ocr_ruin, _shuffled_characters):
        pages = ("".join(sources.chinese_novel.stretch(500)) for _ in range(count))
        yield spoil.__name__.strip("_"), [spoil(rng, page) for page in pages if page]

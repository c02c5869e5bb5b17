"""English junk for keep.py, made by rule: what crawls and disks are full of and nobody wants to train on."""

# ruff: noqa: E501 - one text a line
from __future__ import annotations

import base64
import itertools
import random
from collections.abc import Iterator

from _keep_sources import Sources, words

_THINGS = words(
    "watch shoe laptop phone camera jacket sofa lamp tent bike guitar drone helmet blender mattress printer ring boots "
    "tablet carpet mirror curtain backpack kettle router speaker desk chair wallet scarf"
)
_ADJECTIVES = words("cheap best new discount luxury free online original replica wholesale top quality fast easy")
_CITIES = words("Rome Paris Leeds Austin Dallas Miami Perth Cork Turin Lyon Ghent Basel Porto Malmo Bergen Tampa")
_ENTRIES = words(
    "Home;About us;Contact;Products;Services;Support;Careers;Press;Blog;Login;Register;My account;Cart;Wishlist;"
    "Checkout;Returns;Shipping;Sitemap;Store finder;Gift cards;Newsletter;Men;Women;Kids;Sale;New arrivals;Brands;"
    "Accessories;Outdoor;Electronics;Home & Garden;Toys;Help center;FAQ;Terms;Privacy;Imprint;English;Deutsch;"
    "Forgot password?;Follow us;Facebook;Twitter;Instagram;Events;Galleries;Downloads;Partners;Investors;Search",
    ";",
)
_COOKIES = [
    "We use cookies to personalise content and ads, to provide social media features and to analyse our traffic.",
    "This website uses cookies to ensure you get the best experience on our website.",
    "By continuing to browse the site you are agreeing to our use of cookies.",
    "We and our partners store and access information on a device, such as cookies, and process personal data.",
    "You can change your cookie settings at any time in your browser.",
    "Strictly necessary cookies are always active because the site cannot work without them.",
    "Click accept all cookies if you agree, or manage your preferences below.",
    "Analytics cookies help us to understand how visitors use the website and to improve it.",
    "Marketing cookies are used to show you advertisements that are relevant to you.",
    "For more information please read our cookie policy and our privacy policy.",
    "You may withdraw your consent to the use of cookies whenever you want to.",
    "Some of our partners process your data without consent and rely on their legitimate interest.",
]
_BOILERPLATE = [
    "All rights reserved.", "No part of this site may be reproduced without our written permission.",
    "All trademarks are the property of their respective owners.", "Powered by WordPress.",
    "Subscribe to our newsletter to get the latest news and offers.", "Follow us on Facebook and Twitter.",
    "By using this site you agree to our terms of use and privacy policy.", "Copyright (c) 2019 Example Media Ltd.",
    "Sign up for our newsletter and never miss a deal.", "Share this article with your friends.",
    "Click here to unsubscribe.", "Read more about our terms of service.", "Back to top", "Skip to main content",
    "Leave a reply. Your email address will not be published.", "Required fields are marked *",
    "You may also like these related posts.", "Log in to reply to this comment.", "Advertisement",
    "This site is not responsible for the content of external sites.",
]  # fmt: skip
_ERRORS = [
    "404 Not Found", "The page you requested could not be found.", "Please enable JavaScript to view this page.",
    "Error establishing a database connection", "Your browser is out of date.", "Access denied.", "Try again later.",
    "Checking your browser before accessing the site.", "This process is automatic.", "Ray ID: 5f2e9a1b7c",
    "You don't have permission to access this resource.", "Return to the home page", "nginx/1.18.0",
]  # fmt: skip
_WORDS = words(
    "the of and to in a is that for it with as was his on be at by had not are but from or have an they which one you "
    "were all her she there would their we him been has when who will no more if out so up said what its about than "
    "into them can only other time new some could these two may first then do any like my now over such our man me "
    "even most made after also did many off before must well back through years much where your way down should "
    "because long each just state those people too mr little good make world still see own work life being"
)


def menus(rng: random.Random) -> str:
    """Entries of navigation, a line each."""
    return "\n".join(
        f"{rng.choice(('', '', '> ', '* '))}{entry}" for entry in rng.sample(_ENTRIES, 40) + rng.sample(_THINGS, 25)
    )


def cookie_notices(rng: random.Random) -> str:
    """Consent banners, in whole sentences."""
    return rng.choice(("\n", " ", "\n\n")).join(rng.sample(_COOKIES, rng.randint(4, 8)))


def link_farms(rng: random.Random) -> str:
    """Names with addresses."""
    rows = []
    for _ in range(40):
        name = f"{rng.choice(_ADJECTIVES)} {rng.choice(_THINGS)} {rng.choice(_CITIES)}"
        rows.append(
            f"{name} http://www.{name.split()[1]}-{rng.randint(1, 999)}.example.com/{name.replace(' ', '-')}.html"
        )
    return "\n".join(rows)


def keyword_stuffing(rng: random.Random) -> str:
    """Search terms, separated by commas or by nothing, now and then a word between."""
    terms = [
        f"{rng.choice(_ADJECTIVES)} {rng.choice(_THINGS)} {rng.choice(('in', 'for', 'and', ''))} {rng.choice(_CITIES)}"
        for _ in range(80)
    ]
    return rng.choice((", ", " ", ". ")).join(" ".join(term.split()) for term in terms) + "."


def boilerplate(rng: random.Random) -> str:
    """The foot of pages."""
    return rng.choice(("\n", " ")).join(rng.sample(_BOILERPLATE, rng.randint(10, 16)))


def logs(rng: random.Random) -> str:
    """Machine listings: logs, or a directory."""
    if rng.random() < 0.5:
        return "\n".join(
            f"Nov {rng.randint(10, 29)} {rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)} host{rng.randint(1, 9)} sshd[{rng.randint(1000, 9999)}]: "
            + rng.choice(
                (
                    "Failed password for root from 10.0.0.{} port {}",
                    "Connection closed by 10.0.{}.7 port {} [preauth]",
                    "session opened for user u{} by (uid={})",
                )
            ).format(rng.randint(1, 250), rng.randint(1000, 65000))
            for _ in range(50)
        )
    return "\n".join(
        f"-rw-r--r-- {rng.randint(1, 9)} root root {rng.randint(100, 99999):8} 2021-0{rng.randint(1, 9)}-{rng.randint(10, 28)} {rng.choice(_THINGS)}_{rng.randint(1, 99)}.dat"
        for _ in range(60)
    )


def tables(rng: random.Random) -> str:
    """Columns of numbers with names."""
    return "\n".join(
        f"{rng.choice(_CITIES):12}{rng.random() * 100:8.2f}{rng.randint(0, 9999):8}{rng.random():8.3f}  {rng.choice(_THINGS)}"
        for _ in range(60)
    )


def base64_blocks(rng: random.Random) -> str:
    """An attachment."""
    return base64.encodebytes(rng.randbytes(2000)).decode()


def hex_dumps(rng: random.Random) -> str:
    """Bytes as hexdump shows them."""
    return "\n".join(f"{i * 16:08x}  {rng.randbytes(8).hex(' ')}  {rng.randbytes(8).hex(' ')}" for i in range(60))


def product_lists(rng: random.Random) -> str:
    """Names, prices, buttons."""
    rows = (
        (
            f"{rng.choice(_ADJECTIVES).title()} {rng.choice(_THINGS).title()} {rng.randint(1, 99)}",
            f"${rng.randint(5, 500)}.99",
            "Add to cart",
            "Compare",
        )
        for _ in range(25)
    )
    return "\n".join(itertools.chain.from_iterable(rows))


def error_pages(rng: random.Random) -> str:
    """What servers say when they have nothing to say."""
    return "\n".join(rng.sample(_ERRORS, 5))


def minified_code(rng: random.Random) -> str:
    """A script without line ends."""
    name = lambda: "".join(rng.choices("abcdefgh", k=2))  # noqa: E731
    return ";".join(
        f"var {name()}=function({name()},{name()}){{return {name()}[{rng.randint(0, 99)}]||{name()}.{rng.choice(_THINGS)}({name()})}}"
        for _ in range(60)
    )


def templated_spam(rng: random.Random) -> str:
    """One sentence with the town changed, again and again."""
    thing = rng.choice(_THINGS)
    forms = [
        f"Are you looking for the best {thing} repair in {{}}? Call our {thing} experts in {{}} today and get a free quote.",
        f"Our {thing} team in {{}} is the number one choice for {thing} repair in {{}}.",
    ]
    return " ".join(rng.choice(forms).format(city, city) for city in rng.choices(_CITIES, k=14))


def repeated_lines(rng: random.Random) -> str:
    """A line that does not end."""
    line = f"Order your {rng.choice(_ADJECTIVES)} {rng.choice(_THINGS)} with us today and save."
    return "\n".join([line] * 20 + rng.sample(_COOKIES, 2))


def random_letters(rng: random.Random) -> str:
    """Letters in groups, such as a broken font gives."""
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(300)) + "."


def ocr_ruin(rng: random.Random, prose: str) -> str:
    """Prose that a scanner has not read: a third of the letters are others, blanks inside words."""
    swaps = {
        "e": "c",
        "h": "b",
        "i": "l",
        "l": "1",
        "m": "rn",
        "o": "0",
        "n": "ri",
        "a": "@",
        "t": "f",
        "s": "5",
        " ": "  ",
    }
    return "".join(
        rng.choice("|~^_;.,'")
        if (draw := rng.random()) < 0.06
        else swaps.get(char, char)
        if draw < 0.45
        else char + " "
        if draw < 0.55
        else char
        for char in prose
    )


def shuffled_words(rng: random.Random, prose: str) -> str:
    """The words of a page in any order: no rule here knows grammar."""
    found = prose.split()
    rng.shuffle(found)
    return " ".join(found)


_BY_RULE = (
    menus, cookie_notices, link_farms, keyword_stuffing, boilerplate, logs, tables, base64_blocks, hex_dumps,
    product_lists, error_pages, minified_code, templated_spam, repeated_lines, random_letters,
)  # fmt: skip


def junk(sources: Sources, count: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the kinds with their texts."""
    rng = random.Random(1)
    for make in _BY_RULE:
        yield make.__name__, [make(rng) for _ in range(count)]
    for spoil in (ocr_ruin, shuffled_words):
        pages = (" ".join(sources.speech_paragraphs.stretch(1500)) for _ in range(count))
        yield spoil.__name__, [spoil(rng, page) for page in pages if page]

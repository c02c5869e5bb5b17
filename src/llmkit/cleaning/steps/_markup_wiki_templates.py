"""Templates of wikis that carry text of the sentence they stand in: what a reader would see in their place.

Templates are programs of a wiki; a dump has their names alone. Known here are those that prose is full of, in the wikis
of large languages; the others are boxes, notes and maintenance, and leave nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_NAMED = re.compile(r"\s*([\w -]{1,30}?)\s*=")
_LANGUAGE = re.compile(r"(?:lang|link)-[A-Za-z-]{2,12}|[a-z]{2,3}S")
_NUMBER = re.compile(r"[-+−–]?\d[\d.,\s/+]*(?:e[-+]?\d+)?")
_FUNCTION = re.compile(r"(?:formatnum|lc|uc|lcfirst|ucfirst|nowrap)\s*:\s*(.*)", re.DOTALL | re.IGNORECASE)
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a template is given: by place, from 0, and by name."""

    places: list[str]
    names: dict[str, str]

    def __getitem__(self, place: int) -> str:
        return self.places[place] if place < len(self.places) else ""


# Which argument is the text, from 1; -1 is the last.
_TEXT = {
    1: "nowrap nobr small smaller big larger sc smallcaps abbr tooltip math mvar var em strong mono kbd tt samp code "
    "sub sup underline uncased vanchor visible_anchor le illm ill interlanguage_link lien internal_link_helper "
    "chem2 ruby flag flagcountry nts linktext nobold normal notatypo not_a_typo sic mention block_indent "
    "仮リンク lj columns-list poem number ordinal formatnum 注音 僻字 zh-tw zh-cn",
    2: "lang langx wikt-lang sort color font_color colour resize rquote font",
    3: "tsl translink",
    -1: "transl transliteration translit",
}
_PLACES = {name.replace("_", " "): place for place, names in _TEXT.items() for name in names.split()}
_QUOTES = frozenset({"quote", "blockquote", "cquote", "quotation", "quote box", "poemquote", "bq", "zitat"})
_SIGNS = {
    "'": "'", "'s": "'s", "!": "|", "=": "=", "ndash": "–", "endash": "–", "en dash": "–", "snd": " – ", "spnd": " – ",
    "spaced ndash": " – ", "spaced en dash": " – ", "mdash": "—", "emdash": "—", "em dash": "—", "nbsp": "\xa0",
    "·": " · ", "•": " • ", "dot": " · ", "middot": " · ", "bull": " • ", "times": "×", "co2": "CO2", "h2o": "H2O",
    "1er": "1er", "1re": "1re", "°": "°", "degree": "°", "pi": "π", "minus": "−", "zwj": "", "shy": "",
}  # fmt: skip
_MONEY = {"us$": "$", "usd": "$", "$": "$", "£": "£", "gbp": "£", "€": "€", "eur": "€", "₹": "₹", "inr": "₹", "¥": "¥",
          "jpy": "¥", "cny": "¥", "a$": "A$", "aud": "A$", "c$": "C$", "cad": "C$"}  # fmt: skip
_SHIPS = frozenset(
    ["uss", "hms", "hmas", "hmcs", "hmnzs", "rms", "ss", "sms", "mv", "ms", "ins", "usns", "uscgc", "rfa"]
)
_UNITS = {"sqkm": "km²", "km2": "km²", "m2": "m²", "sqmi": "sq mi", "sqft": "sq ft", "sqm": "m²", "m3": "m³",
          "cuft": "cu ft", "c": "°C", "f": "°F", "ft2": "sq ft", "mi2": "sq mi", "kph": "km/h"}  # fmt: skip
_BETWEEN = {"to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ", "-": "–", "–": "–",
            "to(-)": "–", "+": " + ", "+/-": " ± ", "±": " ± "}  # fmt: skip


def expand(inside: str) -> str:
    """Return the text that `{{inside}}` stands for; its own templates and links are text already."""
    title, bar, rest = inside.partition("|")
    name = title.strip().lower().replace("_", " ")
    if name in _SIGNS:
        return _SIGNS[name]
    if rule := _RULES.get(name):
        return rule(_arguments(rest))
    place = _PLACES.get(name)
    if place is None:
        return _other(title, name, rest) if bar or ":" in name else ""
    arguments = _arguments(rest)
    return arguments.names.get("lt") or (arguments.places[-1] if place < 0 else arguments[place - 1])


def _other(title: str, name: str, rest: str) -> str:
    """Read the templates of which there is a whole family."""
    if function := _FUNCTION.fullmatch(title.strip()):
        return function[1]
    if name in _MONEY:
        return _MONEY[name] + _arguments(rest)[0]
    if name in _SHIPS:
        return f"{name.upper()} {_arguments(rest)[0]}"
    return _arguments(rest)[0] if _LANGUAGE.fullmatch(title.strip()) else ""


def _arguments(rest: str) -> Arguments:
    places: list[str] = []
    names: dict[str, str] = {}
    for argument in rest.split("|"):
        named = _NAMED.match(argument)
        if named is None:
            places.append(argument.strip())
        elif named[1].isdecimal() and int(named[1]) == len(places) + 1:
            places.append(argument[named.end() :].strip())
        else:
            names[named[1].lower()] = argument[named.end() :].strip()
    return Arguments(places, names)


def _quote(arguments: Arguments) -> str:
    text = arguments.names.get("text") or arguments.names.get("quote") or arguments[0]
    return f"\n\n{text}\n\n" if text else ""


def _convert(arguments: Arguments) -> str:
    """Return what is converted, as it was written: `5 ft 10 in`, `3 to 4 km²`."""
    parts: list[str] = []
    was_number = False
    for value in arguments.places:
        if value in _BETWEEN and was_number:
            parts.append(_BETWEEN[value])
        elif _NUMBER.fullmatch(value):
            parts.append(value if not parts or parts[-1] in _BETWEEN.values() else f" {value}")
            was_number = True
        elif was_number:
            parts.append(f" {_UNITS.get(value.lower(), value)}")
            was_number = False
        else:
            break
    return "".join(parts)


def _measure(arguments: Arguments) -> str:
    """Return a number with its unit: `{{val|1.5|0.2|u=km}}`."""
    unit = arguments.names.get("u") or arguments.names.get("ul") or ""
    number = "±".join(value for value in arguments.places[:2] if _NUMBER.fullmatch(value))
    return f"{number} {_UNITS.get(unit.lower(), unit)}".rstrip()


def _joined(separator: str) -> Callable[[Arguments], str]:
    return lambda arguments: separator.join(value for value in arguments.places if value)


def _fraction(arguments: Arguments) -> str:
    whole, top, bottom = ["", "", "1", *arguments.places][-3:]
    if len(arguments.places) == 2:
        whole = ""
    return f"{whole} {top}/{bottom}".strip() if bottom else ""


def _date(arguments: Arguments) -> str:
    year, month, day = [*arguments.places, "", "", ""][:3]
    if month.isdecimal() and 1 <= int(month) <= 12:
        month = _MONTHS[int(month) - 1]
    return " ".join(part for part in (day, month, year) if part)


def _as_of(arguments: Arguments) -> str:
    begins = "as of" if arguments.names.get("lc") else "As of"
    return arguments.names.get("alt") or f"{begins} {_date(arguments)}".rstrip()


def _around(before: str, after: str = "") -> Callable[[Arguments], str]:
    return lambda arguments: f"{before}{arguments[0]}{after}" if arguments[0] else ""


def _nihongo(arguments: Arguments) -> str:
    around = ", ".join(value for value in arguments.places[1:3] if value)
    return f"{arguments[0]} ({around})" if arguments[0] and around else arguments[0] or around


def _ship(arguments: Arguments) -> str:
    return " ".join(value for value in arguments.places[:2] if value)


def _lived(arguments: Arguments) -> str:
    born, died = "".join(arguments.places[:2]), "".join(arguments.places[2:4])
    return f"（{born}－{died}）" if born else ""


_RULES: dict[str, Callable[[Arguments], str]] = {
    **dict.fromkeys(_QUOTES, _quote),
    **dict.fromkeys(("convert", "cvt"), _convert),
    **dict.fromkeys(("val", "physics constant"), _measure),
    **dict.fromkeys(("unité", "nombre", "unidad", "unit", "unità", "date"), _joined(" ")),
    **dict.fromkeys(("frac", "fraction", "sfrac"), _fraction),
    **dict.fromkeys(("start date", "birth date", "death date", "end date", "dts", "film date"), _date),
    **dict.fromkeys(("nihongo", "nihongo2", "nihongo3"), _nihongo),
    **dict.fromkeys(("hlist", "ubl", "unbulleted list", "plainlist", "flatlist"), _joined(", ")),
    **dict.fromkeys(("circa", "c.", "ca"), _around("c. ")),
    **dict.fromkeys(("lit", "literal translation"), _around("lit. ‘", "’")),
    "as of": _as_of,
    "chem": _joined(""),
    "key press": _joined("+"),
    "zh": lambda arguments: "; ".join(dict.fromkeys(value for value in arguments.names.values() if value)),
    "gloss": _around("‘", "’"),
    "angbr": _around("⟨", "⟩"),
    '"': _around("“", "”"),
    "ship": _ship,
    "bd": _lived,
    "s": lambda arguments: f"{arguments[0]}{arguments[1]} siècle",
    "e": _around("×10^"),
}

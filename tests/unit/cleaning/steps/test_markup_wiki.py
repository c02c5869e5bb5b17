"""MediaWiki source against a text written by hand."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps._markup_wiki import to_text

WIKI = """{{Infobox city|name=Paris|{{nested|a}}|[[File:x.png|thumb|A caption]]}}
'''Paris''' ({{lang|fr|Pa''ri''s}}; {{IPA|x}}) is the [[capital city|capital]] of [[France#History]].<ref
name="a">{{cite|url=x}}</ref><ref name=b /> It has 2&nbsp;million [http://x.y people].
[[Image:Paris.jpg|thumb|A [[link]] in a caption]]
== History ==
Hidden<!-- not
here --> text.
* one
** two
; term : meaning
{| class="wikitable"
! a !! b
|-
| 1 || {{x|}}
|}
<syntaxhighlight lang="python">
def f():
    return '''x'''  # [[not a link]]
</syntaxhighlight>
<nowiki>[[raw]]</nowiki> <math>x^2 < y</math>
__NOTOC__
[[Category:Cities]][[de:Paris]]
=== 历史 ===
'''北京市'''，是[[中华人民共和国]]的[[首都|首都城市]]，-{zh-hant:電腦;zh-hans:计算机}-。[[分类:城市]]"""
WIKI_TEXT = """Paris (Paris) is the capital of France. It has 2\xa0million people.

History
Hidden text.
- one
- two
term : meaning

def f():
    return '''x'''  # [[not a link]]
[[raw]] x^2 < y

历史
北京市，是中华人民共和国的首都城市，计算机。"""


def test_a_whole_document():
    assert to_text(WIKI) == WIKI_TEXT


@pytest.mark.parametrize("source", ["#REDIRECT [[Paris]]", "#重定向 [[巴黎]]", "\n#redirect: [[x]]"])
def test_a_redirection_has_no_text(source: str):
    assert to_text(source) == ""


def test_brackets_of_a_wiki_that_do_not_match():
    assert to_text("a {{open [[b|c]] d") == "a open c d"
    assert to_text("a }} b ]] c |} d") == "a  b  c |} d"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{convert|12|km|mi}}", "12 km"),
        ("{{convert|5|ft|10|in|m|abbr=on}}", "5 ft 10 in"),
        ("{{Convert|3|to|4.5|sqkm|sqmi}}", "3 to 4.5 km²"),
        ("{{cvt|1,200|-|1,300|m}}", "1,200–1,300 m"),
        ("{{convert|-40|C|F}}", "-40 °C"),
        ("{{val|1.5|0.2|u=km}}", "1.5±0.2 km"),
        ("{{unité|12|km}}", "12 km"),
        ("{{lang|fr|Pa''ri''s}}", "Paris"),
        ("{{lang-de|Rhein}}", "Rhein"),
        ("{{langx|ru|Москва}}", "Москва"),
        ("{{enS|River}}", "River"),
        ("{{transl|ru|ISO|Moskva}}", "Moskva"),
        ("{{zh|s=北京|t=北京|p=Běijīng}}", "北京; Běijīng"),
        ("{{nihongo|Tokyo|東京|Tōkyō|lead=yes}}", "Tokyo (東京, Tōkyō)"),
        ("{{nowrap|1 = [[one|eins]]}}", "eins"),
        ("{{nowrap|{{lang|fr|a {{small|b}}}}}}", "a b"),
        ("{{ill|Stadt|de|Ort|lt=the town}}", "the town"),
        ("{{link-fr|城市|Ville}}", "城市"),
        ("{{tsl|en|City|城市}}", "城市"),
        ("Plato{{'s}} 1{{ndash}}2{{snd}}3", "Plato's 1–2 – 3"),
        ('{{"|so}}', "“so”"),
        ("{{frac|1|2}} {{frac|3}} {{frac|2|1|2}}", "1/2 1/3 2 1/2"),
        ("{{circa|1500}}", "c. 1500"),
        ("{{As of|2020|1}} {{as of|2019|lc=y}}", "As of January 2020 as of 2019"),
        ("{{start date|2001|2|3}}", "3 February 2001"),
        ("{{USS|Enterprise|CV-6}} {{ship|HMS|Victory}}", "USS Enterprise HMS Victory"),
        ("{{US$|12}} {{€|3}}", "$12 €3"),
        ("{{chem|H|2|O}} {{chem2|CO2}} {{CO2}}", "H2O CO2 CO2"),
        ("{{formatnum:1234}}", "1234"),
        ("{{bd|1893年|12月26日|1976年|9月9日}}", "（1893年12月26日－1976年9月9日）"),
        ("{{s|XX|e}}", "XXe siècle"),
        ("{{cite web|url=http://x.y|title=T}}{{Infobox city|name=P}}{{citation needed|date=May}}{{coord|1|2}}", ""),
        ("{{lang}}{{convert}}{{quote}}{{frac}}{{nihongo}}{{transl}}{{lang|}}{{as of|}}", "As of"),
    ],
)
def test_templates_that_carry_text_leave_no_holes(template: str, text: str):
    assert to_text(f"It is {template} so.") == f"It is {text} so."


def test_a_quotation_is_a_paragraph():
    for template in ("{{quote|To be|Hamlet}}", "{{Blockquote|text=To be|author=Hamlet}}"):
        assert to_text(f"He said:{template}and left.") == "He said:\n\nTo be\n\nand left."

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

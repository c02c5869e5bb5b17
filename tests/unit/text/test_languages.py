from __future__ import annotations

import pytest

from llmkit.text.languages import canonical, check_language, check_tag, covers


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("en", "en"), ("eng", "en"), ("EN", "en"), ("ENG", "en"), ("en_US", "en-US"), ("eng_Latn", "en"),
        ("zh", "zh"), ("zho", "zh"), ("chi", "zh"), ("cmn", "zh"), ("zho_Hans", "zh-Hans"),
        ("cmn-hant-tw", "zh-Hant-TW"),
        ("zh-cmn-Hans-CN", "zh-Hans-CN"), ("zh-guoyu", "zh"),
        ("yue", "yue"), ("zh-yue", "yue"), ("zh-min-nan", "nan"), ("ar-arz", "arz"),
        ("deu", "de"), ("ger", "de"), ("iw", "he"), ("in", "id"), ("nob", "no"), ("nb", "no"), ("nn", "nn"),
        ("arb", "ar"), ("pes", "fa"), ("ekk", "et"), ("zsm", "ms"), ("swh", "sw"),
        ("sr_cyrl", "sr-Cyrl"), ("rus_Cyrl", "ru"), ("en-UK", "en-GB"), ("de-DD", "de-DE"), ("de-x-Mine", "de-x-mine"),
        ("und", "und"), ("gsw", "gsw"),
    ],
)  # fmt: skip
def test_tags_have_one_form(tag, written):
    assert canonical(tag) == written
    assert canonical(written) == written


@pytest.mark.parametrize(
    "word", ["", "Python", "PHP", "SQL", "Go", "C", "english", "e", "en--us", "en us", "中文", "en\n"]
)
def test_other_words_are_no_tags(word):
    assert canonical(word) is None


def test_a_macrolanguage_covers_its_members_and_a_tag_its_longer_ones():
    assert all(covers(["zh"], tag) for tag in ("zh", "zh-Hant-TW", "yue", "wuu", "nan-Hant"))
    assert covers({"zh-Hant"}, "zh-Hant-HK")
    assert not any(covers(["zh-Hant"], tag) for tag in ("zh", "zh-Hans", "yue"))
    assert covers(["yue"], "yue")
    assert not covers(["yue"], "zh")
    assert covers(["ar"], "arz")
    assert not covers(["ms"], "id")  # it has two letters of its own


def test_tags_of_a_config():
    assert check_tag("zho_Hant") == "zh-Hant"
    assert check_language("zho") == "zh"
    for wrong in ("english", "zh-Hant"):
        with pytest.raises(ValueError, match=f"'{wrong}' is no primary language tag"):
            check_language(wrong)

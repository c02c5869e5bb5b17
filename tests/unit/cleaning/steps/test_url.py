from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.url import Url, host_of
from llmkit.core.errors import DataError
from llmkit.data.corpus import Document


def document(url: object, key: str = "url") -> Document:
    return Document("0", "text", "s", meta={key: url})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.com/a?b#c", "www.example.com"),
        ("http://user:pass@example.com:8080/", "example.com"),
        ("//example.com/x", "example.com"),
        ("example.com", "example.com"),
        ("example.com:8080/x", "example.com"),
        ("example.com/a@b.org", "example.com"),
        ("https://example.com?u=@evil.org", "example.com"),
        ("https://example.com./", "example.com"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("http://[broken", "[broken"),  # urlsplit raises on this one
        ("https://例子.中国/路", "xn--fsqu00a.xn--fiqs8s"),
        ("", ""),
        ("https:///path", ""),
    ],
)
def test_host(url, host):
    assert host_of(url) == host


def test_blocked_domains_take_their_subdomains_along():
    step = Url(domains=["example.com", "https://www.bad.org/", "例子.中国"])
    assert step.apply(document("https://a.b.example.com/x")) == Drop("url.domains", "a.b.example.com", "example.com")
    assert step.apply(document("http://EXAMPLE.com")) == Drop("url.domains", "example.com", "example.com")
    assert step.apply(document("http://www.bad.org/1")) is not None
    assert step.apply(document("http://bad.org/1")) is None
    assert step.apply(document("http://notexample.com")) is None
    assert step.apply(document("http://example.com.org/example.com")) is None
    assert step.apply(document("http://xn--fsqu00a.xn--fiqs8s/")) is not None


def test_words_are_whole_and_in_any_case():
    step = Url(words=["Casino", "赌博"])
    assert step.apply(document("https://a.com/best-CASINO_2024")) == Drop(
        "url.words", "https://a.com/best-CASINO_2024", "casino"
    )
    assert step.apply(document("https://a.com/casinos")) is None
    assert step.apply(document("https://a.com/赌博/1")) is not None


def test_patterns():
    step = Url(patterns=[r"/tag/\d+", "a|b[.]org"])
    assert step.apply(document("https://x.com/TAG/12")) == Drop("url.patterns", "https://x.com/TAG/12", "/TAG/12")
    assert step.apply(document("https://xy.com/tig/12")) is None
    with pytest.raises(ValidationError, match=r"'\(' is no regular expression"):
        Url(patterns=["("])


def test_allowed_domains_go_first():
    step = Url(domains=["example.com"], words=["casino"], allow=["good.example.com"])
    assert step.apply(document("https://www.good.example.com/casino")) is None
    assert step.apply(document("https://example.com/")) is not None


@pytest.mark.parametrize("url", [None, "", 3])
def test_documents_without_an_address(url):
    assert Url(words=["x"]).apply(document(url)) is None
    assert Url(missing="drop").apply(document(url)) == Drop("url.missing", "none", "meta.url")
    assert Url(missing="drop", key="link").apply(document("http://a.com", key="link")) is None


def test_list_files(tmp_path):
    domains, words = tmp_path / "domains.txt", tmp_path / "words.txt"
    domains.write_text("# adult\n#good.com\nbad.com\n", encoding="utf-8")
    words.write_text("casino\n", encoding="utf-8")
    step = Url(domains_path=str(domains), words_path=str(words))
    assert step.reads() == [domains, words]
    assert Url().reads() == []
    step.apply(document("http://a.com"))
    step = pickle.loads(pickle.dumps(step))
    assert step.apply(document("http://x.bad.com")) == Drop("url.domains", "x.bad.com", "bad.com")
    assert step.apply(document("http://a.com/casino")) is not None
    assert step.apply(document("http://good.com/")) is None
    assert step.apply(document("no host: ///")) is None
    with pytest.raises(DataError, match=r"url\.domains_path: no such file"):
        Url(domains_path=str(tmp_path / "none")).apply(document("http://a.com"))


def test_only_the_start_of_a_monstrous_address_is_read():
    step = Url(patterns=["a+b"], words=["casino"])
    assert step.apply(document("http://x.com/" + "a" * 1_000_000 + "/casino")) is None

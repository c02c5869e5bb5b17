from __future__ import annotations

import pytest

from llmkit.text.personal.network import _top_level_domains, find_emails, find_ips


def emails(text: str) -> list[str]:
    return [text[start:end] for start, end in find_emails(text)]


@pytest.mark.parametrize("behind", ["_", "__", "-", "--", "_ and", "-John", "_backup", "-backup.tar", ".Thanks", "._"])
def test_an_address_ends_where_its_domain_ends(behind):
    assert emails(f"mail anna@example.com{behind}") == ["anna@example.com"]


def test_the_whole_domain_is_taken_where_it_is_one():
    assert emails("user@my.com-pany.xyz") == ["user@my.com-pany.xyz"]
    assert emails("me@xn--fiqs8s.xn--fiqs8s") == ["me@xn--fiqs8s.xn--fiqs8s"]


def test_addresses_that_an_underscore_joins_are_two():
    assert emails("a@example.com_b@example.org") == ["a@example.com", "_b@example.org"]


def test_every_top_level_domain_is_known():
    names = _top_level_domains()
    assert len(names) >= 1287 + 2  # IANA's in ASCII letters, and two reserved ones
    assert {"com", "museum", "photography", "zw", "yokohama", "example"} <= names
    missed = [name for name in names if emails(f"write to anna@example.{name}, please") != [f"anna@example.{name}"]]
    assert missed == []
    assert emails("anna@example.com.nosuchdomain") == ["anna@example.com"]
    assert emails("logo@2x.png a@b.jpeg x@y.toml") == []


def test_file_endings_that_are_domains_too_need_a_sign_of_mail():
    assert emails("main@build.zip cell@meta.data clip@take.mov") == []
    assert emails("<anna@studio.mov>, mailto:bob@build.zip") == ["anna@studio.mov", "bob@build.zip"]


@pytest.mark.parametrize("before", ["conversion", "subversion", "arev", "gov", "prepatch", "overbuild"])
def test_a_window_does_not_make_a_word_of_the_end_of_another(before):
    """Each word is cut where the window of 24 characters begins, so that its end alone would be a word of versions."""
    ends = ("version", "rev", "v", "patch", "build")
    end = next(end for end in ends if before.endswith(end))
    gap = " " * (24 - len(end) - 1)
    text = f"{before}{gap} 93.184.215.14"
    assert [text[a:b] for a, b in find_ips(text, private=False)] == ["93.184.215.14"]
    assert list(find_ips(f"{end}{gap} 93.184.215.14", private=False)) == []

from __future__ import annotations

import json
import pickle
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.pii import TYPES, Pii
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document
from llmkit.text.personal.identity import is_chinese_id, luhn
from llmkit.text.personal.keys import entropy

LABELLED = Path(__file__).parents[3] / "golden" / "pii.jsonl"
HEX = "9f3a1c7e5b2d8046e1f0a9c3b7d52846"
BASE62 = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3"
# Assembled here, so that no scanner for leaked keys takes this file for a leak.
SECRETS = {
    "aws": "AK" + "IAIOSFODNN7EXAMPLE",
    "github": "gh" + "p_" + BASE62,
    "github fine-grained": "github" + "_pat_" + BASE62[:22] + "_" + (BASE62 * 2)[:59],
    "gitlab": "gl" + "pat-" + BASE62[:20],
    "slack": "xo" + "xb-123456789012-" + BASE62[:24],
    "google": "AI" + "za" + BASE62[:35],
    "openai": "s" + "k-proj-" + BASE62,
    "hugging face": "h" + "f_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "stripe": "s" + "k_live_" + BASE62[:24],
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9" + ".ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0" + "." + BASE62,
}


def clean(text: str, **fields) -> str:
    document = Document("0", text, "test")
    assert Pii(**fields).apply(document) is None
    return document.text


def find(text: str, **fields) -> list[tuple[str, str]]:
    return [(name, text[start:end]) for start, end, name in Pii(**fields).find(text)]


@pytest.mark.parametrize("name", ["email", "phone", "chinese_id", "card", "ip"])
def test_precision_and_recall_on_labelled_sentences(name):
    rows = [row for row in map(json.loads, LABELLED.read_text(encoding="utf-8").splitlines()) if row["type"] == name]
    labels = Counter(bool(row["values"]) for row in rows)
    assert min(labels[True], labels[False]) >= 60
    step = Pii(types=[name], private_ips=True, phone_regions=["CN", "US", "GB"])
    found = wanted = right = 0
    for row in rows:
        mine = Counter(row["text"][start:end] for start, end, _ in step.find(row["text"]))
        found, wanted = found + mine.total(), wanted + len(row["values"])
        right += (mine & Counter(row["values"])).total()
    assert right / found >= 0.98
    assert right / wanted >= 0.98


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("请联系zhang@example.com或13800001111，谢谢", "请联系<EMAIL>或<PHONE>，谢谢"),
        ("call +44 20 7946 0018 or write to o'brien@example.co.uk.", "call <PHONE> or write to <EMAIL>."),
        ("身份证11010519491231002X，卡号4111 1111 1111 1111", "身份证<CHINESE_ID>，卡号<CARD>"),
        ("服务器8.8.8.8和2001:4860:4860::8888都不通", "服务器<IP>和<IP>都不通"),
        ("13800001111@example.cn", "<EMAIL>"),
        ("two: a@example.com, a@example.com", "two: <EMAIL>, <EMAIL>"),
    ],
)
def test_values_become_typed_placeholders(text, redacted):
    assert clean(text) == redacted


def test_counts_are_per_type_and_hold_no_values():
    document = Document("0", "a@example.com b@example.org 电话13800001111", "test", counts={"email": 1})
    Pii().apply(document)
    assert document.counts == {"email": 3, "phone": 1}


def test_untouched_text_is_the_same_object():
    text = "第1回 2024年，版本 12.4.1.5 of the text, 3.14 @home"
    document = Document("0", text, "test")
    assert Pii().apply(document) is None
    assert document.text is text
    assert document.counts == {}


def test_types_choose_what_is_looked_for():
    text = "a@example.com 电话13800001111"
    assert clean(text, types=["phone"]) == "a@example.com 电话<PHONE>"
    assert clean(text, types=["email"], placeholder="[{type}]") == "[EMAIL] 电话13800001111"


def test_a_dropped_document_shows_counts_and_no_values():
    document = Document("0", "a@example.com b@example.com 电话13800001111", "test")
    drop = Pii(action="drop", actions={"phone": "redact"}).apply(document)
    assert drop == Drop("pii.email", 2, 0)
    assert document.text == "<EMAIL> <EMAIL> 电话<PHONE>"


def test_an_action_of_one_type_overrides_the_general_one():
    step = Pii(actions={"card": "drop"})
    assert step.apply(Document("0", "a@example.com", "test")) is None
    assert step.apply(Document("0", "a@example.com 5500005555555559", "test")) == Drop("pii.card", 1, 0)


def test_what_earlier_steps_counted_drops_nothing():
    assert Pii(action="drop").apply(Document("0", "nothing here", "test", counts={"email": 4})) is None


def test_messages_are_redacted_and_the_text_with_them():
    messages = [{"role": "user", "content": "I am a@example.com"}, {"role": "assistant", "content": "Hello."}]
    document = Document("0", "I am a@example.com\nHello.", "test", row={"messages": messages}, kind=CONVERSATION)
    Pii().apply(document)
    assert document.row["messages"] == [
        {"role": "user", "content": "I am <EMAIL>"},
        {"role": "assistant", "content": "Hello."},
    ]
    assert document.text == "I am <EMAIL>\nHello."


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_keys_of_known_issuers_are_found_bare(secret):
    for text in (f"see {secret} there", f"密钥：{secret}。", secret):
        assert find(text, types=["secret"]) == [("secret", secret)]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f'api_key = "{HEX}"', HEX),
        (f'中文{{"secret": "{HEX}"}}中文', HEX),
        (f"export API_KEY={HEX}\n", HEX),
        (f"Authorization: Bearer {BASE62}", BASE62),
        (f"密码 password: '{BASE62[:20]}=='", BASE62[:20] + "=="),
        ("postgres://app:S3cr3tpw@db.example.com/x", "S3cr3tpw"),
        (f"https://hooks.slack.com/services/T00000000/B00000000/{BASE62[:24]}", f"T00000000/B00000000/{BASE62[:24]}"),
    ],
)
def test_named_secrets_are_found_by_their_entropy(text, secret):
    assert find(text, types=["secret"]) == [("secret", secret)]


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "your-api-key-goes-here"',
        'password = "xxxxxxxxxxxxxxxx1234"',
        "token = get_token_from_cache(42)",
        "tokenizer_path = models/v2/2023/tokenizer_10",
        f"commit {HEX}",
        f"sha256:{HEX}{HEX}",
        "https://user:password@example.com/",
        "https://user:${PASSWORD}@example.com/",
        "<div class='sk-container-id-1 sk-estimator-doc-link'>",
        "a risk-assessment-of-2024-and-beyond-100",
        "hf_hub_download_with_retries_and_caches",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + BASE62 * 4 + "\n-----END CERTIFICATE-----",
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text):
    assert find(text, types=["secret"]) == []


def test_private_keys_go_as_a_block_and_also_where_the_text_is_cut():
    body = "\n".join([BASE62 * 2] * 5)
    begin, end = "-----BEGIN RSA " + "PRIVATE KEY-----\n", "\n-----END RSA PRIVATE KEY-----"
    assert clean(f"before\n{begin}{body}{end}\nafter") == "before\n<SECRET>\nafter"
    assert clean(f"密钥\n{begin}{body}") == "密钥\n<SECRET>"


def test_private_addresses_only_on_request_and_loopback_never():
    text = "host 10.1.2.3, host 192.0.2.7, host 127.0.0.1, netmask 255.255.255.0, host 9.9.9.9, fe80::1, ::1"
    assert find(text) == [("ip", "9.9.9.9")]
    assert find(text, private_ips=True) == [
        ("ip", "10.1.2.3"), ("ip", "192.0.2.7"), ("ip", "9.9.9.9"), ("ip", "fe80::1")
    ]  # fmt: skip


def test_old_resident_numbers_only_on_request():
    text = "旧号110105491231002，日期不对110105491331002"
    assert find(text) == []
    assert find(text, old_chinese_ids=True) == [("chinese_id", "110105491231002")]


def test_national_numbers_only_of_the_regions_asked_for():
    text = "Ring (212) 555-0123 or 0161 496 0018, or 电话010-65529988"
    assert find(text) == [("phone", "010-65529988")]
    assert [value for _, value in find(text, phone_regions=["US"])] == ["(212) 555-0123"]
    assert [value for _, value in find(text, phone_regions=["GB", "CN"])] == ["0161 496 0018", "010-65529988"]


def test_eleven_digits_amid_english_need_a_word_that_says_phone():
    assert find("vruntime=17815800388 [ns], total 14511243264") == []
    assert find("her mobile is 13800001111") == [("phone", "13800001111")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"phone_regions": ["UK"]}, "the United Kingdom is GB"),
        ({"types": ["emails"]}, "types"),
        ({"actions": {"mail": "drop"}}, "actions"),
        ({"types": []}, "types"),
        ({"placeholder": "me@example.com"}, "placeholder"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Pii(**fields)


def test_check_digits():
    assert is_chinese_id("11010519491231002X")  # the example of GB 11643
    assert not is_chinese_id("110105194912310021")
    assert not is_chinese_id("11010519490231002X")
    assert luhn("79927398713")  # the usual worked example: 7+9+9+4+7+6+9+7+7+2+3 = 70
    assert not luhn("79927398710")
    assert entropy(b"aabb") == 1.0
    assert entropy(b"0123456789abcdef") == 4.0


def test_every_resident_number_has_one_check_digit():
    for head in ("11010519491231002", "44030619900228123"):
        assert sum(is_chinese_id(head + check) for check in "0123456789X") == 1


@pytest.mark.parametrize(
    "text",
    ["", "\0" * 100, "1" * 300_000, "1." * 100_000, "a@" * 100_000, "://a:b" * 50_000, "key=" * 50_000, "中1" * 100_000,
     "-----BEGIN PRIVATE KEY-----\n" * 5_000, "eyJ" * 100_000, "2001:" * 50_000, "0(" * 100_000, "\ud800"],
    ids=lambda text: text[:8].encode("unicode_escape").decode(),
)  # fmt: skip
def test_hostile_text_is_survived(text):
    assert clean(text, private_ips=True) == text


VALUES = st.sampled_from([
    "wang@example.cn", "手机13800001111", "+442079460018", "93.184.215.14", "11010519491231002X", "4111111111111111",
    "2001:4860:4860::8888", SECRETS["github"],
])  # fmt: skip
PIECES = st.lists(st.one_of(VALUES, st.text(max_size=8), st.sampled_from([" ", "，", "联系", ":", "\n", "@", "-"])))


@given(PIECES)
def test_redacting_twice_changes_nothing_more(pieces):
    once = clean(" ".join(pieces))
    assert clean(once) == once


@given(PIECES)
def test_findings_are_ordered_disjoint_and_counted(pieces):
    text = "".join(pieces)
    document = Document("0", text, "test")
    found = Pii().find(text)
    Pii().apply(document)
    assert all(first[1] <= second[0] for first, second in pairwise(found))
    per_type = defaultdict(int)
    for _, _, name in found:
        per_type[name] += 1
    assert document.counts == per_type
    kept = text
    for start, end, name in reversed(found):
        kept = f"{kept[:start]}<{name.upper()}>{kept[end:]}"
    assert document.text == kept


@given(VALUES, st.sampled_from(["，", "。", "：", "联系", "号码是", "\n", " ", "（"]))
def test_a_value_beside_chinese_is_found(value, beside):
    text = f"资料{beside}{value}{beside}完"
    assert [found for _, found in find(text)] == [value.removeprefix("手机")]


def test_steps_travel_to_workers():
    step = Pii(actions={"secret": "drop"}, phone_regions=["CN", "US"])
    assert pickle.loads(pickle.dumps(step)) == step
    assert set(TYPES) == set(Pii().types)

from __future__ import annotations

import hashlib

import pytest

from llmkit.core.errors import ConfigError
from llmkit.serving.limits import KEY_NAME, Keys, Rate

DIGEST = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY_NAME, raising=False)


def test_keys_of_a_file_have_names(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{DIGEST} ada\n{hashlib.sha256(b'other').hexdigest()}  -\n")
    keys = Keys.read(file)
    assert keys.name("secret") == "ada"
    assert keys.name("other") == "4"
    assert keys.name("") is keys.name("Secret") is keys.name("\udcff") is None


def test_keys_of_the_environment(monkeypatch):
    assert not Keys.read(None)
    monkeypatch.setenv(KEY_NAME, "one, two")
    keys = Keys.read(None)
    assert [keys.name(key) for key in ("one", "two", "three")] == [KEY_NAME, KEY_NAME, None]


def test_a_key_instead_of_its_digest_is_refused(tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    with pytest.raises(ConfigError, match="keys:1: no SHA-256 of a key"):
        Keys.read(tmp_path / "keys")
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        Keys.read(tmp_path / "none")
    assert "sha256sum >>" in caught.value.hint


@pytest.mark.parametrize("text", ["", "\n\n", "# ours\n"])
def test_a_file_without_a_key_opens_no_server(tmp_path, text):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="has no key in it") as caught:
        Keys.read(tmp_path / "keys")
    assert caught.value.exit_code == 2
    assert "sha256sum >>" in caught.value.hint


def test_a_minutes_requests_may_come_at_once_and_fill_up_evenly():
    rate = Rate(6)
    assert [rate.wait_s("ada", 100.0) for _ in range(6)] == [0] * 6
    assert rate.wait_s("ada", 100.0) == pytest.approx(10)
    assert rate.wait_s("bob", 100.0) == 0
    assert rate.wait_s("ada", 104.0) == pytest.approx(6)
    assert rate.wait_s("ada", 110.0) == 0

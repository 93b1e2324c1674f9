"""Settings: where they come from, which wins, and what a person is told."""

import base64
import os
import re
from pathlib import Path

import pytest

from agent import config
from agent.config import BadSettings, Settings, load, master_key
from tests.support.places import ROOT

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and none of our variables."""
    for name in list(os.environ):
        if name.startswith("DULY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_set_is_enough() -> None:
    settings = load()
    assert settings.database_url is None
    assert settings.redis_url is None


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_address_of_a_store_is_an_unset_one(
    monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.setenv("DULY_DATABASE_URL", empty)
    monkeypatch.setenv("DULY_REDIS_URL", empty)
    settings = load()
    assert (settings.database_url, settings.redis_url) == (None, None)


def test_there_are_fewer_than_forty_and_each_has_help() -> None:
    assert len(Settings.model_fields) < 40
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(
        path.read_text("utf-8") for path in ROOT.glob("agent/**/*.py") if path.name != "config.py"
    )
    read = {name for name in Settings.model_fields if re.search(rf"settings\.{name}\b", code)}
    assert set(Settings.model_fields) - read == set()


def test_environment_beats_toml(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clean_place / "duly.toml").write_text('port = 1\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("DULY_PORT", "2")
    settings = load()
    assert (settings.host, settings.port) == ("0.0.0.0", 2)  # noqa: S104


def test_a_toml_file_elsewhere(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clean_place / "other.toml").write_text("port = 3\n")
    monkeypatch.setenv("DULY_CONFIG", "other.toml")
    assert load().port == 3
    monkeypatch.setenv("DULY_CONFIG", "missing.toml")
    with pytest.raises(BadSettings, match=r"DULY_CONFIG names missing\.toml"):
        load()


@pytest.mark.parametrize("name", config.SECRETS)
def test_a_secret_from_a_file(
    name: str, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"api_keys": "crm:0123456789abcdef", "master_key": KEY.hex()}
    (clean_place / "secret").write_text(values.get(name, "value") + "\n")
    monkeypatch.setenv(f"DULY_{name.upper()}_FILE", "secret")
    assert getattr(load(), name)
    assert config.unknown_variables(os.environ) == []
    monkeypatch.setenv(f"DULY_{name.upper()}_FILE", "missing")
    with pytest.raises(BadSettings, match=f"DULY_{name.upper()}_FILE names missing"):
        load()


def test_a_secret_file_named_in_toml(clean_place: Path) -> None:
    (clean_place / "secret").write_text(KEY.hex())
    (clean_place / "duly.toml").write_text('master_key_file = "secret"\n')
    assert master_key(load()) == KEY


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_DATABASE_URL", "postgresql://duly:hunter2@db/duly")
    monkeypatch.setenv("DULY_API_KEYS", "crm:hunter2hunter2hunter2")
    assert "hunter2" not in repr(load())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DULY_PORT", "x", "DULY_PORT: .*valid integer.*Its port"),
        ("DULY_PUBLIC_URL", "http://example.com/", "DULY_PUBLIC_URL: .*no final /"),
        ("DULY_MASTER_KEY", "abc", "DULY_MASTER_KEY: not 32 bytes.*openssl rand -hex 32"),
        ("DULY_MASTER_KEY", "zz" * 32, "DULY_MASTER_KEY: not 32 bytes"),
        ("DULY_API_KEYS", "crm:short", "DULY_API_KEYS: each is name:secret"),
    ],
)
def test_a_bad_value_names_its_setting(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=said):
        load()


def test_a_bad_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_MASTER_KEY", "hunter2")
    with pytest.raises(BadSettings) as refused:
        load()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["port = ", "prot = 1"])
def test_a_typing_error_in_toml_is_refused(text: str, clean_place: Path) -> None:
    (clean_place / "duly.toml").write_text(text)
    with pytest.raises(BadSettings, match=r"duly\.toml"):
        load()


def test_a_typing_error_in_the_environment_is_found() -> None:
    given = {"DULY_PROT": "1", "DULY_PORT": "1", "DULY_TRACEBACK": "1", "OTHER": "1"}
    assert config.unknown_variables(given) == ["DULY_PROT"]


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(bytes([255] * 32)).decode(),
    ],
)
def test_the_key_as_hex_or_base64(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_MASTER_KEY", text)
    assert master_key(load()) in {KEY, bytes([255] * 32)}


def test_embedded_stores_get_a_key_of_their_own_once(clean_place: Path) -> None:
    first = master_key(load())
    assert master_key(load()) == first
    path = clean_place / ".duly" / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_a_database_of_the_users_own_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_DATABASE_URL", "postgresql://db/duly")
    with pytest.raises(BadSettings, match="openssl rand -hex 32"):
        master_key(load())

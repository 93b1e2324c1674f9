"""Settings: `DULY_*` environment variables, then `duly.toml`, then defaults that need nothing set up.

Everything unset means embedded stores and sandbox channels. Secrets can also be given as files:
`DULY_MASTER_KEY_FILE=/run/secrets/master-key`, or `master_key_file = "…"` in `duly.toml`.
"""

import base64
import binascii
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agent.clock import random_bytes

PREFIX = "DULY_"
SECRETS = (
    "database_url",
    "redis_url",
    "master_key",
    "ledger_secret",
    "api_keys",
    "sandbox_secret",
    "twilio_auth_token",
    "twilio_previous_auth_token",
    "fcm_credentials",
    "apns_key",
    "webpush_key",
)
NOT_SETTINGS = {"DULY_CONFIG", "DULY_TRACEBACK"}
_KEY_BYTES = 32


class BadSettings(Exception):
    """The settings cannot be used; the message says which, why, and what to do."""


class Settings(BaseSettings):
    """Every setting of Duly, with its help."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path(".duly"), description="Folder of the embedded stores and the generated key"
    )
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL 16 or newer, postgresql://…; unset = embedded in data_dir"
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis or Valkey, redis://…, rediss://… or unix://…; unset = embedded"
    )
    database_connections: int = Field(
        8, ge=2, le=200, description="Connections one process opens at most"
    )
    master_key: SecretStr | None = Field(
        None, description="Wraps the keys of personal data: 32 bytes as hex or base64"
    )

    host: str = Field("127.0.0.1", description="Address the HTTP server listens on")
    port: int = Field(8470, ge=0, le=65535, description="Its port; 0 = any free one")
    public_url: str = Field(
        "http://127.0.0.1:8470",
        pattern=r"^https?://[^\s/]+(/[^\s]*[^\s/])?$",
        description="How the outside reaches that server: links and provider signatures use it; no final /",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys the HTTP API accepts, separated by commas: name:secret or name:secret:scope+scope",
    )

    sandbox_url: str | None = Field(
        None,
        pattern="^https?://",
        description="Sandbox phones of another process; unset = in this one, which must be the only one",
    )
    sandbox_secret: SecretStr = Field(
        SecretStr("sandbox"), description="Signs the receipts those phones post"
    )

    twilio_account_sid: str | None = Field(
        None,
        pattern="^AC[0-9a-fA-F]{32}$",
        description="Twilio account that texts go out by; unset = texts stay in the sandbox",
    )
    twilio_auth_token: SecretStr | None = Field(
        None, description="Its auth token: signs in, and signs what Twilio posts to us"
    )
    twilio_previous_auth_token: SecretStr | None = Field(
        None, description="The token before, believed on webhooks while tokens are rotated"
    )
    twilio_from: str | None = Field(
        None,
        pattern=r"^\+?[0-9A-Za-z ]{3,16}$",
        description="Number or name that texts come from; this or a Messaging Service",
    )
    twilio_messaging_service_sid: str | None = Field(
        None,
        pattern="^MG[0-9a-fA-F]{32}$",
        description="Messaging Service that picks the number; this or DULY_TWILIO_FROM",
    )
    twilio_base_url: str = Field(
        "https://api.twilio.com",
        pattern="^https?://",
        description="Where Twilio's API is; another address only for tests",
    )
    twilio_parts_per_second: float = Field(
        1.0,
        gt=0,
        le=10_000,
        description="Message parts the sender may send a second, all workers together",
    )
    twilio_countries: Path | None = Field(
        None,
        description="TOML of countries that texts may go to, beside and over the shipped ones",
    )
    twilio_discard_content: bool = Field(
        False,  # noqa: FBT003 - pydantic's way to write a default
        description="Ask Twilio to keep no text; an unanswered send then takes a day to settle",
    )
    twilio_obfuscate_addresses: bool = Field(
        False,  # noqa: FBT003
        description="Ask Twilio to keep no full numbers; an unanswered send then takes a day to settle",
    )

    fcm_credentials: SecretStr | None = Field(
        None,
        description="Google service account as JSON, best as _FILE; unset = nothing goes to Android",
    )
    fcm_base_url: str = Field(
        "https://fcm.googleapis.com",
        pattern="^https?://",
        description="Where Firebase's API is; another address only for tests",
    )
    apns_key: SecretStr | None = Field(
        None, description="Apple's .p8 key in PEM, best as _FILE; unset = nothing goes to iPhones"
    )
    apns_sender: str | None = Field(
        None,
        pattern=r"^[A-Z0-9]{10}/[A-Z0-9]{10}/[A-Za-z0-9.-]+$",
        description="Team id/key id/bundle id of the app, as Apple names them",
    )
    apns_base_url: str = Field(
        "https://api.push.apple.com",
        pattern="^https?://",
        description="Apple's server; https://api.sandbox.push.apple.com for development builds",
    )
    webpush_key: SecretStr | None = Field(
        None,
        description="VAPID private key, P-256 in PEM; unset = nothing goes to browsers",
    )
    webpush_subject: str | None = Field(
        None,
        pattern="^(mailto:|https://)",
        description="mailto: or https: address that push services may complain to",
    )
    webpush_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="More push services than the known ones, separated by commas: host, .domain or origin",
    )
    push_keep_seconds: int = Field(
        4 * 3600,
        ge=60,
        le=28 * 86_400,
        description="How long a push provider may keep a message at most; contact windows end it sooner",
    )

    ledger_url: str | None = Field(
        None,
        pattern="^https?://",
        description="Where outcomes are posted; unset = only pulled or in a file",
    )
    ledger_secret: SecretStr | None = Field(
        None, description="Signs what is posted, whsec_… as Standard Webhooks writes it"
    )
    ledger_file: Path | None = Field(
        None, description="File that outcomes are appended to, one JSON a line"
    )
    ledger_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="Patience with one post to the ledger"
    )

    lane_batch: int = Field(
        500, ge=1, le=5000, description="Notices one dispatch transaction takes up"
    )
    send_concurrency: int = Field(
        160, ge=1, le=1000, description="Messages one worker has under way at once"
    )
    worker_jobs: int = Field(4, ge=1, le=100, description="Lanes one worker serves at once")
    sweep_seconds: float = Field(
        1.0, ge=0.1, le=300, description="How often due work is looked for without a doorbell"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Log lines below this are dropped"
    )

    @field_validator("database_url", "redis_url", mode="before")
    @classmethod
    def _set(cls, value: object) -> object:
        """Empty is unset: orchestrators write variables that have no value so."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("api_keys", "webpush_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("api_keys")
    @classmethod
    def _named(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            parts = key.get_secret_value().split(":", 2)
            if len(parts) not in {2, 3} or not parts[0] or len(parts[1]) < 16:
                raise ValueError(
                    "each is name:secret or name:secret:scope+scope, secret of 16 characters or more"
                )
        return value

    @field_validator("master_key")
    @classmethod
    def _whole(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _key_bytes(value.get_secret_value())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, files the environment names, `duly.toml`."""
        named = InitSettingsSource(settings_cls, _secrets_in_files(_environment_names()))
        toml = InitSettingsSource(settings_cls, _secrets_in_files(_toml()))
        return init_settings, env_settings, named, toml


def load(**given: Any) -> Settings:
    """The settings of this process; raises `BadSettings`."""
    try:
        return Settings(**given)
    except ValidationError as problem:
        lines = [_explain(error["loc"], error["msg"]) for error in problem.errors()]
        raise BadSettings("\n".join(lines)) from None


def revealed(secret: SecretStr | None) -> str | None:
    """The value of a secret, for the one place that uses it."""
    return None if secret is None else secret.get_secret_value()


def _explain(place: tuple[int | str, ...], message: str) -> str:
    name = str(place[0]) if place else "?"
    field = Settings.model_fields.get(name)
    if field is None:
        return f"{name} in duly.toml is not a setting; `duly doctor --settings` lists them"
    said = message.removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {said} ({field.description})"


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """`DULY_*` variables that mean nothing: most are typing errors."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _environment_names() -> dict[str, Any]:
    names = {f"{PREFIX}{name.upper()}_FILE": f"{name}_file" for name in SECRETS}
    return {names[key]: value for key, value in os.environ.items() if key in names}


def _toml() -> dict[str, Any]:
    """`duly.toml` of this folder, or the file that DULY_CONFIG names."""
    named = os.environ.get("DULY_CONFIG")
    path = Path(named or "duly.toml")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as problem:
        if not named:
            return {}
        raise BadSettings(f"DULY_CONFIG names {path}: {problem.strerror}") from None
    except OSError as problem:
        raise BadSettings(f"cannot read {path.absolute()}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadSettings(f"{path} is not TOML: {problem}") from None


def _secrets_in_files(values: dict[str, Any]) -> dict[str, Any]:
    """Replace `x_file = path` by `x = content`; a value given itself wins."""
    found = dict(values)
    for name in SECRETS:
        path = found.pop(f"{name}_file", None)
        if path is not None and name not in found:
            found[name] = _read_secret(name, Path(path))
    return found


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise BadSettings(f"{PREFIX}{name.upper()}_FILE names {path}: {problem}") from None


def _key_bytes(text: str) -> bytes:
    """Hex or base64, standard or URL-safe; a wrong length is refused, never padded."""
    try:
        if len(text) == _KEY_BYTES * 2:
            return bytes.fromhex(text)
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError("not 32 bytes as hex or base64; make one with: openssl rand -hex 32")
    return key


def key_path(settings: Settings) -> Path:
    """Where the generated key of the embedded stores lies."""
    return settings.data_dir.expanduser() / "master.key"


def master_key(settings: Settings) -> bytes:
    """The master key; generated once beside embedded stores, never for a database of the user's own."""
    if settings.master_key is not None:
        return _key_bytes(settings.master_key.get_secret_value())
    if settings.database_url is not None:
        raise BadSettings(
            "DULY_MASTER_KEY is not set, and DULY_DATABASE_URL is: personal data in that database needs a "
            "key that you keep. Make one with `openssl rand -hex 32`, store it in your secret manager, and "
            "give it as DULY_MASTER_KEY or DULY_MASTER_KEY_FILE"
        )
    path = key_path(settings)
    return _read_key(path) if path.exists() else _make_key(path)


def _read_key(path: Path) -> bytes:
    try:
        return _key_bytes(path.read_text("ascii").strip())
    except (OSError, ValueError) as problem:
        raise BadSettings(f"{path}: {problem}") from None


def _make_key(path: Path) -> bytes:
    """Written whole under another name, then linked: of two processes at once, one makes the key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    making = path.with_name(f"master.key.{random_bytes(6).hex()}")
    making.touch(mode=0o600)
    making.write_text(random_bytes(_KEY_BYTES).hex() + "\n", "ascii")
    try:
        os.link(making, path)
    except FileExistsError:
        pass
    finally:
        making.unlink()
    return _read_key(path)

"""How this process is deployed: read once, from the environment and `.env`.

What a project judges by is not here: that is its policy, edited in the app.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import InvalidSettings

WEBHOOK = r"https://((ptb|canary)\.)?discord(app)?\.com/api(/v\d+)?/webhooks/\d{5,20}/[A-Za-z0-9_-]+"
LOCAL_WEBHOOK = r"http://127\.0\.0\.1:\d+/[A-Za-z0-9_/-]*"  # a stand-in on this machine, for tests and drills


class Settings(BaseSettings):
    """One attribute a variable; `env.example` says what each is for. Secrets never show in a repr."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    data_dir: Path = Field(Path("data"), alias="CONTINUAL_DATA_DIR")
    host: str = Field("127.0.0.1", alias="CONTINUAL_HOST")
    port: int = Field(8501, alias="CONTINUAL_PORT", ge=1, le=65535)
    public_url: str = Field("", alias="CONTINUAL_PUBLIC_URL", pattern=r"^(https?://\S+)?$")
    discord_webhook_url: SecretStr = Field(SecretStr(""), alias="DISCORD_WEBHOOK_URL")
    notify_ok: bool = Field(False, alias="CONTINUAL_NOTIFY_OK")
    check_interval_seconds: float = Field(30, alias="CHECK_INTERVAL_SECONDS", ge=1, le=86_400)
    task_retries: int = Field(2, alias="TASK_RETRIES", ge=0, le=20)
    retry_delay_seconds: float = Field(1, alias="RETRY_DELAY_SECONDS", ge=0, le=3_600)
    fit_seconds: float = Field(600, alias="CONTINUAL_FIT_SECONDS", ge=5, le=86_400)
    mlflow_tracking_uri: str = Field("", alias="MLFLOW_TRACKING_URI")
    admin_user: str = Field("admin", alias="CONTINUAL_ADMIN_USER", pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")
    admin_password: SecretStr = Field(SecretStr(""), alias="CONTINUAL_ADMIN_PASSWORD")
    guest: str = Field("", alias="CONTINUAL_GUEST", pattern=r"^(viewer)?$")
    unknown_email: str = Field("refuse", alias="CONTINUAL_UNKNOWN_EMAIL", pattern=r"^(refuse|viewer)$")
    upload_megabytes: int = Field(200, alias="CONTINUAL_UPLOAD_MEGABYTES", ge=1, le=2_000)
    share_reports: bool = Field(False, alias="CONTINUAL_SHARE_REPORTS")
    log_level: str = Field("INFO", alias="CONTINUAL_LOG_LEVEL", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    @field_validator("discord_webhook_url")
    @classmethod
    def _is_a_discord_webhook(cls, value: SecretStr) -> SecretStr:
        address = value.get_secret_value()
        if address and not re.fullmatch(f"({WEBHOOK})|({LOCAL_WEBHOOK})", address):
            raise ValueError("is not a Discord webhook address (https://discord.com/api/webhooks/<id>/<token>)")
        return value

    @field_validator("admin_password")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not 8 <= len(value.get_secret_value().encode()) <= 72:
            raise ValueError("must be 8 to 72 bytes long")
        return value

    @property
    def database_path(self) -> Path:
        return self.data_dir / "continual.duckdb"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def reports_dir(self) -> Path:
        return self.data_dir / "reports"

    @property
    def backups_dir(self) -> Path:
        return self.data_dir / "backups"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{(self.data_dir / 'mlflow.db').resolve()}"


SECRETS = {"DISCORD_WEBHOOK_URL", "CONTINUAL_ADMIN_PASSWORD"}


@dataclass(frozen=True)
class Setting:
    """One setting as it is in force, to be shown: of a secret it says only whether it is set."""

    name: str
    value: str
    changed: bool  # it is not what it would be without the environment and `.env`


def in_force(settings: Settings) -> list[Setting]:
    """All settings in their order. A password in an address is left out.

    >>> [s.value for s in in_force(Settings(_env_file=None, MLFLOW_TRACKING_URI="postgresql://ml:pw@db/ml"))
    ...  if s.name == "MLFLOW_TRACKING_URI"]
    ['postgresql://(hidden)@db/ml']
    """
    return [
        Setting(str(field.alias), _shown(getattr(settings, name)), getattr(settings, name) != field.default)
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(not set)"
    return re.sub(r"://[^/@\s]*@", "://(hidden)@", str(value))


def load(env_file: str | Path | None = ".env") -> Settings:
    """The settings of this process.

    Raises InvalidSettings with one sentence a bad value, naming the variable; a secret's value is not repeated.
    """
    try:
        return Settings(_env_file=env_file)  # type: ignore[call-arg]
    except ValidationError as error:
        raise InvalidSettings("; ".join(_sentence(fault) for fault in error.errors())) from None


def _sentence(fault: ErrorDetails) -> str:
    name = str(fault["loc"][0])
    value = "its value" if name in SECRETS else repr(fault["input"])
    return f"{name}: {value} cannot be used: {fault['msg'].removeprefix('Value error, ')}. Set it in the environment or .env"

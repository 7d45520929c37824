"""The whole schema: every section with its keys. What stands here makes config.toml and docs/settings.md."""

from collections.abc import Iterator
from typing import Any, ClassVar, get_args

from pydantic import PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server.settings.companions import AI, Disclosure, Moderation
from server.settings.sections import (
    Auth,
    Backplane,
    Connections,
    Conversations,
    Heartbeat,
    Limits,
    Log,
    RateLimit,
    Recovery,
    Section,
    Server,
    Session,
    Stats,
    Store,
    Typing,
)

DEFAULT_ORIGIN = "default"


class Settings(BaseSettings):
    """All that can be set. `Settings()` is the defaults; `load_settings` reads what users gave."""

    # Strict: a file's "80" is no port. The text of a variable is read as the type that its key has.
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        case_sensitive=True,
        env_prefix="CHAT_",
        env_nested_delimiter="__",
        env_nested_max_split=1,
    )

    server: Server = Server()
    heartbeat: Heartbeat = Heartbeat()
    limits: Limits = Limits()
    rate_limit: RateLimit = RateLimit()
    connections: Connections = Connections()
    session: Session = Session()
    recovery: Recovery = Recovery()
    conversations: Conversations = Conversations()
    typing: Typing = Typing()
    store: Store = Store()
    backplane: Backplane = Backplane()
    auth: Auth = Auth()
    ai: AI = AI()
    moderation: Moderation = Moderation()
    disclosure: Disclosure = Disclosure()
    stats: Stats = Stats()
    log: Log = Log()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` hands over: it asks the sources itself, to know the origins."""
        return (init_settings,)

    def origin_of(self, key: str) -> str:
        """Return where the value of a key such as `server.port` came from; `default` if nobody gave one."""
        return self._origins.get(key, DEFAULT_ORIGIN)

    def value_of(self, key: str) -> Any:
        """Return the value of a key such as `server.port`."""
        section, _, name = key.partition(".")
        return getattr(getattr(self, section), name)


SECTIONS: dict[str, type[Section]] = {name: type(getattr(Settings(), name)) for name in Settings.model_fields}


def keys() -> Iterator[str]:
    """Yield every key, as `section.key`, in the order of the schema."""
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            yield f"{section}.{name}"


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


SECRET_KEYS = frozenset(
    f"{section}.{name}"
    for section, model in SECTIONS.items()
    for name, field in model.model_fields.items()
    if _is_secret(field.annotation)
)

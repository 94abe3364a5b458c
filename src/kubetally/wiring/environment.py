"""The settings of the environment, checked as far as possible without the network."""

import os
from collections.abc import Mapping
from typing import Final

from kubetally.domain.errors import unusable_setting
from kubetally.settings import Settings
from kubetally.sources.access_settings import AccessSettings
from kubetally.store.reach import is_there

_STORED_ELSEWHERE: Final = frozenset(
    {
        "KUBETALLY_DATABASE_URL",
        "KUBETALLY_LAKE_URL",
        "KUBETALLY_LAKE_OPTIONS",
        "KUBETALLY_QUERY_SPILL",
        "KUBETALLY_KEEP_ANSWERS",
        "KUBETALLY_KEYS",
        "KUBETALLY_SECRET",
    }
)
"""Settings of what is not in the home folder; it is there where they are unset, or is not stored."""


def read_settings() -> Settings:
    """The settings of the environment. Raises RequestError."""
    return check_settings(Settings.read())


def check_settings(settings: Settings) -> Settings:
    """The same settings, once the home is a folder, and tokens and headers can be sent. Raises RequestError."""
    try:
        home = settings.home_folder
    except RuntimeError as error:
        raise unusable_setting("KUBETALLY_HOME", f"{settings.home!r} is of a user that does not exist") from error
    if os.path.lexists(home) and not (is_there(home) and home.is_dir()):
        raise unusable_setting("KUBETALLY_HOME", f"{str(home)!r} is not a folder")
    access_settings(settings).check()
    return settings


def environment_apart(home: str, *, collect_days: int, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment, but everything is stored in the folder `home`, and at most so many past days are collected."""
    apart = {name: text for name, text in environment.items() if name not in _STORED_ELSEWHERE}
    return apart | {"KUBETALLY_HOME": home, "KUBETALLY_COLLECT_DAYS": str(collect_days)}


def access_settings(settings: Settings) -> AccessSettings:
    """How the settings say that sources are reached."""
    return AccessSettings(
        token=settings.source_token,
        token_file=settings.source_token_file,
        user=settings.source_user,
        password=settings.source_password,
        headers=settings.source_headers,
        prometheus_token=settings.prometheus_token,
        prometheus_headers=settings.prometheus_headers,
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )

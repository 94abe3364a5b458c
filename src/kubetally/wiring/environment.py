"""The settings of the environment, checked as far as possible without the network."""

import os

from kubetally.settings import Settings, unusable_setting
from kubetally.sources.access import InvalidCredential, check_headers
from kubetally.sources.access_settings import parse_headers
from kubetally.store.reach import is_there


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
    for name, token, headers in (
        ("KUBETALLY_SOURCE_TOKEN", settings.source_token, None),
        ("KUBETALLY_SOURCE_HEADERS", None, settings.source_headers),
        ("KUBETALLY_PROMETHEUS_TOKEN", settings.prometheus_token, None),
        ("KUBETALLY_PROMETHEUS_HEADERS", None, settings.prometheus_headers),
    ):
        try:
            check_headers(parse_headers(name, headers), (token or "").strip())
        except InvalidCredential as error:
            raise unusable_setting(name, str(error)) from error
    return settings

"""The settings of the environment, checked as far as possible without the network."""

import os
from collections.abc import Callable, Mapping

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
    headers = ("KUBETALLY_SOURCE_HEADERS", "KUBETALLY_PROMETHEUS_HEADERS")
    checks: Mapping[str, Callable[[], object]] = {
        "KUBETALLY_SOURCE_TOKEN": lambda: check_headers({}, (settings.source_token or "").strip()),
        "KUBETALLY_PROMETHEUS_TOKEN": lambda: check_headers({}, (settings.prometheus_token or "").strip()),
        headers[0]: lambda: check_headers(parse_headers(headers[0], settings.source_headers), None),
        headers[1]: lambda: check_headers(parse_headers(headers[1], settings.prometheus_headers), None),
    }
    for name, check in checks.items():
        try:
            check()
        except InvalidCredential as error:
            raise unusable_setting(name, str(error)) from error
    return settings

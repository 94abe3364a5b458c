"""The settings of the environment, checked as far as possible without the network."""

import os
from collections.abc import Callable, Mapping

from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl
from kubetally.settings import Settings
from kubetally.sources.access import Access, InvalidCredential, check_headers
from kubetally.sources.access_settings import parse_headers
from kubetally.store.reach import is_there


def unusable_setting(name: str, why: str) -> RequestError:
    """A variable, or the option for it, has a value that can't be used; `why` shows no secret part of it."""
    return RequestError(f"{name} can't be used: {why}; correct or unset it", code="unusable_setting")


def read_settings() -> Settings:
    """The settings of the environment. Raises RequestError."""
    return check_settings(Settings.read())


def check_settings(settings: Settings) -> Settings:
    """The same settings, once the home is a folder and URLs, tokens and headers can be sent. Raises RequestError."""
    try:
        home = settings.home_folder
    except RuntimeError as error:
        raise unusable_setting("KUBETALLY_HOME", f"{settings.home!r} is of a user that does not exist") from error
    if os.path.lexists(home) and not (is_there(home) and home.is_dir()):
        raise unusable_setting("KUBETALLY_HOME", f"{str(home)!r} is not a folder")
    headers = ("KUBETALLY_SOURCE_HEADERS", "KUBETALLY_PROMETHEUS_HEADERS")
    checks: Mapping[str, Callable[[], object]] = {
        "KUBECOST_API_URL": lambda: settings.kubecost_api_url and Access.parse(settings.kubecost_api_url),
        "KUBETALLY_PROMETHEUS_URL": lambda: settings.prometheus_url and Access.parse(settings.prometheus_url),
        "KUBETALLY_SOURCE_TOKEN": lambda: check_headers({}, (settings.source_token or "").strip()),
        "KUBETALLY_PROMETHEUS_TOKEN": lambda: check_headers({}, (settings.prometheus_token or "").strip()),
        headers[0]: lambda: check_headers(parse_headers(headers[0], settings.source_headers), None),
        headers[1]: lambda: check_headers(parse_headers(headers[1], settings.prometheus_headers), None),
    }
    for name, check in checks.items():
        try:
            check()
        except InvalidSourceUrl as error:
            raise unusable_setting(name, f"the URL {error.url!r} {error.why}") from error
        except InvalidCredential as error:
            raise unusable_setting(name, str(error)) from error
    return settings

"""The settings of the environment, checked as far as can be without the network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from kubetally.domain.errors import RequestError
from kubetally.settings import Settings
from kubetally.sources.access import Access, InvalidCredential, InvalidSourceUrl
from kubetally.store.reach import is_there
from kubetally.wiring.access import checked_url, headers_of

_NOWHERE = "http://nowhere"


class UnusableSetting(RequestError):
    """A variable, or the option for it, holds what can't be used; `why` shows nothing of it that may be secret."""

    code = "unusable_setting"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"{name} can't be used: {why}; correct or unset it")


def read_settings() -> Settings:
    """The settings of the environment. Raises InvalidSetting, InvalidHeaders, UnusableSetting."""
    return checked(Settings.read())


def checked(settings: Settings) -> Settings:
    """The same settings, whose folder is one and whose URLs, tokens and headers can be sent.

    Raises: InvalidHeaders, UnusableSetting.
    """
    urls = {"KUBECOST_API_URL": settings.kubecost_api_url, "KUBETALLY_PROMETHEUS_URL": settings.prometheus_url}
    tokens = {
        "KUBETALLY_SOURCE_TOKEN": settings.source_token,
        "KUBETALLY_PROMETHEUS_TOKEN": settings.prometheus_token,
    }
    headers = {
        "KUBETALLY_SOURCE_HEADERS": settings.source_headers,
        "KUBETALLY_PROMETHEUS_HEADERS": settings.prometheus_headers,
    }
    try:
        home = settings.home_folder
    except RuntimeError as error:
        raise UnusableSetting("KUBETALLY_HOME", f"{settings.home!r} is of a user that is not there") from error
    if os.path.lexists(home) and not (is_there(home) and home.is_dir()):
        raise UnusableSetting("KUBETALLY_HOME", f"{str(home)!r} is no folder")
    for name, url in urls.items():
        with _named(name):
            checked_url(url or _NOWHERE)
    for name, token in tokens.items():
        with _named(name):
            Access.parse(_NOWHERE, token=token)
    for name, text in headers.items():
        with _named(name):
            Access.parse(_NOWHERE, headers=headers_of(name, text))
    return settings


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """What is wrong with a value, with the variable that holds it."""
    try:
        yield
    except InvalidSourceUrl as error:
        raise UnusableSetting(setting, f"the URL {error.url!r} {error.why}") from error
    except InvalidCredential as error:
        raise UnusableSetting(setting, str(error)) from error

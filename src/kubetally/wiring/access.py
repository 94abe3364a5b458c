"""How sources are reached: the credentials that the settings state."""

from pathlib import Path

from kubetally.domain.account import Credentials
from kubetally.domain.errors import RequestError
from kubetally.settings import Settings
from kubetally.sources.access import Access, InvalidSourceUrl

_NONE = Credentials()


class UnreadableToken(RequestError):
    """The file that should hold the token can't be read."""

    code = "unreadable_token"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"KUBETALLY_SOURCE_TOKEN_FILE {file!r} can't be read: {why}")


class InvalidHeaders(RequestError):
    """A setting of headers is not `Name: value`."""

    code = "invalid_headers"

    def __init__(self, setting: str) -> None:
        self.setting = setting
        super().__init__(f"{setting} should be `Name: value`, one a line or between semicolons: correct or unset it")


def access_of(url: str, settings: Settings, own: Credentials = _NONE) -> Access:
    """The URL with the account's own credentials, else with those of the settings.

    An account that has a log-in of its own never sends that of the settings; headers of both are sent.
    Raises: InvalidSourceUrl, InvalidCredential, UnreadableToken, InvalidHeaders.
    """
    has_own = bool(own.token or own.user or own.password)
    return Access.parse(
        url,
        token=own.token if has_own else _token(settings),
        user=own.user if has_own else settings.source_user,
        password=own.password if has_own else settings.source_password,
        headers=headers_of("KUBETALLY_SOURCE_HEADERS", settings.source_headers) | own.headers,
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )


def prometheus_access_of(url: str, settings: Settings, own: Credentials | None) -> Access:
    """A server of metrics with the account's own credentials for it; None is the server of the settings, with theirs.

    Raises: InvalidSourceUrl, InvalidCredential, InvalidHeaders.
    """
    if own is None:
        headers = headers_of("KUBETALLY_PROMETHEUS_HEADERS", settings.prometheus_headers)
        own = Credentials(token=settings.prometheus_token, headers=headers)
    return Access.parse(
        url.strip().rstrip("/").removesuffix("/api/v1"),  # as it stands in many a configuration
        token=own.token,
        user=own.user,
        password=own.password,
        headers=own.headers,
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )


def checked_url(url: str, what: str = "the source URL") -> str:
    """A source's address without credentials, before anything is asked. Raises InvalidSourceUrl, by the name `what`."""
    try:
        return Access.parse(url).url
    except InvalidSourceUrl as error:
        raise InvalidSourceUrl(url, error.why, what) from error


def shown_url(url: str) -> str:
    """A URL fit to be shown, whatever was typed: without user and password."""
    try:
        return Access.parse(url).masked_url
    except InvalidSourceUrl as error:
        return error.url


def _token(settings: Settings) -> str | None:
    if not settings.source_token_file:
        return settings.source_token
    try:
        return Path(settings.source_token_file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableToken(settings.source_token_file, error.strerror or "unreadable") from error
    except UnicodeDecodeError as error:
        raise UnreadableToken(settings.source_token_file, "it holds no text") from error


def headers_of(setting: str, text: str | None) -> dict[str, str]:
    """The headers of a setting, unchecked but for their form. Raises InvalidHeaders."""
    headers = {}
    for part in (text or "").replace("\n", ";").split(";"):
        if part.strip():
            name, colon, value = part.partition(":")
            if not colon or not name.strip():
                raise InvalidHeaders(setting)
            headers[name.strip()] = value.strip()
    return headers

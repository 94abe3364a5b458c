"""How sources are reached: URLs with the credentials of an account or of the settings."""

from dataclasses import replace

from kubetally.domain.account import Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings
from kubetally.sources.access import Access
from kubetally.sources.access_settings import parse_headers, read_token


def access_of(url: SourceUrl, settings: Settings, own: Credentials) -> Access:
    """The URL with the account's own credentials, else with those of the settings.

    An account with a token or user of its own never sends those of the settings; headers of both are sent.
    Raises: InvalidSourceUrl, InvalidCredential, RequestError.
    """
    headers = parse_headers("KUBETALLY_SOURCE_HEADERS", settings.source_headers) | own.headers
    if own.token or own.user or own.password:
        return _parse(url, settings, replace(own, headers=headers))
    token = read_token(settings.source_token_file) if settings.source_token_file else settings.source_token
    return _parse(url, settings, Credentials(token, settings.source_user, settings.source_password, headers))


def prometheus_access_of(url: SourceUrl, settings: Settings, own: Credentials | None) -> Access:
    """A Prometheus with the account's own credentials for it; None: that of the settings, with theirs.

    Raises: InvalidSourceUrl, InvalidCredential, RequestError.
    """
    if own is None:
        headers = parse_headers("KUBETALLY_PROMETHEUS_HEADERS", settings.prometheus_headers)
        own = Credentials(token=settings.prometheus_token, headers=headers)
    address = url.address.removesuffix("/api/v1").rstrip("/")  # many configurations end with it
    return _parse(replace(url, address=address), settings, own)


def _parse(url: SourceUrl, settings: Settings, credentials: Credentials) -> Access:
    return Access.parse(
        url,
        token=credentials.token,
        user=credentials.user,
        password=credentials.password,
        headers=credentials.headers,
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )

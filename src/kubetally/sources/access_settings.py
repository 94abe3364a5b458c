"""How the settings say that sources are reached: credentials and certificates, parsed and checked."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from kubetally.domain.account import Credentials
from kubetally.domain.errors import RequestError, unusable_setting
from kubetally.domain.source_url import SourceUrl
from kubetally.sources.access import Access, InvalidCredential, check_headers


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Credentials and certificates for sources without their own. No secret is in its repr.

    token_file: comes before `token`, and is read whenever a source is opened. headers, prometheus_headers: see
    `parse_headers`. The certificates are for sources and Prometheus alike.
    """

    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: str | None = field(default=None, repr=False)
    prometheus_token: str | None = field(default=None, repr=False)
    prometheus_headers: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def check(self) -> None:
        """Raises RequestError, for a token or header that can't be sent."""
        for setting, token, headers in (
            ("KUBETALLY_SOURCE_TOKEN", self.token, None),
            ("KUBETALLY_SOURCE_HEADERS", None, self.headers),
            ("KUBETALLY_PROMETHEUS_TOKEN", self.prometheus_token, None),
            ("KUBETALLY_PROMETHEUS_HEADERS", None, self.prometheus_headers),
        ):
            try:
                check_headers(parse_headers(setting, headers), (token or "").strip())
            except InvalidCredential as error:
                raise unusable_setting(setting, str(error)) from error

    def for_source(self, url: SourceUrl, own: Credentials) -> Access:
        """The URL with the account's own credentials, else with those of the settings.

        An account with a token or user of its own never sends those of the settings; headers of both are sent.
        Raises: InvalidSourceUrl, InvalidCredential, RequestError.
        """
        headers = parse_headers("KUBETALLY_SOURCE_HEADERS", self.headers) | own.headers
        if own.token or own.user or own.password:
            return self._parse(url, replace(own, headers=headers))
        token = read_token(self.token_file) if self.token_file else self.token
        return self._parse(url, Credentials(token, self.user, self.password, headers))

    def for_prometheus(self, url: SourceUrl, own: Credentials | None) -> Access:
        """A Prometheus with the account's own credentials for it; None: that of the settings, with theirs.

        Raises: InvalidSourceUrl, InvalidCredential, RequestError.
        """
        if own is None:
            headers = parse_headers("KUBETALLY_PROMETHEUS_HEADERS", self.prometheus_headers)
            own = Credentials(token=self.prometheus_token, headers=headers)
        address = url.address.removesuffix("/api/v1").rstrip("/")  # many configurations end with it
        return self._parse(replace(url, address=address), own)

    def _parse(self, url: SourceUrl, credentials: Credentials) -> Access:
        return Access.parse(
            url,
            token=credentials.token,
            user=credentials.user,
            password=credentials.password,
            headers=credentials.headers,
            ca_file=self.ca_file,
            client_cert=self.client_cert,
            client_key=self.client_key,
        )


def parse_headers(setting: str, text: str | None) -> dict[str, str]:
    """The headers of a setting, `Name: value` between semicolons or lines. Raises RequestError."""
    headers = {}
    for part in (text or "").replace("\n", ";").split(";"):
        if part.strip():
            name, colon, value = part.partition(":")
            if not colon or not name.strip():
                raise RequestError(
                    f"{setting} should be `Name: value`, one a line or between semicolons: correct or unset it",
                    code="invalid_headers",
                )
            headers[name.strip()] = value.strip()
    return headers


def read_token(file: str) -> str:
    """The token in the file of KUBETALLY_SOURCE_TOKEN_FILE. Raises RequestError."""
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        why, cause = error.strerror or "unreadable", error
    except UnicodeDecodeError:
        why, cause = "it is not text", None
    raise RequestError(f"KUBETALLY_SOURCE_TOKEN_FILE {file!r} can't be read: {why}", code="unreadable_token") from cause

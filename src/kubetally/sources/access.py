"""How a source is reached: its URL, and the credentials that go with it."""

import base64
import functools
import re
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.masking import Mask
from kubetally.sources.faults import printable

# The framing of messages is httpx's; an encoding other than gzip is one that `transport` does not read.
_OURS = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})

_BASIC_HEADERS = frozenset({"authorization", "proxy-authorization"})
_SHORTEST_KEY_LINE = 16


class InvalidCredential(RequestError):
    """A credential can't be sent as it is. The message names it and never shows its value."""

    code = "invalid_credential"

    def __init__(self, what: str, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"{what} {why}")


class UnusableCertificateFile(RequestError):
    """A file of certificates or keys that can't be read or loaded."""

    code = "unusable_certificate_file"

    def __init__(self, setting: str, file: Path, why: str) -> None:
        self.setting, self.file, self.why = setting, file, why
        super().__init__(f"the {setting} {str(file)!r} can't be used: {why}; give a readable file in PEM form")


@dataclass(frozen=True, slots=True)
class Access:
    """A source's base URL and the credentials for it; made by `parse`. No secret is in its repr.

    A user and password in the URL come before `token`, as the most specific; `token` comes before `user`. An
    Authorization among `headers` comes before all.

    ca_text, client_pem: in place of the files, PEM as text; `client_pem` is certificate and key together.
    server_name:         the name in the certificate, if it is not the host of the URL.
    verify:              False only if a kubeconfig has `insecure-skip-tls-verify`.
    impersonation:       headers by which the user of a kubeconfig acts as another; a name may repeat.
    """

    url: SourceUrl
    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    ca_text: str | None = field(default=None, repr=False)
    client_pem: str | None = field(default=None, repr=False)
    server_name: str | None = None
    verify: bool = True
    impersonation: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls,
        url: SourceUrl | str,
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: str | Path | None = None,
        client_cert: str | Path | None = None,
        client_key: str | Path | None = None,
    ) -> Self:
        """A URL with credentials, those in the URL first. Checks everything that needs no network.

        Raises: InvalidSourceUrl, InvalidCredential.
        """
        url = SourceUrl.of(url)
        url.check()
        if url.has_login:
            token, user, password = None, url.user, url.password
        # A token that is read from a mounted file nearly always ends with a line break.
        token = (token or "").strip() or None
        check_headers(headers or {}, token)
        if client_key is not None and client_cert is None:
            raise InvalidCredential("the client key", "has no certificate: give the client certificate too")
        return cls(
            url=url,
            token=token,
            user=user or None,
            password=password,
            headers=dict(headers or {}),
            ca_file=_path(ca_file),
            client_cert=_path(client_cert),
            client_key=_path(client_key),
        )

    def request_headers(self) -> dict[str, str]:
        """The headers with the credentials: secret."""
        sent = {name.lower(): value for name, value in self.headers.items()}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        elif self.user is not None or self.password is not None:
            pair = f"{self.user or ''}:{self.password or ''}".encode()
            sent.setdefault("authorization", f"Basic {base64.b64encode(pair).decode('ascii')}")
        return sent

    def mask(self) -> Mask:
        """Masks our credentials in text of a source, as they are and as they are sent."""
        secrets, users = [self.token, self.password], [self.user]
        for name, value in self.request_headers().items():
            scheme, _, rest = value.partition(" ")
            secrets += [value, rest.strip()]  # as in `Bearer TOKEN`
            if name in _BASIC_HEADERS and scheme.lower() == "basic":
                user, password = _user_and_password(rest)
                users.append(user)
                secrets.append(password or user)  # some take a token as user
            if name == "cookie":
                secrets += [part.partition("=")[2].strip() for part in value.split(";")]
        # A certificate is public; its key is never sent, but a program on this machine may have it.
        secrets += _private_lines(self.client_pem or "")
        return Mask(filter(None, secrets), names=filter(None, users))

    def ssl_context(self) -> ssl.SSLContext:
        """Verifies the source: with `ca_file` alone if there is one, else with the public roots.

        Raises: UnusableCertificateFile.
        """
        if self.verify and not (self.ca_file or self.ca_text or self.client_cert or self.client_pem):
            return _public_roots()
        context = self._roots()
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            # Without a password, OpenSSL would ask the terminal for that of an encrypted key and wait.
            if self.client_cert is not None:
                context.load_cert_chain(self.client_cert, self.client_key, password="")
            elif self.client_pem is not None:
                # OpenSSL loads a key from a file only: this one has mode 0600 and is deleted at once.
                with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                    file.write(self.client_pem)
                    file.flush()
                    context.load_cert_chain(file.name, password="")
        except OSError as error:
            raise UnusableCertificateFile("client certificate", self.client_cert or Path(), _why(error)) from error
        return context

    def _roots(self) -> ssl.SSLContext:
        if not (self.ca_file or self.ca_text):
            return _new_public_roots()
        try:
            return ssl.create_default_context(cafile=self.ca_file, cadata=self.ca_text)
        except OSError as error:  # ssl.SSLError is one of them
            raise UnusableCertificateFile("CA file", self.ca_file or Path(), _why(error)) from error


@functools.cache
def _public_roots() -> ssl.SSLContext:
    # Loading the roots takes 10 to 20 ms, and most sources share them.
    return _new_public_roots()


def _new_public_roots() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)


def check_headers(headers: Mapping[str, str], token: str | None) -> None:
    """Raise InvalidCredential for what can't be sent, before h11 would with a message that quotes it."""
    if token is not None and not (token.isascii() and token.isprintable()):
        raise InvalidCredential("the token", "holds characters that a header can't carry: give it as one ASCII line")
    for name, value in headers.items():
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is None or name.lower() in _OURS:
            raise InvalidCredential(f"the header {printable(name, 40)!r}", "can't be set: leave it out")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise InvalidCredential(f"the header {name!r}", "has a value that is not one printable ASCII line")


def _user_and_password(coded: str) -> tuple[str | None, str | None]:
    """User and password of `Basic CODED`; None for both if it can't be read."""
    try:
        user, _, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
    except ValueError:  # binascii.Error and UnicodeDecodeError are of these
        return None, None
    return user, password


def _private_lines(pem: str) -> list[str]:
    """The lines of base64 in private keys, which may be quoted one by one."""
    keys = re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", pem, re.DOTALL)
    return [line.strip() for key in keys for line in key.splitlines() if len(line.strip()) >= _SHORTEST_KEY_LINE]


def _path(file: str | Path | None) -> Path | None:
    return Path(file) if file else None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a certificate").lower().replace("_", " ")
    return error.strerror or type(error).__name__

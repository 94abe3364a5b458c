"""The URL of a cost source or a Prometheus, parsed once; its user and password stand apart and in no text of it."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from kubetally.domain.errors import RequestError

MAX_LENGTH = 2048
_EXAMPLE = "http://host.example:9090"
_SPELLING = f"write {_EXAMPLE}, and in a password %40 for @, %2F for /, %3A for :, %3F for ?, %23 for #"
_MASK = "***"
_MAX_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IN_PATH = "!$%&'()*+,-./:;=@[]^_|~"  # what a path may hold as it is, beside letters and digits
_DEVIATIONS = frozenset("ßς\u200c\u200d")  # the old and the new encoding of names lead these to different hosts
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_NAME_OR_IPV4, _IPV6 = re.compile(r"[a-z0-9._-]+"), re.compile(r"[0-9A-Fa-f:.]+")


class InvalidSourceUrl(RequestError):
    """The URL of a source can't be used; `url` is masked."""

    code = "invalid_source_url"

    def __init__(self, url: str, why: str, what: str = "the source URL") -> None:
        self.url, self.why = _shown(url), why
        super().__init__(f"{what} {self.url!r} {why}")


@dataclass(frozen=True, slots=True, repr=False)
class SourceUrl:
    """The base URL of a source; made by `parse`. `str` and `repr` show neither user nor password.

    address:   without them and without a slash at its end, the same however it was written; a path is kept.
    has_login: whether it came with a user or password.
    fault:     why a stored text is no URL; `address` is that text then, masked.
    """

    address: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    has_login: bool = False
    fault: str | None = None

    def __str__(self) -> str:
        """As it may be shown: `http://***@host:9003` if it came with a user or password."""
        return self.address.replace("://", f"://{_MASK}@", 1) if self.has_login else self.address

    def __repr__(self) -> str:
        return f"SourceUrl({str(self)!r})"

    @classmethod
    def parse(cls, text: str, what: str = "the source URL") -> Self:
        """Check everything that can be checked without the network. Raises InvalidSourceUrl, which calls it `what`."""
        text = text.strip()
        try:
            return cls._of(text)
        except _Unusable as error:
            raise InvalidSourceUrl(text, str(error), what) from None
        except UnicodeError:  # of its path
            raise InvalidSourceUrl(text, f"can't be read; {_SPELLING}", what) from None

    @classmethod
    def of(cls, url: "SourceUrl | str") -> "SourceUrl":
        """A URL as it is, or parsed. Raises InvalidSourceUrl."""
        return cls.parse(url) if isinstance(url, str) else url

    @classmethod
    def of_stored(cls, text: str) -> Self:
        """The URL of a stored text, which somebody may have written by hand: what is wrong is its `fault`."""
        try:
            return cls.parse(text)
        except InvalidSourceUrl as error:
            return cls(error.url, fault=error.why)

    def check(self) -> None:
        """Raises InvalidSourceUrl, if it has a fault."""
        if self.fault is not None:
            raise InvalidSourceUrl(self.address, self.fault)

    @property
    def with_login(self) -> str:
        """The URL with its user and password, to be stored: secret."""
        if not self.has_login:
            return self.address
        login = ":".join(quote(part, safe="") for part in (self.user or "", self.password or ""))
        return self.address.replace("://", f"://{login}@", 1)

    @property
    def parts(self) -> SplitResult:
        """Scheme, host name, port and path of the address; empty, if it has a fault."""
        return urlsplit("" if self.fault else self.address)

    @classmethod
    def _of(cls, text: str) -> Self:
        """The URL of a text without blanks around it. Raises _Unusable."""
        scheme, authority, path, is_base = _split(text)
        userinfo, _, place = authority.rpartition("@")
        host, port = _host_and_port(place)
        if "@" in path or not is_base:
            raise _Unusable(f"has a query, a fragment or an @ in its path: end it with the path; {_SPELLING}")
        if not (_NAME_OR_IPV4.fullmatch(host) or _IPV6.fullmatch(host)):
            raise _Unusable(f"has no valid host: write something like {_EXAMPLE}")
        if port is not None and not 1 <= port <= _MAX_PORT:
            raise _Unusable("has an invalid port: write one from 1 to 65535")
        host = f"[{host}]" if ":" in host else host
        shown_port = "" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}"
        address = f"{scheme}://{host}{shown_port}{_normalized(path)}".rstrip("/")
        user, _, password = userinfo.partition(":")
        return cls(address, unquote(user) or None, unquote(password) or None, bool(userinfo))


class _Unusable(Exception):
    """Why a text is no URL of a source, as the end of a sentence that begins with it."""


def _split(text: str) -> tuple[str, str, str, bool]:
    """Scheme, authority and path, and whether that is all. Raises _Unusable."""
    if not text:
        raise _Unusable(f"is empty: write something like {_EXAMPLE}")
    if len(text) > MAX_LENGTH:
        raise _Unusable(f"is longer than {MAX_LENGTH} characters: give the base URL of the source only")
    match = re.match(r"(?i)(https?)://([^/?#]*)([^?#]*)", text)
    if match is None:
        raise _Unusable(f"must begin with http:// or https://, like {_EXAMPLE}")
    if re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise _Unusable("has a space, a line break or a backslash in it: take it out")
    return match[1].lower(), match[2], match[3], match.end() == len(text)


def _host_and_port(place: str) -> tuple[str, int | None]:
    """The host, encoded and without brackets, and the port if one is named. Raises _Unusable, which quotes neither."""
    match = re.fullmatch(r"(\[.*\]|[^:]*)(?::([0-9]*))?", place)
    if match is None:
        raise _Unusable(f"can't be read; {_SPELLING}")
    try:
        return _encoded(match[1]), int(match[2]) if match[2] else None
    except ValueError:  # UnicodeError is one
        raise _Unusable(f"can't be read; {_SPELLING}") from None


def _encoded(host: str) -> str:
    """A host as it is sent, without brackets. Raises ValueError."""
    if host.startswith("["):
        IPv6Address(host[1:-1])
        return host[1:-1]
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host):
        IPv4Address(host)
    host = host.lower()
    if _DEVIATIONS & set(host):
        raise ValueError
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _normalized(path: str) -> str:
    """A path without dots as segments, percent-encoded where it has to be. Raises ValueError."""
    segments = list[str]()
    for segment in path.split("/"):
        if segment == ".." and segments not in ([], [""]):
            segments.pop()
        elif segment not in {".", ".."}:
            segments.append(segment)
    return quote("/".join(segments), safe=_IN_PATH)


def without_password(url: str) -> str:
    """The text of a URL without a possible password: before an `@`, or in place of the port."""
    head, slashes, rest = url.strip().partition("://") if "://" in url else ("", "", url.strip())
    if head and not _SCHEME.fullmatch(head):  # credentials before the scheme, or no scheme at all
        _, at_sign, scheme = head.rpartition("@")
        head = f"{_MASK}@{scheme}" if at_sign and _SCHEME.fullmatch(scheme) else _MASK
    if (inner := _SCHEME.match(rest)) and rest[inner.end() :].startswith("://"):  # a scheme that was typed twice
        return f"{head}{slashes}{without_password(rest)}"
    authority, mark, path = rest, "", ""
    if match := re.search(r"[/?#]", rest.rpartition("@")[2]):
        at = len(rest) - len(rest.rpartition("@")[2]) + match.start()
        authority, mark, path = rest[:at], rest[at], rest[at + 1 :]
    _, at_sign, host = authority.rpartition("@")
    name = re.match(r"\[[^\]]*\]|[^:]*", host)
    shown = name[0] if name else ""
    port = host[len(shown) :]
    if port and not (re.fullmatch(r":[0-9]{0,5}", port) and int(port[1:] or 0) <= _MAX_PORT):
        port = f":{_MASK}"
    userinfo = f"{_MASK}@" if at_sign else ""
    return f"{head}{slashes}{userinfo}{shown}{port}{mark}{path}"


def _shown(text: str) -> str:
    """`text` on one line without what may be a password or key in it, whether or not it is a URL."""
    masked = re.sub(r"[?#].*", f"?{_MASK}", without_password(text), flags=re.DOTALL)  # a query may hold a key
    return " ".join("".join(letter if letter.isprintable() else " " for letter in masked).split())[:200]

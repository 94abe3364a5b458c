"""What settings and options say of access to sources: URLs, headers and tokens, parsed and checked."""

from pathlib import Path

from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl


def check_url(url: str, what: str = "the source URL") -> str:
    """A source's address without credentials. Raises InvalidSourceUrl, which calls it `what`."""
    return SourceUrl.parse(url, what).address


def mask_url(url: str) -> str:
    """Any URL, valid or not, without user and password."""
    try:
        return str(SourceUrl.parse(url))
    except InvalidSourceUrl as error:
        return error.url


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

"""Headers and tokens of settings, parsed and checked."""

from pathlib import Path

from kubetally.domain.errors import RequestError


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

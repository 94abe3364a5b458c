"""The secret of the service: that of KUBETALLY_SECRET, else of the file HOME/secret."""

import secrets
from pathlib import Path

from kubetally.domain.errors import RequestError, unusable_setting
from kubetally.domain.service_secret import MIN_SECRET_LENGTH, ServiceSecret, is_weak
from kubetally.store.meta.private_file import UnusableFile, read_or_make
from kubetally.store.reach import is_there

_SECRET_BYTES = 32
_TOO_SHORT = f"fewer than {MIN_SECRET_LENGTH} characters"


def open_secret(stated: str | None, home: Path) -> ServiceSecret:
    """The secret `stated` by KUBETALLY_SECRET, else that of the file, which is made if missing.

    Raises: RequestError, for a weak secret; UnusableFile, also when others than its owner may read it.
    """
    if stated:
        if is_weak(stated):
            why = f"it has {_TOO_SHORT}; `openssl rand -base64 32` prints a strong one"
            raise unusable_setting("KUBETALLY_SECRET", why)
        return ServiceSecret(stated, None)
    file = home / "secret"
    text = read_or_make(file, lambda: secrets.token_urlsafe(_SECRET_BYTES)).strip()
    if is_weak(text):
        problem = f"its secret has {_TOO_SHORT}" if text else "it is empty"
        raise UnusableFile(str(file), f"{problem}: remove the file, and a strong one is made")
    return ServiceSecret(text, str(file))


def running_secret(stated: str | None, home: Path) -> ServiceSecret:
    """As `open_secret`, but none is made: a new one would not be that of the running service."""
    file = home / "secret"
    if not stated and not is_there(file):
        raise RequestError(
            f"there is no secret at {file}: start `kubetally serve` first, with the same KUBETALLY_HOME",
            code="no_secret",
        )
    return open_secret(stated, home)

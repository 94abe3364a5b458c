"""The secret of the service, and links that sign a browser in."""

import secrets
from dataclasses import dataclass, field

from kubetally.domain.errors import RequestError, unusable_setting
from kubetally.settings import Settings
from kubetally.store.meta.private_file import UnusableFile, read_or_make
from kubetally.store.reach import is_there
from kubetally.web.secret import MIN_SECRET_LENGTH, is_weak
from kubetally.web.sign_in import sign_in_link
from kubetally.wiring.clock import SystemClock

_SECRET_BYTES = 32
_TOO_SHORT = f"fewer than {MIN_SECRET_LENGTH} characters"


@dataclass(frozen=True, slots=True)
class SecretInUse:
    """The secret that callers have to send; `file` is where it is stored, None if it is from the environment."""

    text: str = field(repr=False)
    file: str | None


def secret_of(settings: Settings) -> SecretInUse:
    """The secret of the settings, else of the file in the home folder, which is made if missing.

    Raises: RequestError, for a weak secret; UnusableFile, also when others than its owner may read it.
    """
    if settings.secret:
        if is_weak(settings.secret):
            why = f"it has {_TOO_SHORT}; `openssl rand -base64 32` prints a strong one"
            raise unusable_setting("KUBETALLY_SECRET", why)
        return SecretInUse(settings.secret, None)
    file = settings.home_folder / "secret"
    text = read_or_make(file, lambda: secrets.token_urlsafe(_SECRET_BYTES)).strip()
    if is_weak(text):
        problem = f"its secret has {_TOO_SHORT}" if text else "it is empty"
        raise UnusableFile(str(file), f"{problem}: remove the file, and a strong one is made")
    return SecretInUse(text, str(file))


def new_link(settings: Settings, url: str) -> str:
    """A link that signs a browser in at the service at `url`, once. Raises RequestError, UnusableFile."""
    file = settings.home_folder / "secret"
    if not settings.secret and not is_there(file):  # a new one would not be that of the running service
        raise RequestError(
            f"there is no secret at {file}: start `kubetally serve` first, with the same KUBETALLY_HOME",
            code="no_secret",
        )
    return link_of(url, secret_of(settings))


def link_of(url: str, secret: SecretInUse) -> str:
    """A new link to the page of the service at `url`."""
    return sign_in_link(url, secret=secret.text, now=SystemClock().now())

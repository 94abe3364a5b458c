"""The secret of the service, and the links that are signed with it."""

import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kubetally.domain.errors import RequestError
from kubetally.settings import Settings
from kubetally.store.meta.private_file import UnusableFile, read_or_make
from kubetally.store.reach import is_there
from kubetally.web.secret import MIN_SECRET_LENGTH, is_weak
from kubetally.web.sign_in import SIGN_IN, LinkSigner
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.environment import UnusableSetting

SECRET_VARIABLE = "KUBETALLY_SECRET"  # noqa: S105
_SECRET_BYTES = 32
_HOW_TO_MAKE = "`openssl rand -base64 32` prints a strong one"


@dataclass(frozen=True, slots=True)
class SecretInUse:
    """The secret that callers have to send; `file` is where it is kept, None where the environment has it."""

    text: str = field(repr=False)
    file: str | None


def secret_of(settings: Settings) -> SecretInUse:
    """The secret of the settings, else of the file in the home folder, which is made if missing.

    Raises: UnusableSetting, for a weak secret; UnusableFile, also when others than its owner may read it.
    """
    if settings.secret:
        if is_weak(settings.secret):
            raise UnusableSetting(SECRET_VARIABLE, f"it has fewer than {MIN_SECRET_LENGTH} characters; {_HOW_TO_MAKE}")
        return SecretInUse(settings.secret, None)
    file = settings.home_folder / "secret"
    text = read_or_make(file, lambda: secrets.token_urlsafe(_SECRET_BYTES)).strip()
    if not text:
        raise UnusableFile(str(file), "it is empty: remove it, and one is made")
    if is_weak(text):
        why = f"its secret has fewer than {MIN_SECRET_LENGTH} characters: remove the file, and a strong one is made"
        raise UnusableFile(str(file), why)
    return SecretInUse(text, str(file))


class InvalidServiceUrl(RequestError):
    """The address of the service is no URL."""

    code = "invalid_service_url"

    def __init__(self) -> None:
        super().__init__("--url should be where browsers reach the service, such as https://kubetally.example")


class NoSecret(RequestError):
    """No service has a secret here yet."""

    code = "no_secret"

    def __init__(self, file: str) -> None:
        self.file = file
        super().__init__(f"there is no secret at {file}: start `kubetally serve` first, with the same KUBETALLY_HOME")


def new_link(settings: Settings, url: str) -> str:
    """A link that signs a browser in at the service at `url`, once.

    Raises: NoSecret, InvalidServiceUrl; UnusableSetting, UnusableFile, as `secret_of`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
        raise InvalidServiceUrl
    file = settings.home_folder / "secret"
    if not settings.secret and not is_there(file):  # one that is made now is of no running service
        raise NoSecret(str(file))
    return link_of(url, secret_of(settings))


def link_of(url: str, secret: SecretInUse) -> str:
    """A new link to the page of the service at `url`."""
    return f"{url.rstrip('/')}{SIGN_IN}?token={LinkSigner(secret.text).token(SystemClock().now())}"

"""The keys that credentials are encrypted with, where they are kept."""

import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from kubetally.domain.errors import StoreError

VARIABLE = "KUBETALLY_KEYS"


class UnusableKeys(StoreError):
    """The keys can't be read, are none, or others may read them; none is shown."""

    code = "unusable_keys"

    def __init__(self, origin: str, why: str) -> None:
        self.origin, self.why = origin, why
        super().__init__(f"the encryption keys in {origin} can't be used: {why}")


class WrongKey(StoreError):
    """Credentials that none of the keys decrypts, or that were put there for another account."""

    code = "wrong_key"

    def __init__(self, account: str, origin: str) -> None:
        self.account, self.origin = account, origin
        super().__init__(
            f"the credentials of account {account!r} can't be decrypted with the keys in {origin}: put back the key"
            f" they were encrypted with, after the present one ({VARIABLE}, or a further line of the file); if it is"
            " lost, remove the account and add it again"
        )


class KeyRing:
    """Keys to encrypt and decrypt with; the first encrypts, all decrypt. None is in its repr.

    To rotate: put a new key (`new_key`) before the others, `SqlAccounts.rotate()`, take the others away.
    """

    def __init__(self, keys: Sequence[str], origin: str) -> None:
        """`keys` as Fernet makes them, `origin` says in messages where they are. Raises UnusableKeys."""
        self.origin = origin
        if not keys:
            raise UnusableKeys(origin, "there is none: remove the file or unset the variable, and one is generated")
        rings = []
        for number, key in enumerate(keys, 1):
            try:
                rings.append(Fernet(key))
            except ValueError:
                # Not `from` it: what was meant to be a key stays out of any traceback.
                raise UnusableKeys(
                    origin,
                    f"number {number} is not 32 bytes in base64 as `openssl rand -base64 32 | tr +/ -_` prints",
                ) from None
        self._ring = MultiFernet(rings)

    def __repr__(self) -> str:
        return f"KeyRing(origin={self.origin!r})"

    @classmethod
    def open(cls, keys: str | None, home: Path) -> Self:
        """The keys of `keys`, the text of KUBETALLY_KEYS; else those of the file HOME/keys, which is made if missing.

        Raises: UnusableKeys, also when others than its owner may read the file.
        """
        if keys and keys.strip():
            return cls(_split(keys), VARIABLE)
        file = home / "keys"
        try:
            if not file.exists():
                _generate(file)
            text = _read_private(file)
        except OSError as error:
            why = error.strerror or "unreadable"
            raise UnusableKeys(str(file), f"{why}; make it readable, or set {VARIABLE}") from error
        except UnicodeDecodeError:
            raise UnusableKeys(str(file), "it holds no text; put back the file that was there") from None
        return cls(_split(text), str(file))

    @staticmethod
    def new_key() -> str:
        """A fresh key."""
        return Fernet.generate_key().decode("ascii")

    def encrypt(self, text: str) -> str:
        """`text` encrypted with the first key, as ASCII."""
        return self._ring.encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted: str, account: str) -> str:
        """What `encrypt` was given; `account` is named in the error. Raises WrongKey."""
        try:
            return self._ring.decrypt(encrypted).decode()
        except (InvalidToken, ValueError):
            raise WrongKey(account, self.origin) from None


def _split(text: str) -> list[str]:
    return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]


def _generate(file: Path) -> None:
    """Put a new key there whole, or leave the one that another process put there meanwhile."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(KeyRing.new_key() + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _read_private(file: Path) -> str:
    with file.open(encoding="utf-8") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise UnusableKeys(str(file), f"others may read them (mode {stat.S_IMODE(mode):04o}); chmod 600 the file")
        return opened.read()

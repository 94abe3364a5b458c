"""The keys that encrypt credentials, and where they are stored."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.accounts import SET_AGAIN, locked_words
from kubetally.store.meta.private_file import UnusableFile, read_or_make, replace_private
from kubetally.store.reach import is_there

VARIABLE = "KUBETALLY_KEYS"


class UnusableKeys(StoreError):
    """The keys can't be read, are invalid, or other users can read them; none is shown."""

    code = "unusable_keys"

    def __init__(self, origin: str, why: str) -> None:
        self.origin, self.why = origin, why
        super().__init__(f"the encryption keys in {origin} can't be used: {why}")


class NoKeys(UnusableKeys):
    """There is no key. accounts: those with credentials that were encrypted, if known."""

    code = "no_keys"

    def __init__(self, origin: str, accounts: Sequence[str] = ()) -> None:
        self.accounts = tuple(accounts)
        whose = (
            f"the credentials of {', '.join(map(repr, accounts))}" if accounts else "credentials that were encrypted"
        )
        super().__init__(
            origin,
            f"there are none, and {whose} can't be decrypted. Restore the keys from their backup. If they are lost, "
            f"create a new key ({_new_key_command(origin)}), and set the credentials again: {SET_AGAIN}",
        )


def _new_key_command(origin: str) -> str:
    """The command that creates a new key."""
    if origin == VARIABLE:
        return "`openssl rand -base64 32 | tr +/ -_`"
    return f"`(umask 077; openssl rand -base64 32 | tr +/ -_ > {shlex.quote(origin)})`"


class WrongKey(StoreError):
    """Credentials that none of the keys decrypts, or that are of another account."""

    code = "wrong_key"

    def __init__(self, account: str, *, origin: str) -> None:
        self.account, self.origin = account, origin
        super().__init__(locked_words(account, origin=origin))


class KeyRing:
    """Keys to encrypt and decrypt with; the first encrypts, all decrypt. None is in its repr.

    To rotate: add a new key before the others (`put_before`), call `SqlAccounts.rotate()`, and remove the others once
    no running process has only them.
    """

    def __init__(self, keys: Sequence[str], origin: str, file: Path | None = None) -> None:
        """`keys` as Fernet makes them, `origin` says in messages where they are. Raises UnusableKeys.

        file: their file, read again when none of them decrypts.
        """
        self.origin, self._file, self._keys = origin, file, tuple(keys)
        if not keys:
            raise NoKeys(origin)
        rings = []
        for number, key in enumerate(keys, 1):
            try:
                rings.append(Fernet(key))
            except ValueError:
                # Not `from` it: what was meant to be a key stays out of any traceback.
                raise UnusableKeys(
                    origin,
                    f"number {number} is not 32 bytes in base64 as `openssl rand -base64 32 | tr +/ -_` prints; put "
                    "the keys back from their backup",
                ) from None
        self._ring = MultiFernet(rings)

    def __repr__(self) -> str:
        return f"KeyRing(origin={self.origin!r})"

    @classmethod
    def open(cls, keys: str | None, home: Path, encrypted: Callable[[], Sequence[str]] = lambda: ()) -> Self:
        """The keys of `keys`, the text of KUBETALLY_KEYS; else those of the file HOME/keys, created if missing.

        encrypted: returns the accounts with encrypted credentials; if there are any, no new file is created.
        Raises: UnusableKeys, also when others than its owner may read the file; NoKeys.
        """
        if keys and keys.strip():
            return cls(_split(keys), VARIABLE)
        file = home / "keys"
        if not is_there(file) and (accounts := encrypted()):
            raise NoKeys(str(file), accounts)
        try:
            return cls(_split(read_or_make(file, cls.new_key)), str(file), file)
        except UnusableFile as error:
            raise UnusableKeys(str(file), f"{error.why}, or set {VARIABLE}") from error

    @classmethod
    def put_before(cls, home: Path) -> Self:
        """Add a new key before those of the file HOME/keys; returns all of them.

        Raises: UnusableKeys.
        """
        file = home / "keys"
        cls.open(None, home)  # created if missing, and valid
        try:
            replace_private(file, f"{cls.new_key()}\n{file.read_text('utf-8').strip()}")
        except OSError as error:
            why = error.strerror or "not writable"
            raise UnusableKeys(str(file), f"{why}; make the folder writable") from error
        return cls.open(None, home)

    @staticmethod
    def new_key() -> str:
        """A new key."""
        return Fernet.generate_key().decode("ascii")

    def encrypt(self, text: str) -> str:
        """`text` encrypted with the first key, as ASCII."""
        return self._ring.encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted: str, *, account: str) -> str:
        """What `encrypt` was given; `account` is named in the error. Raises WrongKey."""
        try:
            return self._ring.decrypt(encrypted).decode()
        except (InvalidToken, ValueError):
            pass
        try:
            return self._as_it_is_now().decrypt(encrypted).decode()
        except (InvalidToken, ValueError, UnusableKeys):
            raise WrongKey(account, origin=self.origin) from None

    def _as_it_is_now(self) -> MultiFernet:
        """The keys of the file, which another process may have rotated since. Raises UnusableKeys."""
        if self._file is not None and is_there(self._file):
            newest = type(self).open(None, self._file.parent)
            if newest._keys != self._keys:
                self._keys, self._ring = newest._keys, newest._ring
        return self._ring


def _split(text: str) -> list[str]:
    return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]

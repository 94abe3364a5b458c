"""Files that only this user may read."""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from kubetally.domain.errors import StoreError


class UnusableFile(StoreError):
    """A secret file can't be read or created, or other users can read it; `why` says what to do."""

    code = "unusable_file"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"the file {file} can't be used: {why}")


def read_or_make(file: Path, text_of_new: Callable[[], str]) -> str:
    """The text of `file`, which is created with mode 0600 if it is missing.

    Of several processes that find it missing, one creates it, and all read the same.
    Raises: UnusableFile, also if users other than its owner can read it.
    """
    try:
        if not file.exists():
            _make(file, text_of_new())
    except OSError as error:
        why = f"it can't be created ({error.strerror}): make its folder writable, or set another with KUBETALLY_HOME"
        raise UnusableFile(str(file), why) from error
    try:
        return _read(file)
    except OSError as error:
        raise UnusableFile(str(file), f"{error.strerror or 'unreadable'}; make it readable") from error
    except UnicodeDecodeError:
        raise UnusableFile(str(file), "it is not text; restore it from a backup") from None


def replace_private(file: Path, text: str) -> None:
    """Replace the content of the file atomically. Raises OSError."""
    draft = _draft(file, text)
    try:
        draft.replace(file)
    except OSError:
        draft.unlink()
        raise


def _make(file: Path, text: str) -> None:
    """Create the file with all its text, or leave the one that another process created meanwhile."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(file, text)
    try:
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft(file: Path, text: str) -> Path:
    """A file beside it with the text, under another name."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft


def _read(file: Path) -> str:
    with file.open(encoding="utf-8") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & 0o077:
            raise UnusableFile(str(file), f"other users can read it (mode {mode:04o}); run chmod 600 on it")
        return opened.read()

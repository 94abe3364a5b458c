"""Files of ours that nobody else may read."""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from kubetally.domain.errors import StoreError


class UnusableFile(StoreError):
    """A file that has to be secret can't be read or made, or others may read it; `why` says what to do."""

    code = "unusable_file"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"the file {file} can't be used: {why}")


def read_or_make(file: Path, text_of_new: Callable[[], str]) -> str:
    """The text of `file`, which is made with mode 0600 where it is missing.

    Of several processes that find it missing, one makes it, and all read the same.
    Raises: UnusableFile, also when others than its owner may read it.
    """
    try:
        if not file.exists():
            _make(file, text_of_new())
    except OSError as error:
        why = f"it can't be made ({error.strerror}): make its folder writable, or name another with KUBETALLY_HOME"
        raise UnusableFile(str(file), why) from error
    try:
        return _read(file)
    except OSError as error:
        raise UnusableFile(str(file), f"{error.strerror or 'unreadable'}; make it readable") from error
    except UnicodeDecodeError:
        raise UnusableFile(str(file), "it holds no text; put back the file that was there") from None


def replace_private(file: Path, text: str) -> None:
    """Put `text` in place of what the file holds, at once. Raises OSError."""
    draft = _draft(file, text)
    try:
        draft.replace(file)
    except OSError:
        draft.unlink()
        raise


def _make(file: Path, text: str) -> None:
    """Put it there whole, or leave the one that another process put there meanwhile."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(file, text)
    try:
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft(file: Path, text: str) -> Path:
    """The text in a file beside it, of another name."""
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
            raise UnusableFile(str(file), f"others may read it (mode {mode:04o}): chmod 600 the file")
        return opened.read()

"""Where an answer is written: standard output, or a file that is replaced as a whole or not at all."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from kubetally.domain.errors import RequestError
from kubetally.present.grid import escaped

STDOUT = "-"


@contextmanager
def answer_to(file: str | None) -> Iterator[None]:
    """Write what is printed inside, or written to `sys.stdout.buffer`, to `file`: all of it at the end, or nothing.

    None and `-` are standard output. The file stays as it was if nothing is printed. Whether it can be written is
    checked before the body runs. Raises RequestError.
    """
    if file is None or file == STDOUT:
        yield
        return
    content = io.BytesIO()
    text = io.TextIOWrapper(content, encoding="utf-8", errors="replace", newline="", write_through=True)
    try:
        target = _target_of(file)
        part = None if target is None else _part_beside(target)
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from error
    try:
        with redirect_stdout(text):
            yield
        if not content.getvalue():
            return
        try:
            if target is None or part is None:
                with Path(file).open("wb") as device:
                    device.write(content.getvalue())
            else:
                _replace(target, part, content.getvalue())
        except OSError as error:
            raise _unwritable(file, error.strerror or str(error)) from error
    finally:
        if part is not None:
            with suppress(FileNotFoundError):
                part.unlink()


def _target_of(file: str) -> Path | None:
    """The file to replace, with links resolved; None for a device or pipe, which can only be written to."""
    path = Path(file)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "it is a folder")
    if not stat.S_ISREG(mode):
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(None, "it is read-only")
    return Path(os.path.realpath(path))


def _part_beside(target: Path) -> Path:
    """An empty temporary file in the folder of `target`, with the permissions that the target has or would have."""
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
    with suppress(OSError):  # such as a file system without permissions
        os.fchmod(number, stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask())
    os.close(number)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _replace(target: Path, part: Path, content: bytes) -> None:
    with part.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.replace(target)


def warn(message: str) -> None:
    """One warning, on standard error."""
    print(f"warning: {escaped(message)}", file=sys.stderr)


def _unwritable(file: str, why: str) -> RequestError:
    return RequestError(
        f"--output {file!r} can't be written: {why}; nothing was changed there", code="unwritable_output"
    )

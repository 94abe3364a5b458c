"""The temporary folder, which may be full, limited or missing."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from kubetally.domain.errors import StoreError

T = TypeVar("T")


class TemporaryFolderUnusable(StoreError):
    """The temporary folder can't be written, or has too little space."""

    code = "temporary_folder_unusable"

    def __init__(self, folder: str, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the temporary folder {folder} can't be written ({why}). Free space there, raise the limit on file sizes, "
            "or set another folder with TMPDIR"
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted afterwards. Raises: TemporaryFolderUnusable."""
    with ExitStack() as stack:
        with writing_temporarily():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetally-"))
        yield Path(folder)


def temporary_file(write: Callable[[BinaryIO], T], max_in_memory: int = 0) -> tuple[BinaryIO, T]:
    """A file with what `write` wrote, at its start, and the result of that; it is deleted when closed.

    max_in_memory: bytes; a larger file is on disk. Raises: TemporaryFolderUnusable.
    """
    with writing_temporarily(), ExitStack() as stack:
        if max_in_memory:
            file = cast(BinaryIO, stack.enter_context(tempfile.SpooledTemporaryFile(max_in_memory)))
        else:
            file = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
        done = write(file)
        file.seek(0)
        stack.pop_all()
    return file, done


@contextmanager
def writing_temporarily() -> Iterator[None]:
    """Raise TemporaryFolderUnusable for errors of writing to the temporary folder."""
    try:
        yield
    except OSError as error:
        raise TemporaryFolderUnusable(_folder(), error.strerror or str(error)) from error


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written
        return "(TMPDIR, else /tmp)"

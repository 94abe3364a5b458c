"""Whether a file or folder exists, with an error if permissions hide it."""

import errno
import os
import tempfile
from pathlib import Path

from kubetally.domain.errors import StoreError

PROBE_CONTENT = b"Kubetally writes this to check that it can write here.\n"


def is_there(path: Path) -> bool:
    """Whether it exists. Raises StoreError, where its folder can't be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise _refused(path, error) from error
    return True


def is_in_use(path: Path) -> bool:
    """Whether the path exists and is not an empty folder. Raises StoreError, where its folder can't be read."""
    try:
        return is_there(path) and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise _refused(path, error) from error


def write_probe(folder: Path) -> None:
    """Write a few bytes to the folder, or the nearest one above it, in a file removed at once. Raises OSError."""
    with tempfile.TemporaryFile(dir=nearest_there(folder)) as file:
        file.write(PROBE_CONTENT)
        file.flush()


def nearest_there(path: Path) -> Path:
    """The path itself, else the nearest visible folder above it."""
    places = (path, *path.parents)
    return next((place for place in places if os.path.exists(place)), places[-1])  # noqa: PTH110 - False where barred


def _refused(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the folder {nearest_there(path)} can't be read ({error.strerror or error}). Run this as its owner, change "
        "its permissions, or set another folder with KUBETALLY_HOME or KUBETALLY_LAKE_URL",
        code="place_refused",
    )

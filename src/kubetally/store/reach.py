"""Whether a file or folder is there, and an error of ours where we may not look."""

import errno
import os
from pathlib import Path

from kubetally.domain.errors import StoreError


class PlaceRefused(StoreError):
    """A folder that we may not look into, so that nobody knows what is there."""

    code = "place_refused"

    def __init__(self, folder: str, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the folder {folder} can't be looked into ({why}): run this as the user that owns it, give us the right "
            "to it, or name another with KUBETALLY_HOME or KUBETALLY_LAKE_URL"
        )


def is_there(path: Path) -> bool:
    """Whether it exists. Raises PlaceRefused, where we may not know."""
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
    """Whether anything but an empty folder is there. Raises PlaceRefused, where we may not know."""
    try:
        return is_there(path) and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise _refused(path, error) from error


def nearest_there(path: Path) -> Path:
    """The path itself, else the nearest folder above it that we can see."""
    places = (path, *path.parents)
    return next((place for place in places if os.path.exists(place)), places[-1])  # noqa: PTH110 - False where barred


def _refused(path: Path, error: OSError) -> PlaceRefused:
    return PlaceRefused(str(nearest_there(path)), error.strerror or str(error))

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
        barred = next((folder for folder in path.parents if os.path.exists(folder)), path.parent)  # noqa: PTH110
        raise PlaceRefused(str(barred), error.strerror or str(error)) from error
    return True

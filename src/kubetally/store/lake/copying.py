"""All files of a lake, as a backup contains them: without roll-ups, which are made again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from kubetally.ledger.ports.backups import LakeFile
from kubetally.store.lake.faults import translated
from kubetally.store.lake.place import Place
from kubetally.store.lake.storage import PROBE, ROLL_UPS_FOLDER, object_store

_PIECE_BYTES = 8 << 20


class LakeFiles:
    """The files below a lake's URL. Raises StoreError."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        place = Place.parse(url, options)
        self.url, self._secrets = place.url, place.secrets
        place.make()
        self._store: ObjectStore = (
            object_store(place.target, place.options)
            if place.folder is None
            else LocalStore(place.folder, automatic_cleanup=True)
        )

    def all(self) -> list[LakeFile]:
        """Every file, logs before the data that they name."""
        with self._translated():
            files = [
                LakeFile(str(file["path"]), int(file["size"])) for page in obstore.list(self._store) for file in page
            ]
        kept = (file for file in files if file.path != PROBE and not file.path.startswith(f"{ROLL_UPS_FOLDER}/"))
        return sorted(kept, key=lambda file: (not file.is_log, file.path))

    def pieces(self, path: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        with self._translated():
            for piece in obstore.get(self._store, path).stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    def write(self, path: str, content: IO[bytes]) -> None:
        """Create a file."""
        with self._translated():
            obstore.put(self._store, path, content)

    def remove(self, paths: list[str]) -> None:
        """Remove files, as far as that is possible."""
        with suppress(BaseError, OSError):
            obstore.delete(self._store, paths)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.url, self._secrets):
            yield

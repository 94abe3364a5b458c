"""All files of a lake, to be put into a backup and taken out of one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from kubetally.store.lake.faults import translated

_PIECE_BYTES = 8 << 20


class LakeFiles:
    """The files below a lake's URL, by their paths from there. Raises StoreError."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        self.url, self._is_local = url, "://" not in url
        if self._is_local:
            folder = Path(url).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            url = folder.as_uri()
        config: Any = dict(options or {})
        self._store: ObjectStore = from_url(url, config=config) if config else from_url(url)

    def all(self) -> list[tuple[str, int]]:
        """Each with its size, data before the logs that name them."""
        with self._translated():
            found = [(str(one["path"]), int(one["size"])) for some in obstore.list(self._store) for one in some]
        return sorted(found, key=lambda one: ("_delta_log" in one[0], one[0]))

    def pieces(self, path: str) -> Iterator[bytes]:
        """What is in a file, piece by piece."""
        with self._translated():
            for piece in obstore.get(self._store, path).stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    def write(self, path: str, content: IO[bytes]) -> None:
        """Make a file."""
        with self._translated():
            obstore.put(self._store, path, content)

    def remove(self, paths: list[str]) -> None:
        """Remove files, as far as that is possible."""
        with suppress(BaseError, OSError):
            obstore.delete(self._store, paths)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.url):
            yield

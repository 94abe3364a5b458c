"""A file that is read in ranges."""

import os
from io import RawIOBase


class RangedFile(RawIOBase):
    """A file of `size` bytes, as pyarrow reads it; a subclass fetches each range."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def fetch(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        content = self.fetch(self._at, end)
        self._at += len(content)
        return content

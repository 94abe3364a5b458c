"""The files of a lake, in a folder or in object storage."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow.fs as pafs

_LOCAL = "file"


class Files:
    """Files below a URL, by their paths from there. `url` is a folder, or `s3://bucket/path` and the like."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        self._options = {name.lower(): value for name, value in {**os.environ, **(options or {})}.items()}
        scheme, separator, rest = url.partition("://")
        self.is_local = not separator or scheme == _LOCAL
        if self.is_local:
            folder = Path(rest if separator else url).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.url, self._root, self._system = str(folder), str(folder), pafs.LocalFileSystem()
        else:
            self.url, self._root, self._system = url.rstrip("/"), rest.strip("/"), self._of_scheme(scheme, url)

    def path(self, relative: str) -> str:
        """As the file system calls it."""
        return f"{self._root}/{relative}"

    @property
    def system(self) -> pafs.FileSystem:
        """What opens them."""
        return self._system

    def written(self, relative: str) -> int:
        """See that a file is on disk, not only in memory; its size."""
        path = self.path(relative)
        if self.is_local:
            for place in (path, os.path.dirname(path)):
                number = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
        return int(self._system.get_file_info(path).size)

    def make_folder(self, relative: str) -> None:
        """Make a folder, where there are such things."""
        if self.is_local:
            self._system.create_dir(self.path(relative), recursive=True)

    def remove(self, relative: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            self._system.delete_file(self.path(relative))

    def all(self) -> Iterator[tuple[str, int]]:
        """Every file with its size, by path."""
        found = self._system.get_file_info(pafs.FileSelector(self._root, allow_not_found=True, recursive=True))
        files = (one for one in found if one.type is pafs.FileType.File)
        yield from sorted((os.path.relpath(one.path, self._root), one.size) for one in files)

    def _of_scheme(self, scheme: str, url: str) -> pafs.FileSystem:
        if scheme == "s3":
            return self._s3()
        system, _ = pafs.FileSystem.from_uri(url)
        return system

    def _s3(self) -> pafs.FileSystem:
        """As the writer of the log is set up, from the same names."""
        known = {
            "access_key": "aws_access_key_id",
            "secret_key": "aws_secret_access_key",
            "session_token": "aws_session_token",
            "region": "aws_region",
            "endpoint_override": "aws_endpoint_url",
        }
        stated = {name: self._options[key] for name, key in known.items() if self._options.get(key)}
        if "://" in stated.get("endpoint_override", ""):
            stated["scheme"], _, stated["endpoint_override"] = stated["endpoint_override"].partition("://")
        return pafs.S3FileSystem(**stated)

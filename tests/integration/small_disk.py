"""A disk that is soon full."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of its own of 1 MiB, or as large as the test's parameter says."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', '1m')}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["/usr/bin/umount", str(folder)], check=True)


def fill(file: Path, leaving: int) -> None:
    """Leave so many bytes on the disk of this file."""
    room = os.statvfs(file.parent)
    file.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - leaving)))

"""A file in the place of a backup that somebody made to be written elsewhere when it is read."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from kubetally.store.backup.reading import newer_version
from kubetally.store.lake.archive import Member, archived_lake
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.meta.schema import NEWEST
from tests.integration.test_accounts_command import Home

HEAD = json.dumps({"kubetally_dump": 1, "revision": NEWEST}).encode() + b"\n"
NAMES = ("lake/{outside}/_delta_log/evil", "lake/../../outside/_delta_log/evil", "lake/_delta_log/../../evil")


def hostile(file: Path, *members: tarfile.TarInfo, head: tarfile.TarInfo | None = None) -> Path:
    """A tar whose head is the dump's; each member that is a file has some bytes."""
    first = head or tarfile.TarInfo("metadata.jsonl")
    with tarfile.open(file, "w") as tar:
        for member, content in ((first, HEAD), *((one, b"hello") for one in members)):
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return file


@pytest.mark.parametrize("name", NAMES)
def test_backup_writes_no_member_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "tmp").mkdir()
    home = Home(tmp_path / "home", {"TMPDIR": str(tmp_path / "tmp")})
    member = tarfile.TarInfo(name.format(outside=tmp_path / "outside"))
    file = hostile(tmp_path / "b.tar", member)
    assert home.run("backup", "--verify", str(file)).code == 1
    assert home.run("backup", str(file)).code == 0
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("name", ["metadata.jsonl", "lake/allocations/_delta_log/0.json"])
def test_links_and_devices_are_no_backup(tmp_path: Path, kind: bytes, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "nowhere"
    is_head = name == "metadata.jsonl"
    file = hostile(tmp_path / "b.tar", head=member) if is_head else hostile(tmp_path / "b.tar", member)
    assert newer_version(file) is None
    assert Home(tmp_path / "home").call("backup", "--verify", str(file)).code == 1
    assert Home(tmp_path / "home").call("backup", str(file)).code == 0


@pytest.mark.parametrize("path", ["/{outside}/_delta_log/evil", "../outside/_delta_log/evil"])
def test_archived_lake_stays_in_its_folder(tmp_path: Path, path: str) -> None:
    path, file = path.format(outside=tmp_path / "outside"), tmp_path / "b.tar"
    file.write_bytes(b"hello")
    with pytest.raises(LakeDamaged, match="leads out"), archived_lake(file, {path: Member(0, 5)}):
        pass
    assert not os.path.lexists(tmp_path / "outside")

"""Backups of database and lake."""

import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served


def test_a_backup_restores_what_was_held(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    before, file = costs(home), tmp_path / "backup.tar"
    done = home.call("backup", str(file))
    assert done.code == 0, done.err
    other = Home(tmp_path / "other")
    done = other.call("restore", str(file))
    assert done.code == 0, done.err
    source.mode = "down"
    assert figures(costs(other)) == figures(before)
    again = other.call("restore", str(file))
    assert again.code == 2
    assert "not empty" in again.err
    misspelt = other.call("restore", str(tmp_path / "bakcup.tar"))
    assert misspelt.code == 2
    assert "not empty" not in misspelt.err
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    third = Home(tmp_path / "third")
    done = third.call("restore", str(cut))
    assert done.code == 2
    assert not list((third.folder / "lake").rglob("*.parquet"))


def test_flipped_byte_is_found_and_a_good_copy_restores(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    before, file = costs(home), _backed_up(home, tmp_path)
    damaged, other = tmp_path / "damaged.tar", Home(tmp_path / "other")
    with tarfile.open(file) as tar:
        member = [item for item in tar.getmembers() if item.name.endswith(".parquet")][-1]
    _flip(file, damaged, member.offset_data + member.size // 2)
    done = other.call("restore", str(damaged))
    assert done.code == 2
    assert member.name in done.err
    assert not _files(other)
    done = other.call("restore", str(file))
    assert done.code == 0, done.err
    source.mode = "down"
    assert figures(costs(other)) == figures(before)


def test_a_flipped_byte_of_any_member_is_noticed(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    added(home, upstream[1])
    backfill(home)
    file, damaged, other = _backed_up(home, tmp_path), tmp_path / "damaged.tar", Home(tmp_path / "other")
    with tarfile.open(file) as tar:
        members = tar.getmembers()
    logs = [item for item in members if "_delta_log/" in item.name]
    for member in (members[0], logs[-1], members[-1]):
        for at in (member.offset, member.offset_data, member.offset_data + member.size - 1):
            _flip(file, damaged, at)
            assert other.call("restore", str(damaged)).code == 2, (member.name, at)
            assert not _files(other)
    assert other.call("restore", str(file)).code == 0


@pytest.mark.parametrize(
    "name",
    ["lake/../../evil", "../evil", "/evil", "lake//evil", "lake/./evil", "lake/..\\evil", "lake/a\nb", "evil", "lake/"],
)
def test_a_member_that_would_be_written_elsewhere_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    file, other = _with_another(_backed_up(home, tmp_path), tarfile.TarInfo(name)), Home(tmp_path / "below" / "other")
    done = other.call("restore", str(file))
    assert done.code == 2
    assert repr(name) in done.err
    assert not _files(other)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_regular_file_is_refused(home: Home, tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("lake/one")
    member.type, member.linkname = kind, "metadata.jsonl"
    file, other = _with_another(_backed_up(home, tmp_path), member), Home(tmp_path / "other")
    done = other.call("restore", str(file))
    assert done.code == 2
    assert "lake/one" in done.err
    assert not _files(other)


def test_members_have_to_be_those_of_the_manifest(home: Home, tmp_path: Path) -> None:
    good, other = _backed_up(home, tmp_path), Home(tmp_path / "other")
    unlisted = _with_another(good, tarfile.TarInfo("lake/one"), is_listed=False)
    assert other.call("restore", str(unlisted)).code == 2
    assert not _files(other)
    assert other.call("restore", str(_with_another(good, tarfile.TarInfo("lake/one")))).code == 0
    assert [item.name for item in _files(other)] == ["one"]


def test_failed_restore_removes_written_files(home: Home, tmp_path: Path) -> None:
    good = _backed_up(home, tmp_path)
    file = _with_another(_with_another(good, tarfile.TarInfo("lake/one")), tarfile.TarInfo("lake/one/below"))
    other = Home(tmp_path / "other")
    assert other.call("restore", str(file)).code != 0
    assert not _files(other)


def test_backup_is_private_and_replaces_an_older_one(home: Home, tmp_path: Path) -> None:
    file, part = tmp_path / "backup.tar", tmp_path / "backup.tar.part"
    for item in (file, part):
        item.write_bytes(b"older and longer" * 1_000_000)
        item.chmod(0o644)
    assert _backed_up(home, tmp_path) == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size < 16_000_000
    assert b"older and longer" not in file.read_bytes()
    assert not part.exists()
    assert Home(tmp_path / "other").call("restore", str(file)).code == 0


def _backed_up(home: Home, folder: Path) -> Path:
    file = folder / "backup.tar"
    done = home.call("backup", str(file))
    assert done.code == 0, done.err
    return file


def _files(home: Home) -> list[Path]:
    """What is in its lake."""
    return [item for item in (home.folder / "lake").rglob("*") if not item.is_dir()]


def _flip(file: Path, damaged: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    damaged.write_bytes(content)


def _with_another(file: Path, another: tarfile.TarInfo, *, is_listed: bool = True) -> Path:
    """A copy with an empty member more, before the manifest."""
    made = file.with_name(f"{file.stem}+.tar")
    with tarfile.open(file) as tar, tarfile.open(made, "w") as to:
        *members, end = tar.getmembers()
        for member in members:
            to.addfile(member, tar.extractfile(member))
        to.addfile(another)
        content = tar.extractfile(end)
        assert content is not None
        manifest = json.load(content)
        if is_listed:
            manifest[another.name] = hashlib.sha256().hexdigest()
        written = json.dumps(manifest).encode()
        end.size = len(written)
        to.addfile(end, io.BytesIO(written))
    return made


def test_backup_refuses_devices_and_follows_links(home: Home, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.tar", tmp_path / "real.tar"
    os.mkfifo(pipe)
    done = home.call("backup", str(pipe))
    assert done.code == 2
    assert "a device or pipe" in done.err
    assert pipe.is_fifo()
    link.symlink_to(target)
    assert home.call("backup", str(link)).code == 0
    assert link.is_symlink()
    assert target.stat().st_size > 0

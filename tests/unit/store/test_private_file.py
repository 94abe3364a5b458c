"""Files that only their owner may read."""

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubetally.store.meta.private_file import UnusableFile, read_or_make, replace_private


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def never() -> str:
    raise AssertionError("it is there already")


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> object:
    """Whatever the umask of this process is."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_file_that_is_missing_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "not" / "yet" / "secret"
    assert read_or_make(file, lambda: "söcret") == "söcret\n"
    assert mode_of(file) == 0o600
    assert mode_of(file.parent) & 0o077 == 0
    assert [item.name for item in file.parent.iterdir()] == ["secret"]


def test_a_file_that_is_there_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content, mode in (("a\n", 0o600), ("", 0o400), ("b", 0o700)):
        file.unlink(missing_ok=True)
        file.write_text(content, "utf-8")
        file.chmod(mode)
        assert read_or_make(file, never) == content
        assert mode_of(file) == mode


def test_concurrent_creators_read_the_same_text(tmp_path: Path) -> None:
    file, together = tmp_path / "home" / "secret", threading.Barrier(8)

    def get(number: int) -> str:
        together.wait()
        return read_or_make(file, lambda: str(number))

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(get, range(8)))
    assert len(set(read)) == 1
    assert [item.name for item in file.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o666])
def test_a_file_that_others_may_use_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2", "utf-8")
    file.chmod(mode)
    with pytest.raises(UnusableFile, match=rf"{file} .*mode {mode:04o}.*chmod 600") as caught:
        read_or_make(file, never)
    assert "hunter2" not in str(caught.value)
    assert mode_of(file) == mode


def a_folder(place: Path) -> Path:
    place.mkdir()
    return place


def no_text(place: Path) -> Path:
    place.write_bytes(b"\xff\xfehunter2")
    place.chmod(0o600)
    return place


def below_a_file(place: Path) -> Path:
    place.write_text("hunter2", "utf-8")
    return place / "secret"


def a_dead_link(place: Path) -> Path:
    place.symlink_to(place.with_name("nowhere"))
    return place


@pytest.mark.parametrize("make", [a_folder, no_text, below_a_file, a_dead_link])
def test_unusable_file_is_an_error(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    place = make(tmp_path / "place")
    with pytest.raises(UnusableFile) as caught:
        read_or_make(place, lambda: "new")
    assert caught.value.file == str(place)
    assert str(place) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert {item.name for item in tmp_path.iterdir()} == {"place"}


def test_a_link_to_a_private_file_is_followed(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.write_text("a", "utf-8")
    mounted.chmod(0o600)
    (tmp_path / "secret").symlink_to(mounted)
    assert read_or_make(tmp_path / "secret", never) == "a"


@pytest.mark.usefixtures("umask")
def test_a_replaced_file_is_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    read_or_make(file, lambda: "old")
    replace_private(file, "new\nold")
    assert read_or_make(file, never) == "new\nold\n"
    assert mode_of(file) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["keys"]


def test_reader_sees_the_old_or_the_new_file(tmp_path: Path) -> None:
    file, stop = tmp_path / "keys", threading.Event()
    texts = {"a" * 100_000, "b" * 100_000}
    read_or_make(file, lambda: "a" * 100_000)

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                replace_private(file, text)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            assert {read_or_make(file, never).strip() for _ in range(200)} <= texts
        finally:
            stop.set()
        writing.result()


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    (folder / "in-the-way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"directory|not empty"):
        replace_private(folder, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["keys"]
    with pytest.raises(FileNotFoundError):
        replace_private(tmp_path / "missing" / "keys", "new")

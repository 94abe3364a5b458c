"""A file of an answer holds all of it, or what it held before."""

import os
import stat
from pathlib import Path

import pytest

from kubetally.cli.answer_file import answer_to


@pytest.mark.parametrize("file", [None, "-"])
def test_no_file_is_standard_output(file: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with answer_to(file):
        print("answer")
    assert capsys.readouterr().out == "answer\n"


def test_file_is_replaced_as_a_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("old")
    file.chmod(0o640)
    with answer_to(str(file)):
        print("ein Ä")
        assert file.read_text() == "old"
    assert file.read_text("utf-8") == "ein Ä\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with answer_to(str(tmp_path / "answer")):
            print("answer")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "answer").stat().st_mode) == 0o640


def test_file_is_unchanged_after_an_exception(tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("old")

    def interrupted() -> None:
        with answer_to(str(file)):
            print("half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_file_is_unchanged_if_nothing_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("old")
    with answer_to(str(file)):
        pass
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, file = tmp_path / "link", tmp_path / "elsewhere" / "answer"
    link.symlink_to(file)
    for text in ("first", "second"):
        with answer_to(str(link)):
            print(text)
        assert link.is_symlink()
        assert file.read_text() == f"{text}\n"


def test_device_is_written_to_and_not_replaced() -> None:
    with answer_to(os.devnull):
        print("answer")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_text_that_can_not_be_encoded_is_replaced(tmp_path: Path) -> None:
    with answer_to(str(tmp_path / "answer")):
        print("a\ud800b")
    assert (tmp_path / "answer").read_text("utf-8") == "a?b\n"


@pytest.mark.parametrize(("name", "why"), [("", "folder"), ("no/such", "No such file"), ("file/below", "Not a dir")])
def test_unwritable_place_is_refused_before_the_body_runs(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(match=why), answer_to(str(tmp_path / name)):
        pytest.fail("the body ran")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_device_is_an_error() -> None:
    with pytest.raises(match="No space"), answer_to("/dev/full"):
        print("answer")

"""The secret that callers of the service send."""

from pathlib import Path

import pytest

from kubetally.domain.errors import RequestError
from kubetally.store.meta.private_file import UnusableFile
from kubetally.store.meta.service_secret import open_secret, running_secret
from tests.errors import raises_code

SECRET = "swordfish-never-logged"


def test_the_secret_of_the_settings_comes_first_and_makes_no_file(tmp_path: Path) -> None:
    secret = open_secret(SECRET, tmp_path)
    assert (secret.text, secret.file) == (SECRET, None)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_made_once_and_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = open_secret(None, home), open_secret(None, home)
    assert first == second
    assert first.file == str(tmp_path / "home" / "secret")
    assert Path(first.file).stat().st_mode & 0o777 == 0o600
    assert len(first.text) >= 43
    assert first.text.isascii()
    assert not any(character.isspace() for character in first.text)
    assert open_secret(None, tmp_path / "other").text != first.text


def test_the_secret_is_in_no_representation(tmp_path: Path) -> None:
    assert SECRET not in repr(open_secret(SECRET, tmp_path))


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), (" \n", 0o600), (SECRET, 0o640)])
def test_empty_or_readable_secret_file_is_refused(tmp_path: Path, content: str, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text(content, "utf-8")
    file.chmod(mode)
    with pytest.raises(UnusableFile) as caught:
        open_secret(None, tmp_path)
    assert str(file) in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("weak", ["swordfish", "x" * 15, "  fifteen chars    ", "\u00e4" * 15])
def test_weak_secret_of_the_environment_is_refused_by_name(tmp_path: Path, weak: str) -> None:
    with pytest.raises(RequestError, match=r"^KUBETALLY_SECRET .*fewer than 16 characters; `openssl rand") as caught:
        open_secret(weak, tmp_path)
    assert weak.strip() not in str(caught.value)
    assert open_secret("x" * 16, tmp_path).text == "x" * 16


def test_weak_secret_of_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("swordfish-15-ch\n", "utf-8")
    file.chmod(0o600)
    with pytest.raises(UnusableFile, match=r"fewer than 16 characters: remove the file") as caught:
        open_secret(None, tmp_path)
    assert "swordfish" not in str(caught.value)
    assert file.exists()


def test_no_secret_is_made_beside_a_running_service(tmp_path: Path) -> None:
    with raises_code("no_secret", match="start `kubetally serve` first"):
        running_secret(None, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert running_secret(SECRET, tmp_path).text == SECRET
    made = open_secret(None, tmp_path)
    assert running_secret(None, tmp_path) == made

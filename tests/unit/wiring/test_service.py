"""The secret that callers of the service send, and the address that it listens at."""

import socket
from pathlib import Path

import pytest

from kubetally.domain.errors import RequestError
from kubetally.settings import Settings
from kubetally.store.meta.private_file import UnusableFile
from kubetally.web.server import AddressNotFree
from kubetally.wiring.secret import secret_of
from kubetally.wiring.service import Started, run_service

SECRET = "swordfish-never-logged"


def test_the_secret_of_the_settings_comes_first_and_makes_no_file(tmp_path: Path) -> None:
    secret = secret_of(Settings(home=str(tmp_path), secret=SECRET))
    assert (secret.text, secret.file) == (SECRET, None)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_made_once_and_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    first, second = secret_of(settings), secret_of(settings)
    assert first == second
    assert first.file == str(tmp_path / "home" / "secret")
    assert Path(first.file).stat().st_mode & 0o777 == 0o600
    assert len(first.text) >= 43
    assert first.text.isascii()
    assert not any(character.isspace() for character in first.text)
    assert secret_of(Settings(home=str(tmp_path / "other"))).text != first.text


def test_the_secret_is_in_no_representation(tmp_path: Path) -> None:
    assert SECRET not in repr(secret_of(Settings(home=str(tmp_path), secret=SECRET)))


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), (" \n", 0o600), (SECRET, 0o640)])
def test_empty_or_readable_secret_file_is_refused(tmp_path: Path, content: str, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text(content, "utf-8")
    file.chmod(mode)
    with pytest.raises(UnusableFile) as caught:
        secret_of(Settings(home=str(tmp_path)))
    assert str(file) in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("weak", ["swordfish", "x" * 15, "  fifteen chars    ", "\u00e4" * 15])
def test_weak_secret_of_the_environment_is_refused_by_name(tmp_path: Path, weak: str) -> None:
    with pytest.raises(RequestError, match=r"^KUBETALLY_SECRET .*fewer than 16 characters; `openssl rand") as caught:
        secret_of(Settings(home=str(tmp_path), secret=weak))
    assert weak.strip() not in str(caught.value)
    assert secret_of(Settings(home=str(tmp_path), secret="x" * 16)).text == "x" * 16


def test_weak_secret_of_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("swordfish-15-ch\n", "utf-8")
    file.chmod(0o600)
    with pytest.raises(UnusableFile, match=r"fewer than 16 characters: remove the file") as caught:
        secret_of(Settings(home=str(tmp_path)))
    assert "swordfish" not in str(caught.value)
    assert file.exists()


def test_a_port_that_is_taken_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    def started(_: Started) -> None:
        pytest.fail("it listens")

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(AddressNotFree, match=f"port {port}: Address already in use; choose another with --port"):
            run_service(Settings(home=str(tmp_path / "home")), "127.0.0.1", port, started=started, collects=True)
    assert not (tmp_path / "home").exists()

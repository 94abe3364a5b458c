"""Settings and credentials of an account, as what a source is reached with."""

from pathlib import Path

import pytest

from kubetally.domain.account import Credentials
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings
from kubetally.sources.access import InvalidCredential
from kubetally.wiring.sources import access_of, limits_of

URL = SourceUrl.parse("http://opencost:9003")
SETTINGS = Settings(source_user="env-user", source_password="env-password", source_headers="X-A: env; X-B: env")


def sent(settings: Settings, own: Credentials | None = None, url: SourceUrl = URL) -> dict[str, str]:
    return access_of(url, settings, own or Credentials()).request_headers()


def test_login_of_the_settings_is_sent_for_accounts_without_one() -> None:
    assert sent(SETTINGS)["authorization"].startswith("Basic ")
    assert sent(Settings(source_token="t"))["authorization"] == "Bearer t"
    assert "authorization" not in sent(Settings())


@pytest.mark.parametrize("own", [Credentials(token="own"), Credentials(user="own"), Credentials(password="own")])
def test_account_with_its_own_login_sends_none_of_the_settings(own: Credentials) -> None:
    for settings in (SETTINGS, Settings(source_token="env-token")):
        authorization = sent(settings, own)["authorization"]
        assert authorization == sent(Settings(), own)["authorization"]


def test_headers_of_both_are_sent_and_the_account_s_come_first() -> None:
    headers = sent(SETTINGS, Credentials(headers={"X-B": "own", "X-C": "own"}))
    assert {name: headers[name] for name in ("x-a", "x-b", "x-c")} == {"x-a": "env", "x-b": "own", "x-c": "own"}


def test_account_header_comes_first_in_any_spelling() -> None:
    assert sent(Settings(source_headers="X-Scope: env"), Credentials(headers={"x-scope": "own"}))["x-scope"] == "own"
    assert sent(Settings(source_headers="x-scope: env"), Credentials(headers={"X-Scope": "own"}))["x-scope"] == "own"


def test_headers_are_lines_or_parts_between_semicolons() -> None:
    assert sent(Settings(source_headers="X-A: 1;\n X-B : 2 \n\n;X-C:")) == {"x-a": "1", "x-b": "2", "x-c": ""}


@pytest.mark.parametrize("text", ["hunter2", "X-A: 1; hunter2", ": hunter2"])
def test_what_is_no_header_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        access_of(URL, Settings(source_headers=text), Credentials())
    assert "hunter2" not in str(caught.value)


def test_a_token_is_read_from_its_file_which_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-file\n", "utf-8")
    settings = Settings(source_token_file=str(file), source_token="of-variable")
    assert sent(settings)["authorization"] == "Bearer of-file"
    file.write_bytes(b"\xff")
    with pytest.raises(RequestError, match="not text"):
        access_of(URL, settings, Credentials())
    file.unlink()
    with pytest.raises(RequestError, match="No such file"):
        access_of(URL, settings, Credentials())
    # An account with a log-in of its own does not need it.
    assert sent(settings, Credentials(token="own"))["authorization"] == "Bearer own"


def test_a_credential_that_can_t_be_sent_is_refused_and_not_shown() -> None:
    for own in (Credentials(token="hunter2\nX: 1"), Credentials(headers={"X": "hunter2\r\n"})):
        with pytest.raises(InvalidCredential) as caught:
            access_of(URL, Settings(), own)
        assert "hunter2" not in str(caught.value)


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(connect_seconds=1, read_seconds=2, deadline_seconds=3, max_answer_mib=4, attempts=5)
    limits = limits_of(settings)
    assert (limits.connect_seconds, limits.read_seconds, limits.deadline_seconds) == (1, 2, 3)
    assert (limits.max_bytes, limits.attempts, limits.allow_link_local) == (4 * 1024 * 1024, 5, False)

"""How settings and the credentials of an account reach a source."""

from pathlib import Path

import pytest

from kubetally.domain.account import Credentials
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.sources.access import InvalidCredential
from kubetally.sources.access_settings import AccessSettings

URL = SourceUrl.parse("http://opencost:9003")
SETTINGS = AccessSettings(user="env-user", password="env-password", headers="X-A: env; X-B: env")


def sent(settings: AccessSettings, own: Credentials | None = None, url: SourceUrl = URL) -> dict[str, str]:
    return settings.for_source(url, own or Credentials()).request_headers()


def test_login_of_the_settings_is_sent_for_accounts_without_one() -> None:
    assert sent(SETTINGS)["authorization"].startswith("Basic ")
    assert sent(AccessSettings(token="t"))["authorization"] == "Bearer t"
    assert "authorization" not in sent(AccessSettings())


@pytest.mark.parametrize("own", [Credentials(token="own"), Credentials(user="own"), Credentials(password="own")])
def test_account_with_its_own_login_sends_none_of_the_settings(own: Credentials) -> None:
    for settings in (SETTINGS, AccessSettings(token="env-token")):
        authorization = sent(settings, own)["authorization"]
        assert authorization == sent(AccessSettings(), own)["authorization"]


def test_headers_of_both_are_sent_and_the_account_s_come_first() -> None:
    headers = sent(SETTINGS, Credentials(headers={"X-B": "own", "X-C": "own"}))
    assert {name: headers[name] for name in ("x-a", "x-b", "x-c")} == {"x-a": "env", "x-b": "own", "x-c": "own"}


def test_account_header_comes_first_in_any_spelling() -> None:
    assert sent(AccessSettings(headers="X-Scope: env"), Credentials(headers={"x-scope": "own"}))["x-scope"] == "own"
    assert sent(AccessSettings(headers="x-scope: env"), Credentials(headers={"X-Scope": "own"}))["x-scope"] == "own"


def test_headers_are_lines_or_parts_between_semicolons() -> None:
    assert sent(AccessSettings(headers="X-A: 1;\n X-B : 2 \n\n;X-C:")) == {"x-a": "1", "x-b": "2", "x-c": ""}


@pytest.mark.parametrize("text", ["hunter2", "X-A: 1; hunter2", ": hunter2"])
def test_what_is_no_header_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        AccessSettings(headers=text).for_source(URL, Credentials())
    assert "hunter2" not in str(caught.value)


def test_a_token_is_read_from_its_file_which_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-file\n", "utf-8")
    settings = AccessSettings(token_file=str(file), token="of-variable")
    assert sent(settings)["authorization"] == "Bearer of-file"
    file.write_bytes(b"\xff")
    with pytest.raises(RequestError, match="not text"):
        settings.for_source(URL, Credentials())
    file.unlink()
    with pytest.raises(RequestError, match="No such file"):
        settings.for_source(URL, Credentials())
    # An account with a log-in of its own does not need it.
    assert sent(settings, Credentials(token="own"))["authorization"] == "Bearer own"


def test_a_credential_that_can_t_be_sent_is_refused_and_not_shown() -> None:
    for own in (Credentials(token="hunter2\nX: 1"), Credentials(headers={"X": "hunter2\r\n"})):
        with pytest.raises(InvalidCredential) as caught:
            AccessSettings().for_source(URL, own)
        assert "hunter2" not in str(caught.value)

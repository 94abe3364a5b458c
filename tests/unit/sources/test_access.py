"""URLs and credentials of sources."""

from pathlib import Path

import pytest
import trustme

from kubetally.sources.access import (
    Access,
    InvalidCredential,
    UnusableCertificateFile,
)

SECRET = "s3cret"


def test_userinfo_moves_from_url_to_basic_authentication() -> None:
    access = Access.parse("http://ada:s3%40ret@host:9003/p", token="other", user="other", password="other")
    assert (access.user, access.password, access.token) == ("ada", "s3@ret", None)
    assert access.url.address == "http://host:9003/p"
    assert str(access.url) == "http://***@host:9003/p"
    assert access.request_headers() == {"authorization": "Basic YWRhOnMzQHJldA=="}


def test_header_precedes_token_and_token_precedes_user() -> None:
    both = Access.parse("http://host", token=f"{SECRET}\n", user="ada", password="pw")
    assert both.request_headers() == {"authorization": f"Bearer {SECRET}"}
    own = Access.parse("http://host", token=SECRET, headers={"Authorization": "Own x", "X-Scope-OrgID": "7"})
    assert own.request_headers() == {"authorization": "Own x", "x-scope-orgid": "7"}
    assert Access.parse("http://host", token="").request_headers() == {}


def test_no_secret_is_in_the_repr() -> None:
    for access in (
        Access.parse(f"http://ada:{SECRET}@host"),
        Access.parse("http://host", token=SECRET, headers={"X-Key": SECRET}),
        Access.parse("http://host", user="ada", password=SECRET),
    ):
        assert SECRET not in repr(access)
        assert "ada" not in repr(access)


def test_credentials_unfit_for_a_header_are_refused_unshown() -> None:
    for given_ in (
        {"token": f"{SECRET}\r\nX: y"},
        {"token": f"{SECRET}é"},
        {"headers": {"X-Key": f"{SECRET}\n"}},
        {"headers": {"Bad name": SECRET}},
        {"headers": {"Content-Length": SECRET}},
    ):
        with pytest.raises(InvalidCredential) as caught:
            Access.parse("http://host", **given_)  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)


def test_certificate_files_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    garbage = tmp_path / "ca.pem"
    garbage.write_text("no certificate")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "good.pem")
    for access in (
        Access.parse("https://host", ca_file=garbage),
        Access.parse("https://host", ca_file=tmp_path / "absent.pem"),
        Access.parse("https://host", client_cert=garbage, client_key=garbage),
        Access.parse("https://host", client_cert=tmp_path / "good.pem"),
    ):
        with pytest.raises(UnusableCertificateFile, match=r"\.pem"):
            access.ssl_context()
    with pytest.raises(InvalidCredential, match="client certificate"):
        Access.parse("https://host", client_key=garbage)

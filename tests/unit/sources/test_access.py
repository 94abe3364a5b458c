"""URLs and credentials of sources."""

from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.source_url import InvalidSourceUrl
from kubetally.sources.access import (
    Access,
    InvalidCredential,
    UnusableCertificateFile,
)

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://kubecost:9090", "http://kubecost:9090"),
        ("  https://kubecost.example.com/  ", "https://kubecost.example.com"),
        ("http://host/prefix/", "http://host/prefix"),
        ("HTTP://Host:80/model", "http://host/model"),
        ("http://10.0.0.7:9003", "http://10.0.0.7:9003"),
        ("http://[::1]:9003", "http://[::1]:9003"),
        ("http://my_service.ns.svc.cluster.local.:9003", "http://my_service.ns.svc.cluster.local.:9003"),
        ("https://müller.example", "https://xn--mller-kva.example"),
    ],
)
def test_a_good_url_is_kept_without_the_slash_at_its_end(written: str, kept: str) -> None:
    access = Access.parse(written)
    assert access.url == kept
    assert access.masked_url == kept


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("", "write something like http://"),
        ("kubecost:9090", "must begin with http://"),
        ("ftp://host", "must begin with http://"),
        ("file:///etc/passwd", "must begin with http://"),
        ("http://", "no valid host"),
        ("http://:9090", "no valid host"),
        ("http://user:s3cret@", "no valid host"),
        ("http://host?x=1", "end it with the path"),
        ("http://host?", "end it with the path"),
        ("http://host/#part", "end it with the path"),
        ("http://user:s3cret/ret@host", "%2F for /"),
        ("http://user:12/s3cret@host", "%2F for /"),
        ("http://user:s3cret?@host", "%3F for ?"),
        ("http://user:s3cret#@host", "%23 for #"),
        ("http://host:0", "1 to 65535"),
        ("http://host:65536", "1 to 65535"),
        ("http://host:s3cret", "can't be read"),
        ("http://0251.0376.0251.0376", "can't be read"),
        ("http://ho st", "a space"),
        ("http://good\\@host", "a backslash"),
        ("http://host/\nx", "a line break"),
        ("http://ho%20st", "no valid host"),
        ("http://" + "h" * 2048, "longer than 2048"),
    ],
)
def test_a_bad_url_is_refused_with_what_to_write_instead(written: str, advice: str) -> None:
    with pytest.raises(InvalidSourceUrl) as caught:
        Access.parse(written)
    assert advice in str(caught.value)
    if "@" in written:
        assert SECRET not in str(caught.value)
        assert SECRET not in caught.value.url
    assert caught.value.code == "invalid_source_url"


def test_userinfo_moves_from_url_to_basic_authentication() -> None:
    access = Access.parse("http://ada:s3%40ret@host:9003/p", token="other", user="other", password="other")
    assert (access.user, access.password, access.token) == ("ada", "s3@ret", None)
    assert access.url == "http://host:9003/p"
    assert access.masked_url == "http://***@host:9003/p"
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


def test_a_url_with_userinfo_does_not_get_past_the_constructor() -> None:
    with pytest.raises(InvalidSourceUrl) as caught:
        Access(url=f"http://ada:{SECRET}@host")
    assert SECRET not in str(caught.value)


@given(st.text(), st.text())
def test_refusal_of_a_url_hides_everything_before_the_at(text: str, password: str) -> None:
    password = f"<<{password}>>"
    url = f"http://ada:{password}@{text}"
    try:
        access = Access.parse(url)
        shown = repr(access) + access.url + access.masked_url
    except InvalidSourceUrl as refused:
        shown = str(refused) + refused.url
    assert password not in shown
    assert "ada:" not in shown


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

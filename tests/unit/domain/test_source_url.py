"""URLs of sources: parsed once, without a password in any text of them."""

from copy import copy

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl

SECRET = "s3cret"
PATHS = st.lists(st.sampled_from(["", ".", "..", "model", "a b", "%2F", "%", "ü", "~x", "'(;)'", "{y}"])).map("/".join)
HOSTS = st.sampled_from(
    ["host", "Host.Example", "my_service.ns.", "10.0.0.7", "[::1]", "[2001:DB8::7]", "müller.example"]
)


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
def test_good_url_is_kept_without_the_slash_at_its_end(written: str, kept: str) -> None:
    assert SourceUrl.parse(written).address == str(SourceUrl.parse(written)) == kept


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
def test_bad_url_is_refused_with_what_to_write_instead(written: str, advice: str) -> None:
    with pytest.raises(InvalidSourceUrl) as caught:
        SourceUrl.parse(written)
    assert advice in str(caught.value)
    if "@" in written:
        assert SECRET not in str(caught.value)
        assert SECRET not in caught.value.url
    assert caught.value.code == "invalid_source_url"


@given(
    st.sampled_from(["http", "HTTPS"]),
    st.sampled_from(["", "ada@", "ada:pw@", "a%40b:p%3Aw@", "a@b:p@", ":pw@", "ü:ß@"]),
    HOSTS,
    st.sampled_from(["", ":", ":80", ":443", ":9003"]),
    PATHS,
)
def test_address_and_login_are_those_that_httpx_reads(
    scheme: str, userinfo: str, host: str, port: str, path: str
) -> None:
    text = f"{scheme}://{userinfo}{host}{port}/{path.replace(' ', '+')}"
    url, theirs = SourceUrl.parse(text), httpx.URL(text)
    assert url.address == str(theirs.copy_with(scheme=scheme.lower(), userinfo=b"")).rstrip("/")
    assert (url.user or "", url.password or "") == (theirs.username, theirs.password)
    assert url.has_login is bool(userinfo)


@given(HOSTS, PATHS)
def test_address_is_parsed_as_itself(host: str, path: str) -> None:
    url = SourceUrl.parse(f"http://{host}/{path.replace(' ', '+')}")
    assert SourceUrl.parse(url.address) == url


@pytest.mark.parametrize("text", ["http://host:80/model", " HTTP://HOST/model/ ", "http://host:/x/../model"])
def test_one_address_however_it_is_written(text: str) -> None:
    assert SourceUrl.parse(text) == SourceUrl.parse("http://host/model")


def test_text_of_a_url_shows_that_it_has_a_login() -> None:
    url = SourceUrl.parse(f"http://ada:{SECRET}@host:9003/p")
    assert str(url) == f"{url}" == "http://***@host:9003/p"
    assert repr(url) == "SourceUrl('http://***@host:9003/p')"
    assert copy(url) == url
    assert url != SourceUrl.parse("http://host:9003/p")


@given(st.text(), st.text())
def test_no_text_of_a_url_shows_its_password(text: str, password: str) -> None:
    password = f"<<{password}>>"
    try:
        url = SourceUrl.parse(f"http://ada:{password}@{text}")
        shown = repr(url) + str(url) + url.address
    except InvalidSourceUrl as refused:
        shown = str(refused) + repr(refused) + refused.url
    assert password not in shown
    assert "ada:" not in shown


@pytest.mark.parametrize("host", ["faß.example", "FAẞ.example", "a\u200db.example"])
def test_name_that_may_lead_to_two_hosts_is_refused(host: str) -> None:
    with pytest.raises(InvalidSourceUrl, match="can't be read"):
        SourceUrl.parse(f"http://{host}")


@pytest.mark.parametrize(
    "url",
    [
        "http://jane:hunter2@host:9003",
        "http://jane:hunter2@host:x",
        "ftp://jane:hunter2@host",
        "jane:hunter2@host",
        "http://jane:hunt@hunter2@host",
        "http://host/?key=hunter2",
        "http://host#hunter2",
    ],
)
def test_stored_text_is_shown_without_what_may_be_secret(url: str) -> None:
    shown = str(SourceUrl.of_stored(url))
    assert "hunter2" not in shown
    assert "jane" not in shown
    assert "host" in shown


def test_stored_text_that_is_no_url_says_so_when_it_is_used() -> None:
    url = SourceUrl.of_stored(f"ftp://ada:{SECRET}@host")
    assert url.parts.hostname is None
    with pytest.raises(InvalidSourceUrl, match=r"'ftp://\*\*\*@host' must begin with http://"):
        url.check()
    SourceUrl.of_stored("http://host").check()


def test_stored_text_has_the_login_that_it_was_parsed_from() -> None:
    for text in ("http://ada:s%403@host", "http://ada@host", "http://:pw@host", "http://host/p"):
        url = SourceUrl.parse(text)
        assert SourceUrl.of_stored(url.with_login) == url

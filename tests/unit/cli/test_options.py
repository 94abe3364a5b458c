"""What options mean."""

import pytest

from kubetally.cli.options import NoCluster, clusters_of, window_of
from kubetally.cli.verify import InvalidTolerance, parse_tolerance
from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow
from kubetally.settings import Settings


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("5%", 0.05), (" 5 % ", 0.05), ("0.05", 0.05), ("0", 0.0), ("100%", 1.0), ("0.001%", 0.00001)],
)
def test_a_tolerance_is_a_percentage_or_a_fraction(text: str, fraction: float) -> None:
    assert parse_tolerance(text) == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["5", "-1%", "nan", "inf", "five", "", "%", "101%", "5%%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidTolerance, match=r"write 5% or 0\.05"):
        parse_tolerance(text)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-20", "2026-11-23"),
        ("1795132800", "1795392000"),
        ("2026-11-20T00:00:00Z", "2026-11-23T02:00:00+02:00"),
        (" 2026-11-20 ", "2026-11-23"),
    ],
)
def test_start_and_end_are_the_same_span_in_every_form(start: str, end: str) -> None:
    assert str(window_of(None, start, end)) == "2026-11-20T00:00:00Z,2026-11-23T00:00:00Z"
    assert window_of(f"{start.strip()},{end}", None, None) == window_of(None, start, end)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("fortnight", None, None),
        ("", None, None),
        (None, "2026-11-20", None),
        (None, None, "2026-11-20"),
        ("7d", "2026-11-20", "2026-11-23"),
        (None, "2026-11-23", "2026-11-20"),
        (None, "2026-13-01", "2026-13-02"),
        (None, "0001-01-01", "2026-11-20"),
    ],
)
def test_a_window_that_is_none_is_refused(window: str | None, start: str | None, end: str | None) -> None:
    with pytest.raises(InvalidWindow):
        window_of(window, start, end)


def test_the_window_is_seven_days_unless_a_command_says_otherwise() -> None:
    assert window_of(None, None, None).hours == 7 * 24
    assert window_of(None, None, None, default="yesterday").hours == 24


def test_a_url_comes_before_that_of_the_environment() -> None:
    settings = Settings(kubecost_api_url="http://environment:9003", currency="eur")
    assert [one.url for one in clusters_of(None, None, None, settings)] == ["http://environment:9003"]
    named = clusters_of(["http://a:9003", "http://b:9003", "http://a:9003"], "prod", "usd", settings)
    assert [(one.url, one.cluster_id, one.currency) for one in named] == [
        ("http://a:9003", "prod", "USD"),
        ("http://b:9003", "prod", "USD"),
    ]
    assert clusters_of(None, None, None, settings)[0].currency == "EUR"


def test_without_any_cluster_the_error_says_how_to_name_one() -> None:
    with pytest.raises(NoCluster, match="--url http://localhost:9003"):
        clusters_of(None, None, None, Settings())


@pytest.mark.parametrize("url", ["ftp://host", "not a url", "", "http://", "http://host:99999"])
def test_what_can_not_be_a_url_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(RequestError):
        clusters_of(["http://localhost:9003", url], None, None, Settings())

"""Reads of GET /model/savings.

The figures below come from Kubecost's and CloudTuner's documentation, not from a recording: no licensed Kubecost
was at hand to record one.
"""

import json
from decimal import Decimal

import pytest

from kubetally.domain.errors import SourceError
from kubetally.domain.savings import Savings, SavingsCategory
from kubetally.sources.kubecost.savings import SavingsNotUnderstood, read_savings

DOCUMENTED = {
    "abandonedWorkload": 9.69,
    "requestSizing": 44.31,
    "clusterSizing": 63.07,
    "pvSizing": 14.02,
    "localDisks": 52.14,
    "unclaimedVolumes": 0.00,
}
READY = {name: {"state": "ready", "value": value} for name, value in DOCUMENTED.items()}
SUM = Decimal("183.23")


def of_one(name: str, state: str, value: float) -> dict[str, dict[str, object]]:
    return {name: {"state": state, "value": value}}


def test_categories_on_top_are_read() -> None:
    read = read_savings(READY, profile=None, cluster_id=None)
    assert {category.name: category.per_month for category in read.categories} == {
        name: Decimal(str(value)) for name, value in DOCUMENTED.items()
    }
    assert read.per_month == SUM
    assert (read.profile, read.cluster_id) == (None, None)
    assert all(category.counted and category.state == "ready" for category in read.categories)


@pytest.mark.parametrize("body", [READY, {"development": {}, "production": READY}])
def test_text_decoded_text_and_envelope_read_the_same(body: object) -> None:
    decoded = read_savings(body, profile=None, cluster_id=None)
    assert read_savings(json.dumps(body).encode(), profile=None, cluster_id=None) == decoded
    assert read_savings({"code": 200, "data": body}, profile=None, cluster_id=None) == decoded
    assert decoded.per_month == SUM


def test_only_ready_figures_count_but_pending_ones_are_listed() -> None:
    body = {**READY, "requestSizing": {"state": "pending", "value": 44.31}}
    read = read_savings(body, profile=None, cluster_id=None)
    assert SavingsCategory("requestSizing", Decimal("44.31"), "pending", counted=False) in read.categories
    assert read.per_month == SUM - Decimal("44.31")


@pytest.mark.parametrize("entry", [{"state": "ready", "value": None}, {"state": "ready"}, {}, None])
def test_missing_figure_is_unknown_not_zero(entry: object) -> None:
    read = read_savings({**of_one("a", "ready", 1), "b": entry}, profile=None, cluster_id=None)
    assert (read.categories[1].per_month, read.categories[1].counted) == (None, False)
    assert read.per_month == 1


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity"])
def test_a_figure_that_is_no_number_is_unknown(figure: str) -> None:
    text = f'{{"a": {{"state": "ready", "value": {figure}}}}}'.encode()
    for body in (text, {"a": {"state": "ready", "value": float(figure)}}):
        read = read_savings(body, profile=None, cluster_id=None)
        assert read.categories == (SavingsCategory("a", None, "ready", counted=False),)
        assert read.per_month is None


def test_a_state_of_null_is_not_ready() -> None:
    read = read_savings({"a": {"state": None, "value": 1}}, profile=None, cluster_id=None)
    assert read.categories == (SavingsCategory("a", Decimal(1), None, counted=False),)


def test_figures_keep_their_digits_and_round_half_to_even() -> None:
    body = b'{"a": {"value": 0.0000005}, "b": {"value": 0.0000015}, "c": {"value": 1e-2}, "d": {"value": -3}}'
    read = read_savings(body, profile=None, cluster_id=None)
    amounts = [str(category.per_month) for category in read.categories]
    assert amounts == ["0.000000", "0.000002", "0.010000", "-3.000000"]


PROFILES = {
    "development": of_one("clusterSizing", "ready", 90),
    "high-availability": of_one("clusterSizing", "ready", 30),
    "production": of_one("clusterSizing", "ready", 60),
}


@pytest.mark.parametrize(
    ("asked", "read", "per_month"),
    [(None, "production", 60), ("production", "production", 60), ("development", "development", 90)],
)
def test_one_profile_is_read_and_profiles_are_never_added(asked: str | None, read: str, per_month: int) -> None:
    savings = read_savings(PROFILES, profile=asked, cluster_id="any")
    assert savings.profile == read
    assert savings.per_month == per_month


def test_missing_profile_is_not_replaced_by_another() -> None:
    with pytest.raises(SavingsNotUnderstood, match=r"'prod'.*'high-availability'"):
        read_savings(PROFILES, profile="prod", cluster_id=None)


CLUSTERS = {
    "aurora": {**of_one("clusterSizing", "ready", 10), **of_one("pvSizing", "ready", 1.5)},
    "cygnus": {**of_one("clusterSizing", "pending", 20), **of_one("pvSizing", "ready", 2.25)},
    "draco": {},
}


def test_the_cluster_asked_for_is_read_from_a_map_of_clusters() -> None:
    read = read_savings(CLUSTERS, profile="production", cluster_id="cygnus")
    assert (read.cluster_id, read.profile, read.per_month) == ("cygnus", None, Decimal("2.25"))


def test_without_a_cluster_all_are_added_by_category() -> None:
    read = read_savings(CLUSTERS, profile=None, cluster_id=None)
    assert read == Savings(
        (
            SavingsCategory("clusterSizing", Decimal(10), "pending, ready", counted=True),
            SavingsCategory("pvSizing", Decimal("3.75"), "ready", counted=True),
        )
    )
    assert read.per_month == Decimal("13.75")


def test_category_that_is_ready_nowhere_is_listed() -> None:
    body = {name: of_one("pvSizing", "pending", 2) for name in ("aurora", "cygnus")}
    read = read_savings(body, profile=None, cluster_id=None)
    assert read.categories == (SavingsCategory("pvSizing", Decimal(4), "pending", counted=False),)
    assert read.per_month is None


def test_savings_of_another_cluster_are_refused() -> None:
    with pytest.raises(SavingsNotUnderstood, match=r"'draco-2'.*'aurora'"):
        read_savings(CLUSTERS, profile=None, cluster_id="draco-2")


def test_version_3_names_cluster_and_profile_without_state() -> None:
    # Shape of version 3 as in third-party fixtures (sources.md 2.2), with the documented figures.
    body = {
        "code": 200,
        "data": {
            "cluster": "aurora",
            "profile": "production",
            **{n: {"savingsPerMonth": v, "lastRefresh": "2026-01-02T03:00:00Z"} for n, v in DOCUMENTED.items()},
            "orphanedResources": {"savingsPerMonth": None, "lastRefresh": None},
        },
        "meta": {"took": 3},
    }
    read = read_savings(body, profile=None, cluster_id=None)
    assert (read.profile, read.cluster_id, read.per_month) == ("production", "aurora", SUM)
    facts = {"lastRefresh": None}
    assert read.categories[-1] == SavingsCategory("orphanedResources", None, None, counted=False, facts=facts)
    assert read.categories[0].facts == {"lastRefresh": "2026-01-02T03:00:00Z"}


@pytest.mark.parametrize(
    "body", [{}, b"{}", {"code": 200, "data": {}}, {"code": 200, "data": {"cluster": "a", "profile": "production"}}]
)
def test_answer_without_categories_has_no_savings(body: object) -> None:
    read = read_savings(body, profile=None, cluster_id="a")
    assert (read.categories, read.per_month) == ((), None)


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b"", "b''"),
        (b"<html>502 Bad Gateway</html>", "502"),
        (b"[" * 200_000, "[[["),
        (b"[]", "list"),
        (b"null", "nothing"),
        (b'{"code": 200, "data": null}', "nothing"),
        (b'{"code": 500, "data": null, "message": "no data"}', "no data"),
        (b'{"error": "denied"}', "error"),
        (b'{"requestSizing": 44.31}', "requestSizing"),
        (b'{"requestSizing": {"value": "44.31"}}', "44.31"),
        (b'{"requestSizing": {"value": true}}', "True"),
        (b'{"requestSizing": {"value": 1e99}}', "E+99"),
        (b'{"requestSizing": {"value": 1, "state": 7}}', "7"),
        (b'{"requestSizing": {"value": 1}, "other": {"figure": 1}}', "figure"),
        (b'{"aurora": {"requestSizing": {"figure": 1}}}', "figure"),
        (b'{"aurora": {"requestSizing": "much"}}', "much"),
        (b'{"aurora": {"requestSizing": {"value": 1}}, "cygnus": null}', "cygnus"),
    ],
)
def test_unknown_shape_is_an_error_that_shows_it(body: bytes, seen: str) -> None:
    with pytest.raises(SavingsNotUnderstood) as refused:
        read_savings(body, profile=None, cluster_id=None)
    assert seen in refused.value.seen
    assert len(str(refused.value)) < 800
    assert isinstance(refused.value, SourceError)
    assert not refused.value.retryable

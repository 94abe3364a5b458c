"""`kubetally explain`: how a figure came about."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.integration.commands import Done
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill
from tests.served import Served

FIGURE = ("--namespace", "shop", "--component", "cpu", "--day", "2026-11-20")


def explain(home: Home, *args: str) -> Done:
    done = home.call("explain", "aurora", *args)
    assert done.code == 0, done.err
    return done


@pytest.fixture
def stored(home: Home, upstream: tuple[Upstream, Served]) -> Home:
    _, server = upstream
    added(home, server)
    backfill(home)
    return home


def lines_of(done: Done) -> list[str]:
    return done.out.splitlines()


def test_rows_of_a_figure_add_up_on_screen_and_in_json(stored: Home) -> None:
    body = explain(stored, *FIGURE, "--format", "json").json
    cost = stored.costs("aurora", "--by", "namespace", "--start", "2026-11-20", "--end", "2026-11-21")
    (shop,) = (row for row in cost["breakdown_by_namespace"] if row["namespace"] == "shop")
    assert body["total"]["total_cost"] == body["total"]["cpu_cost"] == shop["cpu_cost"]
    assert sum(Decimal(str(line["cpu_cost"])) for line in body["lines"]) == Decimal(str(shop["cpu_cost"]))
    screen = explain(stored, *FIGURE)
    assert lines_of(screen)[0] == f"aurora, namespace shop, CPU: {shop['cpu_cost']:.2f} USD (assumed)"
    table = screen.out.partition("the largest first\n")[2].partition("\n\n")[0].splitlines()
    shown = [
        Decimal(line.split()[-1]) for line in table if line.startswith(("shop ", f"{len(body['lines']) - 25} more"))
    ]
    (total,) = (Decimal(line.split()[-1]) for line in lines_of(screen) if line.startswith("total"))
    assert sum(shown) == total


def test_screen_says_by_which_rules_and_from_which_request(stored: Home) -> None:
    out = explain(stored, *FIGURE).out
    assert re.search(r"^  B2: The use is ", out, re.MULTILINE)
    assert re.search(r"^  aurora: OpenCost .* at http://127.0.0.1:\d+/aurora", out, re.MULTILINE)
    assert "GET /allocation?window=2026-11-20T00:00:00Z,2026-11-21T00:00:00Z&aggregate=cluster,node," in out


def test_requests_are_alone_on_the_last_lines(stored: Home) -> None:
    *_, source, costs, assets = lines_of(explain(stored, *FIGURE))
    assert source.startswith("  aurora: OpenCost ")
    assert (costs.startswith("GET /allocation?window="), assets.startswith("GET /assets?window=")) == (True, True)


def test_figure_without_a_row_has_no_empty_heading(stored: Home) -> None:
    out = explain(stored, "--namespace", "shpo", "--day", "2026-11-20").out
    assert "No row of the ledger costs anything in it." in out
    assert "none has the namespace 'shpo' (did you mean shop?)" in out
    assert not [word for word in ("Booking rules", "largest first") if word in out]


def test_cause_of_a_difference_is_in_words(stored: Home) -> None:
    out = explain(stored, "--filter", 'kind:"difference"', "--start", "2026-11-20", "--end", "2026-11-23").out
    assert re.search(r"^2026-11-2\d  difference .*\n  balancer_charged_twice$", out, re.MULTILINE)
    assert "balancer_charged_twice: the source charged a load balancer more often than it cost" in out


def test_replaced_figure_is_explained_as_of_then(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    then, day = datetime.now(UTC).isoformat(), ("--day", "2026-11-20", "--format", "json")
    source.mode = "dearer"
    backfill(home)
    now, before = explain(home, *day).json, explain(home, *day, "--as-of", then).json
    assert now["total"]["network_cost"] == pytest.approx(2 * before["total"]["network_cost"])
    for body in (now, before):
        total = Decimal(str(body["total"]["total_cost"]))
        assert sum(Decimal(str(line["total_cost"])) for line in body["lines"]) == total
        assert [source["source"]["product"] for source in body["sources"]] == ["OpenCost"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--day", "x"), "--day 'x' is no date"),
        (("--day", "2026-11-31"), "--day '2026-11-31' does not exist: the last day of 2026-11 is 2026-11-30"),
        (("--day", "2026-11-20", "--window", "7d"), "one or the other"),
        (("--window", "23h"), "whole UTC days"),
        (("--filter", "pod:"), "--filter: the filter can't be read at position 4"),
        (("--component", "disk"), "'disk'"),
        (
            ("--day", "2026-11-10"),
            "aurora: no day of 10 Nov 2026 UTC is stored; all stored days are within 20-22 Nov 2026 UTC: `kubetally",
        ),
        (("--day", "2026-11-20", "--as-of", "2999-01-01"), "--as-of 2999-01-01T00:00:00Z is in the future"),
    ],
)
def test_bad_question_says_what_to_do(stored: Home, args: tuple[str, ...], words: str) -> None:
    done = stored.call("explain", "aurora", *args)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_account_without_any_day_asks_for_collecting(home: Home, upstream: tuple[Upstream, Served]) -> None:
    added(home, upstream[1])
    done = home.call("explain", "aurora", *FIGURE)
    assert (done.code, done.out) == (2, "")
    assert "error: aurora: nothing is collected yet: `kubetally serve` stores the first days within minutes" in done.err


def test_day_stored_after_the_instant_asks_for_a_later_one(home: Home, upstream: tuple[Upstream, Served]) -> None:
    added(home, upstream[1])
    before = datetime.now(UTC).isoformat()
    backfill(home)
    done = home.call("explain", "aurora", *FIGURE, "--as-of", before)
    assert (done.code, done.out) == (2, "")
    assert "use a later --as-of, or omit it" in done.err
    assert "backfill" not in done.err


def test_unknown_account_is_named(stored: Home) -> None:
    done = stored.call("explain", "auora", *FIGURE)
    assert done.code == 2
    assert "did you mean 'aurora'" in done.err

"""Parameters of the native API: what they mean, and how bad ones are refused."""

from urllib.parse import urlencode

import pytest

from kubetally.domain.question.cost_question import Idle
from kubetally.domain.question.steps import Step
from kubetally.domain.window import DAY, parse_window
from kubetally.web.v1.parameters import parse_compare, parse_costs
from kubetally.web.v1.query_string import InvalidParameter
from kubetally.web.v1.window_parameters import MAX_DAYS
from tests.served import NOON_AFTER

DAYS = {"start": "2026-11-20", "end": "2026-11-23"}


def ask(**parameters: str) -> bytes:
    return urlencode({name: value for name, value in (DAYS | parameters).items() if value != "-"}).encode()


def test_question_has_its_defaults() -> None:
    question, page = parse_costs(ask(), NOON_AFTER)
    assert (question.group, question.step, question.idle, question.as_of) == ((), None, Idle.SEPARATE, None)
    assert (page.limit, page.cursor, page.top) == (200, None, None)
    assert str(question.window) == "2026-11-20T00:00:00Z,2026-11-23T00:00:00Z"


def test_without_dates_the_window_is_the_last_seven_days() -> None:
    question, _ = parse_costs(b"", NOON_AFTER)
    assert question.window == parse_window("7d", NOON_AFTER)


def test_comparison_without_dates_is_of_days_that_are_over() -> None:
    question, _ = parse_compare(b"", NOON_AFTER)
    assert str(question.costs.window) == "2026-11-16T00:00:00Z,2026-11-23T00:00:00Z"
    assert str(question.before) == "2026-11-09T00:00:00Z,2026-11-16T00:00:00Z"


def test_longest_window_may_end_in_the_future() -> None:
    question, _ = parse_costs(ask(start="2016-11-25", end="2026-12-03"), NOON_AFTER)
    assert question.window.end - question.window.start == MAX_DAYS * DAY


def test_period_before_begins_in_1970_or_is_given() -> None:
    first = {"start": "1970-01-02", "end": "1970-01-04"}
    with pytest.raises(InvalidParameter, match="before_start") as refused:
        parse_compare(ask(**first), NOON_AFTER)
    assert refused.value.parameter == "start"
    question, _ = parse_compare(ask(**first, before_start="1970-01-01", before_end="1970-01-02"), NOON_AFTER)
    assert str(question.before) == "1970-01-01T00:00:00Z,1970-01-02T00:00:00Z"


def test_every_parameter_is_read() -> None:
    query = ask(
        group="cluster,label:app", step="week", idle="even", order="-cpu_cost", limit="7", top="3", as_of="2026-11-22"
    )
    question, page = parse_costs(query, NOON_AFTER)
    assert [dimension.asked for dimension in question.group] == ["cluster", "label:app"]
    assert (question.step, question.idle) == (Step.WEEK, Idle.EVEN)
    assert (page.order[0].field, page.limit, page.top) == ("cpu_cost", 7, 3)


@pytest.mark.parametrize(
    ("parameters", "parameter", "says"),
    [
        ({"group": "colour"}, "group", "use a comma list"),
        ({"step": "fortnight"}, "step", "day, week, month"),
        ({"filter": 'namespace="x"'}, "filter", "position 9"),
        ({"filter": 'namespace:"a'}, "filter", "not closed"),
        ({"start": "yesterdayish"}, "start", "is not a time"),
        ({"start": "2026-11-31"}, "start", "start '2026-11-31' does not exist: the last day of 2026-11 is 2026-11-30"),
        ({"as_of": "2026-02-29"}, "as_of", "as_of '2026-02-29' does not exist: the last day of 2026-02 is"),
        ({"start": "2026-11-23", "end": "2026-11-20"}, "end", "not after start"),
        ({"start": "2026-11-20T06:00:00Z"}, "start", "whole UTC days"),
        ({"start": "2027-11-20", "end": "2027-11-21"}, "start", "in the future"),
        ({"start": "1969-12-31"}, "start", "before 1970"),
        ({"start": "0001-01-01", "end": "0001-01-02"}, "start", "before 1970"),
        ({"start": "2016-11-14"}, "start", "3,661 days, and 3,660 are allowed"),
        ({"end": "9999-12-31"}, "start", "3,660 are allowed"),
        ({"end": "-"}, "end", "give both"),
        ({"limit": "-1"}, "limit", "from 1 to 10000"),
        ({"limit": "0"}, "limit", "from 1 to 10000"),
        ({"limit": "9" * 5000}, "limit", "from 1 to 10000"),
        ({"limit": "000000000199999"}, "limit", "from 1 to 10000"),
        ({"limit": "0000000001" + "9" * 5000}, "limit", "from 1 to 10000"),
        ({"top": "0000000001" + "9" * 5000}, "top", "from 1 to 10000"),
        ({"top": "²"}, "top", "from 1"),
        ({"share_namespaces": ",".join(f"n{at}" for at in range(51))}, "share_namespaces", "50 at most"),
        ({"share_labels": ",".join(f"k:{at}" for at in range(51))}, "share_labels", "50 at most"),
        ({"filter": "|".join(['pod:"a"'] * 501)}, "filter", "more than 500 values"),
        ({"idle": "perhaps"}, "idle", "separate, weighted, even, none"),
        ({"as_of": "whenever"}, "as_of", "is not a time"),
        ({"as_of": "2030-01-01"}, "as_of", "in the future"),
        ({"order": "colour"}, "order", "total_cost"),
        ({"colour": "blue"}, "colour", "unknown parameter"),
        ({"grup": "pod"}, "grup", "parameter 'grup' [(]did you mean group[?][)]: use as_of, "),
    ],
)
def test_bad_parameter_is_named_with_a_remedy(parameters: dict[str, str], parameter: str, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says) as refused:
        parse_costs(ask(**parameters), NOON_AFTER)
    assert refused.value.parameter == parameter


def test_parameter_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="twice"):
        parse_costs(ask() + b"&start=2026-11-21", NOON_AFTER)

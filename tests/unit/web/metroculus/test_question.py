"""Parameters of requests, in any bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.window import LATEST_UNIX
from kubetally.web.metroculus.errors import problem_of
from kubetally.web.metroculus.question import LARGEST, OF_SERIES, parse
from kubetally.web.problems import FAMILIES, Failure, Problem
from kubetally.web.secret import Secret
from tests.served import FixedClock
from tests.service import account_id

ID = f"cloud_account_id={account_id(1)}"


@given(st.binary(max_size=300))
def test_any_query_is_parsed_or_a_client_error(query: bytes) -> None:
    for text in (query, ID.encode() + b"&" + query, ID.encode() + b"&start_date=" + query + b"&end_date=9"):
        try:
            parse(text)
        except Problem as problem:
            assert problem.status in {400, 404}  # noqa: PT017  (either may happen)


@given(st.integers(0, LATEST_UNIX), st.integers(1, LATEST_UNIX), st.integers(1, LARGEST), st.integers(0, LARGEST))
def test_valid_parameters_are_returned(start: int, end: int, limit: int, offset: int) -> None:
    start, end = min(start, end), max(start, end)
    question = parse(f"{ID}&start_date={start}&end_date={end}&limit={limit}&offset={offset}".encode())
    dates, window = question.requested_window(FixedClock())
    assert (dates, question.limit, question.offset) == ((start, end), limit, offset)
    length = (window.end - window.start).total_seconds()
    assert length == end - start + (end % 60 == 59 and start < end < LATEST_UNIX)


def test_adjacent_windows_neither_lose_nor_repeat_a_second() -> None:
    windows = [
        parse(f"{ID}&start_date={start}&end_date={end}".encode()).requested_window(FixedClock()).window
        for start, end in ((0, 3599), (3600, 7200), (7200, 7259), (7260, 7320))
    ]
    assert all(first.end == other.start for first, other in itertools.pairwise(windows))


@pytest.mark.parametrize("secret", ["", "  ", "\n", "x" * 15, " " * 16 + "x"])
def test_weak_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="fewer than 16 characters"):
        Secret(secret)
    assert "swordfish" not in repr(Secret("swordfish-never-logged"))


def test_every_error_family_has_its_status() -> None:
    from kubetally.domain import errors

    families = {
        member
        for member in vars(errors).values()
        if isinstance(member, type) and issubclass(member, errors.KubetallyError)
    }
    assert families - {errors.KubetallyError} <= {family for family, _ in FAMILIES}
    for family in families:
        assert problem_of(Failure.of(family("what happened"))).status in {400, 403, 404, 410, 424, 500, 503}
        assert b"what happened" not in problem_of(Failure.of(family("what happened"))).body


def test_series_ignore_the_parameters_of_costs() -> None:
    odd = f"{ID}&detail_level=x&limit=0&infrastructure=y".encode()
    assert parse(odd, OF_SERIES).limit is None
    with pytest.raises(Problem):
        parse(odd)

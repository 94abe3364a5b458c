"""The bytes of a source are interpreted by a pure function, here or in another process."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kubetally.domain.booking import book
from kubetally.domain.cluster_choice import ClusterNotThere
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError
from kubetally.domain.issues import IssueKind
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.costs.service import ClusterUnreadable
from kubetally.samples.replay import ReplayServer
from kubetally.sources.access import Access
from kubetally.sources.faults import (
    Answer,
    AnswerNotUnderstood,
    SourceFailed,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Waiting,
)
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.interpret import (
    ReadingRequest,
    SourceAnswers,
    interpret,
    interpret_hours,
)
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.transport import Transport
from tests.errors import raises_code
from tests.recordings import DAYS, Recording

URL = "http://source"
DAY = Window(*map(parse_instant, DAYS[0]))
QUESTION = ReadingRequest(URL, DAY)


def answer(body: bytes) -> Answer:
    return Answer(200, body, "application/json", None, DAY.end, 0.5, URL)


def recorded(name: str = "aurora", day: int = 1) -> SourceAnswers:
    recording = Recording(name)
    return SourceAnswers(
        answer(recording.body(f"allocation-day{day}-idle")), answer(recording.body(f"assets-day{day}"))
    )


@pytest.mark.parametrize("name", ["aurora", "cygnus", "draco"])
async def test_source_reads_what_interpret_makes(name: str, replay: ReplayServer) -> None:
    async with Transport(Access.parse(replay.url_of(name))) as transport:
        source = CostModelSource(CostModelClient(transport))
        answers, read = await source.fetch(DAY), await source.read(DAY)
    question = replace(QUESTION, url=source.url)
    again = [interpret(answers, question), interpret(pickle.loads(pickle.dumps(answers)), question)]  # noqa: S301
    assert [replace(copy, collected_at=None) for copy in again] == [replace(read, collected_at=None)] * 2
    assert [copy.collected_at for copy in again] == [answers.allocations.received_at] * 2
    assert book(again[0]).bill.total > 0


async def test_source_decodes_nothing_by_itself() -> None:
    """All calculations run by `calculate`, so that a service keeps its loop free."""
    prepared, calls = interpret(recorded(), QUESTION), []

    async def elsewhere(size_bytes: int, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        calls.append((size_bytes, function, args, kwargs))
        return prepared if function is interpret else ()

    class Client:
        url, account, clock_difference = URL, None, None

        async def day_allocations(self, window: Window, cluster_id: str | None) -> Answer:
            return answer(b"not even JSON")

        async def day_assets(self, window: Window, cluster_id: str | None) -> Answer:
            return answer(b"nor this")

        async def hourly_allocations(self, window: Window, cluster_id: str | None, aggregate: str) -> Answer:
            return answer(b"[")

        async def about(self, path: str) -> None:
            return None

        raw = about

        async def wait_for_place(self) -> None:
            pass

    client: Any = Client()
    source = CostModelSource(client, calculate=elsewhere)
    assert await source.read(DAY) is prepared
    assert await source.hours(DAY, 1) == ()
    assert [(size, function) for size, function, _, _ in calls] == [(21, interpret), (1, interpret_hours)]
    assert pickle.loads(pickle.dumps(calls[0][2])) == calls[0][2]  # noqa: S301


def test_unreadable_assets_are_an_issue() -> None:
    for assets in (SourceFailed(URL, 500, "boom"), answer(b"<html>")):
        reading = interpret(replace(recorded(), assets=assets), QUESTION)
        issue = next(issue for issue in reading.issues if issue.kind is IssueKind.SOURCE_FAILED)
        assert (reading.assets, issue.subject) == (None, "assets")
        assert reading.allocations


def test_unreadable_rows_are_an_error() -> None:
    with pytest.raises(AnswerNotUnderstood):
        interpret(replace(recorded(), allocations=answer(b"{")), QUESTION)
    with pytest.raises(AnswerNotUnderstood):
        interpret_hours(answer(b"{"), QUESTION)


def test_request_holds_what_the_account_states() -> None:
    configured = replace(recorded(), configs={"currencyCode": "EUR"})
    assert interpret(configured, QUESTION).currency == "EUR"
    assert interpret(recorded(), replace(QUESTION, currency="CHF")).currency == "CHF"
    with raises_code("currency_differs"):
        interpret(configured, replace(QUESTION, currency="USD"))
    with pytest.raises(ClusterNotThere):
        interpret(recorded(), replace(QUESTION, cluster_id="another"))


def test_difference_of_clocks_is_an_issue() -> None:
    issues = interpret(replace(recorded(), clock_difference=timedelta(minutes=9)), QUESTION).issues
    assert [issue.facts["minutes"] for issue in issues if issue.kind is IssueKind.CLOCK_DIFFERS] == [9.0]


def test_answers_keep_their_figures_in_another_process() -> None:
    reading = interpret(recorded(), QUESTION)
    copied = pickle.loads(pickle.dumps(reading))  # noqa: S301
    assert copied == reading
    bill, bill_of_copy = book(reading).bill, book(copied).bill
    assert [bill_of_copy.of(component) for component in Component] == [bill.of(component) for component in Component]


@pytest.mark.parametrize(
    "error",
    [
        SourceFailed(URL, 500, "boom"),
        SourceRefused(URL, 404, None, b"no"),
        SourceTimeout(URL, Waiting.READ, 30.0),
        AnswerNotUnderstood(URL, "answered with something", "<html>", said="words"),
        RequestError("several clusters", code="several_clusters"),
        SourceUnavailable(URL, "why", code="source_unreachable"),
        ClusterNotThere(URL, cluster_id="c", there=["b", "a"]),
        DeadlinePassed(URL, 3.0, is_divisible=True),
        ClusterUnreadable("id", source=URL, why=SourceFailed(URL, 502, None)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_keeps_its_facts_in_another_process(error: Any) -> None:
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copied), str(copied), copied.code, copied.retryable) == (
        type(error),
        str(error),
        error.code,
        error.retryable,
    )
    assert {name: repr(value) for name, value in vars(copied).items()} == {
        name: repr(value) for name, value in vars(error).items()
    }

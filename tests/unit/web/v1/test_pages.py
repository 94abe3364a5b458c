"""Pages of an answer: what is kept for the next one, and what is too large for that."""

from dataclasses import dataclass, field

import msgspec
import pytest

from kubetally.cache import Prepared
from kubetally.domain.access import OPERATOR, Principal
from kubetally.present.cost_report import Shown
from kubetally.tasks import calculate_here
from kubetally.web.v1.cursor import read_cursor
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, KeptAnswers, Pages, PagesGone, View


@dataclass
class Counting:
    """Answers a number with the numbers below it, and counts how often. others: what a report has beside them."""

    digest: str = "x"
    others: int = 0
    computed: list[int] = field(default_factory=list)

    def prepare(self, _: Principal, question: int) -> Prepared[list[int]]:
        def compute() -> list[int]:
            self.computed.append(question)
            return list(range(question))

        return Prepared(self.digest, compute)

    def arrange(self, report: list[int], _: Page) -> ArrangedRows[int]:
        return ArrangedRows(report, others=self.others)

    def body(self, _report: list[int], shown: Shown[int]) -> dict[str, object]:
        return {"rows": list(shown.rows), "next": shown.next}


def pages_of(counting: Counting, kept: KeptAnswers) -> Pages[int, list[int], int]:
    return Pages(View("numbers", counting.prepare, counting.arrange, counting.body), kept, calculate_here, version="0")


async def all_pages(pages: Pages[int, list[int], int], question: int) -> list[int]:
    rows, page = list[int](), Page((), limit=2)
    while True:
        body = msgspec.json.decode((await pages.respond(OPERATOR, question, page, None)).content)
        rows += body["rows"]
        if body["next"] is None:
            return rows
        page = Page((), limit=2, cursor=read_cursor(body["next"]))


@pytest.mark.parametrize(("others", "times"), [(0, 1), (5, 3)])
async def test_answer_beyond_the_bound_is_computed_for_each_page(others: int, times: int) -> None:
    counting, kept = Counting(others=others), KeptAnswers(max_rows=10)
    assert await all_pages(pages_of(counting, kept), 5) == [0, 1, 2, 3, 4]
    assert counting.computed == [5] * times
    assert len(kept.answers) == (times == 1)


async def test_page_beyond_the_bound_is_not_kept() -> None:
    kept = KeptAnswers(max_bytes=10)
    await all_pages(pages_of(Counting(), kept), 5)
    assert len(kept.bodies) == 0


async def test_cursor_of_a_question_leads_to_no_answer_of_another() -> None:
    counting, kept = Counting(), KeptAnswers()
    pages, page = pages_of(counting, kept), Page((), limit=2)
    first = msgspec.json.decode((await pages.respond(OPERATOR, 5, page, None)).content)
    counting.digest = "y"
    await pages.respond(OPERATOR, 6, page, None)
    forged = read_cursor(first["next"])._replace(answer="y")
    counting.digest = "z"
    with pytest.raises(PagesGone):
        await pages.respond(OPERATOR, 5, Page((), limit=2, cursor=forged), None)


async def test_any_answer_is_known_to_a_client_that_says_so() -> None:
    pages = pages_of(Counting(), KeptAnswers())
    assert (await pages.respond(OPERATOR, 5, Page(()), "*")).status_code == 304

"""`kubetally explain`: how a figure came about."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import print_body
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    AnswerOptions,
    AsOf,
    ScreenOrJson,
    ScreenOrJsonFormat,
    WindowOptions,
    date_of,
    instant_of,
    read_option,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.component import Component
from kubetally.domain.errors import NotFound
from kubetally.domain.issues import IssueKind
from kubetally.domain.question.cost_question import Idle
from kubetally.domain.question.filter import AllOf, Condition, Field, Filter, Op
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import DAY, InvalidWindow, Window, midnight, rfc3339
from kubetally.domain.words import component_word, window_words

if TYPE_CHECKING:
    from kubetally.domain.account import Account
    from kubetally.domain.explanation import Explanation

_WITHOUT_DAYS = (IssueKind.NOTHING_COLLECTED, IssueKind.WINDOW_WITHOUT_DATA)


@dataclass(frozen=True)
class FigureOptions:
    """Which rows of an account make the figure."""

    namespace: Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Namespace of the rows.")] = None
    controller: Annotated[
        str | None, typer.Option("--controller", metavar="NAME", help="Controller of the rows, without its kind.")
    ] = None
    pod: Annotated[str | None, typer.Option("--pod", metavar="NAME", help="Pod of the rows.")] = None
    component: Annotated[Component | None, typer.Option("--component", help="Component of the cost.")] = None
    filter: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="FILTER", help="Further filter in OpenCost's v2 grammar, such as 'label[team]:\"web\"'."
        ),
    ] = None
    idle: Annotated[Idle, typer.Option("--idle", help="Idle cost: separate, shared among workloads, or left out.")] = (
        Idle.SEPARATE
    )

    def conditions(self) -> Iterator[Filter]:
        """The options as filters. Raises RequestError."""
        given = {
            Field.NAMESPACE: self.namespace,
            Field.CONTROLLER_NAME: self.controller,
            Field.POD: self.pod,
            Field.COMPONENT: self.component,
        }
        yield from (Condition(its, Op.EQUALS, (str(value),)) for its, value in given.items() if value is not None)
        if self.filter is not None:
            yield read_option("--filter", self.filter, parse_v2)

    def words(self) -> Iterator[str]:
        """The options in words."""
        for name, value in (("namespace", self.namespace), ("controller", self.controller), ("pod", self.pod)):
            if value is not None:
                yield f"{name} {value}"
        if self.component is not None:
            yield component_word(self.component)
        if self.filter is not None:
            yield f"filter {self.filter}"
        if self.idle is not Idle.SEPARATE:
            yield f"idle {self.idle}"


@dataclass(frozen=True)
class DaysOptions(WindowOptions):
    """The days of the figure: whole UTC days, because those are stored."""

    day: Annotated[str | None, typer.Option("--day", metavar="DATE", help="One UTC day: 2026-11-20.")] = field(
        default=None
    )

    def read(self) -> Window:
        """Their window. Raises InvalidWindow, UnreadableTime."""
        if self.day is None:
            window = super().read()
        elif (self.window, self.start, self.end) != (None, None, None):
            raise InvalidWindow(self.day, "was given as --day beside another window: give one or the other")
        else:
            day = date_of("--day", self.day).isoformat()
            window = WindowOptions(window=f"{day},{date_of('--day', self.day) + DAY}").read()
        if any(instant != midnight(instant) for instant in (window.start, window.end)):
            raise InvalidWindow(str(window), "is not of whole UTC days, which are what is stored: give --day or dates")
        return window


@with_option_groups
def explain(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of the account.")],
    *,
    figure: FigureOptions,
    days: DaysOptions,
    as_of: AsOf = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    answer: AnswerOptions,
) -> None:
    """Explain how a figure came about.

    Prints the rows of the ledger that make it, the largest first, its days and components, the booking rules that the
    rows follow, and what the source was asked. It reads stored days only.

    \b
    Examples:
      kubetally explain prod --namespace shop --component cpu --day 2026-11-20
      kubetally explain prod --pod web-7d4b9 --window lastweek
    """
    from kubetally.domain.question.cost_question import CostQuestion
    from kubetally.ledger.costs.stored_days import InvalidAsOf
    from kubetally.wiring.grouped import open_explainer

    settings = start_up(quiet=answer.quiet)
    span, instant, conditions = days.read(), instant_of("--as-of", as_of), list(figure.conditions())
    with answer_to(answer.output_file):
        with open_explainer(settings) as (ledger, explainer):
            if instant is not None and instant > (now := ledger.clock.now()):
                raise InvalidAsOf(instant, now=now)
            found = ledger.accounts.find(account)
            condition = AllOf((Condition(Field.CLUSTER, Op.EQUALS, (found.id,)), *conditions))
            question = CostQuestion(span, (), filter=condition, idle=figure.idle, as_of=instant)
            explanation = explainer.explain(question)
        _check_data(explanation, found)
        _show(explanation, [found.name, *figure.words()], output, quiet=answer.quiet)


def _check_data(explanation: "Explanation", account: "Account") -> None:
    """Raises NotFound, if nothing is stored, or was at the instant of the question."""
    report = explanation.report
    if report.coverage.hours_covered:
        return
    days, as_of = window_words(report.window), report.question.as_of
    causes = [issue.message for issue in report.issues if issue.kind in _WITHOUT_DAYS]
    if as_of is None and causes:
        message = f"{account.name}: {causes[0]}"
    elif as_of is None:
        message = (
            f"no day of {account.name!r} is stored for {days}: collect it with `kubetally backfill {account.name}`, or "
            f"see `kubetally coverage {account.name}`"
        )
    else:
        message = (
            f"no day of {account.name!r} was stored for {days} at {rfc3339(as_of)}: use a later --as-of, or omit it "
            "for the days stored now"
        )
    raise NotFound(message, code="nothing_stored")


def _show(explanation: "Explanation", figure: list[str], output: ScreenOrJson, *, quiet: bool) -> None:
    if output is ScreenOrJson.TABLE:
        from kubetally.present.explain import print_explanation

        print_explanation(explanation, figure, quiet=quiet)
        return
    import msgspec

    from kubetally.present.explanation_report import explanation_body

    print_body(msgspec.to_builtins(explanation_body(explanation)))

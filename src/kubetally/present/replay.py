"""Replayed answers, as lines of text and as bodies."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kubetally.domain.booking_comparison import COST_FIGURES, Difference, Figure
from kubetally.domain.money import to_decimal, to_number, to_shown
from kubetally.domain.replayed import Replayed, ReplayOutcome, UnreadableFile
from kubetally.domain.window import rfc3339
from kubetally.domain.words import period_words
from kubetally.present.answer import Json
from kubetally.present.grid import printable

_MAX_DIFFERENCES = 10  # of a day
_COUNTED: Mapping[ReplayOutcome, Callable[[int], str]] = {
    ReplayOutcome.NO_DATA: lambda count: f"{_files(count)} without data",
    ReplayOutcome.OTHER_ANSWER: lambda count: f"{_files(count)} not compared: another answer was stored",
}
"""Outcomes that are counted at the end, without a line for each file."""


def replay_lines(result: Replayed | UnreadableFile, account_names: Mapping[str, str]) -> Iterator[str]:
    """The lines of a file; none if `counted_lines` counts it."""
    if isinstance(result, UnreadableFile):
        yield str(result.why)
    elif result.outcome not in _COUNTED:
        yield f"{_heading(result, account_names)}  {_outcome_words(result)}"
        yield from _difference_lines(result)


def counted_lines(counts: Mapping[ReplayOutcome, int]) -> Iterator[str]:
    """Lines with the number of files of each counted outcome."""
    for outcome, words in _COUNTED.items():
        if counts[outcome]:
            yield words(counts[outcome])


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _heading(result: Replayed, account_names: Mapping[str, str]) -> str:
    answer, name = result.answer, result.answer.url
    if answer.account is not None:
        name = account_names.get(answer.account, f"account {answer.account} (of another database)")
    heading = f"{period_words(answer.window)}  {printable(name)}"
    if result.booking is None:
        return heading
    return f"{heading}  {to_shown(result.booking.bill.total)} {result.booking.currency}"


def _outcome_words(result: Replayed) -> str:
    match result.outcome:
        case ReplayOutcome.UNREADABLE:
            return f"can't be read: {result.why}"
        case ReplayOutcome.DAMAGED:
            return f"stored day can't be read: {result.why}"
        case ReplayOutcome.NOT_STORED:
            return "not stored"
        case ReplayOutcome.COLLECTED_LATER:
            return "not compared: the stored day was made of another answer"
        case ReplayOutcome.DIFFERENT:
            return "differs from the stored day:"
        case _:
            return "same as stored"


def _difference_lines(result: Replayed) -> Iterator[str]:
    differences, elsewhere = result.comparison.differences, result.comparison.elsewhere
    for difference in differences[:_MAX_DIFFERENCES]:
        yield f"    {printable(_difference_words(difference))}"
    if len(differences) > _MAX_DIFFERENCES:
        yield f"    and {len(differences) - _MAX_DIFFERENCES} more (--format json has all)"
    if elsewhere:
        names = ", ".join(dict.fromkeys(_subject(difference) for difference in elsewhere[:_MAX_DIFFERENCES]))
        yield f"    (not compared, because answers they depend on were not kept: {printable(names)})"


def _subject(difference: Difference) -> str:
    """`component management`."""
    subject = difference.figure.removesuffix("_cost").replace("_", " ")
    return f"{subject} {difference.name}" if difference.name else subject


def _difference_words(difference: Difference) -> str:
    """`namespace shop: 12.50, stored 12.40`."""
    name, stored, replayed = difference.name or "", difference.stored, difference.replayed
    if difference.figure is Figure.ISSUE:
        issue = name.replace("_", " ")
        return f"issue {issue}: not in the stored day" if stored is None else f"issue {issue}: only in the stored day"
    if difference.figure in COST_FIGURES:
        subject = f"{difference.figure.removesuffix('_cost')} {name}"
        if difference.component is not None:
            subject += f", {difference.component}"
        return f"{subject}: {_amounts(replayed, stored)}"
    if difference.figure is Figure.ROW_FIELD:
        return f"{name}: {replayed}, stored {stored}"
    subject = difference.figure.replace("_", " ")
    return f"{f'{subject} of {name}' if name else subject}: {_plain(replayed)}, stored {_plain(stored)}"


def _amounts(replayed: Any, stored: Any) -> str:
    """Both amounts, with two decimals if these differ, else with six."""
    shown = [None if micros is None else to_shown(micros) for micros in (replayed, stored)]
    if shown[0] == shown[1]:
        shown = [f"{to_decimal(micros):,.6f}" for micros in (replayed, stored)]
    return f"{shown[0] or 'none'}, stored {shown[1] or 'none'}"


def _plain(figure: Any) -> str:
    return "unknown" if figure is None else f"{figure:.10g}" if isinstance(figure, float) else str(figure)


def replay_body(result: Replayed | UnreadableFile) -> Json:
    """The body of a replayed file."""
    error = {} if result.why is None else {"code": result.why.code, "error": str(result.why)}
    if isinstance(result, UnreadableFile):
        return {"file": result.file, "outcome": result.outcome.value, **error}
    return {
        "file": result.answer.file,
        "account": result.answer.account,
        "start": rfc3339(result.answer.window.start),
        "end": rfc3339(result.answer.window.end),
        "received_at": rfc3339(result.answer.received_at),
        "outcome": result.outcome.value,
        "currency": result.booking and result.booking.currency,
        "total_cost": result.booking and to_number(result.booking.bill.total),
        "differences": list(map(_difference_body, result.comparison.differences)),
        "differences_of_other_answers": list(map(_difference_body, result.comparison.elsewhere)),
        **error,
    }


def _difference_body(difference: Difference) -> Json:
    figures: list[Any] = [difference.replayed, difference.stored]
    if difference.figure in COST_FIGURES:
        figures = [None if micros is None else to_number(micros) for micros in figures]
    return {
        "figure": difference.figure,
        "name": difference.name,
        "component": difference.component,
        "replayed": figures[0],
        "stored": figures[1],
    }

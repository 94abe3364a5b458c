"""Asking clusters for their costs, printing the answers as JSON, and the exit code."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubetally.cli import exits
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from msgspec import Struct

    from kubetally.domain.fleet import Failed
    from kubetally.domain.window import Clock, Window
    from kubetally.ledger.ports.clusters import AnyCluster
    from kubetally.settings import Settings

    Answers = Sequence[ClusterReport | Failed]


def ask(
    clusters: "Sequence[AnyCluster]",
    window: "Window",
    settings: "Settings",
    clock: "Clock | None" = None,
    *,
    legacy: bool = False,
    with_history: bool = True,
    as_of: "datetime | None" = None,
    quiet: bool = False,
) -> "list[ClusterReport | Failed]":
    """The answer of each cluster, in order.

    Shows progress on a terminal unless `quiet`; why a cluster failed is printed on standard error.
    """
    from kubetally.cli.progress import progress
    from kubetally.tasks import run
    from kubetally.wiring.clusters import get_costs_of_all

    many = "1 cluster" if len(clusters) == 1 else f"{len(clusters)} clusters"
    with progress(len(clusters), f"Asking {many}", quiet=quiet) as done:
        request = get_costs_of_all(
            clusters,
            window,
            settings=settings,
            clock=clock,
            done=done,
            legacy=legacy,
            with_history=with_history,
            as_of=as_of,
        )
        answers = run(request)
    for answer in answers:
        if not isinstance(answer, ClusterReport):
            name = answer.source.name if answer.source.account_name else ""
            exits.complain(f"{name}: {answer.message}" if name else answer.message)
    return answers


def print_json(
    answers: "Answers", body: "type[Struct]", body_of: "Callable[[ClusterReport], dict[str, Any]]", *, is_one: bool
) -> None:
    """One body where one cluster was named, else a list of them. body: their type.

    A cluster that failed has its place in it, with every key of the type and every key that the others have.
    """
    from kubetally.present.answer import failure, keys_of

    bodies = [body_of(answer) if isinstance(answer, ClusterReport) else None for answer in answers]
    keys = list(dict.fromkeys([*keys_of(body), *(key for other in bodies for key in other or ())]))
    whole = [
        failure(answer.error, answer.source, keys) if not isinstance(answer, ClusterReport) else body
        for answer, body in zip(answers, bodies, strict=True)
    ]
    print_body(whole[0] if is_one else whole)


def print_body(body: object) -> None:
    """Print a body of plain values as JSON."""
    # Everything but ASCII is escaped, which leaves one character that a terminal might take for an order.
    print(json.dumps(body, indent=2, allow_nan=False).replace("\x7f", "\\u007f"))


def exit_of(answers: "Answers", *, strict: bool = False, each: bool = False) -> int:
    """0 if any source answered, else the code of the first failure.

    each: 3 if any source could not be read. strict: also 3 if any answer is incomplete, with a message.
    """
    failed = [answer for answer in answers if not isinstance(answer, ClusterReport)]
    if failed and len(failed) == len(answers):
        return exits.exit_code(failed[0].error)
    from kubetally.present.text import hours_of

    incomplete = _incomplete(answers) if strict else []
    for costs in incomplete:
        exits.complain(
            f"{_name_of(costs)}: the answer is {costs.status.value}, "
            f"{hours_of(costs)} hours; --strict asks for complete ones{_why(costs)}"
        )
    return exits.NO_SOURCE if incomplete or (failed and (strict or each)) else exits.OK


def _why(costs: ClusterReport) -> str:
    """`: the first problem (and 2 more)`; empty, if the answer names none."""
    missing = [issue.message for issue in costs.issues if issue.is_missing_data]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f": {missing[0]}{more}" if missing else ""


def _incomplete(answers: "Answers") -> list[ClusterReport]:
    return [costs for costs in answers if isinstance(costs, ClusterReport) and costs.status is not Status.OK]


def _name_of(costs: ClusterReport) -> str:
    return costs.source.name

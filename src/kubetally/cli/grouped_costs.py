"""`kubetally costs` of a group: asks clusters together, and prints one report."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.options import Format
from kubetally.domain.status import Status
from kubetally.present.grid import escaped

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed
    from kubetally.domain.question.cost_question import CostQuestion
    from kubetally.domain.report import CostReport
    from kubetally.ledger.ports.clusters import AnyCluster
    from kubetally.settings import Settings


def ask_grouped(
    clusters: "Sequence[AnyCluster]", question: "CostQuestion", settings: "Settings", *, quiet: bool
) -> "tuple[CostReport, list[Failed]]":
    """What the clusters cost together, and those that gave no answer, whose errors are printed on standard error."""
    from kubetally.cli.progress import progress
    from kubetally.tasks import run
    from kubetally.wiring.grouped import get_grouped_costs

    many = "1 cluster" if len(clusters) == 1 else f"{len(clusters)} clusters"
    with progress(len(clusters), f"Asking {many}", quiet=quiet) as done:
        report, failed = run(get_grouped_costs(clusters, question, settings=settings, done=done))
    for failure in failed:
        name = failure.source.account_name
        exits.complain(f"{name}: {failure.error}" if name else str(failure.error))
    return report, failed


def show_grouped(
    report: "CostReport", clusters: "Sequence[AnyCluster]", top: int | None, output: Format, *, quiet: bool
) -> None:
    """Print the report; `quiet`: without notes."""
    match output:
        case Format.TABLE:
            from kubetally.present.grouped_tables import print_grouped

            print_grouped(report, top, _names(clusters), quiet=quiet)
        case Format.JSON:
            _print_json(report, top)
        case _:
            from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange_report
            from kubetally.domain.question.cost_question import ExportFormat
            from kubetally.query.export import report_table, write_batches

            lines, rows = arrange_report(report, DEFAULT_ORDER, top)
            table = report_table(report, [*lines, *rows])
            _write(write_batches(table.to_batches(), table.schema, ExportFormat(output.value)), output)
            if not quiet:
                _warn_of_missing(report)


def exit_of_grouped(report: "CostReport", failed: "Sequence[Failed]", count: int, *, strict: bool) -> int:
    """0 if any source answered, else the code of the first failure.

    count: of all clusters. strict: 3 if the answer is incomplete, with a message.
    """
    if failed and len(failed) == count:
        return exits.exit_code(failed[0].error)
    if not strict or report.status is Status.OK:
        return exits.OK
    from kubetally.present.text import hours_of

    missing = [issue.message for issue in report.issues if issue.is_missing_data]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    why = f": {missing[0]}{more}" if missing else ""
    exits.complain(
        f"the answer is {report.status.value}, {hours_of(report)} hours; --strict asks for complete ones{why}"
    )
    return exits.NO_SOURCE


def _print_json(report: "CostReport", top: int | None) -> None:
    """The body of `GET /api/v1/costs`, with all rows."""
    from msgspec import to_builtins

    from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange_report
    from kubetally.present.cost_report import Shown, report_body

    lines, rows = arrange_report(report, DEFAULT_ORDER, top)
    body = report_body(report, Shown(rows, lines, len(rows), DEFAULT_ORDER, max(len(rows), 1), top))
    # Everything but ASCII is escaped, which leaves one character that a terminal might take for an order.
    print(json.dumps(to_builtins(body), indent=2, allow_nan=False).replace("\x7f", "\\u007f"))


def _write(pieces: Iterable[bytes], output: Format) -> None:
    """Write a file to standard output; on a terminal without control characters."""
    for piece in pieces:
        if output is Format.CSV and sys.stdout.isatty():
            sys.stdout.write(escaped(piece.decode()))
        else:
            sys.stdout.buffer.write(piece)


def _warn_of_missing(report: "CostReport") -> None:
    """What is missing, on standard error: such a file has no place for it."""
    for issue in report.issues:
        if issue.is_missing_data:
            warn(issue.message)


def _names(clusters: "Sequence[AnyCluster]") -> dict[str, str]:
    """The names of accounts by their id; a cluster without account is called by where it is."""
    from kubetally.ledger.ports.clusters import AccountCluster

    return {
        cluster.account.id if isinstance(cluster, AccountCluster) else cluster.place: cluster.account.name
        if isinstance(cluster, AccountCluster)
        else cluster.place
        for cluster in clusters
    }

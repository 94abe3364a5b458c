"""`kubetally costs` of a group: asks clusters together, and prints one report or comparison."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.asking import print_body
from kubetally.cli.options import Format
from kubetally.domain.issues import IssueKind
from kubetally.domain.question.cost_question import ExportFormat
from kubetally.domain.status import Status
from kubetally.present.grid import escaped

if TYPE_CHECKING:
    from kubetally.cli.clusters import ChosenClusters
    from kubetally.cli.grouping import GroupedQuestion
    from kubetally.domain.compare import Comparison
    from kubetally.domain.fleet import Failed
    from kubetally.domain.issues import Issue
    from kubetally.domain.question.cost_question import CostQuestion
    from kubetally.domain.report import CostReport
    from kubetally.query.reports import LedgerReports
    from kubetally.settings import Settings
    from kubetally.wiring.grouped import GroupedCosts

_Report = TypeVar("_Report", "CostReport", "Comparison")


def grouped_costs(
    question: "GroupedQuestion",
    choice: "ChosenClusters",
    settings: "Settings",
    output: Format,
    *,
    strict: bool,
    quiet: bool,
) -> int:
    """Ask and print. Returns the exit code. `quiet`: without progress and notes."""
    compared = question.compared
    questions = [question.costs] if compared is None else [compared.of_before(), compared.of_now()]
    if compared is None:
        costs = _ask(choice, questions, lambda reports: reports.costs(question.costs), settings, quiet=quiet)
        _show_report(costs.report, question, _names(choice, costs), output, quiet=quiet)
        reports, failed = [costs.report], costs.failed
    else:
        changes = _ask(choice, questions, lambda reports: reports.compare(compared), settings, quiet=quiet)
        _show_comparison(changes.report, question, _names(choice, changes), output, quiet=quiet)
        reports, failed = [changes.report.now, changes.report.before], changes.failed
    return _exit_code(reports, failed, len(choice.clusters), strict=strict)


def _ask(
    choice: "ChosenClusters",
    questions: "Sequence[CostQuestion]",
    compute: "Callable[[LedgerReports], _Report]",
    settings: "Settings",
    *,
    quiet: bool,
) -> "GroupedCosts[_Report]":
    """The costs; errors of clusters that gave no answer are printed on standard error."""
    from kubetally.cli.progress import progress
    from kubetally.tasks import run
    from kubetally.wiring.grouped import get_grouped_costs

    count = len(choice.clusters)
    many = "1 cluster" if count == 1 else f"{count} clusters"
    with progress(len(questions) * count, f"Asking {many}", quiet=quiet) as done:
        costs = run(
            get_grouped_costs(
                choice.clusters,
                questions,
                compute,
                settings=settings,
                with_removed=choice.are_all_accounts,
                done=done,
            )
        )
    for failure in costs.failed:
        name = failure.source.name if failure.source.account_name else ""
        exits.complain(f"{name}: {failure.message}" if name else failure.message)
    return costs


def _show_report(
    report: "CostReport", question: "GroupedQuestion", names: "Mapping[str, str]", output: Format, *, quiet: bool
) -> None:
    """names: of the clusters, by id."""
    from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange_report, rows_of_file

    if output is Format.TABLE:
        from kubetally.present.grouped_tables import print_grouped

        print_grouped(report, question.top, names, question.words, quiet=quiet)
        return
    if output is Format.JSON:
        from kubetally.present.cost_report import Shown, report_body

        lines, rows = arrange_report(report, DEFAULT_ORDER, question.top)
        _print_json(report_body(report, Shown(rows, lines, len(rows), DEFAULT_ORDER, max(len(rows), 1), question.top)))
        return
    from kubetally.query.export import export_table, report_table

    file_rows = rows_of_file(report, DEFAULT_ORDER, question.top)
    _write(export_table(report_table(report, file_rows), ExportFormat(output.value)), output)
    _warn(report.issues, names, quiet=quiet)


def _show_comparison(
    comparison: "Comparison",
    question: "GroupedQuestion",
    names: "Mapping[str, str]",
    output: Format,
    *,
    quiet: bool,
) -> None:
    """names: of the clusters, by id."""
    from kubetally.domain.compare import LARGEST_CHANGE_FIRST, arrange_comparison

    if output is Format.TABLE:
        from kubetally.present.grouped_tables import print_comparison

        print_comparison(comparison, question.top, names, question.words, quiet=quiet)
        return
    lines, rows = arrange_comparison(comparison, LARGEST_CHANGE_FIRST, question.top)
    if output is Format.JSON:
        from kubetally.present.comparison_report import comparison_body
        from kubetally.present.cost_report import Shown

        shown = Shown(rows, lines, len(rows), LARGEST_CHANGE_FIRST, max(len(rows), 1), question.top)
        _print_json(comparison_body(comparison, shown))
        return
    from kubetally.query.export import comparison_table, export_table

    _write(export_table(comparison_table(comparison, [*lines, *rows]), ExportFormat(output.value)), output)
    _warn(comparison.issues, names, quiet=quiet)


def _exit_code(reports: "Sequence[CostReport]", failed: "Sequence[Failed]", count: int, *, strict: bool) -> int:
    """0 if any source answered, else the code of the first failure.

    count: of all clusters. strict: 3 if an answer is incomplete, with a message.
    """
    if failed and len(failed) == count:
        return exits.exit_code(failed[0].error)
    incomplete = [report for report in reports if report.status is not Status.OK]
    if not strict or not incomplete:
        return exits.OK
    from kubetally.present.text import hours_of

    for report in incomplete:
        missing = [issue.message for issue in report.issues if issue.is_missing_data]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        why = f": {missing[0]}{more}" if missing else ""
        exits.complain(
            f"the answer is {report.status.value}, {hours_of(report)} hours; --strict asks for complete ones{why}"
        )
    return exits.NO_SOURCE


def _print_json(body: object) -> None:
    """The body that the native API sends, with all rows."""
    from msgspec import to_builtins

    print_body(to_builtins(body))


def _write(pieces: Iterable[bytes], output: Format) -> None:
    """Write a file to standard output; on a terminal without control characters."""
    for piece in pieces:
        if output is Format.CSV and sys.stdout.isatty():
            sys.stdout.write(escaped(piece.decode()))
        else:
            sys.stdout.buffer.write(piece)


def _warn(issues: "Iterable[Issue]", names: "Mapping[str, str]", *, quiet: bool) -> None:
    """What is missing, and unless `quiet` what matches nothing, on standard error: such a file has no place for it."""
    from kubetally.present.grouped_tables import notes_on

    shown = (issue for issue in issues if issue.is_missing_data or (issue.kind is IssueKind.NO_MATCH and not quiet))
    for note in notes_on(shown, names):
        warn(note.words)


def _names(choice: "ChosenClusters", costs: "GroupedCosts[_Report]") -> dict[str, str]:
    """The labels of the accounts that pass the filter, by id; a cluster without account is called by where it is."""
    from kubetally.ledger.ports.clusters import AccountCluster

    others = [cluster.place for cluster in choice.clusters if not isinstance(cluster, AccountCluster)]
    names = {**costs.labels, **dict(zip(others, others, strict=True))}
    return {id_: name for id_, name in names.items() if id_ in costs.report.accounts}

"""Which namespaces and labels a question shares without any workload that has them, as after a typing error."""

import ibis
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import Sharing
from kubetally.query.engine import Run
from kubetally.query.sums import columns


def unknown_shared(run: Run, rows: ir.Table, sharing: Sharing) -> list[Issue]:
    """An issue for each shared namespace and label that no workload of the window has.

    rows: of the ledger, or their sums by namespace where no labels are shared.
    """
    workloads = rows.filter(rows.kind == Kind.WORKLOAD.value)
    tests = {f"is in the shared namespace {name!r}": workloads.namespace == name for name in sharing.namespaces}
    tests |= {
        f"has the shared label {f'{key}:{value}'!r}": workloads.labels.get(key) == value
        for key, value in sharing.labels
    }
    numbered = {f"has_{number}": _count(test) for number, test in enumerate(tests.values())}
    counts = columns(run(workloads.agg(**numbered)))
    return [
        Issue(IssueKind.NO_MATCH, f"no workload of the window {words}", subject="sharing")
        for words, name in zip(tests, numbered, strict=True)
        if not counts[name][0]
    ]


def _count(test: ir.BooleanValue) -> ir.IntegerScalar:
    """How many rows pass; null where there is none."""
    return ibis.ifelse(test.fill_null(False), 1, 0).sum()

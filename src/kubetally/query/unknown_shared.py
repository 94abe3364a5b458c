"""Which namespaces and labels a question shares without any workload that has them, as after a typing error."""

import ibis
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.issues import Issue
from kubetally.domain.nearest import did_you_mean
from kubetally.domain.question.cost_question import Sharing
from kubetally.domain.question.filter import Field
from kubetally.domain.question.mention import MAX_MENTIONS, Mention
from kubetally.query.engine import Run
from kubetally.query.no_match import no_match
from kubetally.query.similar_names import similar_names
from kubetally.query.sums import columns


def unknown_shared(run: Run, rows: ir.Table, sharing: Sharing) -> list[Issue]:
    """An issue for each shared namespace and label that no workload of the window has, with names like it.

    rows: of the ledger, or their sums by namespace where no labels are shared.
    """
    workloads = rows.filter(rows.kind == Kind.WORKLOAD.value)
    tests = {Mention(Field.NAMESPACE, name): workloads.namespace == name for name in sharing.namespaces}
    tests |= {Mention(Field.LABEL, value, key): workloads.labels.get(key) == value for key, value in sharing.labels}
    numbered = {f"has_{number}": _count(test) for number, test in enumerate(tests.values())}
    counts = columns(run(workloads.agg(**numbered)))
    missing = [mention for mention, name in zip(tests, numbered, strict=True) if not counts[name][0]]
    similar = similar_names(run, workloads, missing[:MAX_MENTIONS])
    return [
        no_match(_words(mention) + did_you_mean(similar.get(mention, ())), mention, subject="sharing")
        for mention in missing
    ]


def _words(mention: Mention) -> str:
    verb = "is in" if mention.field is Field.NAMESPACE else "has"
    return f"no workload of the window {verb} the shared {mention.words}"


def _count(test: ir.BooleanValue) -> ir.IntegerScalar:
    """How many rows pass; null where there is none."""
    return ibis.ifelse(test.fill_null(False), 1, 0).sum()

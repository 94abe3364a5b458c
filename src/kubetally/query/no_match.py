"""What a question asks for and nothing stored has, as after a typing error, with names like it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.nearest import nearest
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.mention import (
    MAX_MENTIONS,
    Mention,
    Similar,
    excluded_names,
    keys_without_value,
    mentions_of,
    unseen_namespaces,
    with_suggestion,
    without_row,
)
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.report import CostRow
from kubetally.query.snapshot import Snapshot

_NO_ROW = "no row of the window passes the filter"
AskSimilar = Callable[[Sequence[Mention]], Similar]
"""Asks the engine for names like those that are mentioned; costs a look at the rows of the window."""
AskKnown = Callable[[Sequence[str]], Collection[str]]
"""Asks the engine which of these namespaces stored rows of the window have: of their namespaces alone."""


def issues_of_no_match(
    question: CostQuestion, rows: Sequence[CostRow], ask: AskSimilar, ask_known: AskKnown
) -> Iterator[Issue]:
    """What of filter and group has no row in an answer from stored days, and nothing stored has.

    ask, ask_known: called once, and only if the answer does not show that all names exist.
    """
    in_filter, in_group = without_row(question, rows), keys_without_value(question, rows)
    unseen = unseen_namespaces(question, rows)
    known = ask_known([mention.name for mention in unseen]) if unseen else ()
    unseen = [mention for mention in unseen if mention.name not in known]
    asked = [*dict.fromkeys((*in_group, *in_filter, *unseen))][:MAX_MENTIONS]
    similar = ask(asked) if asked else {}
    unknown = [mention for mention in dict.fromkeys(in_filter) if mention in similar]
    if question.asked_filter != EVERY_ROW and not rows:
        yield no_match(_NO_ROW + _because(unknown, similar), subject="filter")
        unknown = []
    for mention in dict.fromkeys((*unknown, *(mention for mention in unseen if mention in similar))):
        yield no_match(
            f"no row of the window has {with_suggestion(mention, similar)}", subject="filter", mention=mention
        )
    for mention in in_group:
        if mention in similar:
            yield no_match(
                f"no workload of the window has {with_suggestion(mention, similar)}", subject="group", mention=mention
            )


def issues_of_no_row(snapshot: Snapshot, condition: Filter) -> tuple[Issue, ...]:
    """That no row passes a filter, where there are readable days."""
    return () if condition == EVERY_ROW or not snapshot.readable else (no_match(_NO_ROW, subject="filter"),)


def issues_of_no_account(snapshot: Snapshot, condition: Filter) -> Iterator[Issue]:
    """That no account passes a filter, and the names in it that no account has."""
    if not snapshot.listed:
        return
    names = _names_of_accounts(snapshot)
    similar = {
        mention: nearest(mention.value, names[mention.field])
        for mention in chain(mentions_of(condition), excluded_names(condition))
        if mention.field in names and mention.value is not None and mention.value not in names[mention.field]
    }
    if condition != EVERY_ROW and not snapshot.accounts:
        required = [mention for mention in mentions_of(condition) if mention in similar]
        yield no_match("no account passes the filter" + _because(required, similar), subject="filter")
        return
    for mention in similar:
        yield no_match(f"no account has {with_suggestion(mention, similar)}", mention, subject="filter")


def no_match(message: str, mention: Mention | None = None, *, subject: str) -> Issue:
    """The issue. mention: what exactly matches nothing; None if it is all of the subject."""
    return Issue(IssueKind.NO_MATCH, message, subject=subject, facts={} if mention is None else {"mention": mention})


def _because(unknown: Sequence[Mention], similar: Similar) -> str:
    words = [with_suggestion(mention, similar) for mention in unknown]
    return f": none has {' or '.join(words)}" if words else ""


def _names_of_accounts(snapshot: Snapshot) -> dict[Field, list[str]]:
    """The names that accounts have; no currencies where nothing is stored."""
    listed = snapshot.listed.values()
    currencies = snapshot.known.all_currencies
    return {
        Field.CLUSTER: [name for account in listed for name in (account.name, account.id)],
        Field.ORGANIZATION: [account.organization for account in listed if account.organization],
        **({Field.CURRENCY: [*currencies]} if currencies else {}),
    }

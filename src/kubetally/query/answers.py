"""Answers of the native API: each is prepared from a snapshot, and computed only if nobody has it already."""

from collections.abc import Generator, Sequence
from functools import partial

from kubetally.cache import Prepared, digest_of
from kubetally.domain.access import Principal
from kubetally.domain.account_report import AccountsReport, CoverageReport
from kubetally.domain.asset_report import AssetQuestion, AssetReport
from kubetally.domain.balance import BalanceReport
from kubetally.domain.compare import CompareQuestion, Comparison
from kubetally.domain.day_request import DayRequests, no_requests
from kubetally.domain.explanation import Explanation
from kubetally.domain.issues import OnIssues
from kubetally.domain.question.arrange import Order
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.report import CostReport, LabelReport
from kubetally.query.account_reports import AccountReports
from kubetally.query.assets import AssetReports
from kubetally.query.balance import BalanceReports
from kubetally.query.comparison import snapshots_of_one_moment
from kubetally.query.explain import Explainer
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.query.rollup_choice import by_rows


class LedgerAnswers:
    """Prepares answers of the rows that who asks may see. Threads may share it. All calls block.

    Raises: RequestError, StoreError, HistoryGone; Forbidden, for whole clusters of which somebody may see a part.
    """

    def __init__(self, reader: LedgerReader, requests: DayRequests = no_requests) -> None:
        """`requests`: what sources are asked for a day."""
        self._reader, self._reports, self._explainer = reader, LedgerReports(reader), Explainer(reader, requests)
        self._accounts, self._balances = AccountReports(reader), BalanceReports(reader)
        self._assets = AssetReports(reader)

    def costs(self, principal: Principal, question: CostQuestion) -> Prepared[CostReport]:
        """What accounts cost, rows in no order."""
        question = question.limited_to(principal.scope)
        snapshot = self._reader.snapshot(question)
        compute = partial(self._reports.costs_of, snapshot, question)
        return Prepared(self._reader.digest(snapshot, question.window), compute)

    def clusters(self, principal: Principal, question: CostQuestion) -> Prepared[AccountsReport]:
        """What is known of the accounts."""
        question = question.limited_to(principal.scope)
        return self._accounts.clusters(question)

    def coverage(self, principal: Principal, question: CostQuestion) -> Prepared[CoverageReport]:
        """What is known of each day of the accounts."""
        question = question.limited_to(principal.scope)
        return self._accounts.coverage(question)

    def assets(self, principal: Principal, question: AssetQuestion) -> Prepared[AssetReport]:
        """What assets cost, highest cost first."""
        principal.check_whole_accounts()
        question = question.limited_to(principal.scope)
        return self._assets.assets(question)

    def balance(self, principal: Principal, question: CostQuestion) -> Prepared[BalanceReport]:
        """Bill and use against each other."""
        principal.check_whole_accounts()
        question = question.limited_to(principal.scope)
        return self._balances.balance(question)

    def compare(self, principal: Principal, question: CompareQuestion) -> Prepared[Comparison]:
        """What changed between two periods, rows in no order."""
        question = question.limited_to(principal.scope)
        was, then = snapshots_of_one_moment(self._reader, question.of_before(), question.of_now())
        digests = self._reader.digest(was, question.before), self._reader.digest(then, question.costs.window)
        return Prepared(digest_of(*digests), partial(self._reports.compare_of, was, then, question))

    def explain(self, principal: Principal, question: CostQuestion) -> Prepared[Explanation]:
        """How all that passes the filter of a question came about."""
        question = question.limited_to(principal.scope)
        snapshot = self._reader.snapshot(by_rows(question))
        digests = self._reader.digest(snapshot, question.window), self._explainer.stated_clusters()
        return Prepared(digest_of(*digests), partial(self._explainer.explain_of, snapshot, question))

    def labels(self, principal: Principal, question: CostQuestion) -> Prepared[LabelReport]:
        """The keys of labels with their cost."""
        question = question.limited_to(principal.scope)
        snapshot = self._reader.snapshot(by_rows(question))
        compute = partial(self._reports.labels_of, snapshot, question)
        return Prepared(self._reader.digest(snapshot, question.window), compute)

    def export(
        self,
        principal: Principal,
        question: CostQuestion,
        order: Sequence[Order],
        top: int | None,
        format_: ExportFormat,
        on_issues: OnIssues,
    ) -> Generator[bytes, None, None]:
        """The rows of an answer as a file, piece by piece; without group the stored rows.

        on_issues: called before the first piece.
        """
        return self._reports.export(question.limited_to(principal.scope), order, top, format_, on_issues)

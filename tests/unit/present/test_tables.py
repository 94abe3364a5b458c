"""What the table of several clusters says below its sums."""

from dataclasses import replace

import pytest

from kubetally.domain.booking import book
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.ledger.accounts.duplicates import flag_duplicate_clusters
from kubetally.present.tables import print_costs
from tests.unit.domain.clusters import cluster_costs, reading

TWICE = "A cluster is in the sum more than once"
UPDATE = "`kubetally accounts update NAME --currency CODE`"


def costs(url: str, *, currency: str = "USD", account_id: str | None = None, is_assumed: bool = False) -> ClusterReport:
    """The costs of a cluster that has the id and the node of all others."""
    read = replace(reading("node n1 cpu 8\npod shop/web @n1 cpu 3"), currency=currency)
    source = SourceIdentity(url, "OpenCost", cluster_id="default", account_id=account_id)
    answer = cluster_costs(book(read), source=source, currency=currency)
    return replace(answer, currency_assumed=is_assumed)


@pytest.mark.parametrize(("currency", "is_said"), [("USD", True), ("EUR", False)])
def test_cluster_is_in_a_sum_twice_only_in_one_currency(
    capsys: pytest.CaptureFixture[str], currency: str, is_said: bool
) -> None:
    answers = flag_duplicate_clusters([costs("http://a.test"), costs("http://b.test", currency=currency)])
    print_costs(answers, DetailLevel.SUMMARY)
    printed = capsys.readouterr().out
    assert printed.count("seems to be that of") == 2
    assert (TWICE in printed) is is_said


def test_clusters_add_up_to_their_true_sum(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is 1.004, and all three 3.012."""
    read = reading("node n1 cpu 1.004\npod shop/web @n1 cpu 1.004")
    answers = [cluster_costs(book(read), source=SourceIdentity(f"http://{at}.test", "OpenCost")) for at in range(3)]
    print_costs(answers, DetailLevel.SUMMARY)
    *clusters, total = (line for line in capsys.readouterr().out.splitlines() if " USD " in line)
    assert [line.rpartition(" USD")[0].split()[-1] for line in (*clusters, total)] == ["1.01", "1.00", "1.00", "3.01"]


@pytest.mark.parametrize(
    ("account_ids", "expected"),
    [
        (("1", "2"), f"neither source nor account states the currency, so it is the organization's; {UPDATE} sets it."),
        ((None, None), "the source does not state the currency; `--currency CODE` sets it."),
        (("1", None), f"{UPDATE} sets it, and `--currency CODE` for clusters without an account."),
    ],
)
def test_assumed_currency_names_what_states_it(
    capsys: pytest.CaptureFixture[str], account_ids: tuple[str | None, ...], expected: str
) -> None:
    answers = [costs(f"http://{at}.test", account_id=id_, is_assumed=True) for at, id_ in enumerate(account_ids)]
    print_costs(answers, DetailLevel.SUMMARY)
    printed = " ".join(capsys.readouterr().out.split())
    assert expected in printed

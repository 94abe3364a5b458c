"""Which clusters are meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubetally.cli.clusters import ChosenClusters, choose_clusters
from kubetally.cli.options import ClusterOptions
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl
from kubetally.ledger.accounts.draft import AccountDraft
from kubetally.ledger.ports.accounts import AccountNotFound
from kubetally.ledger.ports.clusters import AccountCluster, Cluster
from kubetally.settings import Settings
from kubetally.wiring.accounts import open_editor
from tests.errors import raises_code

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), kubecost_api_url=SourceUrl.parse("http://environment:9003"))


@pytest.fixture
def with_two(settings: Settings) -> Settings:
    """Two accounts, neither of which anybody answers for."""
    for name in ("prod", "staging"):
        with open_editor(settings) as editor:
            editor.add(AccountDraft(name, f"{NOBODY}/{name}"))
    return settings


def choose(
    settings: Settings, *accounts: str, url: tuple[str, ...] = (), context: tuple[str, ...] = (), **options: str
) -> ChosenClusters:
    return choose_clusters(ClusterOptions([*accounts], [*url], [*context], **options), settings)


def names(chosen: ChosenClusters) -> list[str]:
    return [
        cluster.account.name
        if isinstance(cluster, AccountCluster)
        else str(cluster.url or "") or f"context {cluster.context}"
        for cluster in chosen.clusters
    ]


def test_url_of_the_environment_is_used_without_accounts(settings: Settings, tmp_path: Path) -> None:
    assert choose(settings) == ChosenClusters([Cluster("http://environment:9003")], is_one=True)
    assert not list(tmp_path.iterdir()), "no database was made"


def test_url_takes_precedence_over_accounts(with_two: Settings) -> None:
    urls = ("http://a:9003", "http://b:9003", "http://a:9003")
    chosen = choose(with_two, url=urls, cluster_id="prod", currency="usd")
    assert chosen.clusters == [
        Cluster(url, cluster_id="prod", currency="USD") for url in ("http://a:9003", "http://b:9003")
    ]
    assert not chosen.is_one


def test_without_names_all_accounts_are_a_list(with_two: Settings) -> None:
    assert names(choose(with_two)) == ["prod", "staging"]
    assert not choose(with_two).is_one


def test_only_account_is_a_list_unless_it_is_named(settings: Settings) -> None:
    with open_editor(settings) as editor:
        (account,) = editor.add(AccountDraft("prod", NOBODY)).accounts
    assert not choose(settings).is_one
    for name in ("prod", account.id):
        assert (names(choose(settings, name)), choose(settings, name).is_one) == (["prod"], True)


def test_account_named_twice_is_chosen_once(with_two: Settings) -> None:
    account_id = choose(with_two, "prod").clusters[0]
    assert isinstance(account_id, AccountCluster)
    assert names(choose(with_two, "prod", "staging", account_id.account.id)) == ["prod", "staging"]


def test_accounts_urls_and_contexts_combine(with_two: Settings) -> None:
    chosen = choose(with_two, "staging", url=(NOBODY,), context=("kind", "kind"))
    assert names(chosen) == ["staging", NOBODY, "context kind"]


def test_error_names_an_unknown_account(with_two: Settings) -> None:
    with pytest.raises(AccountNotFound, match="'prd'"):
        choose(with_two, "prd")


def test_similar_name_is_suggested(with_two: Settings) -> None:
    for name in ("prd", "PROD", "pro", "production"):
        with pytest.raises(AccountNotFound, match=f"no account '{name}' [(]did you mean 'prod'[?][)]: "):
            choose(with_two, name)
    for name in ("elsewhere", "p", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(AccountNotFound) as refused:
            choose(with_two, name)
        assert "did you mean" not in str(refused.value)


def test_similar_id_is_suggested(with_two: Settings) -> None:
    cluster = choose(with_two, "prod").clusters[0]
    assert isinstance(cluster, AccountCluster)
    account_id = cluster.account.id
    assert [len(name) for name in names(choose(with_two, account_id.upper().lower()))] == [4]
    for wrong in (account_id[:8], account_id[:-1], account_id.replace("-", ""), account_id.upper()):
        with pytest.raises(AccountNotFound) as refused:
            choose(with_two, wrong)
        assert refused.value.nearest == [account_id]


def test_url_among_the_accounts_is_a_url(with_two: Settings) -> None:
    assert choose(with_two, "http://a:9003") == choose(with_two, url=("http://a:9003",))
    both = choose(with_two, "prod", "https://b", url=("http://a:9003",))
    assert names(both) == ["prod", "https://b", "http://a:9003"]
    with pytest.raises(InvalidSourceUrl, match="http://"):
        choose(with_two, "localhost:9003")


def test_account_may_be_named_like_a_host_and_port(settings: Settings) -> None:
    with open_editor(settings) as editor:
        editor.add(AccountDraft("eks:9003", NOBODY))
    assert names(choose(settings, "eks:9003")) == ["eks:9003"]


def test_prometheus_of_the_settings_is_for_a_single_cluster(settings: Settings) -> None:
    settings = replace(settings, prometheus_url=SourceUrl.parse("http://environment:9090"))
    one = choose(settings, url=(NOBODY,))
    assert one.clusters == [Cluster(NOBODY, prometheus_url="http://environment:9090")]
    assert choose(settings, context=("kind",)).clusters == [
        Cluster(context="kind", prometheus_url="http://environment:9090")
    ]
    assert {
        getattr(two, "prometheus_url", None) for two in choose(settings, url=(NOBODY,), context=("kind",)).clusters
    } == {None}
    stated = choose(settings, url=(NOBODY,), prometheus_url="http://stated:9090")
    assert stated.clusters == [Cluster(NOBODY, prometheus_url="http://stated:9090")]


def test_several_clusters_refuse_one_prometheus(settings: Settings) -> None:
    for option in ({"prometheus_url": "http://stated:9090"}, {"tenant": "one"}):
        with pytest.raises(match="accounts add"):
            choose(settings, url=(NOBODY, "http://b:9003"), **option)


def test_tenant_needs_a_prometheus(settings: Settings) -> None:
    with pytest.raises(match="--prometheus-url"):
        choose(settings, url=(NOBODY,), tenant="one")
    metrics = "http://stated:9090"
    stated = choose(settings, url=(NOBODY,), tenant="one", prometheus_url=metrics)
    assert stated.clusters == [Cluster(NOBODY, prometheus_url=metrics, tenant="one")]
    of_settings = choose(replace(settings, prometheus_url=SourceUrl.parse(metrics)), url=(NOBODY,), tenant="one")
    assert of_settings == stated
    # A context may have a server of its own.
    assert choose(settings, context=("kind",), tenant="one").clusters == [Cluster(context="kind", tenant="one")]


@pytest.mark.parametrize(
    "option", [{"cluster_id": "one"}, {"currency": "EUR"}, {"prometheus_url": "http://p:9090"}, {"tenant": "one"}]
)
def test_options_do_not_override_accounts(with_two: Settings, option: dict[str, str]) -> None:
    with pytest.raises(match=f"--{next(iter(option)).replace('_', '-')}"):
        choose(with_two, "prod", **option)


def test_error_without_a_cluster_says_how_to_name_one(settings: Settings) -> None:
    with pytest.raises(match="--url http://localhost:9003"):
        choose(replace(settings, kubecost_api_url=None))


@pytest.mark.parametrize("url", ["ftp://host", "not a url", "", "http://", "http://host:99999"])
def test_invalid_url_is_refused(settings: Settings, url: str) -> None:
    with pytest.raises(RequestError):
        choose(settings, url=("http://localhost:9003", url))


@pytest.mark.parametrize("code", ["US", "dollars", "U$D", ""])
def test_invalid_currency_is_refused(settings: Settings, code: str) -> None:
    with raises_code("invalid_currency"):
        choose(settings, url=(NOBODY,), currency=code)

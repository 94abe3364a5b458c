"""Which clusters are meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubetally.cli.asking import (
    Named,
    Said,
    named,
)
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


def meant(
    settings: Settings,
    *accounts: str,
    url: tuple[str, ...] = (),
    context: tuple[str, ...] = (),
    **said: str,
) -> Named:
    return named(accounts, url, context, Said(**said), settings)


def names(found: Named) -> list[str]:
    return [
        one.account.name if isinstance(one, AccountCluster) else str(one.url or "") or f"context {one.context}"
        for one in found.clusters
    ]


def test_without_accounts_the_cluster_is_that_of_the_environment(settings: Settings, tmp_path: Path) -> None:
    assert meant(settings) == Named([Cluster("http://environment:9003")], is_one=True)
    assert not list(tmp_path.iterdir()), "no database was made"


def test_a_url_comes_before_everything_that_is_remembered(with_two: Settings) -> None:
    found = meant(with_two, url=("http://a:9003", "http://b:9003", "http://a:9003"), cluster_id="prod", currency="usd")
    assert found.clusters == [Cluster("http://a:9003", "prod", "USD"), Cluster("http://b:9003", "prod", "USD")]
    assert not found.is_one


def test_without_names_all_accounts_are_meant_and_their_answers_are_a_list(with_two: Settings) -> None:
    assert names(meant(with_two)) == ["prod", "staging"]
    assert not meant(with_two).is_one


def test_the_only_account_is_a_list_of_one_unless_it_is_named(settings: Settings) -> None:
    with open_editor(settings) as editor:
        (account,) = editor.add(AccountDraft("prod", NOBODY)).accounts
    assert not meant(settings).is_one
    for name in ("prod", account.id):
        assert (names(meant(settings, name)), meant(settings, name).is_one) == (["prod"], True)


def test_an_account_that_is_named_twice_is_meant_once(with_two: Settings) -> None:
    account_id = meant(with_two, "prod").clusters[0]
    assert isinstance(account_id, AccountCluster)
    assert names(meant(with_two, "prod", "staging", account_id.account.id)) == ["prod", "staging"]


def test_accounts_urls_and_contexts_may_stand_together(with_two: Settings) -> None:
    found = meant(with_two, "staging", url=(NOBODY,), context=("kind", "kind"))
    assert names(found) == ["staging", NOBODY, "context kind"]


def test_an_account_that_is_not_there_is_named_in_the_error(with_two: Settings) -> None:
    with pytest.raises(AccountNotFound, match="'prd'"):
        meant(with_two, "prd")


def test_name_that_is_nearly_an_account_is_suggested(with_two: Settings) -> None:
    for name in ("prd", "PROD", "pro", "production"):
        with pytest.raises(AccountNotFound, match=f"no account '{name}'; did you mean 'prod'[?]"):
            meant(with_two, name)
    for name in ("elsewhere", "p", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(AccountNotFound) as refused:
            meant(with_two, name)
        assert "did you mean" not in str(refused.value)


def test_id_that_is_nearly_an_account_is_suggested(with_two: Settings) -> None:
    cluster = meant(with_two, "prod").clusters[0]
    assert isinstance(cluster, AccountCluster)
    account_id = cluster.account.id
    assert [len(name) for name in names(meant(with_two, account_id.upper().lower()))] == [4]
    for wrong in (account_id[:8], account_id[:-1], account_id.replace("-", ""), account_id.upper()):
        with pytest.raises(AccountNotFound) as refused:
            meant(with_two, wrong)
        assert refused.value.nearest == [account_id]


def test_url_among_the_accounts_is_a_url(with_two: Settings) -> None:
    assert meant(with_two, "http://a:9003") == meant(with_two, url=("http://a:9003",))
    both = meant(with_two, "prod", "https://b", url=("http://a:9003",))
    assert names(both) == ["prod", "https://b", "http://a:9003"]
    with pytest.raises(InvalidSourceUrl, match="http://"):
        meant(with_two, "localhost:9003")


def test_account_that_is_called_like_a_host_and_port_is_an_account(settings: Settings) -> None:
    with open_editor(settings) as editor:
        editor.add(AccountDraft("eks:9003", NOBODY))
    assert names(meant(settings, "eks:9003")) == ["eks:9003"]


def test_the_metrics_of_the_settings_are_those_of_a_single_cluster(settings: Settings) -> None:
    settings = replace(settings, prometheus_url=SourceUrl.parse("http://environment:9090"))
    one = meant(settings, url=(NOBODY,))
    assert one.clusters == [Cluster(NOBODY, prometheus_url="http://environment:9090")]
    assert meant(settings, context=("kind",)).clusters == [
        Cluster(context="kind", prometheus_url="http://environment:9090")
    ]
    assert {
        getattr(two, "prometheus_url", None) for two in meant(settings, url=(NOBODY,), context=("kind",)).clusters
    } == {None}
    stated = meant(settings, url=(NOBODY,), prometheus_url="http://stated:9090")
    assert stated.clusters == [Cluster(NOBODY, prometheus_url="http://stated:9090")]


def test_metrics_of_one_cluster_are_not_those_of_several(settings: Settings) -> None:
    for option in ({"prometheus_url": "http://stated:9090"}, {"tenant": "one"}):
        with pytest.raises(match="accounts add"):
            meant(settings, url=(NOBODY, "http://b:9003"), **option)


def test_a_tenant_goes_with_a_server_of_metrics(settings: Settings) -> None:
    with pytest.raises(match="--prometheus-url"):
        meant(settings, url=(NOBODY,), tenant="one")
    metrics = "http://stated:9090"
    stated = meant(settings, url=(NOBODY,), tenant="one", prometheus_url=metrics)
    assert stated.clusters == [Cluster(NOBODY, prometheus_url=metrics, tenant="one")]
    of_settings = meant(replace(settings, prometheus_url=SourceUrl.parse(metrics)), url=(NOBODY,), tenant="one")
    assert of_settings == stated
    # A context may have a server of its own.
    assert meant(settings, context=("kind",), tenant="one").clusters == [Cluster(context="kind", tenant="one")]


@pytest.mark.parametrize(
    "option", [{"cluster_id": "one"}, {"currency": "EUR"}, {"prometheus_url": "http://p:9090"}, {"tenant": "one"}]
)
def test_what_an_account_says_of_itself_is_not_said_by_an_option(with_two: Settings, option: dict[str, str]) -> None:
    with pytest.raises(match=f"--{next(iter(option)).replace('_', '-')}"):
        meant(with_two, "prod", **option)


def test_without_any_cluster_the_error_says_how_to_name_one(settings: Settings) -> None:
    with pytest.raises(match="--url http://localhost:9003"):
        meant(replace(settings, kubecost_api_url=None))


@pytest.mark.parametrize("url", ["ftp://host", "not a url", "", "http://", "http://host:99999"])
def test_what_can_not_be_a_url_is_refused_before_anything_is_asked(settings: Settings, url: str) -> None:
    with pytest.raises(RequestError):
        meant(settings, url=("http://localhost:9003", url))


@pytest.mark.parametrize("code", ["US", "dollars", "U$D", ""])
def test_what_is_no_currency_is_refused(settings: Settings, code: str) -> None:
    with raises_code("invalid_currency"):
        meant(settings, url=(NOBODY,), currency=code)

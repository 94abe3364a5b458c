"""What a person states of an account, and what is kept of it."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from kubetally.domain.account import Account, AccountType
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl
from kubetally.ledger.accounts.draft import AccountDraft
from kubetally.ledger.accounts.register import AccountChange
from kubetally.ledger.ports.accounts import AccountNotFound, NotACluster
from kubetally.ledger.ports.clusters import AccountCluster, Cluster
from kubetally.settings import Settings
from kubetally.wiring.accounts import open_editor
from kubetally.wiring.store import load_clusters, open_accounts
from tests.served import Reply, Served

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


def add(draft: AccountDraft, settings: Settings, *, all_clusters: bool = False) -> AccountChange:
    with open_editor(settings) as editor:
        return editor.add(draft, all_clusters=all_clusters)


def update(name: str, draft: AccountDraft, settings: Settings) -> AccountChange:
    with open_editor(settings) as editor:
        return editor.update(name, draft)


def added(settings: Settings, **stated: str) -> Account:
    [account] = add(AccountDraft("prod", **{"url": NOBODY, **stated}), settings).accounts  # type: ignore[arg-type]
    return account


def test_who_never_added_an_account_gets_no_database(settings: Settings) -> None:
    assert load_clusters((), settings) == []
    assert not settings.home_folder.exists()


def test_an_account_that_is_named_is_looked_for_even_so(settings: Settings) -> None:
    with pytest.raises(AccountNotFound, match="'prod'"):
        load_clusters(["prod"], settings)


def test_accounts_that_are_no_clusters_are_skipped_or_refused(settings: Settings) -> None:
    prod = added(settings)
    with open_accounts(settings) as accounts:
        bucket = Account("2e0a6a5c-0000-4000-8000-000000000001", prod.organization_id, "bucket", AccountType.AWS_CNR)
        accounts.add(bucket)
    assert [cluster.account.name for cluster in load_clusters((), settings)] == ["prod"]
    with pytest.raises(NotACluster, match="aws_cnr"):
        load_clusters(["bucket"], settings)


def test_what_is_stated_is_in_no_representation() -> None:
    stated = AccountDraft(
        "prod",
        "http://u:hunter2@host",
        "http://u:hunter2@prometheus",
        token="hunter2",
        headers={"X": "hunter2"},
        prometheus_token="hunter2",
        prometheus_headers={"X": "hunter2"},
    )
    account = Account("id", "organization", "prod", AccountType.KUBERNETES_CNR)
    assert "hunter2" not in repr(stated)
    assert "hunter2" not in repr(Cluster("http://u:hunter2@host"))
    assert "hunter2" not in repr(AccountCluster(account, (account,)))


def test_an_account_s_credentials_are_in_no_representation(settings: Settings) -> None:
    account = added(settings, url="http://jane:hunter2@127.0.0.1:1", token="token-7", prometheus_token="token-8")
    told = repr(account) + repr(load_clusters((), settings)) + str(account)
    assert not any(secret in told for secret in ("hunter2", "token-7", "token-8"))


@pytest.mark.parametrize(
    ("new", "keeps"),
    [
        (NOBODY, True),
        (f"{NOBODY}/model", True),
        ("http://127.0.0.1:2", True),
        ("http://localhost:1", False),
        ("http://127.0.0.1.nip.invalid:1", False),
        ("", False),
    ],
)
def test_the_log_in_stays_with_the_host_it_was_given_for(settings: Settings, *, new: str, keeps: bool) -> None:
    added(settings, url="http://jane:hunter2@127.0.0.1:1")
    [account] = update("prod", AccountDraft(url=new), settings).accounts
    assert account.credentials.is_empty is not keeps


def test_a_log_in_is_not_sent_in_plain_where_it_was_given_for_tls(settings: Settings) -> None:
    added(settings, url="https://jane:hunter2@127.0.0.1:1")
    [account] = update("prod", AccountDraft(url="http://127.0.0.1:1"), settings).accounts
    assert account.credentials.is_empty


def test_new_login_in_the_url_replaces_the_old_and_keeps_headers(settings: Settings) -> None:
    add(AccountDraft("prod", NOBODY, token="old", headers={"X": "1"}), settings)
    [account] = update("prod", AccountDraft(url="http://jane:new@127.0.0.1:1"), settings).accounts
    credentials = account.credentials
    assert (credentials.token, credentials.user, credentials.password) == (None, "jane", "new")
    assert dict(credentials.headers) == {"X": "1"}


def test_blanks_around_what_is_stated_do_not_count(settings: Settings) -> None:
    stated = AccountDraft(" prod ", f" {NOBODY} ", cluster_id=" c ", tenant="  ", currency=" eur ", token=" t\n")
    [account] = add(stated, settings).accounts
    assert (account.name, account.kubecost_url, account.cluster_id) == ("prod", SourceUrl.parse(NOBODY), "c")
    assert (account.tenant, account.currency, account.credentials.token) == (None, "EUR", "t")


def test_what_is_refused_changes_nothing(settings: Settings) -> None:
    added(settings)
    for draft in (
        AccountDraft(currency="dollars"),
        AccountDraft(name="\n"),
        AccountDraft(token="é"),
    ):
        with pytest.raises(RequestError):
            update("prod", replace(draft, tenant="t"), settings)
    with pytest.raises(InvalidSourceUrl):
        AccountDraft(url="nothing", tenant="t")
    with open_accounts(settings) as accounts:
        assert accounts.find("prod").tenant is None


def test_where_a_cluster_is_can_be_said_before_anything_is_asked() -> None:
    account = Account("id", "organization", "prod", AccountType.KUBERNETES_CNR)
    assert Cluster("http://u:p@host:9003").place == "http://***@host:9003"
    assert Cluster(context="stage").place == "context stage"
    assert AccountCluster(account).place == "account prod"
    assert AccountCluster(replace(account, context="c")).place == "context c"
    assert AccountCluster(replace(account, context="c", kubecost_url=SourceUrl.parse(NOBODY))).place == NOBODY


METRICS = "http://127.0.0.1:2"
SAME_METRICS = "read the same metrics"


def warnings(settings: Settings, name: str, **stated: str) -> str:
    """What is told of a new account of that name, at a source of its own."""
    url = f"http://127.0.0.1:1/{name}"
    return "\n".join(add(AccountDraft(name, url, **stated), settings).warnings)  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", [{"tenant": "t"}, {"cluster_id": "c"}, {"tenant": "t", "cluster_id": "c"}])
def test_a_second_account_of_the_same_metrics_is_told(settings: Settings, chosen: dict[str, str]) -> None:
    assert SAME_METRICS not in warnings(settings, "first", prometheus_url=METRICS, **chosen)
    told = warnings(settings, "second", prometheus_url=f"{METRICS}/", **chosen)
    assert f"accounts 'second' and 'first' {SAME_METRICS}" in told
    other = warnings(settings, "other", prometheus_url=METRICS, **{key: f"{one}2" for key, one in chosen.items()})
    assert SAME_METRICS not in other


def test_an_account_that_comes_to_read_the_same_metrics_is_told(settings: Settings) -> None:
    for name in ("first", "second"):
        assert SAME_METRICS not in warnings(settings, name, prometheus_url=METRICS, tenant=name)
    told = update("second", AccountDraft(tenant="first"), settings).warnings
    assert [one for one in told if SAME_METRICS in one]
    assert not any(
        SAME_METRICS in warning for warning in update("second", AccountDraft(tenant="new"), settings).warnings
    )


def test_tenant_header_selects_other_metrics_of_the_same_server(settings: Settings) -> None:
    for name in ("first", "second"):
        headers = {"X-Scope-OrgID": name}
        stated = AccountDraft(
            name, f"http://127.0.0.1:1/{name}", prometheus_url=METRICS, cluster_id="c", prometheus_headers=headers
        )
        assert not any(SAME_METRICS in warning for warning in add(stated, settings).warnings)


def test_accounts_with_the_default_prometheus_are_named_too(settings: Settings) -> None:
    with_server = replace(settings, prometheus_url=SourceUrl.parse(METRICS))
    warnings(with_server, "first", cluster_id="c")
    assert SAME_METRICS in warnings(with_server, "second", cluster_id="c")
    assert "management fee of 'third' is unknown" in warnings(with_server, "third")


def test_indistinct_accounts_of_one_server_are_named_in_one_line(settings: Settings) -> None:
    for name in ("first", "second"):
        warnings(settings, name, prometheus_url=METRICS)
    told = [line for line in warnings(settings, "third", prometheus_url=METRICS).splitlines() if "Prometheus" in line]
    assert told == [
        "3 accounts share a Prometheus; the management fee of 'third', 'first', 'second' is unknown until each has "
        "--tenant or --cluster-id"
    ]


def told_of(settings: Settings, server: Served) -> str:
    with server:
        return "\n".join(add(AccountDraft("prod", server.url), settings).warnings)


def test_a_source_that_is_a_web_page_is_told_as_one(settings: Settings) -> None:
    page = Reply(200, b"<html>sign in</html>", "text/html")
    assert "answered with a web page" in told_of(settings, Served(lambda _: page))


def test_a_source_that_is_silent_is_told_as_one(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = add(AccountDraft("prod", url), replace(settings, read_seconds=0.2)).warnings
    assert told == [f"{url} did not answer within 0.2 s"]

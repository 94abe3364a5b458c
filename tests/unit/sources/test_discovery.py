"""How Services are recognised, kubeconfigs read, and the source of an account resolved."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubetally.domain.account import Account, AccountType
from kubetally.domain.source_url import SourceUrl
from kubetally.sources.access import Access
from kubetally.sources.kubernetes.kubeconfig import kubeconfig_files, read_context
from kubetally.sources.kubernetes.recognise import FoundService, Product, recognise, recognised
from kubetally.sources.kubernetes.resolve import (
    Option,
    Resolved,
    TemplateNotUsable,
    fill_template,
    resolve_source,
)
from kubetally.sources.kubernetes.wire import Service
from tests.errors import raises_code
from tests.integration import api_server as charts

TEMPLATE = "http://kubecost-cost-analyzer.{namespace}.svc.cluster.local:9090"
SECRET = "s3cret-of-the-file"


def read(*objects: dict[str, Any]) -> list[Service]:
    return [msgspec.convert(manifest, Service) for manifest in objects]


def recognised_as(one: dict[str, Any]) -> FoundService | None:
    return recognise(*read(one))


# Services


@pytest.mark.parametrize(
    ("service", "product", "port"),
    [
        (charts.OPENCOST, Product.OPENCOST, 9003),
        (charts.KUBECOST_1, Product.KUBECOST, 9090),
        (charts.KUBECOST_2, Product.KUBECOST, 9090),
        (charts.KUBECOST_3, Product.KUBECOST, 9090),
        (charts.PROMETHEUS, Product.PROMETHEUS, 80),
        (charts.KUBECOST_PROMETHEUS, Product.PROMETHEUS, 80),
        (charts.STACK_PROMETHEUS, Product.PROMETHEUS, 9090),
        (charts.OPERATED, Product.PROMETHEUS, 9090),
        (charts.THANOS_HTTP, Product.THANOS, 10902),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else str(value),
)
def test_the_services_of_the_charts_are_recognised(service: dict[str, Any], product: Product, port: int) -> None:
    found = recognised_as(service)
    assert found is not None
    assert (found.product, found.port, found.scheme) == (product, port, "http")
    assert found.why


@pytest.mark.parametrize(
    "service",
    [
        charts.KUBERNETES,
        charts.DNS,
        charts.AGGREGATOR,
        charts.PUSHGATEWAY,
        charts.ALERTMANAGER,
        charts.THANOS_GRPC,
        charts.service("a", "opencost", {"app.kubernetes.io/name": "opencost"}, {"port": 9003}, kind="ExternalName"),
        charts.service("a", "opencost", {}, {"name": "metrics", "port": 1234}),
        charts.service("a", "opencost", {}),
    ],
    ids=lambda manifest: f"{manifest['metadata']['name']}-{manifest['spec']['type']}-{len(manifest['spec']['ports'])}",
)
def test_service_without_known_labels_names_or_ports_is_ignored(service: dict[str, Any]) -> None:
    assert recognised_as(service) is None


def test_surest_service_comes_first_and_kubecost_on_a_tie() -> None:
    similar = charts.service("zoo", "team-opencost", {}, {"port": 9003})
    found = recognised(read(similar, charts.STACK_PROMETHEUS, charts.OPENCOST, charts.KUBECOST_2, charts.KUBECOST_1))
    assert [str(service) for service in found] == [
        "Kubecost at kubecost/kubecost-cost-analyzer:9090",
        "OpenCost at opencost/opencost:9003",
        "Kubecost at kubecost/kubecost-cost-analyzer:9090",
        "Prometheus at monitoring/kps-kube-prometheus-stack-prometheus:9090",
        "OpenCost at zoo/team-opencost:9003",
    ]
    equal = charts.service("a", "kubecost", {"app.kubernetes.io/name": "kubecost"}, {"name": "x", "port": 9090})
    assert recognised(read(charts.OPENCOST, equal))[0].product is Product.KUBECOST


def test_frontend_service_of_kubecost_is_preferred() -> None:
    found = recognised(read(charts.KUBECOST_2_HA, charts.KUBECOST_2_HA_FRONTEND))
    places = [(service.name, service.port) for service in found]
    assert places == [("kubecost-frontend", 9090), ("kubecost-cost-analyzer", 9003)]


def test_a_port_with_tls_is_read_with_tls_through_the_proxy() -> None:
    found = recognised_as(charts.service("a", "opencost", {}, {"name": "http", "port": 9003, "appProtocol": "HTTPS"}))
    assert found is not None
    assert found.proxy_path == "api/v1/namespaces/a/services/https:opencost:9003/proxy"


# Kubeconfig files


def kubeconfig(path: Path, **changes: Any) -> Path:
    content = {
        "clusters": [{"name": "one", "cluster": {"server": "https://one.example:6443"}}],
        "users": [{"name": "jane", "user": {"token": SECRET}}],
        "contexts": [{"name": "prod", "context": {"cluster": "one", "user": "jane", "namespace": "shop"}}],
        "current-context": "prod",
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")  # JSON is YAML
    return path


def test_earlier_kubeconfig_file_wins_as_with_kubectl(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path / "first")
    other = [{"name": "one", "cluster": {"server": "https://other.example"}}]
    further = [{"name": "dev", "context": {"cluster": "one", "user": "jane"}}]
    second = kubeconfig(tmp_path / "second", clusters=other, contexts=further, **{"current-context": "dev"})
    environment = {"KUBECONFIG": f"{first}::{tmp_path / 'absent'}:{second}"}
    files, _ = kubeconfig_files(environment)
    assert files == [first, second]
    assert read_context(files, None).name == "prod"
    assert read_context(files, "dev").server == "https://one.example:6443"
    assert read_context(files, "prod").namespace == "shop"


def test_paths_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    user = {"client-certificate": "jane.crt", "client-key": "keys/jane.key"}
    one = kubeconfig(tmp_path / "a" / "config", users=[{"name": "jane", "user": user}], clusters=[])
    cluster = {"server": "https://x", "certificate-authority": "ca.crt"}
    two = kubeconfig(tmp_path / "b" / "config", clusters=[{"name": "one", "cluster": cluster}])
    context = read_context((one, two), "prod")
    assert context.user["client-key"] == str(tmp_path / "a" / "keys" / "jane.key")
    assert context.cluster["certificate-authority"] == str(tmp_path / "b" / "ca.crt")


def test_without_kubeconfig_the_file_in_the_home_folder_counts(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / ".kube" / "config")
    assert kubeconfig_files({"HOME": str(tmp_path)}) == ([file], [])


def test_unknown_context_lists_the_known_contexts(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config")
    with raises_code("unknown_context", match=r"no context 'production' in .*config; there are: prod"):
        read_context((file,), "production")
    with raises_code("unknown_context", match=r"^no current context in any kubeconfig: set KUBECONFIG to the file"):
        read_context((), None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'token: "{SECRET}\n', "is not YAML"),
        (f"users: [{{name: jane, user: {SECRET}}}]", "is not one: Expected `object"),
        ("current-context: prod\ncontexts: [{name: prod, context: {cluster: x}}]", "names the cluster 'x'"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: x}}]\nclusters: [{name: x, cluster: {}}]",
            "without a server",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: x}}]\n"
            "clusters: [{name: x, cluster: {server: 'https://x', proxy-url: 'socks5://y'}}]",
            "proxy-url",
        ),
    ],
)
def test_broken_kubeconfig_is_explained_without_secrets(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "config"
    file.write_text(text, "utf-8")
    with raises_code("unusable_kubeconfig", match=says) as caught:
        read_context((file,), None)
    assert SECRET not in str(caught.value)


def test_a_context_shows_no_secret(tmp_path: Path) -> None:
    assert SECRET not in repr(read_context((kubeconfig(tmp_path / "config"),), None))


# Precedence


def account(name: str, **changes: Any) -> Account:
    return Account(f"id-of-{name}", "org", name, changes.pop("type", AccountType.KUBERNETES_CNR), **changes)


async def known(_host: str, _port: int) -> list[str]:
    return ["10.0.0.1"]


async def unknown(_host: str, _port: int) -> list[str]:
    raise OSError("no such name")


async def resolve(own: Account, accounts: Iterable[Account] = (), **given: Any) -> Resolved:
    async def discover(context: str) -> Resolved:
        return Resolved(Option.CONTEXT, Access.parse(f"http://api.{context}"))

    return await resolve_source(
        own, accounts, **{"access_of": Access.parse, "discover": discover, "resolve": known} | given
    )


async def test_source_stated_by_the_account_decides_alone() -> None:
    given: dict[str, Any] = {"template": TEMPLATE, "default_url": "http://default"}
    own = await resolve(account("a", kubecost_url=SourceUrl.parse("http://own"), context="prod"), **given)
    assert (own.option, own.access.url.address) == (Option.ACCOUNT_URL, "http://own")
    in_context = await resolve(account("a", context="prod"), **given)
    assert (in_context.option, in_context.access.url.address) == (Option.CONTEXT, "http://api.prod")


async def test_the_template_comes_before_the_default() -> None:
    given: dict[str, Any] = {"template": TEMPLATE, "namespace": "costs", "default_url": "http://default"}
    templated = await resolve(account("a"), **given)
    url = "http://kubecost-cost-analyzer.costs.svc.cluster.local:9090"
    assert (templated.option, templated.access.url.address) == (Option.TEMPLATE, url)
    assert (await resolve(account("a"), **given, resolve=unknown)).option is Option.DEFAULT


def test_a_template_is_filled_with_the_cluster_else_the_name() -> None:
    template = "http://{cluster}.example.com/{name}"
    assert (
        fill_template(template, account("Shop", cluster_id="Prod-1"), namespace="x") == "http://prod-1.example.com/shop"
    )
    assert fill_template(template, account("shop"), namespace="x") == "http://shop.example.com/shop"


@pytest.mark.parametrize(
    ("template", "cluster", "says"),
    [
        ("http://{cluster}", "169.254.169.254/x", "is not a host name"),
        ("http://{cluster}.example.com", "evil.com#", "is not a host name"),
        ("http://{tenant}", "a", "not {tenant}"),
        ("http://{cluster!r}", "a", "not {cluster}"),
        ("http://{cluster.__class__}", "a", "not {cluster.__class__}"),
        ("http://{cluster", "a", "braces"),
    ],
)
def test_a_template_that_could_make_another_url_is_refused(template: str, cluster: str, says: str) -> None:
    with pytest.raises(TemplateNotUsable) as caught:
        fill_template(template, account("a", cluster_id=cluster), namespace="kubecost")
    assert says in str(caught.value)


async def test_a_template_that_gives_two_accounts_one_url_is_refused() -> None:
    accounts = [account("a"), account("b"), account("own", kubecost_url=SourceUrl.parse("http://own"))]
    with raises_code("default_serves_one", match=r"KUBETALLY_SOURCE_TEMPLATE .* but a, b have no URL"):
        await resolve(accounts[0], accounts, template=TEMPLATE)
    assert (await resolve(accounts[0], accounts, template="http://{cluster}")).access.url.address == "http://a"


async def test_name_unknown_to_dns_leads_to_the_next_option() -> None:
    given: dict[str, Any] = {"template": "http://{cluster}:9090"}
    here = await resolve(account("a"), **given, default_url="http://default")
    assert (here.option, here.access.url.address, here.passed_over) == (Option.TEMPLATE, "http://a:9090", ())
    there = await resolve(account("a"), **given, default_url="http://default", resolve=unknown)
    assert (there.option, there.access.url.address) == (Option.DEFAULT, "http://default")
    assert there.passed_over == ("KUBETALLY_SOURCE_TEMPLATE gives http://a:9090, a name that DNS does not know",)
    with raises_code("no_source_stated", match="DNS does not know"):
        await resolve(account("a"), **given, resolve=unknown)


async def test_a_template_that_makes_no_url_is_named() -> None:
    given: dict[str, Any] = {"default_url": "http://default"}
    with pytest.raises(TemplateNotUsable, match=r"KUBETALLY_SOURCE_TEMPLATE can't be used: it gives 'ftp://a', which"):
        await resolve(account("a"), template="ftp://{cluster}", **given)


async def test_the_default_serves_exactly_one_account() -> None:
    alone = account("a")
    others = [
        account("own", kubecost_url=SourceUrl.parse("http://own")),
        account("there", context="prod"),
        account("cloud", type=AccountType.AWS_CNR),
    ]
    given: dict[str, Any] = {"default_url": "http://u:p@default:9090"}
    found = await resolve(alone, [alone, *others], **given)
    assert (found.option, str(found.access.url)) == (Option.DEFAULT, "http://***@default:9090")
    with raises_code("default_serves_one", match=r"KUBECOST_API_URL .* but a, b have no URL"):
        await resolve(alone, [alone, *others, account("b")], **given)
    own = await resolve(others[0], [alone, *others, account("b")], **given)
    assert own.option is Option.ACCOUNT_URL


async def test_in_a_cluster_the_usual_services_are_the_last_option() -> None:
    asked = list[str]()

    async def only_opencost(host: str, _port: int) -> list[str]:
        asked.append(host)
        if host != "opencost.opencost.svc.cluster.local":
            raise OSError("no such name")
        return ["10.0.0.1"]

    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    given: dict[str, Any] = {"resolve": only_opencost, "namespace": "costs"}
    found = await resolve(account("a"), **given, environment=pod)
    assert (found.option, found.access.url.address) == (
        Option.SERVICE,
        "http://opencost.opencost.svc.cluster.local:9003",
    )
    assert asked[0] == "kubecost-cost-analyzer.costs.svc.cluster.local"
    with raises_code("default_serves_one", match=r"a Service of the cluster .* but a, b have no URL"):
        await resolve(account("a"), [account("b")], **given, environment=pod)
    stated = await resolve(account("a"), **given, environment=pod, default_url="http://default")
    assert stated.option is Option.DEFAULT
    with raises_code("no_source_stated"):
        await resolve(account("a"), **given, environment={})


async def test_account_without_any_source_says_what_to_do() -> None:
    with raises_code("no_source_stated", match="--url"):
        await resolve(account("a"))

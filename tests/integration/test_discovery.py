"""Sources found and read through an API server, over real TLS, with credentials from real files and plugins."""

import asyncio
import base64
import io
import json
import os
import pty
import signal
import stat
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme
from structlog.testing import capture_logs

from kubetally.domain.account import Account, AccountType
from kubetally.domain.errors import SourceError
from kubetally.domain.window import Window, parse_window
from kubetally.samples.replay import ReplayServer
from kubetally.sources.access import Access
from kubetally.sources.kubernetes.api import (
    KubernetesApi,
    NotAllowed,
)
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.sources.kubernetes.find import look
from kubetally.sources.kubernetes.plugin import show_on_terminal
from kubetally.sources.kubernetes.resolve import Option, Resolved, resolve_source
from kubetally.sources.kubernetes.sign_in import IN_CLUSTER, SERVICE_ACCOUNT, ApiServer, sign_in
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.transport import Limits, Transport
from tests.costs_of_source import get_costs_of_source
from tests.errors import raises_code
from tests.integration import api_server as charts
from tests.integration.api_server import EVERYTHING, JANE, READING, Object
from tests.integration.api_server import ApiServer as StandIn
from tests.served import NOON_AFTER, FixedClock, Reply, Served

AURORA = 247_445_919
SECRET = "s3cret-token-of-jane"
QUICK = Limits(connect_seconds=2, read_seconds=5, deadline_seconds=10, attempts=1)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def cluster(ca: trustme.CA, replay: ReplayServer) -> Iterator[StandIn]:
    """An API server with an OpenCost that tells aurora's costs, and what else a cluster has."""
    with StandIn(ca, charts.OPENCOST, charts.PROMETHEUS) as server:
        server.tokens[SECRET] = JANE
        server.behind["opencost/opencost:9003"] = replay.url_of("aurora")
        yield server


def pem(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Kubeconfig:
    """Writes a kubeconfig whose current context is `prod`."""

    def __init__(self, folder: Path, url: str, ca: trustme.CA) -> None:
        self.folder, self.url, self.ca = folder, url, ca

    def write(self, user: Object | None = None, cluster: Object | None = None, namespace: str | None = None) -> Path:
        about = {"server": self.url, "certificate-authority-data": encoded(pem(self.ca))}
        context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "prod",
            "contexts": [{"name": "prod", "context": context}],
            "clusters": [{"name": "c", "cluster": about if cluster is None else cluster}],
            "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
        }
        file = self.folder / "config"
        file.write_text(json.dumps(content), "utf-8")
        return file

    def environment(self, **given: Any) -> dict[str, str]:
        return {"KUBECONFIG": str(self.write(**given))}

    def plugin(self, *lines: str) -> Object:
        """A user whose exec plugin is a script beside the kubeconfig, named as relative as in that file."""
        script = self.folder / "plugin.sh"
        script.write_text("\n".join(["#!/bin/sh", f"echo run >> {self.folder}/runs", *lines]), "utf-8")
        script.chmod(stat.S_IRWXU)
        version = "client.authentication.k8s.io/v1beta1"
        return {"exec": {"apiVersion": version, "command": "./plugin.sh", "interactiveMode": "IfAvailable"}}

    @property
    def runs(self) -> int:
        return len((self.folder / "runs").read_text("utf-8").splitlines())


@pytest.fixture
def kubeconfig(tmp_path: Path, cluster: StandIn, ca: trustme.CA) -> Kubeconfig:
    return Kubeconfig(tmp_path, cluster.url, ca)


def credential(**status: str) -> str:
    content = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(content)}\nEND"


async def discover(
    context: str | None,
    *,
    environment: dict[str, str],
    limits: Limits = QUICK,
    service_account: Path = SERVICE_ACCOUNT,
) -> Resolved:
    return await Discoveries(environment=environment, service_account=service_account).costs(context or "", limits)


async def services(environment: dict[str, str]) -> list[str]:
    async with KubernetesApi(await sign_in("prod", environment=environment), QUICK) as api:
        return [str(service) for service in (await look(api)).services]


async def total(found: Resolved) -> int:
    """What wiring does with a source, over the whole of the recorded window."""
    window: Window = parse_window("2026-11-20,2026-11-23", NOON_AFTER)
    async with Transport(found.access, QUICK, renew=found.renew) as transport:
        source = CostModelSource(CostModelClient(transport))
        return (await get_costs_of_source(source, window, clock=FixedClock(), deadline_seconds=20)).bill.total


def temporary_keys() -> set[Path]:
    return {file for file in Path(tempfile.gettempdir()).glob("tmp*") if file.is_file()}


# Found and read


async def test_a_cluster_is_read_without_a_port_forward(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    found = await discover("prod", environment=kubeconfig.environment())
    assert found.option is Option.CONTEXT
    assert str(found.service) == "OpenCost at opencost/opencost:9003"
    assert found.access.url.address == f"{cluster.url}/api/v1/namespaces/opencost/services/opencost:9003/proxy"
    assert await total(found) == AURORA


async def test_without_a_name_the_current_context_is_read(kubeconfig: Kubeconfig) -> None:
    found = await discover(None, environment=kubeconfig.environment())
    assert await total(found) == AURORA


async def test_an_account_with_a_context_is_read_through_it(kubeconfig: Kubeconfig) -> None:
    account = Account("1", "o", "shop", AccountType.KUBERNETES_CNR, context="prod")
    found = await resolve_source(
        account,
        [account],
        access_of=Access.parse,
        discover=partial(discover, environment=kubeconfig.environment()),
        default_url="http://127.0.0.1:1",
    )
    assert await total(found) == AURORA


async def test_all_sources_of_all_pages_are_found_the_surest_first(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.page = 2
    cluster.services += [charts.KUBECOST_2, charts.AGGREGATOR, charts.KUBECOST_PROMETHEUS, charts.THANOS_HTTP]
    assert await services(kubeconfig.environment()) == [
        "Kubecost at kubecost/kubecost-cost-analyzer:9090",
        "OpenCost at opencost/opencost:9003",
        "Prometheus at prometheus-system/prometheus-server:80",
        "Thanos at kubecost/kubecost-thanos-query-http:10902",
        "Prometheus at kubecost/kubecost-prometheus-server:80",
    ]
    assert len([path for path in cluster.paths if "/services?" in path]) == 4
    cluster.rights[JANE] = frozenset({("list", "services", "prometheus-system")})
    assert await services(kubeconfig.environment()) == ["Prometheus at prometheus-system/prometheus-server:80"]


async def test_of_several_candidates_the_surest_that_answers_is_taken(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.services.append(charts.KUBECOST_2)
    found = await discover("prod", environment=kubeconfig.environment())
    assert str(found.service) == "OpenCost at opencost/opencost:9003"
    cluster.behind["kubecost/kubecost-cost-analyzer:9090"] = cluster.behind["opencost/opencost:9003"]
    found = await discover("prod", environment=kubeconfig.environment())
    assert str(found.service) == "Kubecost at kubecost/kubecost-cost-analyzer:9090"
    assert await total(found) == AURORA


async def test_a_redirect_leads_through_the_proxy_again(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    def answers(asked: Any) -> Any:
        return {"yes": True} if asked.path == "/there" else Reply(302, headers={"Location": "/there"})

    with Served(answers) as backend:
        cluster.behind["opencost/opencost:9003"] = backend.url
        found = await discover("prod", environment=kubeconfig.environment())
        async with Transport(found.access, QUICK) as transport:
            assert (await transport.get("/here")).body == b'{"yes": true}'
        assert [asked.path for asked in backend.asked][-2:] == ["/here", "/there"]


# Credentials


async def test_client_certificate_comes_from_files_or_kubeconfig(
    kubeconfig: Kubeconfig, ca: trustme.CA, tmp_path: Path
) -> None:
    before = temporary_keys()
    issued = ca.issue_cert("jane@example.com", common_name=JANE)
    certificate, key = issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()
    in_place = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    assert await total(await discover("prod", environment=kubeconfig.environment(user=in_place))) == AURORA
    (tmp_path / "jane.crt").write_text(certificate, "utf-8")
    (tmp_path / "jane.key").write_text(key, "utf-8")
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    about = {"server": kubeconfig.url, "certificate-authority": "ca.crt"}
    files = {"client-certificate": "jane.crt", "client-key": "jane.key"}
    environment = kubeconfig.environment(user=files, cluster=about)
    assert await total(await discover("prod", environment=environment)) == AURORA
    mixed = {"client-certificate": "jane.crt", "client-key-data": encoded(key)}
    assert await total(await discover("prod", environment=kubeconfig.environment(user=mixed))) == AURORA
    assert temporary_keys() <= before


async def test_an_exec_plugin_gives_a_token(kubeconfig: Kubeconfig) -> None:
    told = f'printf %s "$KUBERNETES_EXEC_INFO" > {kubeconfig.folder}/told'
    user = kubeconfig.plugin(told, credential(token=SECRET))
    assert await total(await discover("prod", environment=kubeconfig.environment(user=user))) == AURORA
    assert kubeconfig.runs == 1
    info = json.loads((kubeconfig.folder / "told").read_text("utf-8"))
    assert (info["kind"], info["apiVersion"]) == ("ExecCredential", "client.authentication.k8s.io/v1beta1")


async def test_certificate_of_an_exec_plugin_is_not_left_on_disk(kubeconfig: Kubeconfig, ca: trustme.CA) -> None:
    before = temporary_keys()
    issued = ca.issue_cert("jane@example.com", common_name=JANE)
    user = kubeconfig.plugin(
        credential(
            clientCertificateData=issued.cert_chain_pems[0].bytes().decode(),
            clientKeyData=issued.private_key_pem.bytes().decode(),
        )
    )
    assert await total(await discover("prod", environment=kubeconfig.environment(user=user))) == AURORA
    assert temporary_keys() <= before


async def test_a_token_that_expires_is_renewed_once_for_all_questions(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    user = kubeconfig.plugin(f'echo "{{\\"status\\": {{\\"token\\": \\"t$(wc -l < {kubeconfig.folder}/runs)\\"}}}}"')
    cluster.tokens |= {"t1": JANE}
    found = await discover("prod", environment=kubeconfig.environment(user=user))
    assert kubeconfig.runs == 1
    cluster.tokens = {"t2": JANE}
    with capture_logs() as lines:
        assert await total(found) == AURORA
    assert kubeconfig.runs == 2
    assert not [line for line in lines if line["log_level"] == "warning"]


async def test_wrong_credentials_are_renewed_once_then_reported(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    user = kubeconfig.plugin(credential(token="old-and-expired"))
    with raises_code("not_signed_in", match="sign in again") as caught:
        await services(kubeconfig.environment(user=user))
    assert kubeconfig.runs == 2
    assert "old-and-expired" not in str(caught.value)
    with raises_code("not_signed_in"):
        await services(kubeconfig.environment(user={"token": "wrong"}))
    assert len(cluster.asked) == 3


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["echo 'Your session has expired' >&2", "exit 1"], "Your session has expired"),
        ([f"echo {SECRET}"], "not an ExecCredential"),
        ([f'echo \'{{"status": {{"tokem": "{SECRET}"}}}}\''], "not an ExecCredential"),
        (["exec sleep 60"], "did not end within 0.5 s"),
    ],
)
async def test_a_plugin_that_fails_is_told_without_its_secret(
    kubeconfig: Kubeconfig, lines: list[str], says: str
) -> None:
    environment = kubeconfig.environment(user=kubeconfig.plugin(*lines))
    with raises_code("credential_plugin_failed", match=r"plugin\.sh") as caught:
        await asyncio.wait_for(sign_in("prod", environment=environment, plugin_seconds=0.5), 5)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


DEVICE_LOGIN = "To sign in, open https://example.test/devicelogin and enter the code ABCD1234"


@pytest.mark.parametrize("end", ["sleep 300", "exit 1", "echo '{}'"])
async def test_plugin_output_is_shown_at_once_and_quoted(kubeconfig: Kubeconfig, end: str) -> None:
    waits = f"while [ ! -e {kubeconfig.folder}/seen ]; do sleep 0.01; done"
    user = kubeconfig.plugin(f"echo '{DEVICE_LOGIN}' >&2", waits, "printf 'no line break' >&2", end)
    shown = list[str]()

    def show(line: str) -> None:
        shown.append(line)
        (kubeconfig.folder / "seen").touch()  # without which the plugin would not go on

    with raises_code("credential_plugin_failed") as caught:
        await sign_in("prod", environment=kubeconfig.environment(user=user), plugin_seconds=2, show=show)
    assert shown == [DEVICE_LOGIN, "no line break"]
    assert f"it wrote: '{DEVICE_LOGIN} no line break'" in str(caught.value)


def test_lines_of_a_plugin_are_passed_on_to_a_terminal_only() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        show_on_terminal(DEVICE_LOGIN, terminal)
        shown = b""
        while not shown.endswith(b"\n"):  # a terminal may give a line in pieces
            shown += os.read(ours, 1000)
        assert shown.decode() == f"{DEVICE_LOGIN}\r\n"
    os.close(ours)
    file = io.StringIO()
    show_on_terminal(DEVICE_LOGIN, file)
    assert file.getvalue() == ""


async def test_a_plugin_is_killed_with_its_children_when_time_is_up(kubeconfig: Kubeconfig) -> None:
    user = kubeconfig.plugin(f"echo $$ > {kubeconfig.folder}/group", f"echo '{DEVICE_LOGIN}' >&2", "sleep 300")
    with raises_code("credential_plugin_failed", match=r"did not end within 0\.5 s; it wrote: 'To sign in"):
        await sign_in("prod", environment=kubeconfig.environment(user=user), plugin_seconds=0.5)
    group = int((kubeconfig.folder / "group").read_text("utf-8"))
    left = [process for process in psutil.process_iter() if process.is_running() and os.getpgid(process.pid) == group]
    _, alive = psutil.wait_procs(left, timeout=10)  # a killed process is there until the kernel has cleared it away
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


async def test_a_plugin_is_killed_when_nobody_waits_any_longer(kubeconfig: Kubeconfig) -> None:
    shown, user = asyncio.Event(), kubeconfig.plugin(f"echo '{DEVICE_LOGIN}' >&2", "exec sleep 300")
    environment = kubeconfig.environment(user=user)
    with capture_logs() as lines:
        waiting = asyncio.create_task(sign_in("prod", environment=environment, show=lambda _: shown.set()))
        await shown.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert [(line["event"], line["wrote"]) for line in lines] == [("credential_plugin_cut", DEVICE_LOGIN)]


async def test_a_child_that_a_plugin_leaves_behind_is_not_waited_for(kubeconfig: Kubeconfig) -> None:
    user = kubeconfig.plugin("setsid sleep 30 &", f"echo $! > {kubeconfig.folder}/child", credential(token=SECRET))
    try:
        found = await sign_in("prod", environment=kubeconfig.environment(user=user), plugin_seconds=10)
        assert found.access.token == SECRET
    finally:
        os.kill(int((kubeconfig.folder / "child").read_text("utf-8")), signal.SIGKILL)


async def test_quotes_end_of_plugin_output_without_secrets(kubeconfig: Kubeconfig) -> None:
    lines = ["yes 'a long trace' | head -n 10000 >&2", 'echo "token=$MY_TOKEN, user $TOKEN" >&2', "exit 3"]
    user = kubeconfig.plugin(*lines)
    user["exec"]["env"] = [{"name": "MY_TOKEN", "value": SECRET}, {"name": "TOKEN", "value": "hush"}]
    with raises_code("credential_plugin_failed", match="it exited with code 3") as caught:
        await sign_in("prod", environment=kubeconfig.environment(user=user))
    assert "a long trace token=***, user ***'" in str(caught.value)
    assert len(str(caught.value)) <= 800


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"interactiveMode": "Always"}, "standard input"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1 is not supported"),
        ({"command": "no-such-plugin", "installHint": "Install it with brew."}, r"No such file .*Install it with brew"),
    ],
)
async def test_a_plugin_that_can_not_be_run_says_why(kubeconfig: Kubeconfig, changes: Object, says: str) -> None:
    user = kubeconfig.plugin(credential(token=SECRET))
    user["exec"] |= changes
    with raises_code("credential_plugin_failed", match=says):
        await sign_in("prod", environment=kubeconfig.environment(user=user))


@pytest.mark.parametrize("broken", [{"args": "get-token"}, {"env": ["A=1"]}])
async def test_a_plugin_with_broken_args_is_refused(kubeconfig: Kubeconfig, broken: Object) -> None:
    user = kubeconfig.plugin(credential(token=SECRET))
    user["exec"] |= broken
    with raises_code("unusable_kubeconfig", match="args or env"):
        await sign_in("prod", environment=kubeconfig.environment(user=user))


async def test_a_plugin_that_is_not_installed_is_told(kubeconfig: Kubeconfig) -> None:
    version = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": version, "command": "no-such-plugin-anywhere"}}
    with raises_code("credential_plugin_failed", match="can't be run: No such file"):
        await sign_in("prod", environment=kubeconfig.environment(user=user))


async def test_a_user_of_a_kind_that_kubernetes_gave_up_is_refused(kubeconfig: Kubeconfig) -> None:
    environment = kubeconfig.environment(user={"username": "jane", "password": SECRET})
    with raises_code("unusable_kubeconfig", match=r"removed in Kubernetes 1\.19") as caught:
        await sign_in("prod", environment=environment)
    assert SECRET not in str(caught.value)


async def test_the_token_of_an_oidc_provider_is_sent(kubeconfig: Kubeconfig) -> None:
    user = {"auth-provider": {"name": "oidc", "config": {"id-token": SECRET, "client-id": "kubectl"}}}
    assert await services(kubeconfig.environment(user=user))


@pytest.mark.parametrize("provider", [{"name": "gcp"}, {"name": "oidc", "config": {}}, "gcp"])
async def test_another_auth_provider_is_refused(kubeconfig: Kubeconfig, provider: Any) -> None:
    with raises_code("unusable_kubeconfig", match=r"auth-provider .* removed in Kubernetes 1\.26"):
        await sign_in("prod", environment=kubeconfig.environment(user={"auth-provider": provider}))


# Acting as somebody else


ACTING = {
    "token": SECRET,
    "as": "user-b8chs",
    "as-uid": "4711",
    "as-groups": ["system:authenticated", "Grüne Gruppe"],
    "as-user-extra": {"scopes": ["view", "development"], "acme.com/project%": ["x"]},
}


async def test_every_request_impersonates_the_user_of_kubeconfig(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.rights["user-b8chs"] = EVERYTHING
    found = await discover("prod", environment=kubeconfig.environment(user=ACTING))
    assert await total(found) == AURORA
    async with Transport(found.access, QUICK) as transport:
        with pytest.raises(SourceError):
            await transport.post("/nowhere", {"a": "b"})
    assert cluster.asked[-1][1] == "POST"
    assert set(cluster.acted_as) == {
        (
            ("Impersonate-User", "user-b8chs"),
            ("Impersonate-Uid", "4711"),
            ("Impersonate-Group", "system:authenticated"),
            ("Impersonate-Group", "Grüne Gruppe"),
            ("Impersonate-Extra-scopes", "view"),
            ("Impersonate-Extra-scopes", "development"),
            ("Impersonate-Extra-acme.com%2Fproject%25", "x"),
        )
    }
    assert {user for user, _, _ in cluster.asked} == {JANE}


async def test_the_rights_are_those_of_the_user_that_is_acted_as(kubeconfig: Kubeconfig) -> None:
    with pytest.raises(NotAllowed, match='User "user-b8chs" cannot list'):
        await services(kubeconfig.environment(user={"token": SECRET, "as": "user-b8chs"}))


async def test_renewed_credentials_act_as_the_same_user(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    user = kubeconfig.plugin(f'echo "{{\\"status\\": {{\\"token\\": \\"t$(wc -l < {kubeconfig.folder}/runs)\\"}}}}"')
    cluster.tokens, cluster.rights["bot"] = {"t2": JANE}, READING
    assert await services(kubeconfig.environment(user=user | {"as": "bot"}))
    assert set(cluster.acted_as) == {(("Impersonate-User", "bot"),)}


async def test_who_may_not_act_as_the_user_is_told_at_once(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.not_impersonated = frozenset({"admin"})
    with raises_code("impersonation_refused", match=r"cannot impersonate resource .*`impersonate`"):
        await services(kubeconfig.environment(user={"token": SECRET, "as": "admin"}))
    assert len(cluster.asked) == 1


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"as-groups": ["system:masters"]}, "has as-groups without as"),
        ({"as-uid": "1"}, "has as-uid without as"),
        ({"as-user-extra": {"a": ["b"]}}, "has as-user-extra without as"),
        ({"as": "x", "as-groups": "system:masters"}, "as-groups that is not a list"),
        ({"as": "x", "as-groups": [7]}, "Impersonate-Group"),
        ({"as": "x\r\nX-Evil: 1"}, "Impersonate-User"),
        ({"as": "x", "as-user-extra": ["a"]}, "not a map of lists"),
        ({"as": "x", "as-user-extra": {"a": "b"}}, "a that is not a list"),
    ],
)
async def test_a_user_to_act_as_that_can_not_be_sent_is_refused(
    kubeconfig: Kubeconfig, cluster: StandIn, user: Object, says: str
) -> None:
    with raises_code("unusable_kubeconfig", match=says):
        await sign_in("prod", environment=kubeconfig.environment(user={"token": SECRET, **user}))
    assert not cluster.asked


# Files that are not there


async def test_a_kubeconfig_that_does_not_exist_is_named(kubeconfig: Kubeconfig, tmp_path: Path) -> None:
    absent, other = tmp_path / "absent", tmp_path / "folder" / "gone"
    for context in ("prod", None):
        with raises_code("unusable_kubeconfig") as caught:
            await sign_in(context, environment={"KUBECONFIG": str(absent)}, service_account=tmp_path)
        assert f"KUBECONFIG names '{absent}', which does not exist" in str(caught.value)
    with raises_code("unusable_kubeconfig", match="none of them exists"):
        await sign_in("prod", environment={"KUBECONFIG": f"{absent}:{other}"})
    there = kubeconfig.environment()["KUBECONFIG"]
    assert await services({"KUBECONFIG": f"{absent}:{there}"})
    with raises_code("unknown_context") as unknown:
        await sign_in("stage", environment={"KUBECONFIG": f"{absent}:{there}"})
    assert f"no context 'stage' in {there} ({absent} does not exist); there are: prod" in str(unknown.value)
    with raises_code("unknown_context", match=r"in any kubeconfig \(.*\.kube/config does not exist\)"):
        await sign_in("prod", environment={"HOME": str(tmp_path)})
    with raises_code("unusable_kubeconfig", match="Is a directory"):
        await sign_in("prod", environment={"KUBECONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("no base64 at all", "not PEM in base64"),
        (encoded("not PEM"), "CA file that can't be loaded"),
        ("-----é", "not PEM"),
    ],
)
async def test_an_authority_that_is_no_pem_is_refused(kubeconfig: Kubeconfig, data: str, says: str) -> None:
    about = {"server": kubeconfig.url, "certificate-authority-data": data}
    with raises_code("unusable_kubeconfig", match=says):
        await sign_in("prod", environment=kubeconfig.environment(cluster=about))


async def test_half_a_client_certificate_is_refused(kubeconfig: Kubeconfig) -> None:
    environment = kubeconfig.environment(user={"client-certificate-data": encoded("-----BEGIN CERTIFICATE-----")})
    with raises_code("unusable_kubeconfig", match="has no client-key"):
        await sign_in("prod", environment=environment)


async def test_a_token_from_a_file_and_one_of_digits_are_sent(
    kubeconfig: Kubeconfig, cluster: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n", "utf-8")
    assert await services(kubeconfig.environment(user={"tokenFile": "token"}))
    cluster.tokens["12345"] = JANE
    assert await services(kubeconfig.environment(user={"token": 12345}))


async def test_in_cluster_uses_the_service_account_and_its_new_token(
    cluster: StandIn, ca: trustme.CA, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text(f"{SECRET}\n", "utf-8")
    (tmp_path / "namespace").write_text("opencost", "utf-8")
    host, port = cluster.url.removeprefix("https://").split(":")
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "HOME": str(tmp_path)}
    for context in (IN_CLUSTER, None):
        found = await discover(context, environment=environment, service_account=tmp_path)
        assert await total(found) == AURORA
    cluster.tokens = {"rotated": JANE}
    (tmp_path / "token").write_text("rotated", "utf-8")
    assert await total(found) == AURORA
    server = await sign_in(IN_CLUSTER, environment=environment, service_account=tmp_path)
    assert (server.name, server.namespace) == ("in-cluster", "opencost")


async def test_outside_of_a_cluster_in_cluster_says_so(tmp_path: Path) -> None:
    with raises_code("unusable_kubeconfig", match="is not in a cluster"):
        await sign_in(IN_CLUSTER, environment={}, service_account=tmp_path)


async def test_a_token_is_not_sent_without_tls_and_never_shown(kubeconfig: Kubeconfig) -> None:
    plain = await sign_in("prod", environment=kubeconfig.environment(cluster={"server": "http://127.0.0.1:8001"}))
    assert plain.access.token is None
    safe = await sign_in("prod", environment=kubeconfig.environment())
    assert safe.access.token == SECRET
    assert SECRET not in repr(safe)


# Refusals and faults


async def test_usual_namespaces_are_searched_without_rights_to_all(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.rights[JANE] = frozenset({("list", "services", "opencost"), ("get", "services/proxy", "opencost")})
    found = await discover("prod", environment=kubeconfig.environment())
    assert await total(found) == AURORA


async def test_usual_names_are_searched_without_rights_to_list(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    moved = charts.service("shop", "opencost", {}, {"name": "http", "port": 9003})
    cluster.services = [moved]
    cluster.behind["shop/opencost:9003"] = cluster.behind["opencost/opencost:9003"]
    cluster.rights[JANE] = frozenset({("get", "services", "shop"), ("get", "services/proxy", "shop")})
    found = await discover("prod", environment=kubeconfig.environment(namespace="shop"))
    assert str(found.service) == "OpenCost at shop/opencost:9003"


async def test_who_may_see_nothing_is_told_which_right_is_missing(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.rights[JANE] = frozenset()
    with capture_logs() as lines, pytest.raises(NotAllowed) as caught:
        await discover("prod", environment=kubeconfig.environment())
    error = caught.value
    assert (error.verb, error.resource, error.namespace) == ("list", "services", None)
    assert "context 'prod' may not list services in all namespaces" in str(error)
    assert "`get` on `services/proxy`" in str(error)
    assert not [line for line in lines if line["log_level"] == "warning"]


async def test_missing_proxy_right_is_reported_before_any_request(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.rights[JANE] = frozenset({("list", "services", None)})
    with pytest.raises(NotAllowed) as caught:
        await discover("prod", environment=kubeconfig.environment())
    error = caught.value
    assert (error.verb, error.resource, error.namespace) == ("get", "services/proxy", "opencost")
    assert "in namespace 'opencost'" in str(error)
    assert 'services "opencost:9003" is forbidden' in (error.said or "")


async def test_cluster_without_source_lists_what_was_seen(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.services.remove(charts.OPENCOST)
    with raises_code("no_source_found") as caught:
        await discover("prod", environment=kubeconfig.environment())
    said = str(caught.value)
    assert "no Kubecost or OpenCost in all namespaces of context 'prod'" in said
    assert "there is Prometheus at prometheus-system/prometheus-server:80, which has no costs" in said
    assert "--url" in said
    cluster.rights[JANE] = frozenset({("list", "services", "opencost"), ("list", "services", "default")})
    with raises_code("no_source_found", match="in namespaces opencost, default of context") as caught:
        await discover("prod", environment=kubeconfig.environment())
    cluster.rights[JANE] = frozenset({("list", "services", "default")})
    with raises_code("no_source_found", match="in namespace default of context"):
        await discover("prod", environment=kubeconfig.environment())


async def test_a_service_without_pods_is_told_with_where_to_look(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    cluster.behind.clear()
    with raises_code("sources_silent", match="no endpoints available") as caught:
        await discover("prod", environment=kubeconfig.environment())
    assert caught.value.retryable
    assert "kubectl --context prod -n opencost get pods" in str(caught.value)


async def test_an_api_server_of_another_authority_is_not_trusted(kubeconfig: Kubeconfig, cluster: StandIn) -> None:
    wrong = {"server": kubeconfig.url, "certificate-authority-data": encoded(pem(trustme.CA()))}
    with raises_code("cluster_not_trusted", match="certificate-authority-data"):
        await services(kubeconfig.environment(cluster=wrong))
    assert not cluster.asked
    skipped = {"server": kubeconfig.url, "insecure-skip-tls-verify": True}
    assert await services(kubeconfig.environment(cluster=skipped))


async def test_certificate_may_have_another_name_than_the_host(ca: trustme.CA, tmp_path: Path) -> None:
    with StandIn(ca, charts.OPENCOST, names=("kubernetes.default",)) as server:
        server.tokens[SECRET] = JANE
        about = {"server": server.url, "certificate-authority-data": encoded(pem(ca))}
        config = Kubeconfig(tmp_path, server.url, ca)
        with raises_code("cluster_not_trusted"):
            await services(config.environment())
        named = {**about, "tls-server-name": "kubernetes.default"}
        assert await services(config.environment(cluster=named)) == ["OpenCost at opencost/opencost:9003"]


async def test_an_api_server_that_is_not_there_is_unreachable(kubeconfig: Kubeconfig) -> None:
    gone = {"server": "https://127.0.0.1:1"}
    with raises_code("cluster_unreachable", match=r"Connection refused.*VPN") as caught:
        await services(kubeconfig.environment(cluster=gone))
    assert caught.value.retryable


async def test_an_api_server_that_answers_with_something_else_is_told() -> None:
    with Served(lambda _: Reply(200, b"<html>Please sign in</html>", "text/html")) as portal:
        async with KubernetesApi(ApiServer("prod", Access.parse(portal.url)), QUICK) as api:
            with pytest.raises(Exception, match="web page") as caught:
                await look(api)
    assert getattr(caught.value, "code", None) == "answer_not_understood"

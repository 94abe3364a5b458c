"""Where the source of an account is: its own URL, else discovery, else the default of the environment.

What an account states itself decides, even where nothing answers there: another source would give the costs of another
cluster. Only what serves any account is tried in turn (two settings, and the usual Services of the cluster that the
program runs in), and none of it serves two accounts with one URL.
"""

import asyncio
import os
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

import httpx

from kubetally.domain.account import Account, AccountType
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl
from kubetally.sources.access import Access
from kubetally.sources.address import Resolve, system_resolve
from kubetally.sources.kubernetes.api import KubernetesApi
from kubetally.sources.kubernetes.find import Seen, find_cost_source, find_metrics, look
from kubetally.sources.kubernetes.recognise import FoundService
from kubetally.sources.kubernetes.sign_in import SERVICE_ACCOUNT, ApiServer, sign_in
from kubetally.sources.transport import Limits, Renew

TEMPLATE_SETTING = "KUBETALLY_SOURCE_TEMPLATE"
DEFAULT_SETTING = "KUBECOST_API_URL"
_SERVICES = (("kubecost-cost-analyzer", 9090), ("opencost", 9003))
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Option(StrEnum):
    """What told where a source is, in the order of precedence."""

    ACCOUNT_URL = "the URL of the account"
    CONTEXT = "discovery in its Kubernetes context"
    TEMPLATE = TEMPLATE_SETTING
    DEFAULT = DEFAULT_SETTING
    SERVICE = "a Service of the cluster that Kubetally runs in"


@dataclass(frozen=True, slots=True)
class Choice:
    """An option with its URL, or with the name of the context. A template may hold a password."""

    option: Option
    place: SourceUrl | str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """How the source of an account is read: `Transport(resolved.access, limits, renew=resolved.renew)`.

    service:     what was discovered. passed_over: why options before this one did not serve, for a person.
    """

    option: Option
    access: Access
    renew: Renew | None = None
    service: FoundService | None = None
    passed_over: tuple[str, ...] = ()


class TemplateNotUsable(RequestError):
    """The template of URLs can't be filled in."""

    code = "template_not_usable"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"{TEMPLATE_SETTING} can't be used: {why}; write something like "
            "http://kubecost-cost-analyzer.{namespace}.svc.cluster.local:9090 or http://kubecost-{cluster}.example.com"
        )


def service_url(name: str, namespace: str, port: int) -> str:
    """Where a Service is for a program in its cluster."""
    return f"http://{name}.{namespace}.svc.cluster.local:{port}"


def fill(template: str, account: Account, namespace: str) -> str:
    """The URL of an account by `template`: {cluster} is its cluster id, else its name; {name}; {namespace}.

    Raises: TemplateNotUsable. A value that is no part of a host name is refused: it could make another URL.
    """
    values = {"cluster": account.cluster_id or account.name, "name": account.name, "namespace": namespace}
    parts = []
    try:
        for text, name, format_spec, conversion in string.Formatter().parse(template):
            parts.append(text)
            if name is None:
                continue
            if name not in values or format_spec or conversion:
                raise TemplateNotUsable(f"it knows {{cluster}}, {{name}} and {{namespace}}, not {{{name}}}")
            value = values[name].lower()
            if _DNS_LABEL.fullmatch(value) is None:
                raise TemplateNotUsable(f"{values[name]!r}, the {name} of account {account.name!r}, is not a host name")
            parts.append(value)
    except ValueError as error:
        raise TemplateNotUsable(f"its braces do not match: {error}") from error
    return "".join(parts)


def choices(
    account: Account,
    accounts: Iterable[Account],
    *,
    template: str | None = None,
    namespace: str = "kubecost",
    default_url: SourceUrl | str | None = None,
    in_cluster: bool = False,
) -> tuple[Choice, ...]:
    """Where the source of `account` may be, to be tried in this order; at most one for what the account states itself.

    Shape:  `accounts` are all that live, with or without `account`. `in_cluster`: whether Services have names here.
    Raises: TemplateNotUsable, RequestError (TEMPLATE, whose URL several share). DEFAULT and SERVICE are checked
            when they are reached, by `check_default`: an account that the template serves has nothing to do with them.
    """
    if account.kubecost_url:
        return (Choice(Option.ACCOUNT_URL, account.kubecost_url),)
    if account.context:
        return (Choice(Option.CONTEXT, account.context),)
    found = []
    if template:
        url = fill(template, account, namespace)
        shared = [other for other in _without_own(account, accounts) if _filled(template, other, namespace) == url]
        if len(shared) > 1:
            raise _serves_one(TEMPLATE_SETTING, shared)
        found.append(Choice(Option.TEMPLATE, url))
    if default_url:
        found.append(Choice(Option.DEFAULT, default_url))
    elif in_cluster:
        places = dict.fromkeys((namespace, "opencost"))
        found += [
            Choice(Option.SERVICE, service_url(name, place, port)) for name, port in _SERVICES for place in places
        ]
    return tuple(found)


def check_default(account: Account, accounts: Iterable[Account], option: Option = Option.DEFAULT) -> None:
    """Raises RequestError, when more accounts than `account` state no source of their own."""
    if len(without := _without_own(account, accounts)) > 1:
        raise _serves_one(option.value, without)


def _serves_one(setting: str, accounts: Iterable[Account]) -> RequestError:
    """What serves any account has one URL: each of several would get the same costs."""
    names = ", ".join(account.name for account in accounts)
    return RequestError(
        f"{setting} is one source and serves exactly one account, but {names} have no URL of their own and would each "
        "get the same costs: give each its own with `kubetally accounts update NAME --url URL`",
        code="default_serves_one",
    )


async def discover(
    context: str | None,
    *,
    namespace: str | None = None,
    limits: Limits | None = None,
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Resolved:
    """The source of a cluster, through its API server: what `--context` asks for.

    Raises: RequestError (of the kubeconfig), NotAllowed and other SourceErrors.
    """
    server = await sign_in(context, environment=environment, service_account=service_account)
    return await source_among(server, await seen_by(server, limits, namespace), limits)


async def seen_by(server: ApiServer, limits: Limits | None = None, namespace: str | None = None) -> Seen:
    """What there is behind an API server, as far as we may see it. Raises as `look`."""
    async with KubernetesApi(server, limits) as api:
        return await look(api, namespace)


async def source_among(server: ApiServer, seen: Seen, limits: Limits | None = None) -> Resolved:
    """The source of costs among what was seen. Raises as `find_cost_source`."""
    async with KubernetesApi(server, limits) as api:
        service = await find_cost_source(api, seen)
        return Resolved(Option.CONTEXT, api.access_to(service), server.renew, service)


async def metrics_among(server: ApiServer, seen: Seen, limits: Limits | None = None) -> Resolved | None:
    """The Prometheus or Thanos among what was seen; None if none answers."""
    async with KubernetesApi(server, limits) as api:
        service = await find_metrics(api, seen)
        return None if service is None else Resolved(Option.CONTEXT, api.access_to(service), server.renew, service)


async def resolve_source(
    account: Account,
    accounts: Sequence[Account],
    *,
    access_of: Callable[[SourceUrl], Access],
    template: str | None = None,
    namespace: str = "kubecost",
    default_url: SourceUrl | str | None = None,
    limits: Limits | None = None,
    resolve: Resolve = system_resolve,
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Resolved:
    """Where the source of `account` is, by the first option that serves.

    Shape:  `access_of` puts credentials to a URL; a context has its own. `namespace` is what {namespace} stands for,
            and where the usual Services are looked for by a program that runs in a cluster, without `default_url`.
    Raises: RequestError, TemplateNotUsable, and as `discover` where the account has a context.
    """
    limits, passed_over = limits or Limits(), list[str]()
    in_cluster = bool(environment.get("KUBERNETES_SERVICE_HOST"))
    given = choices(
        account, accounts, template=template, namespace=namespace, default_url=default_url, in_cluster=in_cluster
    )
    known = partial(_is_known, resolve=resolve, seconds=limits.connect_seconds)
    for choice in given:
        match choice.option:
            case Option.CONTEXT:
                return await discover(
                    account.context, limits=limits, environment=environment, service_account=service_account
                )
            case Option.TEMPLATE | Option.SERVICE:
                try:
                    access = access_of(SourceUrl.of(choice.place))
                except InvalidSourceUrl as error:
                    raise TemplateNotUsable(f"it gives {error.url!r}, which {error.why}") from error
                if not await known(access):
                    passed_over.append(f"{choice.option} gives {access.masked_url}, a name that DNS does not know")
                    continue
                if choice.option is Option.SERVICE:
                    check_default(account, accounts, choice.option)
            case Option.DEFAULT:
                check_default(account, accounts)
                access = access_of(SourceUrl.of(choice.place))
            case Option.ACCOUNT_URL:
                access = access_of(SourceUrl.of(choice.place))
        return Resolved(choice.option, access, passed_over=tuple(passed_over))
    tried = f" ({'; '.join(passed_over)})" if passed_over else ""
    raise RequestError(
        f"account {account.name!r} has no source{tried}: set one with `kubetally accounts update {account.name} --url "
        f"URL` or `--context NAME`, or by {TEMPLATE_SETTING} or {DEFAULT_SETTING}",
        code="no_source_stated",
    )


def _without_own(account: Account, accounts: Iterable[Account]) -> list[Account]:
    """The accounts that state no source of their own, `account` among them, by name."""
    there = {other.id: other for other in (account, *accounts)}
    return sorted(
        (
            other
            for other in there.values()
            if other.type is AccountType.KUBERNETES_CNR
            and not (other.kubecost_url or other.context)
            and other.deleted_at is None
        ),
        key=lambda other: other.name,
    )


def _filled(template: str, account: Account, namespace: str) -> str | None:
    try:
        return fill(template, account, namespace)
    except TemplateNotUsable:
        return None  # That account has a trouble of its own.


async def _is_known(access: Access, *, resolve: Resolve, seconds: float) -> bool:
    url = httpx.URL(access.url)
    try:
        async with asyncio.timeout(seconds):
            return bool(await resolve(url.raw_host.decode("ascii"), url.port or 80))
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return False

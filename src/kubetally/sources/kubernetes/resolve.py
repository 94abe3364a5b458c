"""Resolves the source of an account: its own URL, else its context, else the defaults of the environment.

What an account states itself decides, even if nothing answers there: another source would give the costs of another
cluster. Only defaults are tried in turn (two settings, and the usual Services of the cluster that the program runs in),
and none of them serves two accounts with one URL.
"""

import asyncio
import os
import re
import string
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kubetally.domain.account import Account, AccountType, AnyAccount
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl
from kubetally.sources.access import Access
from kubetally.sources.address import Resolve, system_resolve
from kubetally.sources.kubernetes.recognise import FoundService
from kubetally.sources.transport import Limits, Renew

TEMPLATE_SETTING = "KUBETALLY_SOURCE_TEMPLATE"
DEFAULT_SETTING = "KUBECOST_API_URL"
_SERVICES = (("kubecost-cost-analyzer", 9090), ("opencost", 9003))
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Option(StrEnum):
    """How a source was resolved, in the order of precedence."""

    ACCOUNT_URL = "the URL of the account"
    CONTEXT = "discovery in its Kubernetes context"
    TEMPLATE = TEMPLATE_SETTING
    DEFAULT = DEFAULT_SETTING
    SERVICE = "a Service of the cluster that Kubetally runs in"


@dataclass(frozen=True, slots=True)
class Resolved:
    """How to read the source of an account: `Transport(resolved.access, limits, renew=resolved.renew)`.

    service: discovered in a context. passed_over: why earlier options did not serve, for a message.
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


def fill_template(template: str, account: AnyAccount, *, namespace: str) -> str:
    """The URL of an account by `template`: {cluster} is its cluster id, else its name; {name}; {namespace}.

    Raises: TemplateNotUsable, also for a value that is not part of a host name: it could make another URL.
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


async def resolve_source(
    account: Account,
    accounts: Iterable[AnyAccount],
    *,
    access_of: Callable[[SourceUrl], Access],
    discover: Callable[[str], Awaitable[Resolved]],
    template: str | None = None,
    namespace: str = "kubecost",
    default_url: SourceUrl | str | None = None,
    connect_seconds: float = Limits().connect_seconds,
    resolve: Resolve = system_resolve,
    environment: Mapping[str, str] = os.environ,
) -> Resolved:
    """The source of `account`, by the first option that serves.

    accounts: all that are not deleted, with or without `account`. access_of: adds credentials to a URL.
    discover: searches a context. namespace: the value of {namespace}, and the one of the usual Services, which serve a
    program that runs in a cluster, without `default_url`.
    Raises: RequestError, TemplateNotUsable, and as `discover`.
    """
    if account.kubecost_url:
        return Resolved(Option.ACCOUNT_URL, access_of(account.kubecost_url))
    if account.context:
        return await discover(account.context)
    sharing = _without_own_source(account, accounts)
    options: list[tuple[Option, SourceUrl | str]] = []
    if template:
        options.append((Option.TEMPLATE, _templated_url(template, account, sharing, namespace)))
    if default_url:
        options.append((Option.DEFAULT, default_url))
    elif environment.get("KUBERNETES_SERVICE_HOST"):
        options += [(Option.SERVICE, url) for url in _service_urls(namespace)]
    passed_over = list[str]()
    for option, url in options:
        if option is Option.DEFAULT:
            _check_serves_one(option, sharing)
            return Resolved(option, access_of(SourceUrl.of(url)), passed_over=tuple(passed_over))
        try:
            access = access_of(SourceUrl.of(url))
        except InvalidSourceUrl as error:
            raise TemplateNotUsable(f"it gives {error.url!r}, which {error.why}") from error
        if await _is_known(access, resolve=resolve, seconds=connect_seconds):
            if option is Option.SERVICE:
                _check_serves_one(option, sharing)
            return Resolved(option, access, passed_over=tuple(passed_over))
        passed_over.append(f"{option} gives {access.url}, a name that DNS does not know")
    tried = f" ({'; '.join(passed_over)})" if passed_over else ""
    raise RequestError(
        f"account {account.name!r} has no source{tried}: set one with `kubetally accounts update {account.name} --url "
        f"URL` or `--context NAME`, or by {TEMPLATE_SETTING} or {DEFAULT_SETTING}",
        code="no_source_stated",
    )


def _without_own_source(account: Account, accounts: Iterable[AnyAccount]) -> list[AnyAccount]:
    """`account` and the others that state no source, by name."""
    by_id = {other.id: other for other in (account, *accounts)}
    return sorted(
        (
            other
            for other in by_id.values()
            if other.type is AccountType.KUBERNETES_CNR and not (other.kubecost_url or other.context)
        ),
        key=lambda other: other.name,
    )


def _templated_url(template: str, account: Account, sharing: Iterable[AnyAccount], namespace: str) -> str:
    """Raises TemplateNotUsable, RequestError (several accounts get the same URL)."""
    url = fill_template(template, account, namespace=namespace)

    def has_same_url(other: AnyAccount) -> bool:
        try:
            return fill_template(template, other, namespace=namespace) == url
        except TemplateNotUsable:  # reported for that account
            return False

    _check_serves_one(Option.TEMPLATE, [other for other in sharing if has_same_url(other)])
    return url


def _service_urls(namespace: str) -> Iterator[str]:
    for name, port in _SERVICES:
        for place in dict.fromkeys((namespace, "opencost")):
            yield f"http://{name}.{place}.svc.cluster.local:{port}"


def _check_serves_one(option: Option, accounts: Sequence[AnyAccount]) -> None:
    """Raises RequestError, if several accounts would get the costs of one URL."""
    if len(accounts) > 1:
        names = ", ".join(account.name for account in accounts)
        raise RequestError(
            f"{option} is one source and serves exactly one account, but {names} have no URL of their own and would "
            "each get the same costs: give each its own with `kubetally accounts update NAME --url URL`",
            code="default_serves_one",
        )


async def _is_known(access: Access, *, resolve: Resolve, seconds: float) -> bool:
    url = access.url.parts
    try:
        async with asyncio.timeout(seconds):
            return bool(await resolve(url.hostname or "", url.port or 80))
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return False

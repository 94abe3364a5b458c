"""Sources of clusters, and how they are reached: with the credentials of an account or of the settings."""

from dataclasses import replace

from kubetally import __version__
from kubetally.domain.account import Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings
from kubetally.sources.access import Access
from kubetally.sources.access_settings import parse_headers, read_token
from kubetally.sources.opener import SourceOpener, SourceOptions
from kubetally.sources.transport import Limits
from kubetally.tasks import Calculate, calculate_here


def source_opener(settings: Settings, calculate: Calculate = calculate_here) -> SourceOpener:
    """What opens sources with these settings."""
    options = SourceOptions(
        lambda url, own: access_of(url, settings, own),
        lambda url, own: prometheus_access_of(url, settings, own),
        limits_of(settings),
        settings.parallel_questions,
        template=settings.source_template,
        namespace=settings.source_namespace,
        default_url=settings.kubecost_api_url,
        cluster_id=settings.cluster_id,
        currency=settings.currency,
        profile=settings.savings_profile,
        prometheus_url=settings.prometheus_url,
        prometheus_resolution=settings.prometheus_resolution,
        tenant_label=settings.tenant_label,
        replica_labels=settings.replica_labels,
        cluster_label=settings.cluster_label,
        answers=settings.keep_answers,
        version=__version__,
    )
    return SourceOpener(options, calculate=calculate)


def limits_of(settings: Settings) -> Limits:
    """How long and how much a source may answer."""
    return Limits(
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        deadline_seconds=settings.deadline_seconds,
        max_bytes=settings.max_answer_mib * 1024 * 1024,
        attempts=settings.attempts,
        allow_link_local=settings.allow_link_local,
    )


def access_of(url: SourceUrl, settings: Settings, own: Credentials) -> Access:
    """The URL with the account's own credentials, else with those of the settings.

    An account with a token or user of its own never sends those of the settings; headers of both are sent.
    Raises: InvalidSourceUrl, InvalidCredential, RequestError.
    """
    headers = parse_headers("KUBETALLY_SOURCE_HEADERS", settings.source_headers) | own.headers
    if own.token or own.user or own.password:
        return _parse(url, settings, replace(own, headers=headers))
    token = read_token(settings.source_token_file) if settings.source_token_file else settings.source_token
    return _parse(url, settings, Credentials(token, settings.source_user, settings.source_password, headers))


def prometheus_access_of(url: SourceUrl, settings: Settings, own: Credentials | None) -> Access:
    """A Prometheus with the account's own credentials for it; None: that of the settings, with theirs.

    Raises: InvalidSourceUrl, InvalidCredential, RequestError.
    """
    if own is None:
        headers = parse_headers("KUBETALLY_PROMETHEUS_HEADERS", settings.prometheus_headers)
        own = Credentials(token=settings.prometheus_token, headers=headers)
    address = url.address.removesuffix("/api/v1").rstrip("/")  # many configurations end with it
    return _parse(replace(url, address=address), settings, own)


def _parse(url: SourceUrl, settings: Settings, credentials: Credentials) -> Access:
    return Access.parse(
        url,
        token=credentials.token,
        user=credentials.user,
        password=credentials.password,
        headers=credentials.headers,
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )

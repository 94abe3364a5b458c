"""Every setting, as an environment variable; docs/settings.md has the same table; a test compares them."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kubetally.domain.errors import RequestError, unusable_setting
from kubetally.domain.money import currency_code
from kubetally.domain.nearest import nearest
from kubetally.domain.source_url import InvalidSourceUrl, SourceUrl

PREFIX = "KUBETALLY_"
_SIMILAR = 0.5
_SERVICE_HOST = re.compile(r"(KUBETALLY(?:_[A-Z0-9_]+)?)_SERVICE_HOST")
_ENGINE = re.compile(r"duckdb|local\[(\*|[1-9]\d*)\]|spark://[^\s,/@:]+:\d{1,5}(,[^\s,/@:]+:\d{1,5})*")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]i?B)", re.IGNORECASE)


def size_in_bytes(text: str) -> int:
    """The bytes of a size such as `10GB` (10^9 each) or `512MiB`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    unit = match[2].upper()
    return int(float(match[1]) * (1024 if "I" in unit else 1000) ** ("KMGT".index(unit[0]) + 1))


def _invalid(name: str, expected: str) -> RequestError:
    return RequestError(f"{name} should be {expected}; correct or unset it", code="invalid_setting")


def _setting(
    default: Any, means: str, *, name: str | None = None, secret: bool = False, one_of: tuple[str, ...] = ()
) -> Any:
    return field(default=default, repr=not secret, metadata=_facts(means, name=name, one_of=one_of))


def _facts(
    means: str,
    *,
    name: str | None = None,
    one_of: tuple[str, ...] = (),
    is_url: bool = False,
    is_currency: bool = False,
    is_size: bool = False,
    is_engine: bool = False,
) -> dict[str, Any]:
    """is_url: of a source; its password is in no text of it. is_currency: a code of three letters. is_size: `10GB`.

    is_engine: `duckdb`, or a master of Spark.
    """
    return {
        "means": means,
        "name": name,
        "one_of": one_of,
        "is_url": is_url,
        "is_currency": is_currency,
        "is_size": is_size,
        "is_engine": is_engine,
    }


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read once by `wiring`; parts get the few values they need."""

    home: str = _setting("~/.kubetally", "Folder for all local state.")
    database_url: str | None = _setting(
        None,
        "Database for accounts and coverage: `sqlite:////folder/file.db` (an absolute path), "
        "`mariadb://user:password@host/database` or `postgresql://...`. "
        "If unset, the file `kubetally.db` in the home folder.",
        secret=True,
    )
    lake_url: str | None = _setting(
        None,
        "Lake of collected days: a folder, or `s3://bucket/path`, `gs://...`, `az://...` with the credentials in the "
        "cloud's usual environment variables. If unset, the folder `lake` in the home folder.",
        secret=True,
    )
    lake_options: str | None = _setting(
        None,
        "Options of the lake's object store as `name=value`, separated by line breaks or semicolons, such as "
        "`aws_endpoint_url=http://minio:9000; aws_allow_http=true`. docs/lake.md lists the names.",
        secret=True,
    )
    query_cache: str = field(
        default="10GB",
        metadata=_facts(
            "Maximum size of the folder `query-cache` in the home folder, where queries keep copies of files of a lake "
            "in an object store.",
            is_size=True,
        ),
    )
    query_memory: str = field(
        default="1GB",
        metadata=_facts(
            "Memory that DuckDB may use for queries, at least `100MB`; the process itself needs some 200 MB beside it, "
            "with answers of 100,000 rows 700 MB.",
            is_size=True,
        ),
    )
    query_spill: str | None = _setting(
        None,
        "Folder in which DuckDB keeps what does not fit into that memory while a query runs. If unset, the home "
        "folder.",
    )
    history_days: int = _setting(400, "Retention of replaced data for `--as-of`, in days.")
    collect_days: int = _setting(400, "Maximum number of past days to collect for a new account.")
    collect_at_once: int = _setting(16, "Maximum number of clusters collected at the same time.")
    collect_processes: int = _setting(2, "Maximum reader processes (capped at available cores); `1` disables them.")
    keep_answers: str | None = _setting(
        None,
        "Folder to store compressed source answers in, for `kubetally replay`. Off if unset. Kubetally deletes nothing "
        "from it.",
    )
    optscale_database_url: str | None = _setting(
        None,
        "OptScale's database, for `kubetally migrate optscale` without `--database-url`.",
        secret=True,
    )
    keys: str | None = _setting(
        None,
        "Keys that encrypt the credentials of accounts, newest first, separated by commas. If unset, the file `keys` "
        "in the home folder, created when first needed.",
        secret=True,
    )
    secret: str | None = _setting(
        None,
        "Secret that clients of the service send, at least 16 characters. If unset, the file `secret` in the home "
        "folder, created at the first start.",
        secret=True,
    )
    trusted_proxies: str | None = _setting(
        None,
        "Addresses or networks of trusted reverse proxies, separated by commas. The client address and `https` are "
        "read from their `X-Forwarded-For` and `X-Forwarded-Proto`.",
    )
    connections_per_address: int = _setting(
        128,
        "Maximum idle connections per client address; an IPv6 /64 network counts as one address. Trusted proxies are "
        "exempt.",
    )
    kubecost_api_url: SourceUrl | None = field(
        default=None,
        metadata=_facts(
            "URL of the source on a machine without accounts, or of the only account without a URL.",
            name="KUBECOST_API_URL",
            is_url=True,
        ),
    )
    prometheus_url: SourceUrl | None = field(
        default=None,
        metadata=_facts(
            "Prometheus, Thanos, Mimir or VictoriaMetrics URL for accounts that set none. If several accounts use it, "
            "each needs a tenant or a cluster id.",
            is_url=True,
        ),
    )
    prometheus_token: str | None = _setting(None, "Bearer token for that Prometheus.", secret=True)
    prometheus_headers: str | None = _setting(
        None, "Additional headers for that Prometheus, such as `X-Scope-OrgID: prod`.", secret=True
    )
    prometheus_resolution: str = _setting("5m", "Coarsest downsampling to accept from Thanos; `0s` for raw data only.")
    tenant_label: str = _setting("tenant_id", "Metric label with an account's tenant.")
    cluster_label: str = _setting("cluster_id", "Metric label with a cluster's id.")
    replica_labels: str = _setting(
        "prometheus,prometheus_replica,replica,receive_replica",
        "Metric labels that differ between the servers of an HA pair, separated by commas.",
    )
    source_template: str | None = _setting(
        None,
        "URL for accounts that set none, with the placeholders `{cluster}` (cluster id, else name), `{name}` and "
        "`{namespace}`.",
    )
    source_namespace: str = _setting(
        "kubecost",
        "Value of `{namespace}` in the template, and the namespace searched for Services when run in a pod, before "
        "`opencost`.",
    )
    currency: str | None = field(
        default=None,
        metadata=_facts(
            "Currency of sources that do not state one; if unset, that of the organization.", is_currency=True
        ),
    )
    cluster_id: str | None = _setting(None, "Cluster to read from a source that serves several.")
    savings_profile: str | None = _setting(
        None, "Kubecost savings profile (development, production, high-availability). If unset, the source's own."
    )
    source_token: str | None = _setting(None, "Bearer token for every source.", secret=True)
    source_token_file: str | None = _setting(None, "File with the bearer token, read at each start.")
    source_user: str | None = _setting(
        None, "User for basic authentication. A user and password in a URL take precedence."
    )
    source_password: str | None = _setting(None, "Password for basic authentication.", secret=True)
    source_headers: str | None = _setting(
        None, "Additional headers for every source, `Name: value`, separated by line breaks or semicolons.", secret=True
    )
    source_ca_file: str | None = _setting(None, "CA certificates (PEM) to verify sources with.")
    source_client_cert: str | None = _setting(None, "Client certificate (PEM) to present to sources.")
    source_client_key: str | None = _setting(None, "Key of the client certificate (PEM), if in a file of its own.")
    allow_link_local: bool = _setting(
        False, "Allow sources at link-local and cloud metadata addresses (169.254.0.0/16 and the like)."
    )
    connect_seconds: float = _setting(5.0, "Timeout for connecting to a source.")
    read_seconds: float = _setting(
        30.0,
        "Read timeout for Prometheus, API servers and requests for a source's version. Requests for costs may take "
        "until the deadline.",
    )
    deadline_seconds: float = _setting(
        120.0,
        "Deadline per cluster, retries included: for all answers to a command or request, for each collected day, and "
        "for all savings of a day.",
    )
    attempts: int = _setting(3, "Maximum attempts per request to a source; 1 disables retries.")
    max_answer_mib: int = _setting(512, "Maximum size of an uncompressed answer, in MiB.")
    parallel_questions: int = _setting(4, "Maximum concurrent cost requests per source.")
    engine: str = field(
        default="duckdb",
        metadata=_facts(
            "What runs queries of the native API, `costs --by` and `explain`: `duckdb` in the process; Spark on this "
            "machine, `local[N]` or `local[*]`; a Spark cluster, `spark://host:port` (of several masters "
            "`spark://one:port,two:port`). docs/service.md says more.",
            is_engine=True,
        ),
    )
    log_level: str | None = _setting(
        None,
        "Log level on standard error: debug, info, warning or error. If unset: error on a terminal; elsewhere info for "
        "`collect` and `backfill`, warning for other commands. If unset, failures that are part of a command's output "
        "are not logged.",
        one_of=("debug", "info", "warning", "error"),
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """From the environment; what is unset or empty has its default. Raises RequestError."""
        values: dict[str, Any] = {}
        for setting in fields(cls):
            name = variable(setting)
            text = environment.get(name, "").strip()
            if text:
                values[setting.name] = _parsed(name, text, setting)
        return cls(**values)

    @property
    def home_folder(self) -> Path:
        """`home`, as a path."""
        return Path(self.home).expanduser()


def variable(setting: Any) -> str:  # dataclasses.Field is generic in nothing useful
    """The environment variable of a field of Settings."""
    name: str | None = setting.metadata["name"]
    return name or PREFIX + str(setting.name).upper()


def unknown_variables(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str | None]]:
    """Variables with our prefix that are not settings, each with the most similar setting's, or None.

    Kubernetes sets `KUBETALLY_SERVICE_HOST`, `KUBETALLY_PORT_80_TCP` and the like in every pod beside a Service of that
    name; these are ignored.
    """
    settings = {variable(field_): None for field_ in fields(Settings)}
    services = [match[1] for name in environment if (match := _SERVICE_HOST.fullmatch(name))]
    of_services = tuple(f"{service}_{part}" for service in services for part in ("SERVICE_", "PORT"))
    words = {name.removeprefix(PREFIX): name for name in settings}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in settings and not name.startswith(of_services):
            similar = nearest(name.removeprefix(PREFIX), words, similarity=_SIMILAR, count=1)
            yield name, words[similar[0]] if similar else None


def _parsed(name: str, text: str, setting: Any) -> Any:
    """`text` as a URL, or as the type of the setting's default; text where that is None."""
    kind: type = type(setting.default)
    one_of: tuple[str, ...] = setting.metadata["one_of"]
    if setting.metadata["is_url"]:
        try:
            return SourceUrl.parse(text)
        except InvalidSourceUrl as error:
            raise unusable_setting(name, f"the URL {error.url!r} {error.why}") from error
    if setting.metadata["is_currency"]:
        try:
            return currency_code(text)
        except RequestError as error:
            raise unusable_setting(name, str(error)) from error
    if setting.metadata["is_size"] and not (_SIZE.fullmatch(text) and size_in_bytes(text)):
        raise _invalid(name, "a size such as 10GB or 512MiB")
    if setting.metadata["is_engine"] and not _ENGINE.fullmatch(text):
        raise _invalid(name, "duckdb, local[*], local[N] or spark://host:port")
    if one_of:
        if text.lower() not in one_of:
            raise _invalid(name, f"{', '.join(one_of[:-1])} or {one_of[-1]}")
        return text.lower()
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise _invalid(name, "true or false")
        return text.lower() in _TRUE
    if kind in {float, int}:
        return _number(name, text, kind)
    return text


def _number(name: str, text: str, kind: type) -> float:
    try:
        number: float = kind(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise _invalid(name, ("a number" if kind is float else "a whole number") + " above zero")
    return number

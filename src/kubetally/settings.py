"""Every setting, as an environment variable; docs/settings.md is this table in words, held to it by a test."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import nearest

PREFIX = "KUBETALLY_"
_SIMILAR = 0.5
_SERVICE_HOST = re.compile(r"(KUBETALLY(?:_[A-Z0-9_]+)?)_SERVICE_HOST")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


class InvalidSetting(RequestError):
    """An environment variable holds what it can't."""

    code = "invalid_setting"

    def __init__(self, name: str, expected: str) -> None:
        self.name = name
        super().__init__(f"{name} should be {expected}: correct or unset it")


def _setting(
    default: Any, means: str, *, name: str | None = None, secret: bool = False, one_of: tuple[str, ...] = ()
) -> Any:
    return field(default=default, repr=not secret, metadata={"means": means, "name": name, "one_of": one_of})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read once by `wiring`; parts get the few values they need."""

    home: str = _setting("~/.kubetally", "Folder that holds all local state.")
    database_url: str | None = _setting(
        None,
        "Database of accounts: `sqlite:////folder/file.db` (an absolute path), "
        "`mariadb://user:password@host/database` or `postgresql://...`; "
        "if unset the file `kubetally.db` in the home folder.",
        secret=True,
    )
    lake_url: str | None = _setting(
        None,
        "Where collected days are kept: a folder, or `s3://bucket/path`, `gs://...`, `az://...` with the credentials "
        "that the cloud's own tools read from the environment; if unset the folder `lake` in the home folder.",
        secret=True,
    )
    lake_options: str | None = _setting(
        None,
        "How that object store is reached, `name=value`, one a line or between semicolons, as "
        "`aws_endpoint_url=http://minio:9000; aws_allow_http=true`; docs/lake.md has the names.",
        secret=True,
    )
    history_days: int = _setting(
        400, "How many days what was replaced by a later collection can still be looked up, before it is cleared away."
    )
    collect_days: int = _setting(400, "How many days back a new account's source is asked for what it holds, at most.")
    collect_at_once: int = _setting(16, "Clusters that are collected at a time.")
    collect_processes: int = _setting(
        2,
        "Processes that read clusters where there is much to collect, as many as this program may use cores at most; "
        "`1` for none beside the one that writes.",
    )
    keep_answers: str | None = _setting(
        None,
        "Folder in which answers of sources are kept, compressed, with their questions, for `kubetally replay`; off if "
        "unset. Nothing is removed from it.",
    )
    optscale_database_url: str | None = _setting(
        None,
        "OptScale's own database, for `kubetally migrate optscale` without `--database-url`.",
        secret=True,
    )
    keys: str | None = _setting(
        None,
        "Keys that encrypt the credentials of accounts, newest first, with commas between; if unset the file `keys` "
        "in the home folder, made when it is first needed.",
        secret=True,
    )
    secret: str | None = _setting(
        None,
        "Secret that callers of the service send, at least 16 characters; if unset the file `secret` in the home "
        "folder, made at the first start.",
        secret=True,
    )
    trusted_proxies: str | None = _setting(
        None,
        "Addresses or networks, with commas between, of the reverse proxies before the service: the client's address "
        "and `https` are taken from their `X-Forwarded-For` and `X-Forwarded-Proto`.",
    )
    connections_per_address: int = _setting(
        128,
        "Connections without a request under way that one client address may hold open at the service; a network of 64 "
        "bits of IPv6 counts as one. Trusted proxies have no such limit.",
    )
    kubecost_api_url: str | None = _setting(
        None,
        "URL of the one source of a machine without accounts, or of the one account that states none.",
        name="KUBECOST_API_URL",
        secret=True,  # it may hold a password
    )
    prometheus_url: str | None = _setting(
        None,
        "URL of the Prometheus, Thanos, Mimir or VictoriaMetrics of accounts that state none; of several accounts each "
        "needs a tenant or a cluster id then.",
        secret=True,
    )
    prometheus_token: str | None = _setting(None, "Bearer token for that server.", secret=True)
    prometheus_headers: str | None = _setting(
        None, "Further headers for that server, such as `X-Scope-OrgID: prod`.", secret=True
    )
    prometheus_resolution: str = _setting(
        "5m", "Coarsest downsampled data that a Thanos may answer with; `0s` for raw data only."
    )
    tenant_label: str = _setting("tenant_id", "Label of metrics that holds an account's tenant.")
    cluster_label: str = _setting("cluster_id", "Label of metrics that holds a cluster's id.")
    replica_labels: str = _setting(
        "prometheus,prometheus_replica,replica,receive_replica",
        "Labels of metrics that tell the servers of an HA pair apart, with commas between.",
    )
    source_template: str | None = _setting(
        None,
        "URL of an account that states none, with `{cluster}` (its cluster id, else its name), `{name}` and "
        "`{namespace}` in it.",
    )
    source_namespace: str = _setting(
        "kubecost", "What `{namespace}` of the template stands for; in a pod, where Services are looked for."
    )
    currency: str | None = _setting(None, "Currency of the sources, where they do not state one; USD is assumed.")
    cluster_id: str | None = _setting(None, "Cluster to read from a source that answers for several.")
    savings_profile: str | None = _setting(
        None, "Kubecost savings profile (development, production, high-availability); the source's own if unset."
    )
    source_token: str | None = _setting(None, "Bearer token sent to every source.", secret=True)
    source_token_file: str | None = _setting(None, "File that holds the bearer token, read at each start.")
    source_user: str | None = _setting(None, "User of basic authentication; user:password in a URL comes first.")
    source_password: str | None = _setting(None, "Password of basic authentication.", secret=True)
    source_headers: str | None = _setting(
        None, "Further headers for every source, `Name: value`, one a line or between semicolons.", secret=True
    )
    source_ca_file: str | None = _setting(None, "CA certificates (PEM) that sources are verified against.")
    source_client_cert: str | None = _setting(None, "Client certificate (PEM) shown to sources.")
    source_client_key: str | None = _setting(None, "Its key (PEM), where it is in a file of its own.")
    allow_link_local: bool = _setting(
        False, "Whether a source may be at a link-local or cloud metadata address (169.254.0.0/16 and the like)."
    )
    connect_seconds: float = _setting(5.0, "Longest wait for a connection to a source.")
    read_seconds: float = _setting(
        30.0,
        "Longest silence of a Prometheus, of an API server, and of a source that is asked about itself. Costs of a day "
        "may take until the deadline.",
    )
    deadline_seconds: float = _setting(
        120.0,
        "Longest wait for one cluster, retries included: for all answers of a command or a request, for each day that "
        "is collected, and for all savings of a day.",
    )
    attempts: int = _setting(3, "Tries of one question to a source, where a retry can help; 1 for none.")
    max_answer_mib: int = _setting(512, "Largest answer of a source, in MiB, unpacked.")
    parallel_questions: int = _setting(4, "Questions for costs asked of one source at a time.")
    log_level: str | None = _setting(
        None,
        "Logs on standard error: debug, info, warning or error; if unset warning, on a terminal error; of `collect` "
        "and `backfill` info elsewhere than on a terminal. If unset, a command logs no failure that its answer tells.",
        one_of=("debug", "info", "warning", "error"),
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """From the environment; what is unset or empty has its default. Raises InvalidSetting."""
        values: dict[str, Any] = {}
        for one in fields(cls):
            name = variable(one)
            text = environment.get(name, "").strip()
            if text:
                values[one.name] = _parsed(name, text, type(one.default), one.metadata["one_of"])
        return cls(**values)

    @property
    def home_folder(self) -> Path:
        """`home`, as a path."""
        return Path(self.home).expanduser()


def variable(one: Any) -> str:  # dataclasses.Field is generic in nothing useful
    """The environment variable of a field of Settings."""
    name: str | None = one.metadata["name"]
    return name or PREFIX + str(one.name).upper()


def unknown_variables(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str | None]]:
    """Variables that begin as ours and are no setting, each with the nearest setting's, or None.

    Kubernetes sets `KUBETALLY_SERVICE_HOST`, `KUBETALLY_PORT_80_TCP` and the like in every pod beside a Service of that
    name: these are left out.
    """
    settings = {variable(field_): None for field_ in fields(Settings)}
    services = [match[1] for name in environment if (match := _SERVICE_HOST.fullmatch(name))]
    of_services = tuple(f"{service}_{part}" for service in services for part in ("SERVICE_", "PORT"))
    words = {name.removeprefix(PREFIX): name for name in settings}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in settings and not name.startswith(of_services):
            found = nearest(name.removeprefix(PREFIX), words, similarity=_SIMILAR, count=1)
            yield name, words[found[0]] if found else None


def _parsed(name: str, text: str, kind: type, one_of: tuple[str, ...]) -> Any:
    """`text` as what the setting is; its default tells, and one that is unset is text."""
    if one_of:
        if text.lower() not in one_of:
            raise InvalidSetting(name, f"{', '.join(one_of[:-1])} or {one_of[-1]}")
        return text.lower()
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise InvalidSetting(name, "true or false")
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
        raise InvalidSetting(name, ("a number" if kind is float else "a whole number") + " above zero")
    return number

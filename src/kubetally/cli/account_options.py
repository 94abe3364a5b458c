"""What options say about an account that is added or changed."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.options import AccountCurrency
from kubetally.domain.errors import RequestError

if TYPE_CHECKING:
    from kubetally.ledger.accounts.draft import AccountDraft

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="URL of its OpenCost or Kubecost; user:password@ is kept encrypted."),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Instead of a URL: a kubeconfig context, or in-cluster, through which the source is found.",
    ),
]
PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus-url", metavar="URL", help="URL of its Prometheus or Thanos.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Its tenant label in that Prometheus.")]
ClusterId = Annotated[
    str | None, typer.Option("--cluster-id", metavar="ID", help="Which cluster of the source, if it has several.")
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", metavar="FILE", help="File with a bearer token for the URL; - is standard input."),
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="'NAME: VALUE'", help="A header for the URL; repeat for several."),
]
PrometheusTokenFile = Annotated[
    str | None,
    typer.Option("--prometheus-token-file", metavar="FILE", help="File with a bearer token for that Prometheus."),
]
PrometheusHeaders = Annotated[
    list[str] | None,
    typer.Option(
        "--prometheus-header", metavar="'NAME: VALUE'", help="A header for that Prometheus; repeat for several."
    ),
]


@dataclass(frozen=True)
class AccountOptions:
    """The options about an account."""

    url: Url = field(default=None, repr=False)  # it may hold a password, and headers a token
    context: Context = None
    cluster_id: ClusterId = None
    currency: AccountCurrency = None
    token_file: TokenFile = None
    header: Headers = field(default=None, repr=False)
    prometheus_url: PrometheusUrl = field(default=None, repr=False)
    prometheus_token_file: PrometheusTokenFile = None
    prometheus_header: PrometheusHeaders = field(default=None, repr=False)
    tenant: Tenant = None

    def draft(self, name: str | None, *, account_id: str | None = None) -> "AccountDraft":
        """A draft of what they say, with the tokens in their files. Raises RequestError, InvalidSourceUrl."""
        from kubetally.ledger.accounts.draft import AccountDraft

        return AccountDraft(
            name=name,
            id=account_id,
            url=self.url,
            prometheus_url=self.prometheus_url,
            cluster_id=self.cluster_id,
            currency=self.currency,
            tenant=self.tenant,
            context=self.context,
            token=_read_token(self.token_file),
            headers=_read_headers(self.header),
            prometheus_token=_read_token(self.prometheus_token_file),
            prometheus_headers=_read_headers(self.prometheus_header),
        )


def _read_token(file: str | None) -> str | None:
    """The token in a file; an empty name clears it. Raises RequestError."""
    if not file:
        return file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).expanduser().read_text("utf-8")
    except OSError as error:
        raise _unreadable_token(file, error.strerror or "unreadable") from error
    except UnicodeDecodeError:
        raise _unreadable_token(file, "it is not text") from None
    if not text.strip():
        raise _unreadable_token(file, "it is empty")
    return text


def _unreadable_token(file: str, why: str) -> RequestError:
    return RequestError(f"the token file {file!r} can't be read: {why}", code="unreadable_token_file")


def _read_headers(texts: list[str] | None) -> dict[str, str] | None:
    """Headers by name; a single empty one clears them. Raises RequestError."""
    if not texts:
        return None
    pairs = [text.partition(":") for text in texts if text]
    if not all(name.strip() and colon for name, colon, _ in pairs):
        raise RequestError("write a header as 'Name: value'", code="not_a_header")
    return {name.strip(): value.strip() for name, _, value in pairs}

"""Shapes of the answers of the Prometheus HTTP API, as they come.

A sample's value is text, because JSON has no NaN and no infinity. Native histograms and unknown keys are left out.
Source: Prometheus docs, "HTTP API"; Thanos and Mimir answer alike, VictoriaMetrics adds `isPartial`.
"""

import re
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from kubetally.domain.errors import SourceError
from kubetally.masking import Mask
from kubetally.sources.faults import NO_MASK, Answer, AnswerNotUnderstood, SourceRefused, printable

D = TypeVar("D", bound="Envelope")
_SAID_CHARACTERS = 300
_NOT_ALLOWED = frozenset({401, 403})
_WANTS_SIGNATURE = re.compile(
    rb"missing authentication token|sigv4|incomplete ?signature|request signature we calculated|requires 'credential'",
    re.IGNORECASE,
)


class Sampled(Struct, gc=False):
    """One series: labels, and a time in Unix seconds with a value for each sample."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class Result(Struct, rename="camel", gc=False):
    """`vector` has one value a series, `matrix` has several."""

    result_type: str = ""
    result: list[Sampled] | None = None


class Envelope(Struct, rename="camel", gc=False):
    """What every answer stands in; a failure has `error` in place of data."""

    status: str = ""
    error_type: str | None = None
    error: str | None = None
    warnings: list[str] | None = None
    infos: list[str] | None = None
    is_partial: bool = field(default=False)


class QueryAnswer(Envelope, rename="camel", gc=False):
    """Of /query and /query_range."""

    data: Result | None = None


class QueryRefused(SourceError):
    """The server understood the request and did not answer the query.

    error_type: the server's word for it: bad_data (it can't read the query), execution (a limit, or series that do not
                fit), timeout, canceled, internal.
    """

    code = "query_refused"

    def __init__(self, url: str, status: int, error_type: str | None, said: str | None, mask: Mask = NO_MASK) -> None:
        """`mask`: takes our credentials out of the server's words."""
        self.url, self.status, self.error_type = url, status, error_type
        self.said = printable(mask.beginning(said or ""), _SAID_CHARACTERS)
        kind = printable(mask.beginning(error_type or ""), _SAID_CHARACTERS) or "error"
        words = f" ({self.said!r})" if self.said else ""
        super().__init__(f"{url} refused a query with {status} {kind}{words}; {_TODO.get(kind, _TODO['internal'])}")


_TODO = {
    "bad_data": "it must be Prometheus 2.26 or newer, Thanos, Mimir or VictoriaMetrics, and the window within "
    "its limit for one query",
    "execution": "ask for a shorter window, or raise its limits of samples and length of a query",
    "timeout": "ask for a shorter window, or raise its query timeout",
    "internal": "check its log",
}

_NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_QUERY = msgspec.json.Decoder(QueryAnswer)


def decode_query(answer: Answer, result_type: str) -> QueryAnswer:
    """The typed answer of a query.

    Raises: AnswerNotUnderstood (not JSON, cut off, another shape or result), QueryRefused (an error inside a 200).
    """
    try:
        decoded = _QUERY.decode(answer.body)
    except _NOT_DECODED as error:
        raise AnswerNotUnderstood.of(answer, "did not answer as a Prometheus does") from error
    if decoded.status == "error":
        raise QueryRefused(answer.url, answer.status, decoded.error_type, decoded.error, answer.mask)
    if decoded.status != "success" or decoded.data is None or decoded.data.result_type != result_type:
        raise AnswerNotUnderstood.of(answer, f"answered with JSON that is not a {result_type} of a Prometheus")
    decoded.warnings = [answer.mask.beginning(text) for text in decoded.warnings or ()]
    decoded.infos = [answer.mask.beginning(text) for text in decoded.infos or ()]
    return decoded


def refused(error: SourceRefused) -> SourceError:
    """What a refusal is in the words of the Prometheus API; itself, where its body is none of that API."""
    try:
        said = _ENVELOPE.decode(error.body)
    except _NOT_DECODED:
        said = Envelope()
    words = printable((error.mask.beginning(said.error) if said.error else error.said) or "", _SAID_CHARACTERS)
    answered = f"{error.url} answered {error.status}" + (f" ({words!r})" if words else "")
    if error.status in _NOT_ALLOWED and _WANTS_SIGNATURE.search(error.body):
        return SourceError(
            f"{answered}; Amazon's managed Prometheus needs requests signed with SigV4, which Kubetally does not do: "
            "give the address of a signing proxy (such as aws-sigv4-proxy) as --prometheus-url",
            code="signature_needed",
        )
    if error.status in _NOT_ALLOWED:
        return SourceError(
            f"{answered}; give the account --prometheus-token-file, user:password@ in --prometheus-url or "
            "--prometheus-header 'X-Scope-OrgID: TENANT'; for the Prometheus of KUBETALLY_PROMETHEUS_URL set "
            "KUBETALLY_PROMETHEUS_TOKEN or KUBETALLY_PROMETHEUS_HEADERS",
            code="metrics_not_allowed",
        )
    if said.status != "error" or not said.error_type:
        return error
    return QueryRefused(error.url, error.status, said.error_type, said.error, error.mask)

"""Shapes of the answers of the Prometheus HTTP API.

A sample's value is text, because JSON has no NaN and no infinity. Native histograms and unknown keys are ignored.
Source: Prometheus docs, "HTTP API"; Thanos and Mimir answer the same, VictoriaMetrics adds `isPartial`.
"""

import re
from typing import TypeVar

import msgspec
from msgspec import Struct

from kubetally.domain.errors import SourceError
from kubetally.masking import Mask
from kubetally.sources.faults import NO_MASK, Answer, AnswerNotUnderstood, SourceRefused, printable

D = TypeVar("D", bound="Envelope")
_MAX_QUOTED = 300
_NOT_ALLOWED = frozenset({401, 403})
_WANTS_SIGNATURE = re.compile(
    rb"missing authentication token|sigv4|incomplete ?signature|request signature we calculated|requires 'credential'",
    re.IGNORECASE,
)


class Sampled(Struct, gc=False):
    """One series: labels, and for each sample its Unix seconds and value."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class Result(Struct, rename="camel", gc=False):
    """`vector` has one value a series, `matrix` has several."""

    result_type: str = ""
    result: list[Sampled] | None = None


class Envelope(Struct, rename="camel", gc=False):
    """The envelope of every answer; a failure has `error` in place of data."""

    status: str = ""
    error_type: str | None = None
    error: str | None = None
    warnings: list[str] | None = None
    infos: list[str] | None = None
    is_partial: bool = False


class QueryAnswer(Envelope, rename="camel", gc=False):
    """The answer of /query and /query_range."""

    data: Result | None = None


class QueryRefused(SourceError):
    """The server understood the request and refused the query.

    error_type: bad_data (it can't read the query), execution (a limit, or series that do not match), timeout, canceled
                or internal.
    """

    code = "query_refused"

    def __init__(
        self, url: str, status: int, *, error_type: str | None, said: str | None, mask: Mask = NO_MASK
    ) -> None:
        """`said`: the server's message. `mask`: removes our credentials from it."""
        self.url, self.status, self.error_type = url, status, error_type
        self.said = printable(mask.beginning(said or ""), _MAX_QUOTED)
        kind = printable(mask.beginning(error_type or ""), _MAX_QUOTED) or "error"
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

    Raises: AnswerNotUnderstood (not JSON, cut off, another shape or result), QueryRefused (an error with status 200).
    """
    try:
        decoded = _QUERY.decode(answer.body)
    except _NOT_DECODED as error:
        raise AnswerNotUnderstood.of(answer, "did not answer as a Prometheus does") from error
    if decoded.status == "error":
        raise QueryRefused(
            answer.url, answer.status, error_type=decoded.error_type, said=decoded.error, mask=answer.mask
        )
    if decoded.status != "success" or decoded.data is None or decoded.data.result_type != result_type:
        raise AnswerNotUnderstood.of(answer, f"answered with JSON that is not a {result_type} of a Prometheus")
    decoded.warnings = [answer.mask.beginning(text) for text in decoded.warnings or ()]
    decoded.infos = [answer.mask.beginning(text) for text in decoded.infos or ()]
    return decoded


def refused(error: SourceRefused) -> SourceError:
    """The error that the body of a refusal states by the Prometheus API; the refusal itself, if it states none."""
    try:
        answer = _ENVELOPE.decode(error.body)
    except _NOT_DECODED:
        answer = Envelope()
    words = printable((error.mask.beginning(answer.error) if answer.error else error.said) or "", _MAX_QUOTED)
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
    if answer.status != "error" or not answer.error_type:
        return error
    return QueryRefused(error.url, error.status, error_type=answer.error_type, said=answer.error, mask=error.mask)

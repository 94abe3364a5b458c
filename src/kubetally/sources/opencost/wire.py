"""Shapes of the answers of OpenCost and Kubecost.

Every figure may be null (the source's NaN or infinity) or absent (an older version); unknown keys are ignored. Costs
are in the currency of the source, before adjustment; averages are in cores and bytes.
Source: OpenCost core/pkg/opencost/allocation_json.go and asset_json.go; docs of the Kubecost allocation and asset APIs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from kubetally.sources.faults import (
    SAID_CHARACTERS,
    Answer,
    AnswerNotUnderstood,
    SourceFailed,
    SourceRefused,
    own_words,
    printable,
)

Figure = float | None
ABSENT = -0.0
"""A figure without its key: 0 in sums; `is ABSENT` distinguishes it from a 0 in the answer."""
A = TypeVar("A", bound="Envelope")
D = TypeVar("D")


class Span(Struct, gc=False):
    """A window as RFC3339 texts; null or the text `null` if open."""

    start: str | None = None
    end: str | None = None


class Properties(Struct, rename="camel", gc=False):
    """The properties of a row; a merged row has only those that all members share."""

    cluster: str | None = None
    node: str | None = None
    container: str | None = None
    controller: str | None = None
    controller_kind: str | None = None
    namespace: str | None = None
    pod: str | None = None
    provider_id: str | None = field(default=None, name="providerID")
    services: list[str] | None = None
    labels: dict[str, str] | None = None
    namespace_labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    namespace_annotations: dict[str, str] | None = None


class Volume(Struct, rename="camel", gc=False):
    """The cost of one volume in a row, in raw floats."""

    byte_hours: Figure = None
    cost: Figure = 0.0
    provider_id: str | None = field(default=None, name="providerID")
    adjustment: Figure = 0.0


class Balancer(Struct, gc=False):
    """The cost of one load balancer in a row, or a running total if there are several."""

    service: str | None = None
    cost: Figure = 0.0
    private: bool | None = None
    ip: str | None = None
    hours: Figure = None
    adjustment: Figure = 0.0


class RawOnly(Struct, rename="camel", gc=False):
    """What the source drops when it merges rows: only unmerged rows have it."""

    cpu_core_usage_max: Figure = None
    ram_byte_usage_max: Figure = None


class BookedRow(Struct, rename="camel", gc=False):
    """One row of an allocation answer with the fields of a booking; the others take a seventh of the decoding.

    A figure that must not count as 0 without its key is `ABSENT`.
    """

    name: str = ""
    properties: Properties | None = None
    window: Span | None = None
    start: str | None = None
    end: str | None = None
    minutes: Figure = None
    cpu_core_request_average: Figure = ABSENT
    cpu_core_usage_average: Figure = ABSENT
    cpu_core_hours: Figure = 0.0
    cpu_cost: Figure = ABSENT
    cpu_cost_adjustment: Figure = 0.0
    gpu_hours: Figure = 0.0
    gpu_request_average: Figure = ABSENT
    gpu_usage_average: Figure = ABSENT
    gpu_cost: Figure = ABSENT
    gpu_cost_adjustment: Figure = 0.0
    network_transfer_bytes: Figure = 0.0
    network_receive_bytes: Figure = 0.0
    network_cost: Figure = ABSENT
    network_cross_zone_cost: Figure = 0.0
    network_cross_region_cost: Figure = 0.0
    network_internet_cost: Figure = 0.0
    network_cost_adjustment: Figure = 0.0
    load_balancer_cost: Figure = ABSENT
    load_balancer_cost_adjustment: Figure = 0.0
    pv_byte_hours: Figure = 0.0
    pv_cost: Figure = ABSENT
    pv_cost_adjustment: Figure = 0.0
    pvs: dict[str, Volume] | None = None
    ram_byte_request_average: Figure = ABSENT
    ram_byte_usage_average: Figure = ABSENT
    ram_byte_hours: Figure = 0.0
    ram_cost: Figure = ABSENT
    ram_cost_adjustment: Figure = 0.0
    shared_cost: Figure = ABSENT
    external_cost: Figure = ABSENT
    total_cost: Figure = None
    raw_allocation_only: RawOnly | None = None
    lb_allocations: dict[str, Balancer] | None = None


class AllocationRow(BookedRow, rename="camel", gc=False):
    """One row of an allocation answer with all fields."""

    cpu_cores: Figure = 0.0
    cpu_cost_idle: Figure = 0.0
    cpu_efficiency: Figure = 0.0
    gpu_count: Figure = 0.0
    gpu_cost_idle: Figure = 0.0
    gpu_efficiency: Figure = 0.0
    pv_bytes: Figure = 0.0
    ram_bytes: Figure = 0.0
    ram_cost_idle: Figure = 0.0
    ram_efficiency: Figure = 0.0
    total_efficiency: Figure = 0.0


BookedSet = dict[str, BookedRow | None] | None
AllocationSet = dict[str, AllocationRow | None] | None


class AssetProperties(Struct, rename="camel", gc=False):
    """The cluster and name of an asset."""

    cluster: str | None = None
    name: str | None = None
    provider_id: str | None = field(default=None, name="providerID")


class Fractions(Struct, gc=False):
    """Fractions of a capacity by use."""

    idle: Figure = None
    other: Figure = None
    system: Figure = None
    user: Figure = None


class AssetRow(Struct, rename="camel", gc=False):
    """One asset of any type; costs of a node are list costs, before its discount."""

    type: str = ""
    properties: AssetProperties | None = None
    labels: dict[str, str] | None = None
    window: Span | None = None
    start: str | None = None
    end: str | None = None
    minutes: Figure = 0.0
    total_cost: Figure = None
    adjustment: Figure = 0.0
    node_type: str | None = None
    cpu_cores: Figure = None
    cpu_core_hours: Figure = None
    ram_byte_hours: Figure = None
    gpu_hours: Figure = field(default=None, name="GPUHours")
    cpu_breakdown: Fractions | None = None
    ram_breakdown: Fractions | None = None
    pool: str | None = None
    preemptible: Figure = None
    discount: Figure = 0.0
    cpu_cost: Figure = 0.0
    ram_cost: Figure = 0.0
    gpu_cost: Figure = 0.0
    byte_hours: Figure = None
    byte_hours_used: Figure = None
    byte_usage_max: Figure = None
    breakdown: Fractions | None = None
    storage_class: str | None = None
    volume_name: str | None = None
    claim_name: str | None = None
    claim_namespace: str | None = None
    private: bool | None = None
    ip: str | None = None


AssetSet = dict[str, AssetRow | None] | None


class Envelope(Struct, gc=False):
    """The envelope of every answer; `status` is often absent. The last four are those of gateways and proxies.

    data: of any shape here; UNSET without its key, which is a failure.
    """

    code: int = 200
    data: Any = UNSET
    status: Any = None
    message: Any = None
    warning: Any = None
    success: Any = None
    ok: Any = None
    error: Any = None
    errors: Any = None

    def says_it_failed(self) -> bool:
        """Whether it states a failure, whatever data it has."""
        has_failed = isinstance(self.status, str) and self.status.casefold() in _FAILED
        return has_failed or self.success is False or self.ok is False or bool(self.error) or bool(self.errors)

    def warnings(self) -> str | None:
        """Its message besides the data; None if empty, or a mere success."""
        texts = [printable(text, SAID_CHARACTERS) for text in (self.warning, self.message) if isinstance(text, str)]
        return "; ".join(text for text in texts if text and text.casefold() not in _WELL) or None


class BookedAnswer(Envelope, gc=False):
    """As `AllocationAnswer`, with the fields of a booking."""

    data: list[BookedSet] | BookedSet | UnsetType = UNSET


class AllocationAnswer(Envelope, gc=False):
    """A list of sets, one per step, oldest first; some versions answer a single set as an object."""

    data: list[AllocationSet] | AllocationSet | UnsetType = UNSET


class AssetAnswer(Envelope, gc=False):
    """One object of assets (OpenCost), or a list of them, one per day (Kubecost)."""

    data: list[AssetSet] | AssetSet | UnsetType = UNSET


R = TypeVar("R")


def sets_of(data: Sequence[Mapping[str, R] | None] | Mapping[str, R] | UnsetType | None) -> list[Mapping[str, R]]:
    if data is None or isinstance(data, UnsetType):
        return []
    return [step for step in ([data] if isinstance(data, Mapping) else data) if step]


_FAILED = frozenset({"error", "fail", "failed", "failure"})
_WELL = frozenset({"ok", "success", "succeeded"})
_ACCEPTED = 202  # the answer is computed later, at another address
_BOOKED = msgspec.json.Decoder(BookedAnswer)
_ALLOCATIONS = msgspec.json.Decoder(AllocationAnswer)
_ASSETS = msgspec.json.Decoder(AssetAnswer)
_ENVELOPE = msgspec.json.Decoder(Envelope)
# A string, or a number that JSON does not have; strings are matched to skip them.
_NOT_JSON_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN|[-+]?Infinity|[-+]?Inf\b')


def decode_allocations(answer: Answer) -> tuple[AllocationAnswer, bool]:
    """The typed answer, and whether it had NaN or infinity (read as null).

    Raises: AnswerNotUnderstood (not JSON, another shape, no `data`, or a stated failure), SourceFailed and
            SourceRefused (a `code` other than 200 in the body).
    """
    return _decode(answer, _ALLOCATIONS)


def decode_booked(answer: Answer) -> tuple[BookedAnswer, bool]:
    """As `decode_allocations`, with the fields of a booking."""
    return _decode(answer, _BOOKED)


def decode_assets(answer: Answer) -> tuple[AssetAnswer, bool]:
    """As `decode_allocations`, for assets."""
    return _decode(answer, _ASSETS)


def decode_object(answer: Answer) -> dict[str, Any] | None:
    """The object in an answer, with an envelope or without one as of /installInfo; None if the data is no object.

    Raises: as `decode_allocations`. Without `data`, an object that is empty or has a message is a failure.
    """
    decoded = _decode_with(answer, msgspec.json.decode)[0]
    if not isinstance(decoded, dict):
        return None
    envelope = _decode_with(answer, _ENVELOPE.decode)[0]
    if envelope.data is UNSET and decoded and not envelope.message and envelope.code == 200:
        if envelope.says_it_failed():
            raise AnswerNotUnderstood.failing(answer)
        return decoded
    _check(answer, envelope)
    return envelope.data if isinstance(envelope.data, dict) else None


def text_of(body: object, key: str) -> str | None:
    """The text at a key of an object; None if it is missing, empty or not text."""
    value = body.get(key) if isinstance(body, Mapping) else None
    return value if isinstance(value, str) and value else None


def unknown_cost_keys(answer: Answer, names: set[str]) -> set[str]:
    """Keys that end in `Cost` and that no known version sends, in the named rows of an allocation answer."""
    data = msgspec.json.decode(_NOT_JSON_NUMBER.sub(_as_null, answer.body))["data"]
    known = {key.encode_name for key in msgspec.structs.fields(AllocationRow)}
    rows = [row for step in (data if isinstance(data, list) else [data]) for row in (step or {}).items()]
    return {
        key for name, row in rows if name in names and row for key in row if key.endswith("Cost") and key not in known
    }


def _decode(answer: Answer, decoder: msgspec.json.Decoder[A]) -> tuple[A, bool]:
    decoded, repaired = _decode_with(answer, decoder.decode)
    _check(answer, decoded)
    for name in ("warning", "message"):  # the only texts of an envelope that are shown
        if isinstance(text := getattr(decoded, name), str):
            setattr(decoded, name, answer.mask.beginning(text))
    return decoded, repaired


def _check(answer: Answer, decoded: Envelope) -> None:
    """Raises if an object has another code, no data, or states a failure."""
    if decoded.code != 200:
        said = own_words(answer.body, answer.mask)
        if 400 <= decoded.code < 500:
            raise SourceRefused(answer.url, decoded.code, said, answer.body[:SAID_CHARACTERS], answer.mask)
        raise SourceFailed(answer.url, decoded.code, said)
    if answer.status == _ACCEPTED or decoded.says_it_failed() or decoded.data is UNSET:
        raise AnswerNotUnderstood.failing(answer)


def _decode_with(answer: Answer, decode: Callable[[bytes], D]) -> tuple[D, bool]:
    """The decoded body, and whether NaN and the like were replaced by null first."""
    try:
        return decode(answer.body), False
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        body = _NOT_JSON_NUMBER.sub(_as_null, answer.body)
        if body == answer.body:
            raise _not_decoded(answer, error) from error
        try:
            return decode(body), True
        except (msgspec.DecodeError, UnicodeDecodeError) as second:
            raise _not_decoded(answer, second) from second


def _not_decoded(answer: Answer, error: Exception) -> AnswerNotUnderstood:
    """The error for a body of another shape; an object without data states a failure."""
    try:
        is_failure = "data" not in msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        is_failure = False
    return AnswerNotUnderstood.failing(answer) if is_failure else AnswerNotUnderstood.of(answer, str(error))


def _as_null(match: re.Match[bytes]) -> bytes:
    return match[0] if match[0].startswith(b'"') else b"null"

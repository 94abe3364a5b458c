"""Bodies of errors and series, encoded from these types; `present.answer` has those of costs."""

from collections.abc import Mapping

from msgspec import Struct

from kubetally.present.bodies import Issue


class ErrorFacts(Struct, forbid_unknown_fields=True):
    """`reason` is the text of `error_code`, filled with `params`."""

    status_code: int
    error_code: str
    reason: str
    params: list[str]


class Error(Struct, forbid_unknown_fields=True):
    """The body of every error."""

    error: ErrorFacts


class Sample(Struct, forbid_unknown_fields=True):
    """A point of a series."""

    timestamp: int
    value: float
    labels: Mapping[str, str]


class NoPrometheus(Issue, kw_only=True):
    """The issue of an account without Prometheus. Its code comes before its message, as clients have it."""

    message: str  # declared again, so that it is the last key


class Metrics(Struct, forbid_unknown_fields=True):
    """Series by name."""

    cloud_account_id: str
    start_date: int
    end_date: int
    metrics: dict[str, list[Sample]]
    errors: list[Issue]


class Savings(Struct, forbid_unknown_fields=True):
    """Cores and bytes by which requests exceed usage: amounts of resources, not of money."""

    cloud_account_id: str
    start_date: int
    end_date: int
    cpu_savings: list[Sample]
    memory_savings: list[Sample]
    errors: list[Issue]

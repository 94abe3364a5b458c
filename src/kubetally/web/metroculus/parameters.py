"""Parameters and responses of the metroculus API in the OpenAPI document."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType

from kubetally.domain.metrics import INFRASTRUCTURE
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.series import MAX_NAMES, OFFERED
from kubetally.domain.window import LATEST_UNIX
from kubetally.web.metroculus import wire
from kubetally.web.metroculus.question import LARGEST, LEGACY_SUM

_MEANINGS: Final = {
    400: "A parameter is missing or invalid, or the answer would be too large.",
    401: "No secret was sent.",
    403: "The secret is wrong.",
    404: "No cluster has this id.",
    414: "The query is too long.",
    424: "The cluster's source could not be read.",
    429: "Too many wrong secrets came from this address.",
    500: "An unexpected error.",
    503: "The service can't answer now; a retry may help.",
}


def responses(body: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """The responses of an endpoint, by status."""
    errors = {
        status: ResponseSpec(wire.Error, generate_examples=False, description=text)
        for status, text in _MEANINGS.items()
    }
    return {200: ResponseSpec(body, generate_examples=False, description="The answer."), **errors}


def _parameter(name: str, description: str, *, required: bool = False, **schema: Any) -> Parameter:
    return Parameter(name=name, param_in="query", description=description, required=required, schema=Schema(**schema))


_DATES: Final = (
    _parameter("cloud_account_id", "Id of the account.", required=True, type=OpenAPIType.STRING),
    _parameter(
        "start_date",
        "First second, as Unix seconds; both dates or neither.",
        type=OpenAPIType.INTEGER,
        minimum=0,
        maximum=LATEST_UNIX,
    ),
    _parameter(
        "end_date",
        "End as Unix seconds, not before start_date. It is exclusive; an end on second :59 is inclusive.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=LATEST_UNIX,
    ),
)


@dataclass
class DatesOperation(Operation):
    """Parameters: account and dates."""

    def __post_init__(self) -> None:
        self.parameters = [*_DATES]


@dataclass
class MetricsOperation(Operation):
    """Parameters: account, dates and series."""

    def __post_init__(self) -> None:
        names = _parameter(
            "metrics",
            f"Names of series, separated by commas: at most {MAX_NAMES}, each beginning with {' or '.join(OFFERED)}. "
            f"Default: {', '.join(INFRASTRUCTURE.values())}.",
            type=OpenAPIType.STRING,
        )
        self.parameters = [*_DATES, names]


@dataclass
class CostsOperation(Operation):
    """Parameters: account, dates, level of detail and page."""

    def __post_init__(self) -> None:
        self.parameters = [
            *_DATES,
            _parameter(
                "detail_level",
                "Level of detail; summary by default.",
                type=OpenAPIType.STRING,
                enum=[level.value for level in DetailLevel],
            ),
            _parameter("limit", "Maximum rows of each list.", type=OpenAPIType.INTEGER, minimum=1, maximum=LARGEST),
            _parameter("offset", "Rows of each list to skip.", type=OpenAPIType.INTEGER, minimum=0, maximum=LARGEST),
            _parameter(
                "infrastructure",
                "measured by default; legacy_sum adds the block legacy with the old sums of metrics, for comparison.",
                type=OpenAPIType.STRING,
                enum=["measured", LEGACY_SUM],
            ),
        ]

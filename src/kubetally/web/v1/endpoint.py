"""What all endpoints of the native API have in common: what they read, how they answer, how they are documented."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from litestar import Request, get
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec import Parameter as DocumentedParameter
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.types import AnyCallable

from kubetally.domain.window import Clock
from kubetally.ledger.ports.organizations import Organizations
from kubetally.tasks import Calculate, calculate_on
from kubetally.web.v1.errors import PROBLEM_JSON, ProblemDetails
from kubetally.web.v1.etag import JSON
from kubetally.web.v1.pages import KeptAnswers, LedgerQueries, Pages, View
from kubetally.web.v1.query_string import Parameter, Parameters

AnyRequest = Request[Any, Any, Any]
_Question = TypeVar("_Question", bound=Hashable)
_Report = TypeVar("_Report")
_Row = TypeVar("_Row")
_THREADS: Final = 4
_MEANINGS: Final = {
    400: "A parameter is unknown or invalid; the problem names it.",
    401: "The secret or the token is missing, wrong, expired or revoked.",
    403: "The token does not allow this.",
    410: "The history of `as_of` has expired, or the answer of `cursor` is gone.",
    414: "The query is too long.",
    429: "Too many wrong secrets came from this address.",
    500: "An unexpected error.",
    503: "The service can't answer now; a retry may help.",
}


@dataclass(frozen=True, slots=True)
class NativeApi:
    """What endpoints answer with. version: of the program. kept: by all endpoints.

    calculate: runs what blocks, on threads of its own: long queries hold up no other API.
    """

    ledger: LedgerQueries
    organizations: Organizations
    clock: Clock
    version: str
    kept: KeptAnswers = field(default_factory=KeptAnswers)
    calculate: Calculate = field(default_factory=lambda: calculate_on(ThreadPoolExecutor(_THREADS, "query")))

    def pages(self, view: View[_Question, _Report, _Row]) -> Pages[_Question, _Report, _Row]:
        """Answers one kind of question page by page."""
        return Pages(view, self.kept, self.calculate, version=self.version)


def endpoint(
    path: str, parameters: Parameters, body: type, *, summary: str, description: str = ""
) -> Callable[[AnyCallable], HTTPRouteHandler]:
    """Makes a handler an endpoint that is documented with its parameters and the type of its body."""
    return get(
        path,
        summary=summary,
        description=description,
        operation_id=path.strip("/"),
        operation_class=_operation([*map(_document, parameters), _IF_NONE_MATCH]),
        responses={
            200: ResponseSpec(body, generate_examples=False, description="The answer, with its `ETag`."),
            304: ResponseSpec(None, description="The client has the answer already; see `If-None-Match`."),
            **_PROBLEMS,
        },
        media_type=JSON,
    )


def unkept_endpoint(path: str, body: type, *, summary: str) -> Callable[[AnyCallable], HTTPRouteHandler]:
    """As `endpoint`, for one without parameters whose answers no client keeps."""
    return get(
        path,
        summary=summary,
        operation_id=path.strip("/"),
        responses={
            200: ResponseSpec(body, generate_examples=False, description="The answer."),
            **_PROBLEMS,
        },
        media_type=JSON,
    )


def file_endpoint(
    path: str,
    parameters: Parameters,
    media_types: Sequence[str],
    *,
    summary: str,
    description: str,
    headers: Mapping[str, str],
) -> Callable[[AnyCallable], HTTPRouteHandler]:
    """As `endpoint`, for one that sends a file of one of these types. headers: of the file, with their meanings."""
    return get(
        path,
        summary=summary,
        description=description,
        operation_id=path.strip("/"),
        operation_class=_operation(list(map(_document, parameters)), media_types),
        responses=_PROBLEMS,
        response_description="The file.",
        response_headers=[
            ResponseHeader(name=name, value="", description=meaning, documentation_only=True)
            for name, meaning in headers.items()
        ],
    )


_PROBLEMS: Final = {
    status: ResponseSpec(ProblemDetails, generate_examples=False, description=meaning, media_type=PROBLEM_JSON)
    for status, meaning in _MEANINGS.items()
}


_IF_NONE_MATCH: Final = DocumentedParameter(
    name="If-None-Match",
    param_in="header",
    description="The `ETag` of an answer that the client has.",
    schema=Schema(type=OpenAPIType.STRING, pattern="^[ -~]*$"),
)


def _operation(documented: Sequence[DocumentedParameter], media_types: Sequence[str] = ()) -> type[Operation]:
    @dataclass
    class DocumentedOperation(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*documented]
            answer = (self.responses or {})["200"]
            if media_types and isinstance(answer, OpenAPIResponse):
                a_file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
                answer.content = dict.fromkeys(media_types, a_file)

    return DocumentedOperation


def _document(parameter: Parameter[Any]) -> DocumentedParameter:
    return DocumentedParameter(
        name=parameter.name, param_in="query", description=parameter.meaning, schema=Schema(**parameter.schema)
    )

"""Which face answers a path, and so in which format its errors are."""

from collections.abc import Callable
from typing import Final

from kubetally.web.metroculus import errors as metroculus
from kubetally.web.ops import errors as ops
from kubetally.web.page import errors as page
from kubetally.web.problems import Failure, Problem
from kubetally.web.unserved import UNSERVED
from kubetally.web.v1 import errors as v1

_FACES: Final[tuple[tuple[tuple[str, ...], Callable[[Failure], Problem]], ...]] = (
    (("/metroculus",), metroculus.problem_of),
    (ops.PATHS, ops.problem_of),
    (("/api",), v1.problem_of),
    *UNSERVED,
)


def problem_at(path: str, failure: Failure) -> Problem:
    """The response to a failure in the format of the face of `path`; an HTML page if no API has its prefix."""
    cleaned = "/" + path.lstrip("/")
    for prefixes, problem_of in _FACES:
        if any(cleaned == prefix or cleaned.startswith(f"{prefix}/") for prefix in prefixes):
            return problem_of(failure)
    return page.problem_of(failure)

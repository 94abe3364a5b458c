"""A question whose answer does not fit."""

from kubetally.domain.errors import RequestError


class QuestionTooLarge(RequestError):
    """An answer needs more memory than queries may use, or has more rows than are read at once."""

    code = "query_too_large"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: ask for fewer days, group by less, or filter")

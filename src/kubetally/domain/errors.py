"""Families of errors; concrete classes stand beside the code that raises them.

What is wrong with the data is not an error but an `Issue` beside the result (`domain.issues`).
"""

from typing import Any, ClassVar


class HubError(Exception):
    """What stops the work. Its message says what happened, where, and what to do."""

    code: ClassVar[str] = "hub_error"
    retryable: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """It is copied to another process with its facts: a class makes its message of them, not of its `args`."""
        return _copied, (type(self), self.args), self.__dict__


def _copied(kind: type[HubError], args: tuple[Any, ...]) -> HubError:
    return kind.__new__(kind, *args)


class RequestError(HubError):
    """The caller can mend it."""

    code = "bad_request"


class NotFound(HubError):
    """There is no such thing."""

    code = "not_found"


class SourceError(HubError):
    """A system we read from did not give a usable answer."""

    code = "source_error"


class StoreError(HubError):
    """A system we keep data in failed."""

    code = "store_error"


class BalanceError(HubError):
    """Our own sums do not hold: a defect of Kubetally, never of the data."""

    code = "balance_error"

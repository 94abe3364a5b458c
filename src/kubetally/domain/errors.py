"""Families of errors.

A class exists only if code catches it or reads its facts; it stands beside the code that raises it.
Other errors are a family with a code: `raise RequestError(message, code="no_cluster")`.

What is wrong with the data is not an error but an `Issue` beside the result (`domain.issues`).
"""

from typing import Any


class KubetallyError(Exception):
    """An error that stops the work. Its message says what happened, where, and what to do."""

    code: str = "error"
    retryable: bool = False

    def __init__(self, *args: object, code: str | None = None, retryable: bool | None = None) -> None:
        """code: stable, for programs. retryable: whether the same call may succeed later. Else those of the class."""
        super().__init__(*args)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        """It is copied to another process with its facts: a class makes its message of them, not of its `args`."""
        return _copied, (type(self), self.args), self.__dict__


def _copied(kind: type[KubetallyError], args: tuple[Any, ...]) -> KubetallyError:
    return kind.__new__(kind, *args)


class RequestError(KubetallyError):
    """The caller can fix it."""

    code = "bad_request"


def unusable_setting(name: str, why: str) -> RequestError:
    """A variable, or the option for it, has a value that can't be used; `why` shows no secret part of it."""
    return RequestError(f"{name} can't be used: {why}; correct or unset it", code="unusable_setting")


class NotFound(KubetallyError):
    """There is no such thing."""

    code = "not_found"


class Forbidden(KubetallyError):
    """Whoever asks may not have or do it."""

    code = "forbidden"


class Gone(KubetallyError):
    """What was asked for has expired."""

    code = "gone"


class SourceError(KubetallyError):
    """A system we read from did not give a usable answer."""

    code = "source_error"


class StoreError(KubetallyError):
    """A system we keep data in failed."""

    code = "store_error"


class BalanceError(KubetallyError):
    """Our own sums do not hold: a defect of Kubetally, never of the data."""

    code = "balance_error"

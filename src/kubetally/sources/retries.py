"""The one retry: after which failures a request is sent again."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

import stamina
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks
from stamina.typing import RetryDetails, RetryHook

from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.sources.faults import SourceFailed, SourceTimeout, Waiting

_TRIES_OF_FAILED = 2


class Tries:
    """The attempts of one request. started: how many; last: the error of the last one that ended."""

    def __init__(self) -> None:
        self.started = 0
        self.last: Exception | None = None

    def attempts(
        self, most: int, *, backoff_seconds: float, backoff_max_seconds: float
    ) -> AsyncIterator[stamina.Attempt]:
        """At most so many, with growing pauses between them."""
        return aiter(
            stamina.retry_context(
                on=self.should_retry,
                attempts=most,
                timeout=None,
                wait_initial=backoff_seconds,
                wait_max=backoff_max_seconds,
                wait_jitter=backoff_seconds,
            )
        )

    def should_retry(self, error: Exception) -> bool:
        """Whether the request may succeed if it is sent again."""
        if not isinstance(error, KubetallyError):
            return False
        self.last = error
        if isinstance(error, SourceTimeout) and error.waiting is Waiting.READ:
            return False  # it had all the time there is, and may still work on the first request
        # A request that breaks the source twice will break it again, and may cost it minutes each time.
        if not error.retryable or (isinstance(error, SourceFailed) and self.started >= _TRIES_OF_FAILED):
            return False
        _silence_hooks()
        return True


class _OnlyOthers:
    """A hook of stamina that is not called for our retries."""

    def __init__(self, hook: RetryHook) -> None:
        self._hook = hook

    def __call__(self, details: RetryDetails) -> AbstractContextManager[None] | None:
        return None if isinstance(details.caused_by, SourceError) else self._hook(details)


def _silence_hooks() -> None:
    """Call no hook of stamina for our retries: a failed request logs one line of its own.

    To be called at a retry, as stamina then loads the libraries that its hooks use.
    """
    # Hooks belong to the process, not to a retry: each stays in place for the retries of others.
    hooks = get_on_retry_hooks()
    if not all(isinstance(hook, _OnlyOthers) for hook in hooks):
        set_on_retry_hooks(hook if isinstance(hook, _OnlyOthers) else _OnlyOthers(hook) for hook in hooks)

"""The garbage collector pauses while rows are made, and never longer."""

import gc
from collections.abc import Iterator

import pytest

from kubetally.domain.garbage import no_garbage


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_collector_pauses_until_the_last_caller_leaves() -> None:
    first, second = no_garbage(), no_garbage()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with no_garbage():
        pass
    assert not gc.isenabled()


def test_collector_is_on_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), no_garbage():
        _ = 1 / 0
    assert gc.isenabled()

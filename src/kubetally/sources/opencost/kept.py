"""Answers kept as files, so that a later version can interpret them again. Credentials are in none of them.

A file is gzip: a line of JSON with the question and facts of the answers, then the bodies, one after the other.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import msgspec

from kubetally import logs
from kubetally.domain.errors import SourceError, StoreError
from kubetally.domain.window import InvalidWindow, Window
from kubetally.sources.faults import Answer
from kubetally.sources.opencost.interpret import SourceAnswers, SourceQuestion, stated_currency

SUFFIX = ".answers.gz"
_FORMAT, _LEVEL = 1, 1  # of gzip: a higher level takes several times as long and saves a tenth
_LONGEST_HEAD = 1 << 20  # bytes; a head has some hundred


class KeptFileDamaged(StoreError):
    """A file of kept answers can't be read."""

    code = "kept_file_damaged"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} can't be read: {why}; remove it, or restore it from a copy")


class NotAnswered(SourceError):
    """The error that a source answered with when its answers were kept."""

    code = "not_answered"

    def __init__(self, words: str) -> None:
        """words: the message of that error."""
        self.words = words
        super().__init__(f"when its answers were kept, the source failed: {words}")


class _KeptAnswer(msgspec.Struct):
    status: int
    content_type: str
    server_date: datetime | None
    received_at: Annotated[datetime, msgspec.Meta(tz=True)]
    duration_seconds: float
    url: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]


class _Head(msgspec.Struct):
    format: int
    version: str
    account: str | None
    url: str
    start: datetime
    end: datetime
    cluster_id: str | None
    currency: str | None
    default_currency: str
    default_is_stated: bool
    stated_currency: str | None
    configs_error: str | None
    clock_difference_seconds: float | None
    allocations: _KeptAnswer
    assets: _KeptAnswer | None
    assets_error: str | None


def keep(folder: Path, account: str | None, version: str, answers: SourceAnswers, question: SourceQuestion) -> None:
    """Write a file of answers into the folder, mode 0600. A failure, such as a full disk, is a warning in the log.

    account: its id, or what stands for it in logs. version: of this program.
    """
    name = f"{question.window.start:%Y-%m-%dT%H}_{answers.allocations.received_at:%Y%m%dT%H%M%S}_{uuid4().hex}{SUFFIX}"
    part = folder / f".{name}.part"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
            gzip.GzipFile("", "wb", _LEVEL, file) as packed,
        ):
            packed.write(msgspec.json.encode(_head(account, version, answers, question)) + b"\n")
            packed.write(answers.allocations.body)
            if isinstance(answers.assets, Answer):
                packed.write(answers.assets.body)
        part.rename(folder / name)
    except OSError as error:
        why = error.strerror or str(error)
        logs.warning("answers_not_kept", account=account, source=question.url, folder=str(folder), error=why)
        try:
            part.unlink(missing_ok=True)
        except OSError:
            return  # the folder itself can't be used, which is told


@dataclass(frozen=True, slots=True)
class Kept:
    """Answers of a source with their question."""

    answers: SourceAnswers
    question: SourceQuestion


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of kept answers, of which only the head was read. account: id of the account, or None."""

    path: Path
    account: str | None
    question: SourceQuestion
    received_at: datetime

    def read(self) -> Kept:
        """Raises KeptFileDamaged."""
        with _opened(self.path) as packed:
            head = _read_head(self.path, packed)
            allocations = _answer(head.allocations, packed.read(head.allocations.size_bytes))
            assets: Answer | SourceError = NotAnswered(head.assets_error or "")
            if head.assets is not None:
                assets = _answer(head.assets, packed.read(head.assets.size_bytes))
            pairs = [(head.allocations, allocations), (head.assets, assets)]
            lengths = [(kept.size_bytes, len(one.body)) for kept, one in pairs if kept and isinstance(one, Answer)]
            if packed.read(1) or any(length != read for length, read in lengths):
                raise KeptFileDamaged(self.path, "its answers have another length than it says")
            configs = {} if head.stated_currency is None else {"currencyCode": head.stated_currency}
            difference = head.clock_difference_seconds
            answers = SourceAnswers(
                allocations,
                assets,
                configs if head.configs_error is None else NotAnswered(head.configs_error),
                None if difference is None else timedelta(seconds=difference),
            )
        return Kept(answers, self.question)


def open_kept(path: Path) -> KeptFile:
    """A file of kept answers. Raises KeptFileDamaged, also where a newer version wrote it."""
    with _opened(path) as packed:
        head = _read_head(path, packed)
        question = SourceQuestion(
            head.url,
            Window(head.start, head.end),
            head.cluster_id,
            head.currency,
            head.default_currency,
            default_is_stated=head.default_is_stated,
        )
        return KeptFile(path, head.account, question, head.allocations.received_at)


@contextmanager
def _opened(path: Path) -> Iterator[gzip.GzipFile]:
    """The file, unpacked. What can't be read of it is KeptFileDamaged."""
    try:
        with gzip.open(path) as packed:
            yield packed
    except OSError as error:
        raise KeptFileDamaged(path, error.strerror or str(error)) from error
    except (EOFError, zlib.error, msgspec.DecodeError, OverflowError, ValueError, InvalidWindow) as error:
        raise KeptFileDamaged(path, str(error) or type(error).__name__) from error


def _read_head(path: Path, packed: gzip.GzipFile) -> _Head:
    head = msgspec.json.decode(packed.readline(_LONGEST_HEAD), type=_Head)
    if head.format != _FORMAT:
        raise KeptFileDamaged(path, f"a version of Kubetally wrote it that is newer ({head.version})")
    return head


def _head(account: str | None, version: str, answers: SourceAnswers, question: SourceQuestion) -> _Head:
    configs, difference = answers.configs, answers.clock_difference
    return _Head(
        format=_FORMAT,
        version=version,
        account=account,
        url=question.url,
        start=question.window.start,
        end=question.window.end,
        cluster_id=question.cluster_id,
        currency=question.currency,
        default_currency=question.default_currency,
        default_is_stated=question.default_is_stated,
        # Of a source's configuration nothing else: a Kubecost's has keys of clouds in it.
        stated_currency=None if configs is None or isinstance(configs, SourceError) else stated_currency(configs),
        configs_error=str(configs) if isinstance(configs, SourceError) else None,
        clock_difference_seconds=None if difference is None else difference.total_seconds(),
        allocations=_facts(answers.allocations),
        assets=_facts(answers.assets) if isinstance(answers.assets, Answer) else None,
        assets_error=None if isinstance(answers.assets, Answer) else str(answers.assets),
    )


def _facts(answer: Answer) -> _KeptAnswer:
    return _KeptAnswer(
        answer.status,
        answer.content_type,
        answer.server_date,
        answer.received_at,
        answer.duration_seconds,
        answer.url,
        len(answer.body),
    )


def _answer(facts: _KeptAnswer, body: bytes) -> Answer:
    return Answer(
        facts.status,
        body,
        facts.content_type,
        facts.server_date,
        facts.received_at,
        facts.duration_seconds,
        facts.url,
    )

"""Keeps answers of sources in files, so that a later version can interpret them again. They have no credentials.

A file is gzip: a line of JSON with the request and facts of the answers, then their bodies in a row.
"""

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import msgspec

from kubetally import logs
from kubetally.domain.errors import SourceError, StoreError
from kubetally.domain.window import InvalidWindow, Window
from kubetally.sources.faults import Answer

SUFFIX = ".answers.gz"
_FORMAT, _LEVEL = 1, 1  # of gzip: a higher level takes several times as long and saves a tenth
_MAX_HEAD_BYTES = 1 << 26  # a head has some hundred bytes; with queries of Prometheus some ten thousand
T = TypeVar("T")


class KeptKind(StrEnum):
    """The subject of the answers in a file."""

    COSTS = "costs"
    """Rows and assets of a window."""
    HOURS = "hours"
    """Rows of a day in steps of an hour."""
    METRICS = "metrics"
    """All queries of Prometheus about a window."""
    SAVINGS = "savings"
    """Recommendations as the source answered them."""


class KeptFileDamaged(StoreError):
    """A file of kept answers can't be read."""

    code = "kept_file_damaged"

    def __init__(self, path: Path, why: str, todo: str = "remove it, or restore it from a copy") -> None:
        self.path = path
        super().__init__(f"{path} can't be read: {why}; {todo}")


def not_answered(message: str) -> SourceError:
    """The error of a source whose answers were kept, read from the file. message: of that error."""
    return SourceError(f"when its answers were kept, the source failed: {message}", code="not_answered")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer and its HTTP request. params: names and values, not encoded."""

    answer: Answer
    path: str
    params: Sequence[tuple[str, str]] = ()


_noted: ContextVar[list[KeptAnswer] | None] = ContextVar("noted_answers", default=None)


@contextmanager
def noted_answers() -> Iterator[list[KeptAnswer]]:
    """The answers that clients note inside the block, and in tasks created there."""
    answers = list[KeptAnswer]()
    token = _noted.set(answers)
    try:
        yield answers
    finally:
        _noted.reset(token)


def note_answer(answer: Answer, path: str, params: Sequence[tuple[str, str]]) -> None:
    """Note an answer inside a block of `noted_answers`."""
    if (answers := _noted.get()) is not None:
        answers.append(KeptAnswer(answer, path, list(params)))


class _AnswerFacts(msgspec.Struct):
    path: str
    params: list[tuple[str, str]]
    status: int
    content_type: str
    server_date: datetime | None
    received_at: Annotated[datetime, msgspec.Meta(tz=True)]
    duration_seconds: float
    url: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]


_KEPT_FIELDS = ("status", "content_type", "server_date", "received_at", "duration_seconds", "url")


class _Head(msgspec.Struct):
    format: int
    version: str
    kind: KeptKind
    account: str | None
    url: str
    start: datetime
    end: datetime
    facts: dict[str, Any]
    answers: Annotated[list[_AnswerFacts], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class AnswerFolder:
    """The folder for answers about one account. account: its id, or its name in logs. version: of this program."""

    path: Path
    account: str | None
    version: str

    def keep(
        self, kind: KeptKind, url: str, window: Window, answers: Sequence[KeptAnswer], facts: Mapping[str, Any]
    ) -> None:
        """Write a file, mode 0600. A failure, such as a full disk, is logged as an error.

        url: of the source, masked. facts: what else the interpretation needs, fit for JSON.
        """
        received_at = answers[0].answer.received_at
        name = f"{window.start:%Y-%m-%dT%H}_{kind}_{received_at:%Y%m%dT%H%M%S}_{uuid4().hex}{SUFFIX}"
        part = self.path / f".{name}.part"
        described = [_describe(kept) for kept in answers]
        head = _Head(_FORMAT, self.version, kind, self.account, url, window.start, window.end, dict(facts), described)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (
                os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
                gzip.GzipFile("", "wb", _LEVEL, file) as packed,
            ):
                packed.write(msgspec.json.encode(head) + b"\n")
                for kept in answers:
                    packed.write(kept.answer.body)
            part.rename(self.path / name)
        except OSError as error:
            why = error.strerror or str(error)
            logs.error("answers_not_kept", account=self.account, source=url, folder=str(self.path), error=why)
            with suppress(OSError):  # the folder itself can't be used
                part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of kept answers, with its head. account: the id, if known."""

    path: Path
    kind: KeptKind
    account: str | None
    url: str
    window: Window
    received_at: datetime
    facts: Mapping[str, Any]

    def facts_as(self, kind: type[T]) -> T:
        """What else the interpretation of the answers needs. Raises KeptFileDamaged."""
        with _damage_named(self.path):
            return msgspec.convert(self.facts, kind)

    def read(self) -> list[KeptAnswer]:
        """The answers, at least one. Raises KeptFileDamaged."""
        with _unpacked(self.path) as packed:
            described = _read_head(self.path, packed).answers
            bodies = [packed.read(facts.size_bytes) for facts in described]
            if packed.read(1) or [len(body) for body in bodies] != [facts.size_bytes for facts in described]:
                raise KeptFileDamaged(self.path, "its answers have another length than it says")
        return [_kept_answer(facts, body) for facts, body in zip(described, bodies, strict=True)]


def open_kept(path: Path) -> KeptFile:
    """A file of kept answers. Raises KeptFileDamaged, also if a newer version wrote it."""
    with _unpacked(path) as packed:
        head = _read_head(path, packed)
        window, received_at = Window(head.start, head.end), head.answers[0].received_at
        return KeptFile(path, head.kind, head.account, head.url, window, received_at, head.facts)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Raises KeptFileDamaged for errors of reading a file."""
    try:
        yield
    except OSError as error:
        raise KeptFileDamaged(path, error.strerror or str(error)) from error
    except (EOFError, zlib.error, msgspec.MsgspecError, OverflowError, ValueError, InvalidWindow) as error:
        raise KeptFileDamaged(path, str(error) or type(error).__name__) from error


@contextmanager
def _unpacked(path: Path) -> Iterator[gzip.GzipFile]:
    with _damage_named(path), gzip.open(path) as packed:
        yield packed


def _read_head(path: Path, packed: gzip.GzipFile) -> _Head:
    head = msgspec.json.decode(packed.readline(_MAX_HEAD_BYTES), type=_Head)
    if head.format != _FORMAT:
        raise KeptFileDamaged(path, f"Kubetally {head.version} wrote it", "install that version")
    return head


def _describe(kept: KeptAnswer) -> _AnswerFacts:
    answer = kept.answer
    facts = {name: getattr(answer, name) for name in _KEPT_FIELDS}
    return _AnswerFacts(path=kept.path, params=list(kept.params), size_bytes=len(answer.body), **facts)


def _kept_answer(facts: _AnswerFacts, body: bytes) -> KeptAnswer:
    answer = Answer(body=body, **{name: getattr(facts, name) for name in _KEPT_FIELDS})
    return KeptAnswer(answer, facts.path, facts.params)

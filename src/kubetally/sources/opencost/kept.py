"""Answers of an OpenCost or Kubecost, kept in files and read again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from kubetally.domain.errors import SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window
from kubetally.sources.faults import Answer
from kubetally.sources.kept import AnswerFolder, KeptAnswer, KeptFile, KeptFileDamaged, KeptKind, not_answered
from kubetally.sources.opencost.interpret import (
    ReadingRequest,
    SourceAnswers,
    interpret,
    interpret_hours,
)

_COSTS_PATH, _ASSETS_PATH = "/allocation", "/assets"


class _RequestFacts(msgspec.Struct):
    cluster_id: str | None
    currency: str | None
    default_currency: str
    default_is_stated: bool


class _CostsFacts(_RequestFacts):
    """Of a source's configuration only its currency is kept: a Kubecost's has credentials of clouds."""

    currency_code: Any = None
    configs_error: str | None = None
    clock_difference_seconds: float | None = None
    assets_error: str | None = None


def keep_costs(folder: AnswerFolder, answers: SourceAnswers, request: ReadingRequest) -> None:
    """Keep the rows and assets of a window."""
    configs, difference, assets = answers.configs, answers.clock_difference, answers.assets
    kept = [KeptAnswer(answers.allocations, _COSTS_PATH)]
    if isinstance(assets, Answer):
        kept.append(KeptAnswer(assets, _ASSETS_PATH))
    facts = _request_facts(request) | {
        "currency_code": None if configs is None or isinstance(configs, SourceError) else configs.get("currencyCode"),
        "configs_error": str(configs) if isinstance(configs, SourceError) else None,
        "clock_difference_seconds": None if difference is None else difference.total_seconds(),
        "assets_error": str(assets) if isinstance(assets, SourceError) else None,
    }
    folder.keep(KeptKind.COSTS, request.url, request.window, kept, facts)


def keep_hours(folder: AnswerFolder, answer: Answer, aggregate: str, request: ReadingRequest) -> None:
    """Keep the rows of a day in steps of an hour."""
    kept = KeptAnswer(answer, _COSTS_PATH, [("step", "1h"), ("aggregate", aggregate)])
    folder.keep(KeptKind.HOURS, request.url, request.window, [kept], _request_facts(request))


def keep_savings(folder: AnswerFolder, kept: KeptAnswer, request: ReadingRequest) -> None:
    """Keep recommendations. request.window: the time they are sized for, else the instant of the answer."""
    folder.keep(KeptKind.SAVINGS, request.url, request.window, [kept], _request_facts(request))


def read_costs(file: KeptFile) -> tuple[SourceAnswers, ReadingRequest]:
    """Kept rows and assets of a window, with their request. Raises KeptFileDamaged."""
    facts, answers = file.facts_as(_CostsFacts), file.read()
    by_path = {kept.path: kept.answer for kept in answers}
    if _COSTS_PATH not in by_path:
        raise KeptFileDamaged(file.path, f"it has no answer of {_COSTS_PATH}")
    configs: dict[str, Any] | SourceError = {}
    if facts.configs_error is not None:
        configs = not_answered(facts.configs_error)
    elif facts.currency_code is not None:
        configs = {"currencyCode": facts.currency_code}
    seconds = facts.clock_difference_seconds
    try:
        difference = None if seconds is None else timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise KeptFileDamaged(file.path, str(error)) from error
    assets = by_path.get(_ASSETS_PATH) or not_answered(facts.assets_error or "")
    return SourceAnswers(by_path[_COSTS_PATH], assets, configs, difference), _request(file, facts)


def reading_of(file: KeptFile) -> Reading:
    """The interpretation of a file of costs by this version. Raises KeptFileDamaged, and as `interpret`."""
    return interpret(*read_costs(file))


def hours_of(file: KeptFile) -> Sequence[SeenHour]:
    """The interpretation of a file of hours by this version. Raises KeptFileDamaged, SourceError."""
    return interpret_hours(file.read()[0].answer, _request(file, file.facts_as(_RequestFacts)))


def instant_window(answer: Answer) -> Window:
    """The empty window of an answer without a span: the instant at which it was received."""
    return Window(answer.received_at, answer.received_at)


def _request_facts(request: ReadingRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in _RequestFacts.__struct_fields__}


def _request(file: KeptFile, facts: _RequestFacts) -> ReadingRequest:
    return ReadingRequest(
        file.url, file.window, **{name: getattr(facts, name) for name in _RequestFacts.__struct_fields__}
    )

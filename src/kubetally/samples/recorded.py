"""Finds recorded answers by request, as an OpenCost understands it."""

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

Params = Mapping[str, str]

_SAME_PATH = {
    "/allocation/compute": "/allocation",
    "/allocation/compute/summary": "/allocation/summary",
}
_SWITCHES = (
    "accumulate",
    "idleByNode",
    "includeAggregatedMetadata",
    "includeIdle",
    "includeProportionalAssetResourceCosts",
    "shareIdle",
)
_KNOWN = {
    "/allocation": ("window", "step", "resolution", "aggregate", "accumulateBy", *_SWITCHES),
    "/allocation/summary": ("window", "step", "resolution", "aggregate", "accumulateBy", *_SWITCHES),
    "/assets": ("window", "filter"),
}
_FINEST = "cluster,node,namespace,pod,container"
_RESOLUTION_SECONDS = 300
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class _RequestKey:
    """A request without what an OpenCost ignores: unknown parameters, and explicit defaults."""

    path: str
    params: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, path: str, params: Params) -> "_RequestKey":
        path = _SAME_PATH.get(path, path)
        known = {key: params[key] for key in _KNOWN.get(path, ()) if params.get(key)}
        for key in _SWITCHES:
            if known.pop(key, "") in _TRUE:
                known[key] = "true"
        window_seconds = None
        if "window" in known:
            known["window"], window_seconds = _window(known["window"])
        for key, default in (("step", window_seconds), ("resolution", _RESOLUTION_SECONDS)):
            seconds = _seconds(known.get(key, ""))
            if seconds is not None:
                known[key] = f"{seconds}s"
                if seconds == default:
                    del known[key]
        if known.get("aggregate") == _FINEST:
            del known["aggregate"]
        if "step" not in known:
            known.pop("accumulate", None)  # a single step is a single set already
        return cls(path, tuple(sorted(known.items())))


@dataclass(frozen=True)
class Answer:
    """One recorded answer of an index.json."""

    name: str
    path: str
    params: Params
    status: int
    content_type: str | None
    file: Path

    def body(self) -> bytes:
        """The original body."""
        return gzip.decompress(self.file.read_bytes())


class RecordedCluster:
    """The recorded answers of one cluster."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.answers: dict[str, Answer] = {}
        self._by_request: dict[_RequestKey, Answer] = {}
        for answer in answers:
            self.answers.setdefault(answer.name, answer)
            # Some requests were recorded twice; the first answer counts.
            self._by_request.setdefault(_RequestKey.of(answer.path, answer.params), answer)

    @classmethod
    def load(cls, *folders: Path) -> "RecordedCluster":
        """The answers of several folders, each with an index.json; an earlier folder takes precedence."""
        return cls(answer for folder in folders for answer in _index(folder))

    def find(self, path: str, params: Params) -> Answer | None:
        """The recorded answer to a request, if any."""
        return self._by_request.get(_RequestKey.of(path, params))

    def serves(self, path: str) -> bool:
        """Whether the recorded server has such a path."""
        return any(
            answer.path == _SAME_PATH.get(path, path) and answer.status != 404 for answer in self.answers.values()
        )


def _index(folder: Path) -> list[Answer]:
    index = json.loads((folder / "index.json").read_text("utf-8"))
    return [
        Answer(
            name=entry["name"],
            path=entry["path"],
            params=entry["params"],
            status=entry["status"],
            content_type=entry["content_type"],
            file=folder / entry["file"],
        )
        for entry in index["answers"]
    ]


def _seconds(text: str) -> int | None:
    """A duration such as 5m, 24h or 1d in seconds; None if invalid."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else None


def _window(text: str) -> tuple[str, int | None]:
    """A window as an OpenCost reads it, and its seconds; None if it is not a pair of instants."""
    first, _, last = text.partition(",")
    start, end = read_instant(first), read_instant(last)
    if start is None or end is None:
        return text, None
    return f"{start:%Y-%m-%dT%H:%M:%SZ},{end:%Y-%m-%dT%H:%M:%SZ}", int((end - start).total_seconds())


def read_instant(text: str) -> datetime | None:
    """RFC3339 with Z, or seconds since 1970. An offset like +02:00 is refused, as the recorded server does."""
    if re.fullmatch(r"\d{9,11}", text):
        return datetime.fromtimestamp(int(text), UTC)
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    return None

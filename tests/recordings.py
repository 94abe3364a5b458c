"""The recorded answers of a real OpenCost, and what truly happened in the clusters; see tests/recorded/README.md."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kubetally import samples
from kubetally.samples.recorded import Answer, RecordedCluster

ALL = samples.NAMES
DAYS = tuple((f"2026-11-{day}T00:00:00Z", f"2026-11-{day + 1}T00:00:00Z") for day in (20, 21, 22))
_RECORDED = Path(__file__).parent / "recorded"
_LOSSY = _RECORDED / "lossy" / "opencost"
LOSSY = tuple(sorted(folder.name for folder in _LOSSY.iterdir()))
"""What cygnus' OpenCost answered once its Prometheus had lost samples of the second day: `cygnus-half` and so on."""


def folders() -> dict[str, tuple[Path, ...]]:
    """The folders of every recorded answer by cluster name: the packaged samples first, then what only tests need."""
    return {name: (*paths, _RECORDED / name) for name, paths in samples.folders().items()}


def lossy_folders() -> dict[str, tuple[Path, ...]]:
    """The folders of `LOSSY`, as a `ReplayServer` takes them."""
    return {name: (_LOSSY / name,) for name in LOSSY}


@dataclass(frozen=True)
class Recording:
    """One recorded cluster: `Recording("aurora").json("assets-day1")`; a lossy one has answers only."""

    name: str

    @property
    def cluster(self) -> RecordedCluster:
        return _load(self.name)

    @property
    def answers(self) -> Mapping[str, Answer]:
        """The index entries by name."""
        return self.cluster.answers

    def body(self, answer_name: str) -> bytes:
        """A body byte for byte as it came."""
        return self.answers[answer_name].body()

    def json(self, answer_name: str) -> Any:
        return json.loads(self.body(answer_name))

    def truth(self) -> dict[str, Any]:
        """Nodes with their prices, pods with integrals of request and usage, volumes, balancers, egress."""
        content: dict[str, Any] = json.loads(gzip.decompress((_RECORDED / self.name / "truth.json.gz").read_bytes()))
        return content

    def truth_by_namespace(self) -> dict[str, Any]:
        """Exact costs and hours by namespace, one figure for each day."""
        return self._file("truth-by-namespace.json")

    def pricing(self) -> dict[str, Any]:
        """The price defaults that the recorded OpenCost had."""
        return self._file("pricing.json")

    def _file(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((_RECORDED / self.name / name).read_text("utf-8"))
        return content


@cache
def _load(name: str) -> RecordedCluster:
    return RecordedCluster.load(*(folders() | lossy_folders())[name])

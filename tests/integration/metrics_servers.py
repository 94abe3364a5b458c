"""Real Prometheus servers: Prometheus and VictoriaMetrics from Debian's packages (`make servers`).

A Prometheus serves a copy of recorded blocks, or of blocks that its own tool makes of the samples a test writes; a
VictoriaMetrics takes the same samples through its import API.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.integration.databases import ServerProcess

RECORDED = Path(__file__).parent.parent / "recorded"


@dataclass(frozen=True)
class Written:
    """One series as a test writes it: Unix seconds with a value each."""

    name: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


class Prometheus(ServerProcess):
    """Prometheus on a copy of `blocks`, or on blocks made of `series`."""

    driver, user = "prometheus", "prometheus"
    needs = (Path("/usr/bin/prometheus"), Path("/usr/bin/promtool"))
    not_ready = (httpx.TransportError, httpx.HTTPStatusError)

    def __init__(self, blocks: Path | None = None, series: Iterable[Written] = ()) -> None:
        self.blocks, self.series = blocks, list(series)
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def initialize(self) -> None:
        (self.folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
        if self.blocks is not None:
            shutil.copytree(self.blocks, self.data)
        else:
            text = self.folder / "samples.txt"
            text.write_text("".join(_open_metrics(self.series)), encoding="utf-8")
            made = (self.needs[1], "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=2400h")
            self.data.mkdir()
            self._own()
            if self.series:
                self.finish(*made, text, self.data)
        self._own()

    def _own(self) -> None:
        if self.as_user:
            for file in (self.folder, *self.folder.rglob("*")):
                shutil.chown(file, self.as_user)

    def command(self) -> list[str | Path]:
        return [
            self.needs[0],
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def connect(self) -> None:
        httpx.get(f"{self.url}/-/ready", trust_env=False).raise_for_status()


class VictoriaMetrics(ServerProcess):
    """VictoriaMetrics with nothing in it."""

    driver, user = "victoria-metrics", "_victoria-metrics"
    needs = (Path("/usr/bin/victoria-metrics"),)
    not_ready = (httpx.TransportError, httpx.HTTPStatusError)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def initialize(self) -> None:
        """Nothing: it makes its folder itself."""

    def command(self) -> list[str | Path]:
        return [
            self.needs[0],
            f"-storageDataPath={self.data}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=128MB",
        ]

    def connect(self) -> None:
        httpx.get(f"{self.url}/health", trust_env=False).raise_for_status()

    def load(self, series: Iterable[Written]) -> None:
        """Import samples, and make them readable at once."""
        lines = (
            json.dumps(
                {
                    "metric": {"__name__": one.name, **one.labels},
                    "values": [value for _, value in one.samples],
                    "timestamps": [round(at * 1000) for at, _ in one.samples],
                }
            )
            for one in series
        )
        httpx.post(f"{self.url}/api/v1/import", content="\n".join(lines), trust_env=False).raise_for_status()
        httpx.get(f"{self.url}/internal/force_flush", trust_env=False).raise_for_status()


def exported(prometheus_url: str, selector: str, start: int, end: int) -> list[Written]:
    """The samples of a Prometheus from `start` to `end`, both included, as they are."""
    params = {"query": f"{selector}[{end - start + 1}s]", "time": str(end)}
    answer = httpx.get(f"{prometheus_url}/api/v1/query", params=params, trust_env=False, timeout=60).json()
    return [
        Written(one["metric"].pop("__name__"), one["metric"], [(at, float(value)) for at, value in one["values"]])
        for one in answer["data"]["result"]
    ]


def _open_metrics(series: Sequence[Written]) -> Iterator[str]:
    for name in dict.fromkeys(one.name for one in series):
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"# TYPE {name.removesuffix('_total')} {kind}\n"
        for one in (one for one in series if one.name == name):
            labels = ",".join(f"{label}={json.dumps(value)}" for label, value in one.labels.items())
            yield from (f"{name}{{{labels}}} {value} {at}\n" for at, value in one.samples)
    yield "# EOF\n"


@pytest.fixture(scope="session")
def recorded_prometheus() -> Iterator[Callable[[str], Prometheus]]:
    """The Prometheus of a recorded cluster, started at the first call and stopped after the last test."""
    running: dict[str, Prometheus] = {}

    def get(name: str) -> Prometheus:
        if name not in running:
            running[name] = Prometheus(RECORDED / name / "tsdb")
        return running[name]

    yield get
    for one in running.values():
        one.close()


@pytest.fixture
def prometheus_with() -> Iterator[Callable[..., Prometheus]]:
    """A Prometheus with the series that a test writes."""
    running: list[Prometheus] = []

    def get(*series: Written) -> Prometheus:
        running.append(Prometheus(series=series))
        return running[-1]

    yield get
    for one in running:
        one.close()


@pytest.fixture(scope="module")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """A VictoriaMetrics of a module's tests; what they load has labels of its own."""
    server = VictoriaMetrics()
    yield server
    server.close()

"""Serves the sample clusters of `kubetally demo`, which have data for the recorded days only."""

from datetime import UTC, datetime
from typing import ClassVar

from kubetally.samples import END_DAY, FIRST_DAY
from kubetally.samples.recorded import RecordedCluster, read_instant
from kubetally.samples.replay import ReplayHandler, ReplayServer, Request

_BEGIN, _END = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (FIRST_DAY, END_DAY))
_NO_DATA = b'{"code":200,"status":"success","data":[null]}'


class DemoHandler(ReplayHandler):
    """Answers as an OpenCost that has no data for other days than the recorded ones, and steps of a day."""

    def send_not_recorded(self, request: Request, cluster: RecordedCluster) -> None:
        if request.path == "/allocation" and request.params.get("step") == "1h":
            day = cluster.find(request.path, {"window": request.params.get("window", ""), "includeIdle": "true"})
        else:
            day = None
        if day is not None:
            self.send_recorded(day)
        elif request.path in {"/allocation", "/assets"} and _is_outside(request.params.get("window", "")):
            self.send(200, _NO_DATA, label="not-recorded")
        else:
            super().send_not_recorded(request, cluster)


class DemoServer(ReplayServer):
    """Serves the sample clusters, also for other days."""

    handler: ClassVar[type[ReplayHandler]] = DemoHandler


def _is_outside(window: str) -> bool:
    """Whether it is a pair of instants without a recorded day between them."""
    first, _, last = window.partition(",")
    start, end = read_instant(first), read_instant(last)
    return start is not None and end is not None and (end <= _BEGIN or start >= _END)

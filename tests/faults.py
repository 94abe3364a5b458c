"""A source that misbehaves, over a real socket: `faulty.fault_url("truncated", "aurora")` is the address of one.

A fault concerns the money questions (/allocation..., /assets...) that the recordings can answer; other questions are
answered as recorded, so that a client finds a sound OpenCost when it looks what it has before it.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

from kubetally.samples.recorded import Answer, Params, RecordedCluster
from kubetally.samples.replay import ReplayHandler, ReplayServer, Request
from tests import recordings

OTHER_CLUSTER = "borealis"
REDIRECTED_TO = "http://169.254.169.254/latest/meta-data/"
SKEW = timedelta(hours=1)
_HUGE_BYTES = 1 << 31  # The end of `huge` for a client that never hangs up.

Row = dict[str, Any]
Rows = dict[str, Row]


def _workload(rows: Rows) -> str:
    """The key of the first row with a cost that is a container or a node, not one of the special rows."""
    return next(key for key, row in rows.items() if "__" not in row.get("name", "") and row.get("cpuCost"))


def _nan(rows: Rows) -> None:
    rows[_workload(rows)]["cpuCost"] = float("nan")


def _no_costs(rows: Rows) -> None:
    rows[_workload(rows)]["cpuCost"] = None


def _duplicate(rows: Rows) -> None:
    key = _workload(rows)
    rows[key + "-again"] = rows[key]


def _two_clusters(rows: Rows) -> None:
    for key, row in list(rows.items()):
        cluster = row["properties"]["cluster"]
        other = json.loads(json.dumps(row))
        other["properties"]["cluster"] = OTHER_CLUSTER
        if "name" in row:
            other["name"] = _renamed(row["name"], cluster)
        rows[_renamed(key, cluster)] = other


def _renamed(key: str, cluster: str) -> str:
    parts = [OTHER_CLUSTER if part == cluster else part for part in key.split("/")]
    return "/".join(parts if OTHER_CLUSTER in parts else [OTHER_CLUSTER, *parts])


def _lost(kind: str, *, all_of_them: bool = False) -> Callable[[Rows], None]:
    def lose(rows: Rows) -> None:
        found = [key for key, row in rows.items() if row["type"] == kind and row.get("storageClass") != "__local__"]
        for key in found if all_of_them else found[:1]:
            del rows[key]

    return lose


_BOTH, _ALLOCATION, _ASSETS = ("/allocation", "/assets"), ("/allocation",), ("/assets",)

# What is changed in the rows of an answer that is otherwise sound, and which questions are concerned.
_CHANGED: dict[str, tuple[tuple[str, ...], Callable[[Rows], None]]] = {
    "nan": (_BOTH, _nan),
    "duplicate": (_ALLOCATION, _duplicate),
    "nocosts": (_ALLOCATION, _no_costs),
    "twoclusters": (_BOTH, _two_clusters),
    "emptyassets": (_ASSETS, lambda rows: rows.clear()),
    "lostnode": (_ASSETS, _lost("Node")),
    "lostdisk": (_ASSETS, _lost("Disk")),
    "lostbalancer": (_ASSETS, _lost("LoadBalancer", all_of_them=True)),
}

_SAYS_500 = b'{"code":500,"status":"","data":null,"message":"Error: prometheus communication error"}'

# What is answered in place of the recorded answer: status, body, content type, further headers.
_REPLACED: dict[str, tuple[int, bytes, str, Mapping[str, str]]] = {
    "500": (500, _SAYS_500, "application/json", {}),
    "503": (503, b"upstream connect error\n", "text/plain", {}),
    "code500": (200, _SAYS_500, "application/json", {}),
    "html": (200, b"<!doctype html><html><body>Please sign in</body></html>", "text/html", {}),
    "empty": (200, b"", "application/json", {}),
    "nullset": (200, b'{"code":200,"status":"success","data":[null]}', "application/json", {}),
    "redirect": (302, b"", "text/plain", {"Location": REDIRECTED_TO}),
    "noassets": (500, _SAYS_500, "application/json", {}),
}


class FaultHandler(ReplayHandler):
    """Answers /fault/KIND/NAME/..., and /NAME/... as recorded."""

    server: "FaultServer"
    fault = ""

    def route(self, parts: Sequence[str], params: Params) -> None:
        self.fault, parts = (parts[1], parts[2:]) if parts[0] == "fault" and len(parts) > 2 else ("", parts)
        if self.fault and self.fault not in KINDS:
            self.send(404, f"no such fault: {self.fault}\n".encode(), "text/plain")
            return
        super().route(parts, params)

    def answer(self, request: Request, cluster: RecordedCluster) -> None:
        answer = cluster.find(request.path, request.params)
        money = request.path.startswith(_ASSETS if self.fault == "noassets" else _BOTH)
        if not self.fault or not money or answer is None or answer.status != 200:
            super().answer(request, cluster)
        elif self.fault in _REPLACED:
            status, body, content_type, headers = _REPLACED[self.fault]
            self.send(status, body, content_type, headers=headers)
        elif self.fault in _CHANGED:
            self.changed(request, answer)
        else:
            KINDS[self.fault](self, request, answer, cluster)

    def changed(self, request: Request, answer: Answer) -> None:
        paths, change = _CHANGED[self.fault]
        if not request.path.startswith(paths):
            self.send_recorded(answer)
            return
        content = json.loads(answer.body())
        for rows in content["data"] if isinstance(content["data"], list) else [content["data"]]:
            if rows:
                change(rows)
        self.send(200, json.dumps(content).encode())

    def truncated(self, _request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        body = answer.body()
        self.send(200, body[: len(body) // 2], headers={"Content-Length": str(len(body))})
        self.close_connection = True

    def wrongwindow(self, _request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        self.send(200, answer.body().replace(b"2026-11-", b"2026-10-"))

    def textbefore(self, _request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        self.send(200, b"Warning: some of the data is still loading\n" + answer.body())

    def hang(self, _request: Request, _answer: Answer, _cluster: RecordedCluster) -> None:
        self.server.closing.wait()
        self.close_connection = True

    def slow(self, _request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        self.server.release.wait()
        self.send_recorded(answer)

    def flaky(self, request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        if self.server.asked.count(request) == 1:
            self.send(503, b"upstream connect error\n", "text/plain")
        else:
            self.send_recorded(answer)

    def hourly(self, request: Request, answer: Answer, cluster: RecordedCluster) -> None:
        hours = None
        if request.path.startswith(_ALLOCATION):
            hours = cluster.find(request.path, {**request.params, "step": "1h"})
        self.send_recorded(hours or answer)

    def huge(self, _request: Request, _answer: Answer, _cluster: RecordedCluster) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        zeros, sent = bytes(1 << 16), 0
        while sent < _HUGE_BYTES and not self.server.closing.is_set():
            self.wfile.write(b"10000\r\n" + zeros + b"\r\n")
            sent += len(zeros)
        self.close_connection = True

    def skew(self, _request: Request, answer: Answer, _cluster: RecordedCluster) -> None:
        self.send_recorded(answer)

    def date_time_string(self, timestamp: float | None = None) -> str:
        if self.fault != "skew":
            return super().date_time_string(timestamp)
        return format_datetime(datetime.now(UTC) + SKEW, usegmt=True)


Misbehaviour = Callable[[FaultHandler, Request, Answer, RecordedCluster], None]


def _in_place(_handler: FaultHandler, _request: Request, _answer: Answer, _cluster: RecordedCluster) -> None:
    raise AssertionError("answered from a table")


KINDS: dict[str, Misbehaviour] = {
    **dict.fromkeys((*_REPLACED, *_CHANGED), _in_place),
    "flaky": FaultHandler.flaky,
    "hang": FaultHandler.hang,
    "hourly": FaultHandler.hourly,
    "huge": FaultHandler.huge,
    "skew": FaultHandler.skew,
    "slow": FaultHandler.slow,
    "textbefore": FaultHandler.textbefore,
    "truncated": FaultHandler.truncated,
    "wrongwindow": FaultHandler.wrongwindow,
}
"""Every fault there is."""


class FaultServer(ReplayServer):
    """All recordings, with faults; `asked` lists the questions, `release` lets the `slow` ones go on."""

    handler: ClassVar[type[ReplayHandler]] = FaultHandler

    def __init__(self) -> None:
        super().__init__(recordings.folders())
        self.release = threading.Event()

    def fault_url(self, kind: str, cluster: str) -> str:
        """The address of a cluster whose source has the fault `kind`."""
        return f"{self.url}/fault/{kind}/{cluster}"

    def close(self) -> None:
        self.release.set()
        super().close()

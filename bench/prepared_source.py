"""A source whose answers are ready, after a latency, for any number of clusters: `python -m bench.prepared_source`.

One thread of one process, so that what is measured has the other core. An answer of money is of any of the days
prepared; every cluster is the same one, under a path of its own.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.parse import parse_qs, urlsplit

from bench import large_day

FIRST = date.fromisoformat(large_day.DAY[0][:10])
_ABOUT = {
    "/clusterInfo": {"code": 200, "data": {"id": "bench", "name": "bench", "provider": "custom"}},
    "/installInfo": {"code": 200, "data": {"version": "bench"}},
    "/clusterInfoMap": {"code": 200, "data": {}},
}
_NOTHING = b'{"code":200,"status":"success","data":[{}]}'


@contextmanager
def serving(folder: str, latency_seconds: float) -> Iterator[str]:
    """The address without a cluster; of the days whose answers are in `folder`."""
    command = [sys.executable, "-m", "bench.prepared_source", folder, str(latency_seconds)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # which ends it


def write_days(folder: str, copies: int, days: int) -> dict[str, int]:
    """Answers of a day and the same of the days after it; how many pods and bytes a day has."""
    copies, days = int(copies), int(days)
    with tempfile.TemporaryDirectory() as made:
        size = large_day.write(made, copies)
        for number in range(days):
            day, end = FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1)
            for name, file in large_day.files_in(made)._asdict().items():
                body = file.read_bytes().replace(b"2026-11-21T", b"@").replace(b"2026-11-20T", f"{day}T".encode())
                Path(folder, f"{name}-{day}.json").write_bytes(body.replace(b"@", f"{end}T".encode()))
            Path(folder, f"hours-{day}.json").write_text(json.dumps({"code": 200, "data": list(_hours(day))}))
    return size


def _hours(day: date) -> Iterator[dict[str, object]]:
    """What a source answers by the hour of a large day: a row for each kind of controller, and idle."""
    midnight = datetime.combine(day, time(), UTC)
    for number in range(24):
        start, end = (f"{midnight + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in (number, number + 1))
        figures = {"window": {"start": start, "end": end}, "start": start, "end": end, "minutes": 60.0}
        figures |= {"cpuCost": 1.0, "ramCost": 1.0, "totalCost": 2.0, "pvCost": 0.0}
        used = {f"{name}{what}Average": 1.0 for name in ("cpuCore", "ramByte") for what in ("Request", "Usage")}
        kinds = ("daemonset", "deployment", "statefulset", "job")
        rows = {kind: {**figures, **used, "properties": {"controllerKind": kind}} for kind in kinds}
        yield {**rows, "__idle__": {**figures, "properties": {}}}


class _Source:
    def __init__(self, folder: str, latency_seconds: float) -> None:
        self._latency = latency_seconds
        self._bodies = {file.stem: file.read_bytes() for file in Path(folder).glob("*.json")}
        self._about = {path: json.dumps(body).encode() for path, body in _ABOUT.items()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's questions, one after the other."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(self._latency)
                writer.write(self._answer(head.split(b" ", 2)[1].decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str) -> bytes:
        parts = urlsplit(target)
        path = "/" + parts.path.strip("/").partition("/")[2]
        kind = {"/allocation": "allocations", "/assets": "assets"}.get(path)
        if kind is None:
            body = self._about.get(path)
        else:
            question = parse_qs(parts.query)
            day = question["window"][0][:10]
            kind = "hours" if "step" in question else kind
            body = self._bodies.get(f"{kind}-{day}", _NOTHING)
        status, body = ("200 OK", body) if body is not None else ("404 Not Found", b"404 page not found\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


async def _main(folder: str, latency: str) -> None:
    source = _Source(folder, float(latency))
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

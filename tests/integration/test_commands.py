"""The commands, as a user meets them: what they print, where, and how they end."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration.commands import DAY, PROGRAM, WHOLE, call, environment, recorded_but, run
from tests.recordings import ALL
from tests.served import Asked, Served

GOLDEN = Path(__file__).parent / "golden"
NOBODY = "http://127.0.0.1:1"
COMMANDS = (
    *("costs", "verify", "doctor", "report", "demo", "serve", "collect", "backfill", "coverage", "backup", "restore"),
    *("sample", "maintain", "accounts", "migrate"),
)
PASSWORD = "hunter2-84"
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def with_userinfo(url: str) -> str:
    return url.replace("://", f"://someone:{PASSWORD}@")


def is_as_golden(name: str, printed: str, server: ReplayServer) -> None:
    """`printed` is what the golden file says; WRITE_GOLDEN=1 writes the file anew."""
    file, printed = GOLDEN / f"{name}.txt", printed.replace(server.url, "http://opencost:9003")
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(printed, "utf-8")
    assert printed == file.read_text("utf-8")


def clean(text: str) -> bool:
    """Whether it is plain text: no escapes, no carriage return, no blanks at an end of line."""
    return not re.search(r"[\x1b\r]|[ \t]$", text, re.MULTILINE)


# --- tables


@pytest.mark.parametrize("by", ["summary", "namespace", "workload"])
@pytest.mark.parametrize("cluster", ALL)
def test_table_of_each_level_is_as_the_golden_file(replay: ReplayServer, cluster: str, by: str) -> None:
    done = call("costs", "--url", replay.url_of(cluster), *WHOLE, "--by", by)
    assert (done.code, done.err) == (0, "")
    assert clean(done.out)
    is_as_golden(f"costs-{cluster}-{by}", done.out, replay)


def test_several_clusters_begin_with_an_overview(replay: ReplayServer) -> None:
    urls = [part for name in ALL for part in ("--url", replay.url_of(name))]
    done = call("costs", *urls, *WHOLE)
    assert (done.code, done.err) == (0, "")
    is_as_golden("costs-of-all", done.out, replay)


def test_report_is_as_the_golden_file(replay: ReplayServer) -> None:
    done = call("report", "--url", replay.url_of("aurora"), "--url", replay.url_of("draco"), *WHOLE)
    assert (done.code, done.err) == (0, "")
    assert clean(done.out)
    is_as_golden("report", done.out, replay)


def test_report_as_json_has_the_same_shares(replay: ReplayServer) -> None:
    body = call("report", "--url", replay.url_of("aurora"), *WHOLE, "--format", "json").json
    shares = [Decimal(str(row["share_percent"])) for row in body["shares"] if row["share_percent"] is not None]
    assert sum(shares) == 100
    assert {row["component"] for row in body["shares"] if row["share_percent"] is None} == {"management"}
    assert body["infrastructure_cost"] + body["left_out_cost"] == pytest.approx(body["total_cost"], abs=1e-6)


def test_csv_rows_add_up_and_leave_unknown_cells_empty(replay: ReplayServer) -> None:
    totals = {}
    for by in ("summary", "namespace", "workload"):
        done = call("costs", "--url", replay.url_of("draco"), *WHOLE, "--by", by, "--format", "csv")
        assert (done.code, done.err) == (0, "")
        rows = list(csv.DictReader(io.StringIO(done.out)))
        totals[by] = sum(Decimal(row["total_cost"]) for row in rows)
        assert {row["management_cost"] for row in rows} == {""}
        assert {row["status"] for row in rows} == {"ok"}
        assert {(row["hours_asked"], row["hours_covered"]) for row in rows} == {("72.0", "72.0")}
        assert all(re.fullmatch(r"-?\d+\.\d{6}", row["total_cost"]) for row in rows)
    assert len(set(totals.values())) == 1
    kinds = [row["kind"] for row in rows]
    assert kinds[-4:] == ["idle", "unmounted", "overhead", "difference"]


def test_cluster_without_data_is_a_row_in_every_format(faulty: FaultServer) -> None:
    question = ("costs", "--url", faulty.fault_url("nullset", "aurora"), *DAY)
    table, rows = call(*question), call(*question, "--format", "csv")
    assert (table.code, rows.code) == (0, 0)
    assert "no data" in table.out
    assert "missing: the source holds no data" in table.out
    assert "0.00" not in table.out
    (row,) = csv.DictReader(io.StringIO(rows.out))
    assert (row["status"], row["total_cost"], row["cpu_cost"]) == ("no_data", "", "")
    assert (row["hours_asked"], row["hours_covered"]) == ("24.0", "0.0")


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_table_says_when_data_is_missing(command: str) -> None:
    recorded = recorded_but(lambda _path, _data: None)

    def without_two_days(asked: Asked) -> Any:
        window = asked.params.get("window", "")
        if asked.path.startswith("/allocation") and window.startswith(("2026-11-20T", "2026-11-22T")):
            return {"code": 200, "data": [None]}
        return recorded(asked)

    with Served(without_two_days) as source:
        done = call(command, "--url", source.url, *WHOLE)
    assert done.code == 0
    assert "20-22 Nov 2026 (3 days, UTC), 24 of 72 h, partial" in done.out
    missing = [line for line in done.out.splitlines() if line.startswith("  missing: ")]
    periods = "20 Nov 2026 UTC; 22 Nov 2026 UTC"
    assert missing == [f"  missing: the source holds no data of this window ({periods})"]


# --- several clusters, and failures


def test_one_cluster_is_an_object_and_several_are_a_list(replay: ReplayServer) -> None:
    one = call("costs", "--url", replay.url_of("aurora"), *DAY, "--format", "json").json
    urls = ("--url", replay.url_of("draco"), "--url", replay.url_of("aurora"))
    several = call("costs", *urls, *DAY, "--format", "json").json
    assert several[1] == one
    assert several[0]["source"]["cluster_id"] == "draco"


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_failed_cluster_keeps_its_place_in_the_list(faulty: FaultServer, command: str) -> None:
    urls = ("--url", faulty.fault_url("html", "aurora"), "--url", faulty.url_of("draco"))
    done = call(command, *urls, *DAY, "--format", "json")
    assert done.code == (3 if command == "verify" else 0)
    failed, sound = done.json
    assert sound["status"] == "ok"
    assert set(failed) == set(sound), "a failed cluster has every key of the others"
    assert {key for key, value in failed.items() if value is not None} == {"status", "errors", "source"}
    assert failed["status"] == "error"
    assert failed["source"]["url"] == faulty.fault_url("html", "aurora")
    (error,) = failed["errors"]
    assert set(error) == {"kind", "message", "start", "end", "subject", "code"}
    assert error["code"] == "answer_not_understood"
    assert "web page" in error["message"]
    assert done.err.count("error: ") == 1


@pytest.mark.parametrize("by", ["summary", "namespace", "workload"])
def test_failed_cluster_has_the_keys_of_the_detail_level(faulty: FaultServer, by: str) -> None:
    urls = (faulty.fault_url("html", "aurora"), faulty.url_of("draco"))
    failed, sound = call("costs", *urls, *DAY, "--by", by, "--format", "json").json
    assert set(failed) == set(sound)


def test_fleet_sum_says_which_clusters_lack_how_many_hours(faulty: FaultServer) -> None:
    empty, dead = faulty.fault_url("nullset", "aurora"), faulty.fault_url("html", "cygnus")
    done = call("costs", faulty.url_of("aurora"), faulty.url_of("draco"), empty, dead, *DAY)
    [total] = [line for line in done.out.splitlines() if line.startswith("sum in USD")]
    assert re.search(r"^sum in USD +hours missing .* 48 of 72$", total)
    assert re.search(r"^missing in the sum in USD: aurora\S* 24 hours$", done.out, re.MULTILINE)
    assert f"failed, and not in the sum: {dead}\n" in done.out


def test_table_and_csv_name_a_failed_cluster(faulty: FaultServer) -> None:
    bad = faulty.fault_url("500", "aurora")
    urls = ("--url", bad, "--url", faulty.url_of("draco"))
    table, rows = call("costs", *urls, *DAY), call("costs", *urls, *DAY, "--format", "csv")
    assert f"failed, and not in the sum: {bad}\n" in table.out
    assert re.search(r"^sum in USD +clusters missing ", table.out, re.MULTILINE)
    assert next(csv.DictReader(io.StringIO(rows.out)))["status"] == "error"


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_single_failed_cluster_is_an_object_with_all_keys(faulty: FaultServer, command: str) -> None:
    done = call(command, "--url", faulty.fault_url("500", "aurora"), *DAY, "--format", "json")
    assert done.code == 3
    assert done.json["status"] == "error"
    sound = call(command, "--url", faulty.url_of("aurora"), *DAY, "--format", "json").json
    assert list(done.json) == [key for key in sound if key != "savings_recommendations"]


def test_hanging_cluster_times_out_and_the_others_answer(faulty: FaultServer) -> None:
    urls = ("--url", faulty.fault_url("hang", "aurora"), "--url", faulty.url_of("draco"))
    began = time.monotonic()
    done = call("costs", *urls, *DAY, "--format", "json", KUBETALLY_DEADLINE_SECONDS="1.5", KUBETALLY_READ_SECONDS="60")
    assert time.monotonic() - began < 10
    cut, whole = done.json
    assert (done.code, cut["status"], whole["status"]) == (0, "error", "ok")
    assert cut["errors"][0]["code"] in {"deadline_passed", "source_timeout"}
    assert whole["summary"]["total_cost"] > 100


def test_partial_answer_exits_0(faulty: FaultServer) -> None:
    done = call("costs", "--url", faulty.fault_url("noassets", "aurora"), *DAY, "--format", "json")
    assert (done.code, done.json["status"], done.json["assets_complete"]) == (0, "partial", False)


# --- exit codes


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("costs", "--url", NOBODY, "--window", "fortnight"), "fortnight"),
        (("costs", "--url", NOBODY, "--start", "2026-11-23", "--end", "2026-11-20"), "ends before it starts"),
        (("costs", "--url", NOBODY, "--start", "2026-13-01", "--end", "2026-13-02"), "2026-13-01"),
        (("costs", "--url", NOBODY, "--start", "2026-11-20"), "lacks its end"),
        (("report", "--url", NOBODY, "--window", "7d", "--end", "2026-11-20"), "one or the other"),
        (("costs", "--url", "ftp://127.0.0.1/x"), "http://"),
        (("costs", "--url", "not a url"), "http://"),
        (("doctor", "localhost:9003"), "http://"),
        (("costs",), "--url http://localhost:9003"),
        (("verify", "--url", NOBODY, "--tolerance", "5"), "5%"),
        (("verify", "--url", NOBODY, "--format", "csv"), "csv"),
        (("costs", "--url", NOBODY, "--by", "pods"), "--by: the group has the unknown dimension 'pods'"),
        (("costs", "--colour"), "--colour"),
        (("doctor",), "URL"),
        (("cost",), "cost"),
    ],
)
def test_invalid_request_exits_2_and_says_why(args: tuple[str, ...], says: str) -> None:
    done = call(*args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert len(done.err) < 600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KUBETALLY_READ_SECONDS", "abc"),
        ("KUBETALLY_ATTEMPTS", "0"),
        ("KUBETALLY_ALLOW_LINK_LOCAL", "maybe"),
        ("KUBETALLY_LOG_LEVEL", "loud"),
        ("KUBETALLY_SOURCE_HEADERS", PASSWORD),
        ("KUBETALLY_SOURCE_TOKEN_FILE", "/does/not/exist"),
        ("KUBECOST_API_URL", "localhost:9003"),
    ],
)
def test_invalid_setting_exits_2_and_is_named(name: str, value: str) -> None:
    done = call("costs", *(() if name == "KUBECOST_API_URL" else ("--url", NOBODY)), *DAY, **{name: value})
    assert (done.code, done.out) == (2, "")
    assert (value if name == "KUBECOST_API_URL" else name) in done.err
    assert PASSWORD not in done.err


def test_unknown_variable_is_warned_of_once(replay: ReplayServer) -> None:
    question = ("costs", "--url", replay.url_of("aurora"), "--url", replay.url_of("draco"), *DAY)
    done = call(*question, KUBETALLY_DEADLINE_SECOND="1", KUBETALLY_SERVICE_HOST="10.0.0.1", KUBETALLY_PORT="tcp://x")
    assert done.code == 0
    assert done.err == (
        "warning: KUBETALLY_DEADLINE_SECOND is not a setting and was ignored "
        "(did you mean KUBETALLY_DEADLINE_SECONDS?): see docs/settings.md\n"
    )


@pytest.mark.parametrize("command", ["costs", "verify", "report", "doctor"])
def test_url_may_be_an_argument(replay: ReplayServer, command: str) -> None:
    url = replay.url_of("aurora")
    done = call(command, url, *DAY)
    assert (done.code, done.err) == (0, "")
    told = [re.sub(r"within \d s", "", one.out) for one in (done, call(command, "--url", url, *DAY))]
    assert told[0] == told[1]


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_exit_is_3_if_no_source_could_be_read(faulty: FaultServer, command: str) -> None:
    done = call(command, "--url", NOBODY, "--url", faulty.fault_url("html", "aurora"), *DAY, KUBETALLY_ATTEMPTS="1")
    assert done.code == 3
    assert len(re.findall(r"^error: ", done.err, re.MULTILINE)) == 2


def test_link_local_address_needs_a_setting() -> None:
    done = call("costs", "--url", "http://169.254.169.254/", *DAY)
    assert done.code == 3
    assert "KUBETALLY_ALLOW_LINK_LOCAL" in done.err


# --- verify


def dearer_by(amount: float) -> Any:
    """Aurora's recorded day with one more node disk, which the source charges to nobody."""

    def change(path: str, data: Any) -> None:
        if path.endswith("assets"):
            key, disk = next((key, row) for key, row in data.items() if row.get("storageClass") == "__local__")
            properties = disk["properties"] | {"name": "added", "providerID": "added"}
            data[f"{key}-added"] = disk | {"properties": properties, "totalCost": amount}

    return recorded_but(change)


@pytest.mark.parametrize(("apart", "code", "word"), [(0.049, 0, "Within"), (0.051, 1, "PAST")])
def test_verify_passes_4_9_and_fails_5_1_percent(replay: ReplayServer, apart: float, code: int, word: str) -> None:
    known = call("verify", "--url", replay.url_of("aurora"), *DAY, "--format", "json").json
    added = known["source_total_cost"] * (1 + apart) - known["total_cost"]
    with Served(dearer_by(added)) as server:
        question = ("verify", "--url", server.url, *DAY)
        body, table = call(*question, "--format", "json"), run(*question, "--tolerance", "5%")
    assert (body.code, table.code) == (code, code)
    assert body.json["difference"] == pytest.approx(apart, abs=2e-6)
    assert body.json["within_tolerance"] is (code == 0)
    assert f"{word} the tolerance of 5 %" in table.out
    assert f"{apart * 100:+.4f} %" in table.out


def test_verify_below_known_difference_exits_1(replay: ReplayServer) -> None:
    done = call("verify", "--url", replay.url_of("aurora"), *WHOLE, "--tolerance", "0.001%")
    assert done.code == 1
    assert "PAST the tolerance of 0.001 %" in done.out
    assert "difference load balancers -1.39: the source charged a load balancer more often than it cost" in done.out
    is_as_golden("verify-aurora", done.out, replay)


def test_verify_as_json_balances_each_component(replay: ReplayServer) -> None:
    body = call("verify", "--url", replay.url_of("cygnus"), *WHOLE, "--format", "json").json
    parts = ("workload", "idle", "unmounted", "overhead", "difference")
    (unmeasured,) = (row for row in body["balance"] if row["component"] == "management")
    assert {unmeasured[name] for name in ("bill", "source_shows", *parts)} == {None}
    measured = [row for row in body["balance"] if row is not unmeasured]
    for row in measured:
        assert sum(row[part] for part in parts) == pytest.approx(row["bill"], abs=1e-6)
        assert sum(cause["cost"] for cause in row["causes"]) == pytest.approx(row["difference"], abs=1e-6)
    assert sum(row["bill"] for row in measured) == pytest.approx(body["total_cost"], abs=1e-6)
    assert sum(row["source_shows"] for row in measured) == pytest.approx(body["source_total_cost"], abs=1e-4)


def test_verify_without_data_is_not_verified(faulty: FaultServer) -> None:
    question = ("verify", "--url", faulty.fault_url("nullset", "aurora"), *DAY)
    table, body = call(*question), call(*question, "--format", "json")
    assert (body.code, body.json["within_tolerance"], body.json["total_cost"]) == (1, None, None)
    assert table.code == 1
    assert "NOT VERIFIED: the source has no data for this window\n" in table.out


# --- settings and secrets


def test_url_of_the_environment_is_the_default(replay: ReplayServer, faulty: FaultServer) -> None:
    url = replay.url_of("draco")
    assert call("costs", *DAY, "--format", "json", KUBECOST_API_URL=url).json["source"]["url"] == url
    given = call("costs", "--url", faulty.url_of("aurora"), *DAY, "--format", "json", KUBECOST_API_URL=url).json
    assert given["source"]["cluster_id"] == "aurora"


def test_settings_reach_the_source(faulty: FaultServer) -> None:
    big = call("costs", "--url", faulty.url_of("aurora"), *DAY, KUBETALLY_MAX_ANSWER_MIB="1")
    assert big.code == 0
    huge = call("costs", "--url", faulty.fault_url("huge", "aurora"), *DAY, KUBETALLY_MAX_ANSWER_MIB="1")
    assert huge.code == 3
    assert "1,048,576 bytes" in huge.err
    euro = call("costs", "--url", faulty.url_of("aurora"), *DAY, "--format", "json", KUBETALLY_CURRENCY="eur").json
    assert euro["currency"] == "EUR"
    call("costs", "--url", faulty.fault_url("503", "draco"), *DAY, KUBETALLY_ATTEMPTS="1")
    asked = [request.path for request in faulty.asked if request.cluster == "draco" and request.path == "/allocation"]
    assert len(asked) == 1


@pytest.mark.parametrize("command", ["costs", "verify", "report", "doctor"])
@pytest.mark.parametrize("fault", ["", "500", "truncated", "refused", "redirect"])
def test_password_in_a_url_is_never_printed(faulty: FaultServer, command: str, fault: str) -> None:
    sound = faulty.url_of("aurora")
    url = with_userinfo(NOBODY if fault == "refused" else faulty.fault_url(fault, "aurora") if fault else sound)
    for form in ("table", "json"):
        more = {
            "KUBETALLY_LOG_LEVEL": "debug",
            "KUBETALLY_ATTEMPTS": "1",
            "KUBETALLY_SOURCE_TOKEN": f"token-{PASSWORD}",
        }
        done = call(command, *((url,) if command == "doctor" else ("--url", url)), *DAY, "--format", form, **more)
        assert "someone" not in done.out + done.err
        assert PASSWORD not in done.out + done.err
        assert "***@" in done.out + done.err


@pytest.mark.parametrize("command", ["costs", "report", "verify"])
def test_password_in_a_url_of_the_settings_is_never_printed(command: str) -> None:
    urls = dict.fromkeys(("KUBECOST_API_URL", "KUBETALLY_PROMETHEUS_URL"), with_userinfo(NOBODY))
    done = call(command, *DAY, **urls, KUBETALLY_LOG_LEVEL="debug", KUBETALLY_ATTEMPTS="1")
    assert done.code == 3
    assert "***@" in done.err
    assert PASSWORD not in done.out + done.err
    assert "someone" not in done.out + done.err


@pytest.mark.parametrize(
    "url", [f"http://someone:{PASSWORD}@host:x", f"ftp://someone:{PASSWORD}@host", f"someone:{PASSWORD}@h"]
)
def test_password_in_a_refused_url_is_not_printed(url: str) -> None:
    done = call("costs", "--url", url)
    assert done.code == 2
    assert PASSWORD not in done.out + done.err


def test_failure_is_one_log_line_without_secrets(faulty: FaultServer) -> None:
    url = with_userinfo(faulty.fault_url("500", "aurora"))
    began = time.monotonic()
    done = run("costs", "--url", url, *DAY, KUBETALLY_LOG_LEVEL="warning")
    elapsed = time.monotonic() - began
    lines = [line for line in done.err.splitlines() if "source_request_failed" in line and '"/allocation"' in line]
    assert len(lines) == 1
    fields = json.loads(lines[0])
    assert {"timestamp", "level", "event", "account", "source", "path", "error", "duration_seconds"} <= set(fields)
    assert 0 < float(fields["duration_seconds"]) < elapsed
    assert "***@" in fields["source"]
    assert PASSWORD not in done.err
    assert done.err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_failure_in_the_answer_is_not_logged(faulty: FaultServer, command: str) -> None:
    urls = (NOBODY, faulty.fault_url("500", "aurora"), faulty.fault_url("html", "draco"))
    more = {"KUBETALLY_ATTEMPTS": "1"}
    done = call(command, *(part for url in urls for part in ("--url", url)), "--window", "7d", **more)
    assert done.code == 3
    lines = done.err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True] * 3
    assert done.out == "" or command == "costs"
    quiet = call(command, *(part for url in urls for part in ("--url", url)), "--window", "7d", "--quiet", **more)
    assert quiet.err.splitlines() == lines


# --- for cron and CI


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
def test_strict_exits_3_if_a_cluster_failed_or_is_partial(faulty: FaultServer, command: str) -> None:
    sound, partial = faulty.url_of("draco"), faulty.fault_url("noassets", "aurora")
    empty, failed = faulty.fault_url("nullset", "aurora"), faulty.fault_url("html", "aurora")
    assert call(command, sound, *DAY, "--strict").code == 0
    for url in (partial, empty):
        loose, strict = call(command, sound, url, *DAY), call(command, sound, url, *DAY, "--strict")
        is_unverified = command == "verify" and url == empty  # which comes before 3
        assert (loose.code, strict.code) == ((1, 1) if is_unverified else (0, 3))
        assert strict.out == loose.out
        [line] = strict.err.splitlines()
        assert line.startswith(f"error: {url}: the answer is ")
        assert "--strict" in line
    assert call(command, sound, failed, *DAY, "--strict").code == 3
    assert call(command, failed, *DAY, "--strict").code == 3


def test_verify_exits_3_if_unread_and_1_past_tolerance(faulty: FaultServer) -> None:
    bad = faulty.fault_url("500", "aurora")
    assert call("verify", faulty.url_of("draco"), bad, *DAY).code == 3
    assert call("verify", faulty.url_of("aurora"), bad, *DAY, "--tolerance", "0.001%").code == 1


@pytest.mark.parametrize("args", [("costs",), ("costs", "--format", "csv"), ("verify",), ("report",), ("doctor",)])
def test_output_file_holds_what_would_be_printed(replay: ReplayServer, tmp_path: Path, args: tuple[str, ...]) -> None:
    question = (args[0], replay.url_of("aurora"), *DAY, *args[1:])
    printed, file = call(*question, "--output", "-"), tmp_path / "answer"
    for _ in range(2):  # the second time it is there
        written = call(*question, "--output", str(file))
        assert (written.code, written.out, written.err) == (0, "", "")
        told = [re.sub(r"within \d s", "within a second", text) for text in (file.read_text("utf-8"), printed.out)]
        assert told[0] == told[1]
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]


def test_failed_command_leaves_its_output_file_unchanged(faulty: FaultServer, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text("yesterday's")
    assert call("costs", faulty.url_of("aurora"), "--window", "3m", "--output", str(file)).code == 2
    assert file.read_text() == "yesterday's"
    done = call("costs", faulty.fault_url("500", "aurora"), *DAY, "--format", "json", "--output", str(file))
    assert (done.code, json.loads(file.read_text())["status"]) == (3, "error")  # that is an answer, too
    asked = len(faulty.asked)
    done = call("costs", faulty.url_of("aurora"), *DAY, "--output", str(tmp_path / "no" / "folder"))
    assert (done.code, done.out) == (2, "")
    assert "can't be written: No such file or directory" in done.err
    assert len(faulty.asked) == asked, "nothing was asked in vain"


def test_quiet_prints_the_answer_only(replay: ReplayServer) -> None:
    question = ("costs", replay.url_of("aurora"), replay.url_of("draco"), *DAY)
    more = {"KUBETALLY_PROMETHEUS_URL": NOBODY, "KUBETALLY_HOMES": "x"}
    loud, quiet = call(*question, **more), call(*question, "--quiet", **more)
    assert loud.err.count("warning: ") == 2
    assert (quiet.code, quiet.err) == (0, "")
    assert loud.out == quiet.out + "Rounded so that parts add up; --format json and csv have all six decimals.\n"


# --- as a process


def test_in_a_pipe_the_output_is_clean(faulty: FaultServer) -> None:
    urls = ("--url", faulty.url_of("aurora"), "--url", faulty.fault_url("html", "draco"))
    done = run("costs", *urls, *DAY, "--by", "workload")
    assert done.code == 0
    assert clean(done.out)
    assert "Asking" not in done.out + done.err
    assert "web page" not in done.out
    assert "web page" in done.err


def test_terminal_without_unicode_shows_replacements(replay: ReplayServer) -> None:
    done = run("report", "--url", replay.url_of("aurora"), *DAY, PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert "#######............." in done.out


def on_a_terminal(columns: int, *args: str) -> list[str]:
    """The lines that the program prints on a terminal of that width, without styles."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, *args], stdout=theirs, stderr=theirs, env=environment())
    os.close(theirs)
    read = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the end of a terminal
            break
        if not piece:
            break
        read += piece
    os.close(ours)
    assert process.wait(60) == 0
    lines = ANSI.sub("", read.decode()).replace("\r\n", "\n").split("\n")
    return [line.rsplit("\r", 1)[-1] for line in lines]


@pytest.mark.parametrize("by", ["summary", "namespace", "workload"])
def test_no_table_breaks_on_a_terminal_of_80_columns(replay: ReplayServer, by: str) -> None:
    urls = ("--url", replay.url_of("aurora"), "--url", replay.url_of("draco"))
    lines = on_a_terminal(80, "costs", *urls, *WHOLE, "--by", by)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    body = call("costs", *urls, *WHOLE, "--by", by, "--format", "json").json
    rows = [
        row
        for cluster in body
        for key in ("breakdown_by_namespace", "breakdown_by_workload")
        for row in cluster.get(key, [])
    ]
    figures = [cluster["summary"] for cluster in body] + (rows if by == "namespace" else [])
    for row in figures:
        for key in ("total_cost", "network_cost"):  # rounded so that the table adds up
            assert any(f"{row[key] + cents / 100:,.2f}" in text for cents in (0, -1, 1))


def test_doctor_takes_urls_as_options(replay: ReplayServer) -> None:
    url = replay.url_of("aurora")
    asked = [call("doctor", *place, *DAY) for place in ((url,), ("--url", url), (url, "--url", url))]
    assert {done.code for done in asked} == {0}
    assert {done.out.splitlines()[0] for done in asked} == {url}
    assert [done.out.count("product: OpenCost") for done in asked] == [1, 1, 1]


def test_doctor_wraps_lines_between_words(replay: ReplayServer) -> None:
    lines = on_a_terminal(60, "doctor", replay.url_of("aurora"), *DAY)
    assert max(map(len, lines)) <= 60
    assert "           do: name its Prometheus with --prometheus-url" in "\n".join(lines)


def test_closed_pipe_gives_no_traceback(replay: ReplayServer) -> None:
    urls = [part for name in ALL for part in ("--url", replay.url_of(name))]
    process = subprocess.Popen(
        [PROGRAM, "costs", *urls, *WHOLE, "--by", "workload", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert (process.wait(60), err) == (0, "")


def test_closed_pipe_keeps_the_exit_code(replay: ReplayServer) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.Popen(
        [PROGRAM, "verify", "--url", replay.url_of("aurora"), *DAY, "--tolerance", "0.001%"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(theirs)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")


def test_ctrl_c_ends_with_130_and_no_traceback(faulty: FaultServer) -> None:
    process = subprocess.Popen(
        [PROGRAM, "costs", "--url", faulty.fault_url("hang", "aurora"), *DAY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    while not any(request.path == "/allocation" for request in faulty.asked):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


# --- demo and help


def test_demo_shows_three_clusters_from_any_folder() -> None:
    nowhere = "http://127.0.0.1:1"
    more = {
        "http_proxy": nowhere,
        "HTTPS_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "no_proxy": "",
        "TZ": "Pacific/Kiritimati",
    }
    done = run("demo", "--once", KUBETALLY_READ_SECONDS="abc", KUBECOST_API_URL="nothing", **more)
    assert (done.code, done.err) == (0, "")
    assert clean(done.out)
    for name in ALL:
        assert re.search(rf"^{name} http://127\.0\.0\.1:\d+/{name}, OpenCost", done.out, re.MULTILINE)
    assert done.out.count("component         cost  workloads") == 3
    assert done.out.count("Efficiency: CPU") == 3
    assert done.out.count("72 of 72 h, ok, assets complete") == 3
    assert re.search(r"^aurora +ok, assets complete +247\.45 USD +246\.54 ", done.out, re.MULTILINE)
    assert "Not your costs" in done.out


@pytest.mark.parametrize("command", COMMANDS[:-3])
def test_help_of_each_command_has_an_example(command: str) -> None:
    done = call(command, "--help", KUBETALLY_LOG_LEVEL="loud")
    assert done.code == 0
    example = re.search(rf"Examples?:\n +(kubetally {command}.*)\n", done.out)
    assert example
    assert max(map(len, done.out.splitlines())) <= 80
    assert not re.findall(r"<(?:list|str|int|path|float)\b[^>]*>", done.out)  # types of Python


@pytest.mark.parametrize("command", [*COMMANDS[:4]])
def test_examples_of_commands_can_be_run(replay: ReplayServer, command: str) -> None:
    example = re.search(rf"Examples?:\n +kubetally ({command}.*)\n", call(command, "--help").out)
    assert example
    words = example[1].replace("http://localhost:9003", replay.url_of("aurora")).split()
    windows = {"7d": "2026-11-20,2026-11-21", "yesterday": "2026-11-20,2026-11-21"}
    words = [windows.get(word, word) if before == "--window" else word for before, word in pairwise(["", *words])]
    done = call(*words, *(() if "--window" in words else DAY))
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "command", ["costs --url {}", "verify --url {}", "report --url {}", "doctor {}", "serve", "accounts list"]
)
def test_every_command_refuses_an_invalid_setting(replay: ReplayServer, command: str) -> None:
    done = call(*command.format(replay.url_of("aurora")).split(), KUBETALLY_PROMETHEUS_URL="prometheus:9090")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: KUBETALLY_PROMETHEUS_URL can't be used: the URL 'prometheus:9090' must begin")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["costs"], ["doctor"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from kubetally.cli.main import main\n"
        f"try: main({[*args, '--help']!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, check=True
    )
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert "typer" in loaded
    assert not loaded & {"httpx", "pydantic", "rich", "msgspec", "structlog", "stamina", "ssl", "http"}


def test_the_version_and_the_list_of_commands() -> None:
    assert run("--version").out.startswith("kubetally 0.")
    listed = call("--help").out
    assert all(re.search(rf"^  {command} +\w.*\w\.$", listed, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("costs", "--infrastructure", "legacy"), "'legacy' is not one of 'measured', 'legacy_sum'"),
        (("accounts", "add"), "missing argument 'NAME'"),
        (("nothing",), "no such command 'nothing'"),
        (("costs", "--nothing"), "no such option: --nothing"),
        (("serve", "--port", "x"), "'--port': 'x' is not a whole number from 0 to 65535: see"),
        (("serve", "--port", "99999"), "'--port': '99999' is not a whole number from 0 to 65535: see"),
        (("cost",), "no such command 'cost'. Did you mean 'costs'? see `"),
    ],
)
def test_usage_error_is_one_line(args: tuple[str, ...], words: str) -> None:
    done = call(*args)
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "Value error" not in line
    assert line.endswith("--help`")

"""Cached answers of the native API by a token beside the same by the secret, and lists of many accounts and tokens."""

import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.query import SECRET, serve
from bench.service import load_of
from bench.table import Line
from kubetally.domain.access import Role
from kubetally.domain.account import Account, AccountType
from kubetally.ledger.accounts.tokens import TokenDraft, add_token
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger

ACCOUNTS, TOKENS = 10_000, 1_000
_FLEET = ("--clusters", "3", "--pods", "50", "--days", "5", "--last", "2026-11-20")
_PATH = "/api/v1/costs?start=2026-11-16&end=2026-11-21&group=cluster,namespace"
_CLIENTS, _TURNS, _SECONDS_A_TURN = 32, 12, 1.0
_MANY, _MANY_SECONDS = 200, 30.0
_LEAST = 0.9
_MOST_MS = 50.0
_MOST_TIMES = 20.0


def lines() -> list[Line]:
    """A served sample fleet, asked in turns; then many accounts and tokens in an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder, "home"))
        command = (sys.executable, "-m", "kubetally", "sample", *_FLEET, "--out", home)
        subprocess.run(command, check=True, capture_output=True)
        with open_ledger(replace(Settings(), home=home)) as ledger:
            draft = TokenDraft(Role.VIEWER)
            token = add_token(ledger.tokens, ledger.organizations, ledger.clock, draft, owner="bench").text
        answers = [*_answers(home, token)]
    with tempfile.TemporaryDirectory() as folder:
        return [*answers, *_lists(str(Path(folder, "home")))]


def _answers(home: str, token: str) -> list[Line]:
    requests = {
        name: f"GET {_PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n\r\n"
        for name, header in {"secret": f"Secret: {SECRET}", "token": f"Authorization: Bearer {token}"}.items()
    }
    with serve(home) as server:
        for request in requests.values():
            load_of(server, request, 1, 1.0)  # computed once, and kept
        turns = [
            {name: load_of(server, request, _CLIENTS, _SECONDS_A_TURN) for name, request in requests.items()}
            for _ in range(_TURNS)
        ]
        before = server.peak_mib()
        many = load_of(server, requests["token"], _MANY, _MANY_SECONDS)
        grown = server.peak_mib() - before
    assert not sum(load.errors for turn in turns for load in turn.values())
    ratio = median(turn["token"].rate / turn["secret"].rate for turn in turns)
    rates = {name: median(turn[name].rate for turn in turns) for name in requests}
    times = many.most_ms / many.half_ms
    return [
        Line(
            "access",
            "cached costs by a token, beside the same by the secret",
            f"{rates['token']:,.0f}/s of {rates['secret']:,.0f}/s: {ratio:.0%}",
            f"at least {_LEAST:.0%}",
            ratio >= _LEAST,
        ),
        Line(
            "access",
            f"{_MANY} clients with a token for {_MANY_SECONDS:.0f} s",
            f"{many.rate:,.0f}/s, {many.errors} errors; 99 % within {times:.1f}x the median; {grown} MiB more memory",
            f"no error, under {_MOST_TIMES:.0f}x",
            not many.errors and times < _MOST_TIMES,
        ),
    ]


def _lists(home: str) -> list[Line]:
    with open_ledger(replace(Settings(), home=home)) as ledger:
        organization = ledger.organizations.find()
        accounts = [
            Account(str(uuid.uuid4()), organization.id, f"cluster-{number:05}", AccountType.KUBERNETES_CNR)
            for number in range(ACCOUNTS)
        ]
        ledger.accounts.add_all(accounts)
        for number in range(TOKENS):
            draft = TokenDraft(Role.VIEWER, name=f"token-{number:04}", filter='namespace:"shop"')
            add_token(ledger.tokens, ledger.organizations, ledger.clock, draft, owner="bench")
        tokens = _least_ms(lambda: ledger.tokens.all(organization.id))
        listed = _least_ms(ledger.accounts.listed)
        newest = _least_ms(lambda: ledger.audit.newest(organization.id, limit=200))
    return [
        Line("access", f"listing {TOKENS:,} tokens", f"{tokens:.0f} ms", f"under {_MOST_MS:.0f} ms", tokens < _MOST_MS),
        Line("access", f"names of {ACCOUNTS:,} accounts", f"{listed:.0f} ms"),
        Line(
            "access",
            f"the newest 200 of {ACCOUNTS + TOKENS:,} changes",
            f"{newest:.1f} ms",
            f"under {_MOST_MS:.0f} ms",
            newest < _MOST_MS,
        ),
    ]


def _least_ms(ask: Any) -> float:
    def once() -> float:
        began = time.perf_counter()
        ask()
        return (time.perf_counter() - began) * 1e3

    return min(once() for _ in range(7))

"""A function in a process of its own, so that no case finds the caches or the memory of another."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any


def run(case: Callable[..., Mapping[str, Any]], *arguments: str) -> dict[str, Any]:
    """What `case` returns, with JSON between; it has to be a function of a module."""
    command = [sys.executable, "-m", "bench.fresh", case.__module__, case.__name__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # log lines may come first
    return answer


def in_turns(
    cases: Mapping[str, Callable[..., Mapping[str, Any]]], *arguments: str, times: int
) -> dict[str, dict[str, float]]:
    """The medians of what each case returns, run A B C A B C, so that what else the machine does hits all alike."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for _ in range(times):
        for name, case in cases.items():
            answers[name].append(run(case, *arguments))
    return {name: {key: median(one[key] for one in all_) for key in all_[0]} for name, all_ in answers.items()}


if __name__ == "__main__":
    module, function, *words = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), function)(*words)))

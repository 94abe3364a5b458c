"""Every error of the package ends a command with the exit code of its family, and says who it is."""

import ast
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

import kubetally
from kubetally.cli import exits
from kubetally.domain.component import ZERO, Costs
from kubetally.domain.damage import FileDamage
from kubetally.domain.errors import (
    BalanceError,
    Forbidden,
    Gone,
    KubetallyError,
    NotFound,
    RequestError,
    SourceError,
    StoreError,
)
from kubetally.domain.window import Window, parse_instant

FAMILIES = {
    RequestError: exits.USAGE,
    NotFound: exits.USAGE,
    Forbidden: exits.USAGE,
    Gone: exits.USAGE,
    SourceError: exits.NO_SOURCE,
    StoreError: exits.NO_SOURCE,
    BalanceError: exits.NO_SOURCE,
}


def all_errors() -> list[type[KubetallyError]]:
    """Every subclass of KubetallyError in any module of the package."""
    for module in pkgutil.walk_packages(kubetally.__path__, "kubetally."):
        import_module(module.name)
    found, waiting = [], [KubetallyError]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        found += [error_class for error_class in subclasses if error_class.__module__.startswith("kubetally.")]
    return list(dict.fromkeys(found))


def codes_given_to_families() -> set[str]:
    """Every code in a call such as `RequestError("...", code="no_cluster")`."""
    codes = set[str]()
    for file in Path(kubetally.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {kind.__name__ for kind in FAMILIES}:
                values = [word.value for word in node.keywords if word.arg == "code"]
                codes |= {str(value.value) for value in values if isinstance(value, ast.Constant)}
    return codes


CLASSES = all_errors()


def made(kind: type[KubetallyError]) -> KubetallyError:
    """One of `kind`, of made-up facts."""
    window = Window(parse_instant("2026-11-20"), parse_instant("2026-11-21"))
    samples = {int: 3, float: 3.0, bool: True, str: "something", Path: Path("file.pem"), Window: window, Costs: ZERO}
    samples |= {FileDamage: FileDamage("allocations", "_delta_log/3.json", "its checksum differs")}
    samples |= {KubetallyError: KubetallyError("something"), datetime: window.start, date: window.start.date()}
    hints = get_type_hints(kind.__init__)
    facts: dict[str, object] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.default is not parameter.empty or parameter.kind in {
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        }:
            continue
        hint = hints[name]
        words = [one for one in (hint, *get_args(hint)) if inspect.isclass(one) and issubclass(one, str)]
        known = next((samples[one] for one in (hint, *get_args(hint)) if one in samples and one is not str), None)
        if known is not None or hint is str:
            sample = "something" if hint is str else known
            facts[name] = (sample,) if get_origin(hint) is Sequence else sample
        elif get_origin(hint) is Mapping:
            facts[name] = {"one": "two"}
        elif inspect.isclass(hint) and issubclass(hint, Enum):
            facts[name] = next(iter(hint))
        elif words:
            facts[name] = ("one", "two") if get_origin(hint) in {Iterable, Sequence, tuple} else "something"
        else:
            pytest.fail(f"{kind.__name__}: give this test a sample of {name}: {hint}")
    return kind(**facts)


def test_every_layer_has_errors() -> None:
    layers = {error_class.__module__.split(".")[1] for error_class in CLASSES}
    assert {"cli", "domain", "ledger", "sources", "store"} <= layers


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_exit_code_is_that_of_the_error_family(kind: type[KubetallyError]) -> None:
    families = [family for family in FAMILIES if issubclass(kind, family)]
    assert len(families) == 1, f"{kind.__name__} belongs to one family"
    assert exits.exit_code(kind.__new__(kind)) == FAMILIES[families[0]]


def test_every_error_has_a_code_of_its_own() -> None:
    missing = [error_class.__name__ for error_class in CLASSES if "code" not in vars(error_class)]
    assert missing == []
    codes = [error_class.code for error_class in CLASSES] + sorted(codes_given_to_families())
    assert [code for code, times in Counter(codes).items() if times > 1] == []


@pytest.mark.parametrize(
    "kind",
    [error_class for error_class in CLASSES if error_class not in FAMILIES],
    ids=lambda kind: kind.__name__,
)
def test_every_error_writes_its_own_message(kind: type[KubetallyError]) -> None:
    assert kind.__doc__
    message = str(made(kind))
    assert len(message) > 15
    assert "\n" not in message
    assert "None" not in message


def test_unmapped_family_is_a_failure() -> None:
    assert exits.exit_code(KubetallyError("new")) == exits.NO_SOURCE

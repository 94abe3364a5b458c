"""Public functions take values that could be swapped by name."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import kubetally

SOURCES = Path(kubetally.__file__).parent
PLAIN = frozenset({"str", "int", "float", "datetime", "date", "Window"})
SENTENCES = frozenset({"why", "message", "problem", "todo", "remedy"})
"""Names of sentences for people: no caller confuses them with the value before them."""
SENSIBLE = {
    "cli.options.UnreadableTime(option, text)": "the option, then what was typed, as on the command line",
    "cli.options.date_of(option, text)": "the option, then what was typed, as on the command line",
    "cli.options.instant_of(option, text)": "the option, then what was typed, as on the command line",
    "domain.source_url.InvalidSourceUrl(why, what)": "sentences for people",
    "domain.source_url.SourceUrl.parse(text, what)": "`what` names the URL for people",
    "sources.access_settings.parse_headers(setting, text)": "the name, then the value",
    "sources.faults.AnswerNotUnderstood(why, starts_with)": "sentences for people",
    "sources.faults.AnswerNotUnderstood(starts_with, said)": "sentences for people",
    "store.lake.ranged_file.RangedFile.fetch(begin, end)": "a range, as slices have it",
    "store.lake.ranged_file.RangedFile.seek(offset, whence)": "the standard library names it so",
    "store.meta.faults.schema_mismatch(database, difference)": "a sentence for people",
    "web.html.page(title, body)": "a document, from top to bottom",
}


def neighbors() -> Iterator[str]:
    """Public functions with two neighboring positional parameters of one plain type."""
    for file in sorted(SOURCES.rglob("*.py")):
        if "versions" not in file.parts:  # migrations, which alembic calls
            module = ".".join(file.relative_to(SOURCES).with_suffix("").parts)
            yield from _of_body(ast.parse(file.read_text("utf-8")), module)


def _of_body(scope: ast.Module | ast.ClassDef, path: str) -> Iterator[str]:
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _of_body(node, f"{path}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = path if node.name == "__init__" else f"{path}.{node.name}"
            if node.name == "__init__" or not node.name.startswith("_"):
                yield from (f"{name}({pair})" for pair in _pairs(node.args))


def _pairs(arguments: ast.arguments) -> Iterator[str]:
    for before, after in pairwise([*arguments.posonlyargs, *arguments.args]):
        shared = _plain_type(before)
        if shared is not None and shared == _plain_type(after) and after.arg not in SENTENCES:
            yield f"{before.arg}, {after.arg}"


def _plain_type(argument: ast.arg) -> str | None:
    """The type of a parameter, or the one that it has if it is not None; only plain ones."""
    if argument.annotation is None:
        return None
    names = set(ast.unparse(argument.annotation).replace('"', "").replace("'", "").split(" | ")) - {"None"}
    return names.pop() if len(names) == 1 and names <= PLAIN else None


def test_values_that_could_be_swapped_are_passed_by_name() -> None:
    assert sorted(neighbors()) == sorted(SENSIBLE)


def test_neighbors_of_one_plain_type_are_found() -> None:
    code = "def a(x: str, y: 'str | None', *, z: str): ...\nclass B:\n    def c(self, n: int, m: int, s: str): ..."
    assert list(_of_body(ast.parse(code), "m")) == ["m.a(x, y)", "m.B.c(n, m)"]

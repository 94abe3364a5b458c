"""The examples of README.md and docs/*.md, and a source and a shell in which they run."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from markdown_it import MarkdownIt

from tests.integration.commands import Done, call
from tests.recordings import Recording
from tests.served import NOT_FOUND, Asked, Reply

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
DAYS_HELD = 5
"""How many days before today the everlasting source holds, beside the recorded ones."""


@dataclass(frozen=True)
class Example:
    """A block of a page. `language`: of a fenced block what it states, of an indented one python or shell."""

    page: str
    line: int
    language: str
    content: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """What a user types of a block for a shell: a continued line is one, comments and printed lines are none.

        Where a line begins with `$ `, only such lines are typed.
        """
        lines = self.content.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        typed = (re.sub(r"(^| +)#.*$", "", line).strip() for line in lines)
        return [re.sub(r"\s+", " ", line) for line in typed if line]

    @property
    def printed(self) -> str:
        """What the page shows as printed by the only command of the block."""
        return "".join(f"{line}\n" for line in self.content.splitlines() if not line.startswith("$ "))


def examples() -> Iterator[Example]:
    """Every block of every page, fenced or indented."""
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text("utf-8")):
            if token.type in {"fence", "code_block"} and token.map is not None:
                language = token.info.strip() or _language_of(token.content)
                yield Example(str(page.relative_to(ROOT)), token.map[0] + 1, language, token.content)


def service_exports(page: str) -> list[str]:
    """The commands of a page that name the service for its other examples."""
    commands = (command for example in examples() if example.page == page for command in example.commands)
    return [command for command in commands if command.startswith(("export URL=", "export SECRET="))]


def _language_of(content: str) -> str:
    return "python" if re.match(r"(from|import) \w", content) else "shell"


def inline_commands() -> Iterator[tuple[str, str]]:
    """Commands within sentences and tables, with where they stand."""
    for page in PAGES:
        for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
            for child in token.children or ():
                if child.type == "code_inline" and child.content.startswith("kubetally "):
                    yield str(page.relative_to(ROOT)), child.content


class EverlastingSource:
    """An OpenCost that tells a recorded day for each of the last days too, with the dates changed."""

    def answers(self, asked: Asked) -> Any:
        found = Recording("aurora").cluster.find(asked.path, asked.params)
        if found is not None:
            return Reply(found.status, found.body(), found.content_type or "")
        if not asked.path.startswith(("/allocation", "/assets")):
            return NOT_FOUND
        day = _whole_day(asked.params.get("window", ""))
        today = datetime.now(UTC).date()
        if day is None or not today - timedelta(days=DAYS_HELD) <= day < today:
            return {"code": 200, "data": {} if asked.path == "/assets" else [{}]}
        recorded = date(2026, 11, 20 + day.toordinal() % 3)
        window = f"{recorded}T00:00:00Z,{recorded + timedelta(days=1)}T00:00:00Z"
        found = Recording("aurora").cluster.find(asked.path, {**asked.params, "window": window})
        if found is None:
            return NOT_FOUND
        return json.loads(_moved(found.body().decode(), day - recorded))


def _whole_day(window: str) -> date | None:
    start, _, end = window.partition(",")
    try:
        first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    except ValueError:
        return None
    is_day = first == datetime.combine(first.date(), datetime.min.time(), UTC) and last - first == timedelta(days=1)
    return first.date() if is_day else None


def _moved(text: str, by: timedelta) -> str:
    return re.sub(r"2026-11-(?:1|2)\d", lambda match: str(date.fromisoformat(match[0]) + by), text)


@dataclass
class Shell:
    """Types commands: `kubetally` runs in this process, `curl` is sent by httpx, words are split by a real shell."""

    folder: Path
    environment: dict[str, str]
    stands_for: Mapping[str, str]
    exported: dict[str, str] = field(default_factory=dict)

    def meant(self, text: str) -> str:
        """The text with everything in it that the machine of a reader has and this one has not."""
        for pattern, here in self.stands_for.items():
            text = re.sub(pattern, lambda _, here=here: here, text)  # type: ignore[misc]
        return text

    def run(self, command: str) -> Done:
        """Run one command."""
        words = self._words(self.meant(command))
        more = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            more[name] = value
        program, *args = words
        if program == "export":
            self.exported |= dict(word.split("=", 1) for word in args)
            return Done(0, "", "")
        if program == "curl":
            return _curl(args)
        assert program == "kubetally", f"no decision how to run {command!r}: see the docstring of this test module"
        return call(*args, **{**self.environment, **self.exported, **more})

    def _words(self, command: str) -> list[str]:
        """The words as a shell splits them, with variables and files put in."""
        variables = " ".join(f"{name}={shlex.quote(value)};" for name, value in self.exported.items())
        script = f'{variables} set -- {command}; for word; do printf "%s\\0" "$word"; done'
        env = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, env=env, check=True)
        assert not done.stderr, done.stderr
        return done.stdout.split("\0")[:-1]


def _curl(args: list[str]) -> Done:
    headers, urls, query, output = {}, [], list[tuple[str, str]](), None
    words = iter(args)
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "--data-urlencode":
            name, _, value = next(words).partition("=")
            query.append((name, value))
        elif word == "--output":
            output = Path(next(words))
        elif word == "-G":
            assert "--data-urlencode" in args, "-G makes a query of what is given as data"
        else:
            assert not word.startswith("-"), f"tests know no option {word} of curl: add it here"
            urls.append(word)
    (url,) = urls
    assert urlsplit(url).scheme == "http", url
    answer = httpx.get(url, params=query or None, headers=headers, timeout=60, trust_env=False)
    if output is not None:
        output.write_bytes(answer.content)
    return Done(0 if answer.is_success else 22, answer.text, "" if answer.is_success else answer.text)

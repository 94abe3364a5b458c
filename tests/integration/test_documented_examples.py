"""Every example of README.md and docs/*.md runs as it is printed.

To add an example, write it into the page as a fenced or indented block; the tests find and run it.

- The commands of a block run one after the other in a home folder of their own. It is a copy of one with the accounts
  `prod` (some days collected) and `staging` (a kubeconfig context), without the accounts that the block adds itself.
- `kubetally` runs in this process. `curl` asks a `kubetally serve` that runs on the filled home. Python, with the SQL
  in it, is executed.
- `export URL=...` and `export SECRET=...` hold for every block of the page.
- Below a command that begins with `$ ` the page has to show exactly what the command prints.
- Addresses, folders and ids that only a reader has are replaced by `Here.stands_for`.
- What can't run here stands in NOT_RUN, with the reason. Any other command has to exit with 0, or as MAY_EXIT says.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import typer.main

from kubetally.cli.main import app
from tests.integration import api_server as charts
from tests.integration.api_server import JANE, ApiServer
from tests.integration.commands import PROGRAM, call, environment
from tests.integration.documented import (
    EverlastingSource,
    Example,
    Shell,
    examples,
    inline_commands,
    service_exports,
)
from tests.integration.metrics_servers import Prometheus
from tests.integration.test_discovery import SECRET, Kubeconfig
from tests.integration.test_serve_command import Program
from tests.served import Served

NOT_RUN = {
    "pip install 'kubetally[spark]'": "would install Spark, which the tests have",
    "make run": "sets up a machine; tests/unit/test_tasks.py looks at it",
    "make test": "would run these tests",
    'export PATH="$PWD/.venv/bin:$PATH"': "is of the reader's shell",
    "kubectl -n opencost port-forward service/opencost 9003 &": "needs a cluster",
    "kubetally serve": "runs as long as these tests do, on another port: see the fixture `service`",
    "export KUBETALLY_OPTSCALE_DATABASE_URL=mariadb://root:password@mariadb/my-db": "test_optscale_migration.py",
    "kubetally migrate optscale --set "
    "7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11=http://kubecost-cost-analyzer.kubecost:9090": "test_optscale_migration.py",
}
MAY_EXIT = {
    "kubetally costs --strict --quiet --window lastmonth --format csv --output costs.csv": 3,  # without data
}
"""Codes with which a command may exit, beside 0."""
SHELL = ("shell", "console", "sh", "bash")
OF_OTHERS = ("nginx", "text")  # configuration of programs that no test starts, and what commands print
IN_RECIPES = ("json", "yaml", "powerquery", "javascript")  # test_recipes.py checks what they ask for
NO_COMMANDS = ("bill  =  workloads + idle",)
"""Beginnings of blocks that nobody types."""


class Here:
    """All that examples need, started once."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.source = stack.enter_context(Served(EverlastingSource().answers))
        self.cluster = stack.enter_context(ApiServer(ca := trustme.CA(), charts.OPENCOST))
        self.cluster.tokens[SECRET] = JANE
        self.cluster.behind["opencost/opencost:9003"] = self.source.url
        self.prometheus = Prometheus()
        stack.callback(self.prometheus.close)
        self.kubeconfig = folder / "kubeconfig"
        content = json.loads(Kubeconfig(folder, self.cluster.url, ca).write().read_text("utf-8"))
        content["contexts"].append({**content["contexts"][0], "name": "staging"})
        self.kubeconfig.write_text(json.dumps(content), "utf-8")
        self.filled = folder / "filled" / ".kubetally"
        self.prod = self._fill()
        self.as_of = datetime.now(UTC)
        self.service: Program = stack.enter_context(
            running(folder / "service", "serve", "--port", "0", "--no-collector", **self.environment())
        )
        self.service.until(r"Secret: .*\n")

    def environment(self, home: Path | None = None) -> dict[str, str]:
        return {"KUBETALLY_HOME": str(home or self.filled), "KUBECONFIG": str(self.kubeconfig)}

    def _fill(self) -> str:
        def done(*args: str) -> str:
            ended = call(*args, **self.environment())
            assert ended.code == 0, ended.err
            return ended.out.strip()

        prod = done("accounts", "add", "prod", "--url", self.source.url)
        done("backfill", "prod", "--from", "2026-11-20", "--to", "2026-11-23")
        done("collect")
        done("accounts", "add", "staging", "--context", "staging")
        return prod

    def stands_for(self) -> dict[str, str]:
        """What is put in place of addresses, folders and ids, by regular expression."""
        return {
            r"http://(localhost|opencost\.prod\.example):9003": self.source.url,
            r"http://kubecost-cost-analyzer\.kubecost:9090": self.source.url,
            r"http://127\.0\.0\.1:PORT/aurora": self.source.url,
            r"http://(localhost:9090|thanos\.example:9090|prometheus\.prod\.example:9090)": self.prometheus.url,
            r"http://127\.0\.0\.1:8080": self.service.url,
            r"/var/lib/kubetally/lake": str(self.filled / "lake"),
            r"/backups": str(self.folder),
            r"/tmp/fleet": str(self.folder / "fleet"),  # noqa: S108  (a page names it)
            r"cloud_account_id=ID": f"cloud_account_id={self.prod}",
            r"--as-of 2026-12-03": f"--as-of {self.as_of.isoformat()}",
            r"2026-11-01 --to 2026-11-08": "2026-11-20 --to 2026-11-23",
        }

    def shell(self, example: Example) -> Shell:
        """One that begins with the filled home, without the accounts that the example adds."""
        home = self.folder / re.sub(r"\W", "-", example.name) / ".kubetally"
        shutil.copytree(self.filled, home)
        shell = Shell(home.parent, self.environment(home), self.stands_for())
        for name in re.findall(r"accounts add (\w\S*)", example.content):
            call("accounts", "remove", name, **shell.environment)
        for command in service_exports(example.page):
            shell.run(command)
        return shell


@contextmanager
def running(folder: Path, *args: str, **more: str) -> Iterator[Program]:
    """The installed program, whose output goes to files of a new folder."""
    folder.mkdir()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(**more)
        )
    try:
        yield Program(process, folder)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with ExitStack() as stack:
        yield Here(tmp_path_factory.mktemp("examples"), stack)


def blocks(*languages: str) -> list[Example]:
    return [
        example
        for example in examples()
        if example.language in languages and not example.content.startswith(NO_COMMANDS)
    ]


def named(one: Example) -> str:
    return one.name


@pytest.mark.parametrize("example", blocks(*SHELL), ids=named)
def test_what_is_typed_at_a_prompt_works(here: Here, example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = here.shell(example)
    monkeypatch.chdir(shell.folder)
    for command in example.commands:
        if command in NOT_RUN:
            continue
        if " restore " in command:
            shell.environment = here.environment(here.folder / "restored")
        done = shell.run(command)
        assert done.code in {0, MAY_EXIT.get(command, 0)}, f"{command}\n{done.out}\n{done.err}"
        if example.content.startswith("$ "):
            assert done.out.replace(here.source.url, "http://localhost:9003") == example.printed


@pytest.mark.parametrize("example", blocks("python"), ids=named)
def test_python_runs(here: Here, example: Example) -> None:
    shell = here.shell(example)
    code = shell.meant(example.content)
    # In a process of its own: pyarrow can't use pandas where Kubetally has hidden it.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment(**shell.environment, HOME=str(shell.folder)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "print(" not in example.content or done.stdout


def test_what_does_not_run_is_in_the_pages() -> None:
    typed = {command for block in blocks(*SHELL) for command in block.commands}
    assert not (NOT_RUN.keys() | MAY_EXIT) - typed, "examples that are gone need no decision"
    assert {example.language for example in examples()} <= {*SHELL, *OF_OTHERS, *IN_RECIPES, "python"}, (
        "add a way to run it"
    )


def test_every_pattern_is_of_an_example(here: Here) -> None:
    text = "\n".join(example.content.replace("\\\n", " ") for example in examples())
    assert [pattern for pattern in here.stands_for() if not re.search(pattern, text)] == []


@pytest.mark.parametrize(("page", "command"), sorted(set(inline_commands())))
def test_commands_within_sentences_exist_with_their_options(page: str, command: str) -> None:
    _check_exists(command)


def subcommands(command: Any) -> dict[str, Any]:
    names = getattr(command, "list_commands", lambda _: ())(None)
    return {name: command.get_command(None, name) for name in names}


def helps() -> list[str]:
    """The examples of every command's help."""

    def walk(command: Any) -> Iterator[str]:
        yield from re.findall(r"^ *(?:\w+=\S+ )*(kubetally .*)$", command.help or "", re.MULTILINE)
        for subcommand in subcommands(command).values():
            yield from walk(subcommand)

    return sorted(set(walk(typer.main.get_command(app))))


@pytest.mark.parametrize("command", helps())
def test_the_examples_of_help_texts_exist_with_their_options(command: str) -> None:
    _check_exists(command)


def _check_exists(command: str) -> None:
    found: Any = typer.main.get_command(app)
    words = re.sub(r"[\[\]]|\\", " ", command).split()[1:]
    while words and (its := subcommands(found)):
        several: Sequence[str] = words.pop(0).split("|")
        if several[0].startswith("-"):
            words.insert(0, several[0])
            break
        assert set(several) <= its.keys(), command
        found = its[several[0]]
    known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert used <= known, command

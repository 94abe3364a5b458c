"""Every example of docs/api.md has figures when it asks a demo, with the two lines that the demo prints."""

import csv
import json
from collections.abc import Iterator

import pytest

from tests.integration.documented import Example, Shell, examples
from tests.integration.test_documented_examples import running

EXAMPLES = [example for example in examples() if example.page == "docs/api.md" and example.content.startswith("curl ")]
LISTS = ("rows", "lines", "days", "clusters", "labels")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Another terminal beside a demo."""
    folder = tmp_path_factory.mktemp("examples")
    with running(folder / "demo", "demo", "--port", "0", TMPDIR=str(folder)) as demo:
        shell = Shell(folder, {}, {})
        for line in demo.until(r"For the examples of docs/api\.md.*\n\n((?:  export .*\n)+)")[1].splitlines():
            shell.run(line.strip())
        yield shell


def test_page_has_examples() -> None:
    assert len(EXAMPLES) > 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_has_figures_of_a_demo(shell: Shell, example: Example) -> None:
    (command,) = example.commands
    done = shell.run(command)
    assert done.code == 0, done.err
    if "/exports?" in command:
        assert len(list(csv.reader(done.out.splitlines()))) > 1
        return
    body = json.loads(done.out)
    if "/session" in command:
        assert [its["name"] for its in body["organizations"]] == ["default"]
        return
    assert body["coverage"]["hours_covered"] == body["coverage"]["hours_asked"] > 0
    assert any(body.get(name) for name in LISTS)
    assert not [issue for issue in body["issues"] if issue["kind"] == "no_match" or issue["is_missing_data"]]

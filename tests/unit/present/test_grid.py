"""Tables as lines."""

from hypothesis import given
from hypothesis import strategies as st

from kubetally.present.grid import Grid, printable

WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
FIGURES = st.decimals(-(10**6), 10**6, places=2).map(lambda amount: f"{amount:,}")


def text(grid: Grid, width: int | None = None, rule: str = "") -> str:
    return "\n".join(line for line, _ in grid.lines(width, rule))


def sample() -> Grid:
    grid = Grid(["component"], ["cost", "source shows"])
    grid.add(["CPU"], ["89.03", "89.03"])
    grid.add(["management"], instead="not measured")
    grid.rule()
    grid.add(["total"], ["1,247.45", "246.54"], style="bold")
    return grid


def test_names_are_left_and_figures_right_aligned() -> None:
    assert text(sample()) == (
        "component       cost  source shows\n"
        "CPU            89.03         89.03\n"
        "management  not measured\n"
        "total       1,247.45        246.54"
    )


def test_heading_of_two_words_is_folded_if_that_helps() -> None:
    assert text(sample(), 28, "-") == (
        "                      source\n"
        "component       cost   shows\n"
        "----------------------------\n"
        "CPU            89.03   89.03\n"
        "management  not measured\n"
        "----------------------------\n"
        "total       1,247.45  246.54"
    )


def test_columns_that_do_not_fit_go_below() -> None:
    assert text(sample(), 24) == (
        "component       cost\n"
        "CPU            89.03\n"
        "management  not measured\n"
        "total       1,247.45\n"
        "\n"
        "            source\n"
        "component    shows\n"
        "CPU          89.03\n"
        "total       246.54"
    )


def test_text_below_a_row_takes_no_column() -> None:
    grid = Grid(["pod"], ["cost", "hours"])
    grid.add(["web"], ["1.00", "24"], below="deployment web\a, node node-with-a-long-name")
    grid.add(["db"], ["2.00", "24"])
    lines = [line for line, _ in grid.lines(10)]
    assert lines == [
        *("pod  cost", "web  1.00", "  deployment web , node node-with-a-long-name", "db   2.00", ""),
        *("pod  hours", "web     24", "db      24"),
    ]


def test_grid_without_rows_is_its_heading() -> None:
    assert text(Grid(["namespace"], ["total"])) == "namespace  total"


def test_source_text_can_t_move_the_cursor() -> None:
    grid = Grid(["namespace"], ["total"])
    grid.add(["a\x1b[31mb\nc"], ["1.00"])
    assert "\x1b" not in text(grid)
    assert len(text(grid).splitlines()) == 2
    assert printable("\x1b]0;title\x07ok") == " ]0;title ok"


@given(
    names=st.lists(WORDS, min_size=1, max_size=3),
    headings=st.lists(st.lists(WORDS, min_size=1, max_size=2).map(" ".join), min_size=1, max_size=8),
    width=st.integers(1, 120),
    data=st.data(),
)
def test_no_figure_is_cut_and_no_line_ends_in_blanks(
    names: list[str], headings: list[str], width: int, data: st.DataObject
) -> None:
    grid, all_figures = Grid(names, headings), []
    for _ in range(data.draw(st.integers(0, 4))):
        figures = data.draw(st.lists(FIGURES, min_size=len(headings), max_size=len(headings)))
        grid.add([name[:3] for name in names], figures)
        all_figures += figures
    lines = [line for line, _ in grid.lines(width)]
    assert all(line == line.rstrip() for line in lines)
    shown = " ".join(lines).split()
    assert all(shown.count(figure) >= all_figures.count(figure) for figure in all_figures)
    # A line is too wide only if not even one column of figures fits.
    least = sum(map(len, names)) + 2 * len(names) + max(map(len, [*all_figures, *" ".join(headings).split()]))
    assert max(map(len, lines)) <= max(width, least)

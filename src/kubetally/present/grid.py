"""Tables as lines of plain text. No figure is cut: columns that do not fit go into a block below."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEADING, RULE = "bold", "dim"
Line = tuple[str, str]
"""A line without trailing blanks, and its style."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Whether headings are folded at blanks, and how many blanks separate columns."""

    folded: bool
    gap: int


_ROOMY, _TIGHT = _Layout(folded=False, gap=2), (_Layout(folded=True, gap=2), _Layout(folded=True, gap=1))


@dataclass(frozen=True, slots=True)
class _Row:
    names: tuple[str, ...]
    figures: tuple[str, ...]
    instead: str  # text in place of all figures
    style: str
    below: str  # text of a line of its own


class Grid:
    """A table: columns of names, then columns of figures, and rows in the order they are added."""

    def __init__(self, names: Sequence[str], figures: Sequence[str]) -> None:
        self._names, self._figures = tuple(names), tuple(figures)
        self._rows: list[_Row | None] = []

    def add(
        self,
        names: Sequence[str],
        figures: Sequence[str] = (),
        *,
        instead: str = "",
        style: str = "",
        below: str = "",
    ) -> None:
        """Add a row; missing cells are empty. instead: text in place of its figures. below: text under it, indented."""
        names = [printable(name) for name in names]
        names += [""] * (len(self._names) - len(names))
        cells = [*figures, *[""] * (len(self._figures) - len(figures))]
        self._rows.append(_Row(tuple(names), tuple(cells), instead, style, printable(below)))

    def rule(self) -> None:
        """Add a line between rows, for terminals only."""
        self._rows.append(None)

    def lines(self, width: int | None = None, rule: str = "") -> Iterator[Line]:
        """The lines of the table, within `width` if possible (None: any). rule: the character of rules, if any."""
        layout, blocks = self._arrange(width)
        for number, block in enumerate(blocks):
            if number:
                yield "", ""
            yield from self._block(block, layout, rule)

    def _arrange(self, width: int | None) -> tuple[_Layout, list[range]]:
        """The first layout that fits in one block, else blocks of as many figures as fit."""
        everything = range(len(self._figures))
        for layout in (_ROOMY, *_TIGHT):
            if width is None or self._width(everything, layout) <= width:
                return layout, [everything]
        layout, blocks, first = _TIGHT[0], list[range](), 0
        for last in everything:
            if last > first and width is not None and self._width(range(first, last + 1), layout) > width:
                blocks.append(range(first, last))
                first = last
        return layout, [*blocks, range(first, len(self._figures))]

    def _block(self, block: range, layout: _Layout, rule: str) -> Iterator[Line]:
        names = [self._name_width(i) for i in range(len(self._names))]
        figures = [self._figure_width(i, layout) for i in block]
        between = " " * layout.gap

        def line(left: Sequence[str], right: Sequence[str]) -> str:
            cells = [f"{cell:<{wide}}" for cell, wide in zip(left, names, strict=True)]
            cells += [f"{cell:>{wide}}" for cell, wide in zip(right, figures, strict=True)]
            return between.join(cells).rstrip()

        headings = [_heading(self._figures[i], layout) for i in block]
        height = max(map(len, headings), default=1)
        for level in range(-height, 0):
            right = [heading[level] if len(heading) >= -level else "" for heading in headings]
            yield line(self._names if level == -1 else [""] * len(names), right), HEADING
        wide = sum(names) + sum(figures) + layout.gap * (len(names) + len(figures) - 1)
        if rule:
            yield rule * wide, RULE
        for row in self._rows:
            if row is None:
                if rule:
                    yield rule * wide, RULE
            elif row.instead and block.start == 0:
                left = line(row.names, [""] * len(figures)).ljust(sum(names) + layout.gap * (len(names) - 1))
                yield left + between + row.instead, row.style
            elif block.start == 0 or any(row.figures[i] for i in block):
                yield line(row.names, [row.figures[i] for i in block]), row.style
            if row is not None and row.below and block.start == 0:
                yield f"  {row.below}", RULE

    def _width(self, block: range, layout: _Layout) -> int:
        columns = len(self._names) + len(block)
        names = sum(self._name_width(i) for i in range(len(self._names)))
        return names + sum(self._figure_width(i, layout) for i in block) + layout.gap * (columns - 1)

    def _name_width(self, i: int) -> int:
        return max(len(self._names[i]), *(len(row.names[i]) for row in self._rows if row), 0)

    def _figure_width(self, i: int, layout: _Layout) -> int:
        heading = max(map(len, _heading(self._figures[i], layout)))
        return max(heading, *(len(row.figures[i]) for row in self._rows if row), 0)


def printable(text: str) -> str:
    """`text` without control characters, which a source may send to steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def escaped(text: str) -> str:
    """`text` with control characters escaped as in JSON (`\\u001b`); line breaks stay."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text.replace("\x7f", "\\u007f")
    )


def _heading(text: str, layout: _Layout) -> list[str]:
    return text.split(" ") if layout.folded and text else [text]

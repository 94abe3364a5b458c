"""Keeps pyarrow from loading pandas, which the query engine brings along.

With the first array that it makes, pyarrow looks for pandas and loads it if it is installed, to recognise its columns.
Nothing here has any, and loading it takes a quarter of a second of each command.
"""

import sys

import pyarrow as pa


class _NoPandas:
    """Finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        """Nothing of our own; an error for pandas."""
        if name == "pandas":
            raise ImportError("pandas is not looked for", name=name)


def hide_pandas() -> None:
    """Let pyarrow look for pandas once, and not find it. Other libraries find it as before."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)

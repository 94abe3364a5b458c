"""Errors by their code."""

import pytest

from kubetally.domain.errors import KubetallyError


def raises_code(code: str, match: str | None = None) -> pytest.RaisesExc[KubetallyError]:
    """As `pytest.raises`, of an error with this code."""
    return pytest.raises(KubetallyError, match=match, check=lambda error: error.code == code)

"""Asking several things at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """An `asyncio.TaskGroup` whose first failure is raised as itself, not in a group of one."""
    failed: ExceptionGroup[Exception] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as of_one:
        failed = of_one
    if failed is not None:
        raise failed.exceptions[0]  # out here it keeps its own cause

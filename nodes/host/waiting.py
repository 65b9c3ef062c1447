"""Wait for something slow and let the person cancel it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import comfy.model_management

EVERY = 0.1  # seconds between looks at the interrupt button
GRACE = 1.0  # seconds for what was cancelled to clean up


async def cancellable(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`, or the host's interrupt exception within a tenth of a second of the button."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=EVERY)
            comfy.model_management.throw_exception_if_processing_interrupted()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)

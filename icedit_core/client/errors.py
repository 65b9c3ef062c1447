"""What can go wrong between this machine and a ComfyUI server, in the server's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ComfyError(RuntimeError):
    """Anything a ComfyUI server refused, broke off or failed at."""


class ServerUnreachable(ComfyError):
    """The server does not answer, or the connection was lost in mid-run."""


class RequestFailed(ComfyError):
    """The server answered a request with an HTTP error that is no validation error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnexpectedAnswer(ComfyError):
    """What came is not what a ComfyUI server says: another server, a proxy's page, or a broken message."""


class PromptRejected(ComfyError):
    """The server's validation found the graph wrong; the text names each node, input and complaint.

    Attributes:
        error: the server's `error` object ({} if only single nodes were rejected).
        node_errors: the server's `node_errors`, node id -> {class_type, errors, dependent_outputs}.
    """

    def __init__(self, error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> None:
        error, node_errors = as_object(error), as_object(node_errors)
        super().__init__(_rejection_text(error, node_errors))
        self.error = dict(error)
        self.node_errors = dict(node_errors)


class ExecutionFailed(ComfyError):
    """A node raised an exception while the graph ran.

    Attributes:
        node_id, node_type: the node that failed.
        exception_type: the server's name for the exception, e.g. `ValueError`.
        exception_message: what the node said.
        traceback: the server's traceback, a line per item.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.node_id = str(data.get("node_id", "?"))
        self.node_type = str(data.get("node_type", "?"))
        self.exception_type = str(data.get("exception_type", "?"))
        self.exception_message = str(data.get("exception_message", "")).strip()
        self.traceback = [str(line) for line in as_list(data.get("traceback"))]
        super().__init__(f"Node {self.node_id} ({self.node_type}): {self.exception_type}: {self.exception_message}")


class ExecutionInterrupted(ComfyError):
    """The run was interrupted, by us or by someone else, before it was done."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.node_id = str(data.get("node_id", "?"))
        self.node_type = str(data.get("node_type", "?"))
        super().__init__(f"Interrupted in node {self.node_id} ({self.node_type}).")


class RunTimeout(ComfyError, TimeoutError):
    """The graph was not done within the caller's time; it was taken off the server."""


def as_object(value: Any) -> Mapping[str, Any]:
    """A JSON object as it is, and {} for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """A JSON array as it is, and [] for anything else."""
    return value if isinstance(value, list) else []


def excerpt(value: object, most: int = 200) -> str:
    """What came, on one line and not too long, for an error."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = text.strip()
    cut = text if len(text) <= most else f"{text[:most]}..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) or "nothing"


def _rejection_text(error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> str:
    lines = []
    if error:
        # With node errors the server's details only repeat them, without the nodes' names.
        details = "" if node_errors else str(error.get("details") or "")
        lines.append(_joined(str(error.get("message") or error), details))
    else:
        lines.append("Only a part of the graph is valid")
    for node_id, node in node_errors.items():
        where = f"  node {node_id} ({as_object(node).get('class_type', '?')})"
        for entry in map(as_object, as_list(as_object(node).get("errors"))):
            name = as_object(entry.get("extra_info")).get("input_name")
            at = f"{where}, input '{name}'" if name else where
            lines.append(f"{at}: {_joined(str(entry.get('message', '?')), str(entry.get('details') or ''))}")
    return "\n".join(lines)


def _joined(message: str, details: str) -> str:
    return f"{message} ({details})" if details and details != message else message

"""What can go wrong between this machine and a ComfyUI server, in the server's own words, made fit to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import foreign

MOST_COMPLAINTS = 50  # of a refusal, that its text lists
MOST_TRACED = 200  # lines of a traceback that are kept


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
        self.node_id = foreign.line(data.get("node_id", "?"))
        self.node_type = foreign.line(data.get("node_type", "?"))
        self.exception_type = foreign.line(data.get("exception_type", "?"))
        self.exception_message = foreign.text(data.get("exception_message", ""))
        self.traceback = [foreign.text(line) for line in as_list(data.get("traceback"))[:MOST_TRACED]]
        message = foreign.indented(self.exception_message)
        super().__init__(f"Node {self.node_id} ({self.node_type}): {self.exception_type}: {message}")


class ExecutionInterrupted(ComfyError):
    """The run was interrupted, by us or by someone else, before it was done."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.node_id = foreign.line(data.get("node_id", "?"))
        self.node_type = foreign.line(data.get("node_type", "?"))
        super().__init__(f"Interrupted in node {self.node_id} ({self.node_type}).")


class RunTimeout(ComfyError, TimeoutError):
    """The graph was not done within the caller's time; it was taken off the server."""


def as_object(value: Any) -> Mapping[str, Any]:
    """A JSON object as it is, and {} for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """A JSON array as it is, and [] for anything else."""
    return value if isinstance(value, list) else []


def _rejection_text(error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> str:
    lines = []
    if error:
        # With node errors the server's details only repeat them, without the nodes' names.
        lines.append(_joined(error.get("message") or error, None if node_errors else error.get("details")))
    else:
        lines.append("Only a part of the graph is valid")
    for node_id, node in node_errors.items():
        where = f"  node {foreign.line(node_id)} ({foreign.line(as_object(node).get('class_type', '?'))})"
        for entry in map(as_object, as_list(as_object(node).get("errors"))):
            name = as_object(entry.get("extra_info")).get("input_name")
            at = f"{where}, input '{foreign.line(name)}'" if name else where
            lines.append(f"{at}: {_joined(entry.get('message', '?'), entry.get('details'))}")
        if not as_list(as_object(node).get("errors")):
            lines.append(f"{where}: refused without a reason")
    more = [f"  and {len(lines) - MOST_COMPLAINTS} more complaints"] if len(lines) > MOST_COMPLAINTS else []
    return "\n".join(lines[:MOST_COMPLAINTS] + more)


def _joined(message: object, details: object) -> str:
    said = foreign.line(message, 500)
    more = foreign.line(details, 500) if details else said
    return f"{said} ({more})" if more != said else said

"""What a node says to the person: on the node, in the history and in the log."""

import logging

from comfy_api.latest import ui
from server import PromptServer

logger = logging.getLogger(__name__)


def say(node, text: str, warning: bool = False) -> ui.PreviewText:
    """Show `text` on the running node and log it; return it as the node's ui output for the history.

    Args:
        node: the node class, with `hidden=[io.Hidden.unique_id]` in its schema.
    """
    logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", node.__name__.removesuffix("Clone"), text)
    if node.hidden.unique_id:
        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    return ui.PreviewText(text)

"""What a node says to the person: on the node, in the history and in the log."""

import html
import logging

from comfy_api.latest import ui
from server import PromptServer

from ...icedit_core import foreign

LONGEST = 50_000  # characters; a ranking of 64 candidates has its room

logger = logging.getLogger(__name__)


def say(node, text: str, warning: bool = False) -> ui.PreviewText:
    """Show `text` on the running node and log it; return it as the node's ui output for the history.

    Args:
        node: the node class, with `hidden=[io.Hidden.unique_id]` in its schema.
        text: may hold foreign words; what no log can take is shown escaped.
    """
    text = foreign.text(text, LONGEST)
    logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", node.__name__.removesuffix("Clone"), text)
    if node.hidden.unique_id:
        PromptServer.instance.send_progress_text(_as_html(text), node.hidden.unique_id)
    return ui.PreviewText(text)


def _as_html(text: str) -> str:
    """The page takes this text for HTML, and [[label|address]] for a link; neither is ever meant."""
    return html.escape(text, quote=False).replace("[[", "[&#91;")

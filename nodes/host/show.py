"""Pictures on the running node: small temporary files that the browser fetches, named in the history."""

from comfy_api.latest import ui
from torch import Tensor

from .report import say


def say_and_show(node, text: str, pictures: Tensor) -> dict:
    """The ui output of a node that says `text` and shows `pictures` (B, H, W, 3) below it, as PreviewImage does."""
    return say(node, text).as_dict() | ui.PreviewImage(pictures).as_dict()


def kept(pictures: Tensor) -> list[dict]:
    """Where the host keeps pictures (B, H, W, 3 or 4) for the browser, one entry each."""
    return ui.PreviewImage(pictures).values

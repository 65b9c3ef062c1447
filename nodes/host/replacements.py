"""Moving over: nodes of the official ICEdit pack that the host replaces by ours where that pack is not installed."""

from typing import Any

from comfy_api.latest import ComfyAPI, io
from server import PromptServer

import nodes

from .moving import moved

GUIDANCE = 50.0  # published; the official workflow sets it by a node of its own, which still decides
WIDTH = 512  # px, fixed in the official pack


class _Replacement(io.NodeReplace):
    """A replacement that tells the front end more than the server is asked to do.

    The server replaces nodes in no fixed order, and with a mapping of outputs it fails with a KeyError when a node's
    consumer was renamed before it. It also fails on an input that is optional in the old node and absent. So it gets
    neither: our outputs stand where the old ones stood, and a missing input is said in words. The front end knows both.

    Args:
        outputs: how many of the old outputs the new node has, in the same places.
        widgets: those of the old inputs that are widgets, in order.
        optional: the new node's input -> the old one's, which may be absent.
        carried: a panel of web/js on the new node -> the old widget whose value it is handed; web/js/moving.js makes a
            node of it.
    """

    def __init__(self, new: str, old: str, inputs: list[dict], outputs: int, widgets=None, optional=None, carried=None):
        super().__init__(new, old, old_widget_ids=widgets, input_mapping=inputs)
        self.known = [{"new_id": ours, "old_id": theirs} for ours, theirs in (optional or {}).items()] + inputs
        self.front_end = {
            "input_mapping": self.known
            + [{"new_id": panel, "old_id": widget} for panel, widget in (carried or {}).items()],
            "output_mapping": [{"new_idx": index, "old_idx": index} for index in range(outputs)],
        }

    def as_dict(self) -> dict:
        """What the front end is told."""
        return super().as_dict() | self.front_end


def replacements() -> list[_Replacement]:
    """Old node -> ours or a stock one, with the old names of what they take."""
    return [
        _Replacement(
            "ICEditPrompt",
            "InContextEditInstruction",
            [
                {"new_id": "clip", "old_id": "clip"},
                {"new_id": "instruction", "old_id": "editText"},
                {"new_id": "guidance", "set_value": GUIDANCE},
                {"new_id": "template", "set_value": "in-context"},
            ],
            outputs=1,
            widgets=["editText"],
        ),
        _Replacement(
            "ICEditDiptych",
            "DiptychCreate",
            [
                {"new_id": "width", "set_value": WIDTH},
                {"new_id": "fit", "set_value": "resize"},
                {"new_id": "context", "set_value": 0.5},
            ],
            outputs=2,
            widgets=["image"],
            optional={"image": "image_input"},
            carried={"icedit_pictures": "image"},
        ),
        _Replacement(
            "InpaintModelConditioning",
            "ICEFConditioning",
            [
                {"new_id": "positive", "old_id": "In_context"},
                {"new_id": "negative", "old_id": "negative"},
                {"new_id": "vae", "old_id": "vae"},
                {"new_id": "pixels", "old_id": "diptych"},
                {"new_id": "mask", "old_id": "maskDiptych"},
                {"new_id": "noise_mask", "set_value": True},
            ],
            outputs=3,
        ),
    ]


def replace_posted(message: dict[str, Any]) -> dict[str, Any]:
    """A posted message with the official pack's nodes replaced in its prompt."""
    if not isinstance(message.get("prompt"), dict):
        return message
    return message | {
        "prompt": moved(message["prompt"], {rule: rule.known for rule in replacements()}, nodes.NODE_CLASS_MAPPINGS)
    }


async def register() -> None:
    """Tell the host: what the front end replaces, and what comes before a posted prompt is looked at."""
    PromptServer.instance.add_on_prompt_handler(replace_posted)
    api = ComfyAPI()
    for replacement in replacements():
        await api.node_replacement.register(replacement)

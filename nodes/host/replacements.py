"""Moving over: nodes of the official ICEdit pack that the host replaces by ours where that pack is not installed."""

from comfy_api.latest import ComfyAPI, io

GUIDANCE = 50.0  # published; the official workflow sets it by a node of its own, which still decides
WIDTH = 512  # px, fixed in the official pack


class _OfTheCanvas(io.NodeReplace):
    """Takes links over on the canvas, where one that is missing is left open.

    The server's own way fails with a KeyError on an input that is optional in the old node and absent. It gets the
    values alone, and says which input is missing.
    """

    def __init__(self, *args, links: dict[str, str], **kwargs):
        super().__init__(*args, **kwargs)
        self.links = [{"new_id": new, "old_id": old} for new, old in links.items()]

    def as_dict(self) -> dict:
        """What the front end is told."""
        told = super().as_dict()
        return told | {"input_mapping": [*self.links, *(told["input_mapping"] or [])]}


def _same(count: int) -> list[dict]:
    return [{"new_idx": index, "old_idx": index} for index in range(count)]


def replacements() -> list[io.NodeReplace]:
    """Old node -> ours or a stock one, with the old names of what they take."""
    return [
        io.NodeReplace(
            "ICEditPrompt",
            "InContextEditInstruction",
            old_widget_ids=["editText"],
            input_mapping=[
                {"new_id": "clip", "old_id": "clip"},
                {"new_id": "instruction", "old_id": "editText"},
                {"new_id": "guidance", "set_value": GUIDANCE},
                {"new_id": "template", "set_value": "in-context"},
            ],
            output_mapping=_same(1),
        ),
        _OfTheCanvas(
            "ICEditDiptych",
            "DiptychCreate",
            old_widget_ids=["image"],
            input_mapping=[
                {"new_id": "width", "set_value": WIDTH},
                {"new_id": "fit", "set_value": "resize"},
                {"new_id": "context", "set_value": 0.5},
            ],
            output_mapping=_same(2),
            links={"image": "image_input"},
        ),
        io.NodeReplace(
            "InpaintModelConditioning",
            "ICEFConditioning",
            input_mapping=[
                {"new_id": "positive", "old_id": "In_context"},
                {"new_id": "negative", "old_id": "negative"},
                {"new_id": "vae", "old_id": "vae"},
                {"new_id": "pixels", "old_id": "diptych"},
                {"new_id": "mask", "old_id": "maskDiptych"},
                {"new_id": "noise_mask", "set_value": True},
            ],
            output_mapping=_same(3),
        ),
    ]


async def register() -> None:
    """Tell the host."""
    api = ComfyAPI()
    for replacement in replacements():
        await api.node_replacement.register(replacement)

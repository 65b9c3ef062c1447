"""What people connect to ICEdit Diptych, through the host's own nodes."""

import pytest

from . import graphs


def with_mask(background: float) -> dict:
    """The demo around a square of 40 px, in a mask over such a background, as the host's mask nodes make it."""
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=1)
    side = 256
    graph["ground"] = {"class_type": "SolidMask", "inputs": {"value": background, "width": side, "height": side}}
    graph["square"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 40, "height": 40}}
    joined = {"destination": ["ground", 0], "source": ["square", 0], "x": 30, "y": 30, "operation": "add"}
    graph["mask"] = {"class_type": "MaskComposite", "inputs": joined}
    return graphs.changed(graph, "ICEditDiptych", fit="around_mask", context=0.0, mask=["mask", 0])


@pytest.mark.parametrize(
    "background, taken, noted", [(0.0, "64x64", False), (0.0004, "64x64", False), (0.02, None, True)]
)
async def test_a_faint_background_of_a_mask(client, background, taken, noted):
    graph = with_mask(background)
    said = (await client.run(graph, timeout=120)).text(graphs.find(graph, "ICEditDiptych"))
    assert (f"{taken} px of it" in said) == (taken is not None), said
    assert ("with values under 0.1" in said) == noted

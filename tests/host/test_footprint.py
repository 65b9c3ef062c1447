"""Starting ComfyUI with the pack pulls in nothing heavy and asks for no network address."""

from devtools import workflows
from devtools.bench import footprint


def test_loading_the_pack_brings_its_own_modules_only_and_no_network(comfyui, tmp_path):
    found = footprint.measure(comfyui, tmp_path)
    assert found["nodes"] == len(workflows.node_ids())
    assert set(found["modules"]) == {"this pack"}
    assert found["network"] == []

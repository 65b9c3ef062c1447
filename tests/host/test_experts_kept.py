"""Experts in the host's saving and merging nodes: kept, or refused, never lost without a word."""

import weakref

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.client import ExecutionFailed

from . import condition_case as conditions
from . import flux_case as case
from . import graphs


@pytest.fixture(scope="module")
def attach(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.host import adapters

    return lambda model, tensors, name="moe": adapters.attach(model, read(tensors), 1.0, 1, name)


@pytest.fixture
def model(pack):
    return case.load(case.weights())


def plain_only():
    return {key: value for key, value in load_file(case.ADAPTER).items() if not conditions.is_routed(key)}


def merging(name):
    import comfy_extras.nodes_model_merging as merging

    return getattr(merging, name)().merge


@pytest.mark.parametrize(
    ("node", "how"),
    [
        ("ModelMergeSimple", {"ratio": 0.5}),
        ("ModelSubtract", {"multiplier": 1.0}),
        ("ModelAdd", {}),
        ("ModelMergeBlocks", {"img_in": 0.5}),
    ],
)
def test_a_merge_that_would_lose_experts_is_refused(attach, model, node, how):
    adapted = attach(attach(model, conditions.published(), "one"), conditions.published(), "two")
    for second in (adapted, adapted.clone().clone()):
        with pytest.raises(ValueError, match="Load LoRA: one, two has experts.*merging takes.*behind the merge"):
            merging(node)(model, second, **how)
    merging(node)(model, attach(model, plain_only()), **how)


def test_a_merge_into_the_model_with_experts_keeps_them(attach, model):
    routed = conditions.routed_only()
    (merged,) = merging("ModelMergeSimple")(attach(model, routed), case.load(case.weights()), 0.5)
    assert case.error(case.evaluate(merged)[0], case.evaluate(attach(model, routed))[0]) < 1e-5
    assert case.error(case.evaluate(merged)[0], case.evaluate(model)[0]) > 1e-3
    with pytest.raises(ValueError, match="moe has experts"):
        merging("ModelAdd")(model, merged)


def test_saving_is_refused_and_writes_nothing(attach, model, tmp_path):
    import comfy.sd

    file = tmp_path / "model.safetensors"
    for adapted in (attach(model, conditions.published()), attach(model, conditions.published()).clone()):
        with pytest.raises(ValueError, match="Load LoRA: moe has experts.*saving takes.*before ICEdit Load LoRA"):
            comfy.sd.save_checkpoint(str(file), adapted)
    assert not file.exists()


def test_a_plain_lora_is_saved_with_the_model(attach, model, tmp_path):
    import comfy.sd

    adapted, file = attach(model, plain_only()), tmp_path / "model.safetensors"
    with torch.no_grad():
        comfy.sd.save_checkpoint(str(file), adapted)
    saved = {key.removeprefix("model.diffusion_model."): value for key, value in load_file(file).items()}
    assert case.error(case.evaluate(case.load(saved))[0], case.evaluate(adapted)[0]) < 1e-5


def test_the_model_is_freed_with_its_last_reference(attach, model):
    adapted = attach(model, conditions.published())
    gone = [weakref.ref(adapted), weakref.ref(adapted.clone())]
    assert gone[1]() is None
    del adapted
    assert gone[0]() is None


async def test_the_save_node_says_so(client, server):
    graph = graphs.shipped("icedit_demo")
    lora = graphs.find(graph, "ICEditLoadLoRA")
    graph = {
        number: node for number, node in graph.items() if node["class_type"] in ("ICEditDemoModel", "ICEditLoadLoRA")
    }
    graph["save"] = {"class_type": "ModelSave", "inputs": {"model": [lora, 0], "filename_prefix": "diffusion_models/x"}}
    with pytest.raises(ExecutionFailed, match="icedit_demo_moe_lora.safetensors has experts") as caught:
        await client.run(graph, timeout=120)
    assert caught.value.node_type == "ModelSave"
    assert not list((server.base / "output").rglob("x_*"))

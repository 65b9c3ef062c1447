"""X2Edit under the host's TorchCompileModel: the same velocity, and no graph made anew at every step."""

import pytest
import torch

from ..rounding import assert_rounded
from . import x2edit_case as case
from .test_conditions_compile import own_kernels  # noqa: F401


@pytest.fixture(scope="module")
def adapted(pack):
    from icedit_pack.icedit_core.adapters.readers import x2edit as reader
    from icedit_pack.nodes.host import x2edit

    return x2edit.attach(case.load(case.weights()), reader.read(case.tensors()), case.CONFIG["task_id"], 1.0, 2)


@pytest.mark.slow
def test_compiled_velocity_and_stable_graphs(adapted):
    from comfy_extras.nodes_torch_compile import TorchCompileModel
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    compiled = TorchCompileModel.execute(adapted, "inductor").args[0]
    assert_rounded(case.evaluate(compiled)[0], case.recorded()["out"])
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    for _ in range(3):
        case.evaluate(compiled)
    assert counters["stats"]["unique_graphs"] == graphs

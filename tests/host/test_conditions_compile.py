"""The stock TorchCompileModel with inductor: no graph break is ours, and what is compiled is what was asked for."""

from types import SimpleNamespace

import pytest
import torch

from . import condition_case as conditions
from . import flux_case as case
from .condition_case import sample

SIGMAS = (1.0, 0.5, 0.0)


@pytest.fixture(scope="module")
def attach(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.host import adapters

    return lambda model, tensors, strength=1.0: adapters.attach(model, read(tensors), strength, 1)


@pytest.fixture(scope="module", autouse=True)
def own_kernels(tmp_path_factory):
    """Kernels compiled here: those of another processor in the user's cache, or an emulated one's, end the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def compiled(model):
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    return TorchCompileModel.execute(model, "inductor").args[0]


def run(model):
    """Latents, and what torch.compile did for them."""
    from torch._dynamo.utils import counters

    counters.clear()
    latent = sample(model, sigmas=SIGMAS)
    return SimpleNamespace(
        latent=latent,
        breaks=sum(counters["graph_break"].values()),
        graphs=counters["stats"]["unique_graphs"],
        reasons=dict(counters["graph_break"]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("compile_first", [True, False])
def test_compiled_adds_no_graph_break_and_follows_the_adapter(attach, compile_first):
    torch._dynamo.reset()
    model = case.load(case.weights())
    eager = {
        strength: sample(attach(model, conditions.published(), strength), sigmas=SIGMAS) for strength in (1.0, 0.5)
    }
    eager[0.0] = sample(model, sigmas=SIGMAS)
    base = compiled(model)

    def adapted(strength):
        if compile_first:
            return attach(base, conditions.published(), strength)
        return compiled(attach(model, conditions.published(), strength))

    run(base)  # the first compilation of a process counts breaks that later ones do not
    torch._dynamo.reset()
    plain = run(base)
    torch._dynamo.reset()  # both counted from nothing: what is compiled already is not compiled and counted again
    ours = run(adapted(1.0))
    assert plain.graphs >= 1
    assert ours.breaks <= plain.breaks, (ours.reasons, plain.reasons)
    assert {*ours.reasons} <= {*plain.reasons}
    again = run(base)
    changed = run(adapted(0.5))
    print(f"{plain.breaks} breaks and {plain.graphs} graphs without, {ours.breaks} and {ours.graphs} with the adapter")
    assert {*again.reasons, *changed.reasons} <= {*plain.reasons}
    assert case.error(again.latent, eager[0.0]) < 1e-3
    for strength, got in ((1.0, ours), (0.5, changed)):
        assert case.error(eager[strength], eager[0.0]) > 5e-3
        difference = case.error(got.latent - plain.latent, eager[strength] - eager[0.0])
        print(f"strength {strength}: what the adapter changes, compiled against eager: {difference:.1e}")
        assert difference < 1e-3

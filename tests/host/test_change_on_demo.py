"""The change mask on 100 demo edits through the shipped autoencoder, as the node gives it at its defaults."""

import pytest
import torch

from .. import change_cases as cc
from . import graphs


@pytest.fixture(scope="module")
def autoencoder(host_modules):
    """Both panels after the shipped autoencoder, in the host."""
    import comfy.sd
    import comfy.utils

    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(graphs.WEIGHTS / "icedit_demo_vae.safetensors")))
    return lambda diptych: vae.decode(vae.encode(diptych)).float()


@pytest.fixture(scope="module")
def defaults(pack):
    """The node's own settings."""
    from icedit_pack.icedit_core.restore import Edge
    from icedit_pack.nodes.restore import ICEditRestore

    given = {i.id: i.default for i in ICEditRestore.GET_SCHEMA().inputs if hasattr(i, "default")}
    return Edge(given["keep_unedited"], given["threshold"], given["grow"], given["feather"])


def test_the_edit_comes_through_and_the_rest_is_kept(pack, autoencoder, defaults):
    from icedit_pack.demo import scenes
    from icedit_pack.icedit_core.diptych import compose
    from icedit_pack.icedit_core.restore import restore

    found = []
    with torch.no_grad():
        for case in cc.cases(scenes):
            made = compose(case.source, 64)
            edited = torch.cat([made.diptych[:, :, :64], case.target], dim=2)
            image, mask, notes = restore(autoencoder(edited), made.layout, edge=defaults)
            assert "left panel" not in " ".join(notes), "the autoencoder's own error is not taken for a wrong one"
            assert image.shape == case.source.shape
            assert torch.equal(image[mask == 0], case.source[mask == 0])
            found.append(cc.measure(case, mask))
    result = cc.summary(found)
    print(cc.table(found))
    assert {"thin drawn", "thin erased", "thin recoloured", "faint", "style"} <= {f.kind for f in found}
    assert result["recall"] >= 0.99 and result["iou"] >= 0.8, cc.table(found)
    assert result["mean iou"] >= 0.8, cc.table(found)


def test_candidates_come_in_the_order_in_which_the_host_repeats(pack, defaults):
    from icedit_pack.icedit_core.diptych import compose
    from icedit_pack.icedit_core.restore import restore

    import nodes

    source = torch.rand(3, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    made = compose(source, 32)
    numbers = {"samples": torch.arange(3.0).view(3, 1, 1, 1)}
    order = nodes.RepeatLatentBatch().repeat(numbers, 2)[0]["samples"].flatten().long()
    done = restore(made.diptych[order], made.layout, edge=defaults)
    assert torch.equal(done.image, source[order])

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


def test_the_edit_comes_through_and_the_rest_is_kept(pack, autoencoder):
    from icedit_pack.demo import scenes
    from icedit_pack.nodes.diptych import ICEditDiptych
    from icedit_pack.nodes.restore import ICEditRestore

    defaults = {i.id: i.default for i in ICEditRestore.GET_SCHEMA().inputs if hasattr(i, "default")}
    found = []
    with torch.no_grad():
        for case in cc.cases(scenes):
            diptych, _, layout = ICEditDiptych.execute(case.source, 64, "resize").args
            edited = torch.cat([diptych[:, :, :64], case.target], dim=2)
            image, mask = ICEditRestore.execute(autoencoder(edited), layout, **defaults).args
            assert image.shape == case.source.shape
            assert torch.equal(image[mask == 0], case.source[mask == 0])
            found.append(cc.measure(case, mask))
    result = cc.summary(found)
    print(cc.table(found))
    assert {"thin drawn", "thin erased", "thin recoloured", "faint", "style"} <= {f.kind for f in found}
    assert result["recall"] >= 0.99 and result["iou"] >= 0.8, cc.table(found)
    assert result["mean iou"] >= 0.8, cc.table(found)

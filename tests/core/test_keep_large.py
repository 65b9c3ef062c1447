"""What the bench keep-large measures of one run."""

import sys

import numpy as np
import pytest
from PIL import Image

from devtools.bench import keep_large
from tests.core.test_registration import drawn


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "drawn.png"
    Image.fromarray(np.round(drawn(1).numpy() * 255).astype(np.uint8)).save(path)
    return path


def test_an_editor_returns_a_megapixel_or_the_sources_size(photograph):
    source, edit = keep_large.pictures(photograph, 0.3, 0.1)
    assert abs(source.shape[0] * source.shape[1] - 3e5) < 3e3 and abs(edit.shape[0] * edit.shape[1] - 1e5) < 1e3
    source, edit = keep_large.pictures(photograph, 0.1, None)
    assert source.shape == edit.shape


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
def test_a_run_in_its_own_process_is_measured(photograph):
    run = keep_large.alone(photograph, 0.2, None)
    assert 0 < run["deaf"] <= run["seconds"] and 0.005 < run["changed"] < 0.3
    assert run["mib"] > 0 and run["pictures_mib"] == pytest.approx(0.2e6 * (3 * 3 + 1) * 4 / 2**20, rel=0.02)
    page = keep_large.page({"the source's size": [run]}, "drawn.png", "a machine")
    assert f"| the source's size | 0.2 | {run['seconds']:.1f} |" in page

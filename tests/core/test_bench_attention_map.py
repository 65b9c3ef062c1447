"""The arithmetic of `bench attention-map`."""

import numpy as np
import torch

from devtools.bench import attention_map as bench


def test_a_map_that_knows_nothing_is_one_and_one_on_the_thing_is_its_area_inverted():
    where = np.zeros((8, 8), dtype=bool)
    where[:2, :4] = True
    assert abs(bench.times_its_area(torch.ones(8, 8), where) - 1) < 1e-6
    assert abs(bench.times_its_area(torch.from_numpy(where).float(), where) - 8) < 1e-6


def test_the_page_has_a_line_for_each_way():
    found = {"scenes": 2, "machine": "x", "ways": {way: bench.summary([2.0, 4.0]) for way in bench.WAYS}}
    assert bench.page(found).count("| 3.0 | 3.0 | 2.1 to 3.9 | 50% |") == len(bench.WAYS)

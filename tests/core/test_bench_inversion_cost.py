"""The arithmetic of `bench inversion-cost`: whole steps from one block of each kind."""

from devtools.bench import inversion_cost as bench

WORK = {"none": 1.0, "capture": 1.5, "inject": 2.0}
BLOCKS = {kind: {"work": WORK, "mib": 27.0, "own_values_change": 0.0} for kind in ("double", "single")}


def test_only_the_single_blocks_hand_over():
    assert bench.whole(BLOCKS, ("none",)) == 57 and bench.whole(BLOCKS, ("inject",)) == 38 * 2 + 19


def test_a_whole_edit_and_its_memory():
    step, edit = bench.over_none(BLOCKS, bench.CALLS["values replayed"])
    assert step == (57 + 38 * 1.5 + 19 + 38 * 2 + 19) / 114 and abs(edit - (27 + 3 * step) / 30) < 1e-12
    assert [bench.kept(name, BLOCKS) for name in bench.CALLS] == ["0.00", "3.01", "1.00"]


def test_the_page_says_what_is_computed():
    machine = {"device": "x", "threads": 1, "cores": 2, "load_average": 0.5}
    page = bench.page({"dtype": "bfloat16", "rounds": 3, "blocks": BLOCKS, "machine": machine})
    assert "| values in memory | 2 |" in page and "change nothing: the norm of the difference is 0" in page

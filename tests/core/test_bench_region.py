"""The figures of `bench region` follow from what it measured, and its page says what was not run."""

from devtools.bench import region_blocks, region_demo, region_page

WAYS = {"stock": 10.0, "full": 11.0, "short 5%": 0.7, "short 20%": 1.3, "short 60%": 2.9, "reference cached": 6.0}


def row(scale=1.0):
    machine = {"device": "a processor", "threads": 1, "cores": 2, "load_average": 0.1}
    return {
        "seconds": {way: [[9.0, scale * work]] for way, work in WAYS.items()},
        "kept_mib": 204.0,
        "machine": machine,
    }


def edit(success, share):
    full = round(28 * share)
    return {"task": "remove", "success": success, "outside": 0.01, "share": share, "full": full, "work": 1.0}


def test_a_whole_edit_is_its_full_and_short_steps():
    seconds = {"double": WAYS, "single": WAYS}
    found = region_blocks.whole_edit(seconds, "short 20%")
    assert abs(found["spot"] - 280 / (5 * 11 + 23 * 1.3)) < 1e-9
    assert abs(found["region, velocities reused"] - 280 / (9 * 11 + 5 * 1.3)) < 1e-9
    assert abs(found["Flux KV Cache"] - 280 / (10 + 27 * 6)) < 1e-9 and "EasyCache" not in found
    assert region_blocks.whole_edit(seconds, "short 20%", 10.0)["EasyCache"] == 2.8


def test_pairs_are_compared_on_their_scenes():
    results = {str(i): {"all tokens": edit(True, 1.0), "spot": edit(i > 0, 0.3)} for i in range(4)}
    found = region_demo.figures(results, "spot", region_demo.LOCAL)
    assert found["scenes"] == 4 and found["points"] == -25 and abs(found["half"] - 49) < 0.1 and found["share"] == 0.3


def test_easy_cache_is_taken_at_the_highest_threshold_that_costs_a_point():
    """On the scenes that have it: a part of them is enough."""
    lost = {"EasyCache, 0.05": (), "EasyCache, 0.1": (3,), "EasyCache, 0.2": (3, 5)}
    results = {str(i): {"all tokens": edit(True, 1.0), "spot": edit(True, 0.3)} for i in range(150)}
    for way, failed in lost.items():
        for i in range(100):
            results[str(i)][way] = edit(i not in failed, 0.5)
    assert region_demo.affordable(results) == "EasyCache, 0.1"
    page = region_page.page({"blocks": {}, "demo": {"scenes": results, "machine": "a processor"}})
    assert "of success is 0.1: -1.0 (-3.0 to +1.0) points\non 100 scenes, with 14.0 of 28 steps left out." in page
    assert "| EasyCache, 0.2 | all | 100 | 98.0% | -2.0 " in page and "| spot | all | 150 | 100.0% |" in page
    assert region_demo.affordable({"0": {"all tokens": edit(True, 1.0), "EasyCache, 0.05": edit(False, 0.5)}}) is None


def test_the_page_holds_what_was_measured_and_names_what_was_not():
    size = "1 MP with a reference"
    scenes = {"0": {"all tokens": edit(True, 1.0), "spot": edit(True, 0.3)}}
    found = {f"{size}/{kind}": row() for kind in region_blocks.DEPTH}
    page = region_page.page({"blocks": found, "demo": {"scenes": scenes, "machine": "a processor"}})
    assert "| short 20% | 1.30 s | 1.30 s | 13.0% | 11.8% |" in page and "4 MP with a reference: not run." in page
    assert "| spot | all | 1 | 100.0% |" in page and "computed 204.0 MiB a block" in page
    assert page.count("measured 204.0 MiB in one double block and 204.0 MiB in one single block") == 1
    assert "Not run." in region_page.page({"blocks": {}, "demo": {}})

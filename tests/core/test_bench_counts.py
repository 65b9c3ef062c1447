"""What the benches of kept pixels and of plain words count."""

import numpy as np
import pytest

from devtools.bench import keep, plain_words


def picture(value):
    return np.full((10, 10, 3), value, np.uint8)


def test_kept_recall_and_wrong_are_shares_of_what_they_say():
    source, target, result = picture(100), picture(100), picture(100)
    target[:2] = 200  # a fifth of the picture is edited
    result[:1] = 200  # half of that arrived
    result[5, :4] = 101  # four pixels lost, nobody sees it
    result[6, :2] = 180  # two more, visibly
    assert keep.counted(source, target, result) == {"kept": 74 / 80, "recall": 0.5, "wrong": 2.0}
    assert keep.counted(source, source, source) == {"kept": 1.0, "recall": 1.0, "wrong": 0.0}
    records = [{"task": task, "kept": i / 10, "recall": 1.0, "wrong": 0.0} for i, task in enumerate(keep.scenes.TASKS)]
    assert keep.means(records)["remove"]["kept"] == 0.1


ITEM = {"points": [[2, 3, [255, 0, 0]], [4, 3, [255, 0, 0]]], "changed": [0, 0, 6, 6]}


@pytest.mark.parametrize("change, passed", [({}, True), ({"point": 0.7}, False), ({"outside": 0.3}, False)])
def test_an_edit_passes_with_every_point_right_and_the_rest_as_it_was(change, passed):
    source, edited = np.zeros((10, 10, 3), np.float32), np.zeros((10, 10, 3), np.float32)
    edited[:6, :6] = [1, 0, 0]
    edited[3, 4, 1] = change.get("point", 0.2)
    edited[8:] = change.get("outside", 0.0)
    assert plain_words.passes(ITEM, source, edited)[0] is passed
    assert plain_words.passes({**ITEM, "changed": "all"}, source, edited)[0] is (passed or "outside" in change)


def test_the_interval_holds_the_share_and_narrows():
    low, high = plain_words.interval(51, 60)
    assert low == pytest.approx(0.760, abs=0.002) and high == pytest.approx(0.911, abs=0.002)
    assert plain_words.interval(510, 600)[0] > low
    assert plain_words.interval(0, 60)[0] == 0.0 and plain_words.interval(60, 60)[1] == 1.0


@pytest.mark.parametrize("lot", ["lot1", "lot2"])
def test_a_lot_is_whole(lot):
    items = plain_words.json.loads((plain_words.LOTS / lot / "lot.json").read_text(encoding="utf-8"))
    assert len(items) == 60 and len({item["picture"] for item in items}) == 60
    for item in items:
        shown = plain_words.opened((plain_words.LOTS / lot / item["picture"]).read_bytes())
        assert shown.shape == (256, 256, 3)
        assert all(0 <= x < 256 and 0 <= y < 256 and len(rgb) == 3 for x, y, rgb in item["points"])
        assert item["changed"] == "all" or len(item["changed"]) == 4

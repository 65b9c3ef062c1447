"""The multi-turn bench: what it asks for, and how it counts."""

import numpy as np

from devtools.bench import multi_turn, multi_turn_page


def test_a_chain_is_five_edits_each_of_the_picture_before():
    one = multi_turn.chain(multi_turn.FIRST)
    again = multi_turn.chain(multi_turn.FIRST)
    assert one.words == again.words and len(one.words) == 5 and len(one.truth) == 6
    for before, after in zip(one.truth, one.truth[1:], strict=False):
        changed = (before != after).any(-1).mean()
        assert 0.005 < changed < 0.6


def test_pixels_are_counted_against_the_source_where_nothing_was_asked_or_made():
    blank = np.zeros((8, 8, 3), np.float32)
    target = blank.copy()
    target[:4] = 1.0
    edited = (target * 255).astype(np.uint8)
    edited[7, 7] = 51  # an error outside of what was asked for
    inside = np.zeros((8, 8, 1), np.uint8)
    inside[:4] = 255
    one = multi_turn.Chain(("w",), (blank, target))
    (row,) = multi_turn.rows(one, [edited], [inside])
    assert row["untouched"] == 0.5 and row["untouched_wrong"] == 1
    assert row["error"] == round(51 / 32, 3) and row["equal"] == round(31 / 32, 4)
    inside[7, 7] = 255
    (row,) = multi_turn.rows(one, [edited], [inside])
    assert row["untouched_wrong"] == 0, "what the mask holds is no broken promise"


def test_means_are_taken_turn_by_turn_and_broken_promises_added():
    row = {"turn": 1, "carried_out": True, "untouched": 0.5, "untouched_wrong": 1, "error": 1.0, "equal": 1.0}
    other = row | {"carried_out": False, "untouched_wrong": 2, "error": 3.0}
    (mean,) = multi_turn_page.means([[row], [other]])
    assert mean["carried_out"] == 0.5 and mean["error"] == 2.0 and mean["untouched_wrong"] == 3

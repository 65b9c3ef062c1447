"""What the bench on real editors counts as right, and the page it writes."""

import numpy as np
import pytest

from devtools.bench import real_editors, real_editors_page
from devtools.bench.editor_pairs import EditorPair
from devtools.bench.real_editors import Answer


def pair(kind="local"):
    boxes = ((0.0, 0.0, 0.5, 1.0),) if kind == "local" else ()
    return EditorPair("bowl", "an editor", "pictures", "a.png", "b.png", ("", ""), kind, boxes, "A bowl.")


def answer(verdict="local", outside=0, missed=0):
    """The left half of 20x20 px differs; `missed` rows of it are not found, and `outside` px beside it are."""
    mask, edit = np.zeros((20, 20)), np.zeros((20, 20, 3))
    mask[missed:, :10] = 1
    mask[:outside, 10] = 0.5  # a soft edge counts in full: its pixels are not the source's
    edit[:, :10] = 0.2
    return Answer(verdict, mask, edit, "")


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (answer(), True),
        (answer(outside=10), True),
        (answer(outside=11), False),
        (answer(missed=2), True),
        (answer(missed=3), False),
        (answer(missed=20), False),
        (answer("whole"), False),
        (answer("not trusted"), False),
    ],
)
def test_a_local_edit_is_right_if_it_is_found_and_nothing_else(said, right):
    assert real_editors.counted(pair(), np.zeros((20, 20, 3)), said)["right"] is right


@pytest.mark.parametrize(("verdict", "right"), [("whole", True), ("local", False), ("not trusted", False)])
def test_an_edit_of_the_whole_picture_is_right_if_it_is_called_that(verdict, right):
    assert real_editors.counted(pair("whole"), np.zeros((20, 20, 3)), answer(verdict))["right"] is right


def test_the_page_sums_up_and_names_what_is_missing():
    records = [real_editors.counted(pair(), np.zeros((20, 20, 3)), said) for said in (answer(), answer("whole"))]
    words = real_editors_page.page(records, ["pendant"], "a machine")
    assert "Right: 1 of 2 pairs of 1 editors; of the local edits 1 of 2." in words and "pendant" in words
    assert words.count("**no**") == 1

"""The labels of real editors' pairs: well formed, enough of them, and read as they are written."""

import hashlib
import json

import pytest

from devtools.bench import editor_pairs
from devtools.bench.editor_pairs import EditorPair

PAIR = {
    "name": "bowl",
    "editor": "an editor",
    "root": "pictures",
    "source": "source.png",
    "edit": "edit.png",
    "sha256": ("", ""),
    "kind": "local",
    "boxes": ((0.25, 0.5, 0.75, 1.0),),
    "what": "A bowl was added.",
}


def test_there_are_labels_enough_and_each_says_what_changed():
    pairs = editor_pairs.read()
    assert sum(pair.kind == "local" for pair in pairs) >= 20
    assert len({pair.editor for pair in pairs}) >= 8
    assert all(pair.what.endswith(".") and len(pair.sha256[0]) == len(pair.sha256[1]) == 16 for pair in pairs)
    assert len({(pair.source, pair.edit) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "whole"},
        {"boxes": ()},
        {"kind": "none"},
        {"root": "elsewhere"},
        {"boxes": ((0.5, 0.5, 0.5, 0.75),)},
        {"boxes": ((0.5, 0.5, 1.5, 0.75),)},
    ],
)
def test_a_malformed_label_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match="bowl"):
        EditorPair(**(PAIR | wrong))


def test_two_pairs_of_one_name_are_refused(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"pairs": [PAIR, PAIR]}))
    with pytest.raises(ValueError, match="bowl.*twice"):
        editor_pairs.read(path)


def test_boxes_are_fractions_of_the_source():
    inside = EditorPair(**PAIR).mask(4, 8)
    assert inside.sum() == 2 * 4 and inside[2:, 2:6].all()
    assert EditorPair(**(PAIR | {"kind": "whole", "boxes": ()})).mask(4, 8).all()


def test_another_picture_of_the_same_name_is_left_out(tmp_path):
    for name in ("source.png", "edit.png"):
        (tmp_path / name).write_bytes(name.encode())
    digests = tuple(hashlib.sha256(name.encode()).hexdigest()[:16] for name in ("source.png", "edit.png"))
    pair = EditorPair(**(PAIR | {"sha256": digests}))
    assert editor_pairs.files(pair, tmp_path) == (tmp_path / "source.png", tmp_path / "edit.png")
    (tmp_path / "edit.png").write_bytes(b"the next release's")
    assert editor_pairs.files(pair, tmp_path) is None
    assert editor_pairs.files(pair) is None

"""What is told of pictures and words that the demo model does not know; scenes and drawings raise no alarm."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import scenes, world
from demo.scenes.draw import BACKGROUND_COLOURS, SHAPE_COLOURS

from ..textures import texture

LOT = Path(__file__).resolve().parents[2] / "workshop" / "plain_words" / "lot1"


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float32) / 255


def as_jpeg(array: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray((array * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    return pixels(Image.open(file))


@pytest.mark.parametrize("size", [96, 256])
def test_scenes_and_their_results_raise_no_alarm(size):
    made = [scenes.make(scenes.UNSEEN + 77_000 + i, size) for i in range(60)]
    assert not [e.seed for e in made if world.of_picture(e.source) or world.of_picture(e.target)]
    assert not [e.instruction for e in made if world.of_words(e.instruction)]


def test_scenes_as_jpeg_files_raise_no_alarm():
    made = [scenes.make(scenes.UNSEEN + 78_000 + i, 256) for i in range(40)]
    assert not [e.seed for e in made if world.of_picture(as_jpeg(e.source, 75))]


def test_drawings_raise_no_alarm():
    items = json.loads((LOT / "lot.json").read_text(encoding="utf-8"))
    assert len(items) > 50
    assert not [i["picture"] for i in items if world.of_picture(pixels(Image.open(LOT / i["picture"])))]


@pytest.mark.parametrize("blur", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("size", [(320, 240), (1000, 700)])
def test_a_picture_as_busy_as_a_photograph_is_named(blur, size):
    said = world.of_picture(pixels(texture(*size, blur=blur)))
    assert "photograph" in said and "FLUX.1 Fill" in said


def test_the_smallest_pictures_can_be_looked_at():
    assert world.of_picture(np.zeros((1, 1, 3), np.float32)) == ""
    assert world.of_picture(np.zeros((1, 4000, 3), np.float32)) == ""


def test_words_it_was_never_trained_on_are_named_with_those_it_knows():
    said = world.of_words("make her hair dark green")
    assert "'her', 'hair'" in said and "circle" in said and "recolour" in said and "'dark'" not in said
    assert world.of_words(" ".join(f"qq{letter}x" for letter in "abcdefghi")).count("'qq") == world.LISTED


@pytest.mark.parametrize("words", ["make it black and white", "Make the circle green.", "invert the colors"])
def test_known_words_raise_no_alarm(words):
    assert world.of_words(words) == ""


def test_known_words_in_a_place_that_training_never_saw_are_named():
    assert "a background removed" in world.of_words("remove the background")
    for colour in set(SHAPE_COLOURS) - set(BACKGROUND_COLOURS):
        assert f"a {colour} background" in world.of_words(f"make the background {colour}")
    for colour in set(BACKGROUND_COLOURS) - set(SHAPE_COLOURS):
        assert f"a {colour} shape" in world.of_words(f"make the circle {colour}.")
        assert world.of_words(f"make the background {colour}") == ""


def test_what_it_knows_is_listed():
    known = scenes.known()
    assert {"circle", "make", "background"} <= set(known["words"]) and known["words"] == sorted(set(known["words"]))
    assert all(word == word.lower() and not word.endswith((",", ".", ":")) for word in known["words"])
    assert set(known["colours"]) == {*SHAPE_COLOURS, *BACKGROUND_COLOURS} and known["families"] == list(scenes.TASKS)

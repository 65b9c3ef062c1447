"""`icedit keep`: files in, a file out, refusals in words."""

import importlib.util
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from icedit_core.cli import main
from tests.core.test_registration import drawn


@pytest.fixture
def files(tmp_path):
    source = (drawn(1).numpy() * 255).round().astype(np.uint8)
    edit = source.copy()
    edit[60:110, 90:160] = 255 - edit[60:110, 90:160]
    paths = {}
    for name, pixels in (("source", source), ("edit", edit)):
        paths[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(paths[name], icc_profile=b"a profile")
    return paths | {"out": tmp_path / "out.png"}


def keep(files, *more, out="out"):
    return main.main(["keep", str(files["source"]), str(files["edit"]), "-o", str(files[out]), *map(str, more)])


def pixels(file):
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_the_sources_pixels_come_back_bit_for_bit_with_its_profile(files, ending, tmp_path, capsys):
    files["out"] = tmp_path / f"out.{ending}"
    change = tmp_path / "change.png"
    assert keep(files, "--change", change) == 0
    source, edit, out = (pixels(files[name])[..., :3] for name in ("source", "edit", "out"))
    mask = pixels(change)[..., 0] > 0
    assert np.array_equal(out[~mask], source[~mask]) and 0.06 < mask.mean() < 0.08
    assert np.array_equal(out[70:100, 100:150], edit[70:100, 100:150])
    assert Image.open(files["out"]).info["icc_profile"] == b"a profile"
    said = capsys.readouterr().out
    assert said.startswith(f"{files['out']}: No shift, ") and "% changed" in said


def test_a_mask_decides(files, tmp_path):
    mask = np.zeros((192, 256), np.uint8)
    mask[80:90] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert keep(files, "--mask", tmp_path / "mask.png") == 0
    source, edit, out = (pixels(files[name]) for name in ("source", "edit", "out"))
    assert np.array_equal(out[mask == 0], source[mask == 0]) and np.array_equal(out[mask > 0], edit[mask > 0])


def test_a_picture_turned_by_exif_and_one_with_a_palette(files, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned = Image.open(files["source"]).rotate(90, expand=True)
    turned.save(files["source"], exif=exif)
    Image.open(files["edit"]).quantize(200).save(files["edit"])
    assert keep(files) == 0
    assert Image.open(files["out"]).size == (256, 192)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"source": "none.png"}, "no such file"),
        ({"source": "text.png"}, "cannot be read as a picture"),
        ({"source": "deep.png"}, "8 bits a colour"),
        ({"out": "out.txt"}, "file is needed to save to"),
        ({"out": "edit.png"}, "there already"),
        ({"out": "no/out.png"}, "no folder"),
    ],
)
def test_wrong_files_are_refused_in_words(files, tmp_path, capsys, change, message):
    (tmp_path / "text.png").write_text("a text")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "deep.png")
    assert keep(files | {name: tmp_path / file for name, file in change.items()}) == main.WRONG
    said = capsys.readouterr().err
    assert said.startswith("icedit keep: ") and message in said and said.count("\n") == 1
    assert not files["out"].exists()


def claims(width, height):
    """A PNG's beginning that says how large it is, with nothing behind."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    empty = b"IDAT" + b"x"
    parts = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (chunk, empty)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n%%EndComments\nshowpage\n"
LARGE_TEXT = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 5) + b"\x1b[2J" + b"12345678"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EPS, "cannot identify"),  # Pillow would start Ghostscript
        (claims(13_000, 13_000), "169000000 pixels"),
        (claims(400_000, 400_000), "160000000000 pixels"),
        (LARGE_TEXT, "cannot identify"),
    ],
)
def test_a_strangers_picture_starts_nothing_and_fills_nothing(files, capsys, data, message):
    files["edit"].write_bytes(data)
    assert keep(files) == main.WRONG
    said = capsys.readouterr().err
    assert said.startswith("icedit keep: ") and message in said and said[:-1].isprintable()


@pytest.mark.parametrize(
    "more, message",
    [(("--threshold", 0), "threshold 0"), (("--threshold", "nan"), "threshold nan"), (("--mask", "black"), "is black")],
)
def test_wrong_values_are_refused_in_words(files, tmp_path, capsys, more, message):
    Image.new("L", (256, 192)).save(tmp_path / "black.png")
    more = [tmp_path / "black.png" if value == "black" else value for value in more]
    assert keep(files, *more) == main.WRONG
    assert message in capsys.readouterr().err


def test_without_torch_it_says_what_to_install(files, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))
    assert keep(files) == main.WRONG
    assert 'pip install ".[keep]"' in capsys.readouterr().err

"""The text that X2Edit's language model reads, and what its padding sees."""

import pytest
import torch

from icedit_core.adapters import files
from icedit_core.adapters.readers import x2edit
from icedit_core.x2edit import words
from icedit_core.x2edit.convert import convert

from . import x2edit_case as case


@pytest.mark.parametrize(
    ("instruction", "inside"),
    [
        ("Make it red", "{'Text input': '', 'Instruction editing description': 'Make it red', 'image input': 'yes'}"),
        ("It's red", "{'Text input': '', 'Instruction editing description': \"It's red\", 'image input': 'yes'}"),
        ("a\nb", "{'Text input': '', 'Instruction editing description': 'a\\nb', 'image input': 'yes'}"),
        ("\u7ea2", "{'Text input': '', 'Instruction editing description': '\u7ea2', 'image input': 'yes'}"),
    ],
)
def test_the_published_wording_is_pythons_dict_as_text(instruction, inside):
    text = words.chat(instruction, words.PUBLISHED)
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{inside}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_bare_wording_is_the_instruction_alone():
    text = words.chat("Put {braces} in it", words.BARE)
    assert text.startswith("<|im_start|>system\n") and "<|im_start|>user\nPut {braces} in it<|im_end|>\n" in text


def test_padding_stands_on_the_left_and_a_long_text_is_cut_on_the_right():
    ids, real = words.padded([5, 6, 7], pad=9, length=5)
    assert ids.tolist() == [[9, 9, 5, 6, 7]] and real.tolist() == [[False, False, True, True, True]]
    assert words.positions(real).tolist() == [[1, 1, 0, 1, 2]]
    ids, real = words.padded(range(20), pad=9, length=5)
    assert ids.tolist() == [[0, 1, 2, 3, 4]] and real.all()
    assert words.padded([1], pad=9)[0].shape == (1, 512)


def test_padded_positions_see_all_and_real_ones_the_real_ones_before():
    _, real = words.padded([5, 6, 7], pad=9, length=5)
    seen = words.attention_bias(real, torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]
    hidden = words.attention_bias(real, torch.float32)[0, 0][~seen]
    assert (hidden == torch.finfo(torch.float32).min).all()


def test_align_net_is_read_from_the_one_file(tmp_path):
    folder, target = case.published(tmp_path / "published"), tmp_path / "x2edit.safetensors"
    convert(folder, target)
    found, _ = files.load_as(x2edit.read_align, target)
    expected = case.align_weights()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)
    alone = {key: value for key, value in case.one_file().items() if not key.startswith("align.")}
    with pytest.raises(ValueError, match="there is no AlignNet in it"):
        x2edit.read_align(alone)

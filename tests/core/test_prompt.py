import pytest

from icedit_core import prompt

PUBLISHED = (
    "A diptych with two side-by-side images of the same scene. On the right, the scene is exactly the same as on the "
    "left but make her hair dark green"
)


@pytest.mark.parametrize(
    "words",
    [
        "make her hair dark green",
        "  make her hair dark green\n",
        "make her hair dark green.",
        "make her hair dark green. ",
    ],
)
def test_in_context_prompt_is_the_published_string(words):
    assert prompt.wrap(words) == PUBLISHED


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("fade to black...", "fade to black..."),
        ("Write 'e.g.' on it", "Write 'e.g.' on it"),
        ("what if it rained?", "what if it rained?"),
        ("add {instruction} and {subject}", "add {instruction} and {subject}"),
        ("50% grey {0}", "50% grey {0}"),
    ],
)
def test_nothing_else_is_changed(words, kept):
    assert prompt.wrap(words, "{instruction}") == kept
    assert prompt.wrap(words, "{{a}} {instruction}, {b}") == "{{a}} " + kept + ", {b}"


@pytest.mark.parametrize("words", ["", "  \n\t ", ".", " . "])
def test_empty_instruction_is_an_error_with_an_example(words):
    with pytest.raises(ValueError, match="ICEdit prompt: the instruction is .*hair dark green"):
        prompt.wrap(words)


def test_subject_template_fills_all_parts_and_names_a_missing_one():
    template = prompt.TEMPLATES["subject"]
    full = prompt.wrap("a red hat", template, " man ", "in grey")
    assert full == (
        "a side-by-side image of the same man: the left depicts the original in grey, "
        "while the right mirrors the left but applies a red hat"
    )
    with pytest.raises(ValueError, match="description is empty"):
        prompt.wrap("a red hat", template, "man")


def test_custom_template_must_hold_the_instruction():
    with pytest.raises(ValueError, match=r"'no place'.*Add \{instruction\}"):
        prompt.wrap("x", "no place")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("make her hair dark green", ""),
        ("caf\u00e9 na\u00efve \u03b1-channel", ""),
        ("\u628a\u5934\u53d1\u6539\u6210\u7eff\u8272", "CJK"),
        ("\u0441\u0434\u0435\u043b\u0430\u0439 \u043a\u0440\u0430\u0441\u043d\u044b\u043c", "CYRILLIC"),
        ("add the word \u304b", "HIRAGANA"),
    ],
)
def test_foreign_script_is_named(text, script):
    assert prompt.foreign_script(text) == script


@pytest.mark.parametrize("typed", ["{}", "  {}. ", "{}\n"])
def test_the_whole_prompt_typed_as_the_instruction_stands_there_once(typed):
    whole = prompt.wrap("make the heart red")
    assert prompt.wrap(typed.format(whole)) == whole
    assert prompt.bare(whole.replace("On the right,", "on the right,\n")) == "make the heart red"
    assert prompt.wrap(whole, prompt.TEMPLATES["direct"]) == whole
    with pytest.raises(ValueError, match="some words are needed"):
        prompt.wrap(prompt.IC_TEMPLATE.format(instruction=""))

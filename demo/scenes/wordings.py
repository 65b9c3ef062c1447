"""How people ask for each family of edits; some wordings are kept for measuring and never used in training.

A held-out wording has no word of its own: each of its words is in some training wording, its order is new.
"""

WORDS = {
    "recolour": (
        "make the {old} {new}",
        "change the {old} to {new}",
        "paint the {old} {new}",
        "color the {old} {new}",
        "recolor the {old} to {new}",
        "change the color of the {old} to {new}",
        "turn the color of the {old} to {new}",
        "the {old} should be {new}",
    ),
    "remove": (
        "remove the {old}",
        "delete the {old}",
        "erase the {old}",
        "erase the {old} from the image",
        "take the {old} away",
        "get rid of the {old}",
        "make the {old} disappear",
    ),
    "add": (
        "add {new} in the {cell}",
        "put {new} in the {cell}",
        "draw {new} in the {cell}",
        "place {new} in the {cell} corner",
        "add {new} to the {cell}",
        "in the {cell}, add {new}",
        "there should be {new} in the {cell}",
    ),
    "swap": (
        "replace the {old} with {new}",
        "swap the {old} for {new}",
        "turn the {old} into {new}",
        "exchange the {old} for {new}",
        "make the {old} {new}",
        "put {new} in place of the {old}",
        "the {old} should be {new}",
    ),
    "background": (
        "make the background {new}",
        "change the background to {new}",
        "set the background to {new}",
        "replace the background with {new}",
        "paint the background {new}",
        "change the color of the background to {new}",
        "the background should be {new}",
    ),
}
HELD_OUT_WORDS = {
    "recolour": ("turn the {old} {new}", "make the color of the {old} {new}", "recolor the {old} {new}"),
    "remove": ("take away the {old}", "remove the {old} from the picture", "delete the {old} from the image"),
    "add": ("place {new} in the {cell}", "put {new} in the {cell} corner", "in the {cell} corner, draw {new}"),
    "swap": ("change the {old} into {new}", "swap the {old} with {new}", "in place of the {old}, draw {new}"),
    "background": ("turn the background {new}", "recolor the background to {new}", "swap the background for {new}"),
}
STYLES = {
    "grayscale": (
        "make it black and white",
        "convert the image to grayscale",
        "turn the whole picture into grayscale",
        "make the image grayscale",
    ),
    "negative": (
        "invert the colors",
        "invert the whole image",
        "turn the picture into a negative",
        "make it a negative",
    ),
    "sepia": (
        "make it sepia",
        "give the image a sepia tone",
        "turn the picture into an old sepia photo",
        "convert the image to sepia",
    ),
    "darker": (
        "make it darker",
        "darken the whole image",
        "make the picture much darker",
        "turn the image darker",
    ),
    "brighter": (
        "make it brighter",
        "brighten the whole image",
        "make the picture much brighter",
        "turn the image brighter",
    ),
}
HELD_OUT_STYLES = {
    "grayscale": ("make the whole picture grayscale", "turn the image black and white"),
    "negative": ("invert the colors of the picture", "convert the image to a negative"),
    "sepia": ("give the whole picture a sepia tone", "make the image sepia"),
    "darker": ("darken the picture", "make the whole image darker"),
    "brighter": ("brighten the picture", "make the whole image brighter"),
}

"""How people ask for each family of edits; some wordings are kept for measuring and never used in training.

A held-out wording has no word of its own: each of its words is in some training wording, its order is new.
{old} is the thing ("the red circle", "the circle", "it"), {new} what comes, {place} where, {picture} a word for the
picture.
"""

WORDS = {
    "recolour": (
        "make {old} {new}",
        "change {old} to {new}",
        "paint {old} {new}",
        "color {old} {new}",
        "turn {old} {new}",
        "recolor {old} to {new}",
        "change the color of {old} to {new}",
        "turn the color of {old} to {new}",
        "change {old} into {new}",
        "{old} should be {new}",
    ),
    "remove": (
        "remove {old}",
        "delete {old}",
        "erase {old}",
        "remove {old} from the {picture}",
        "erase {old} from the {picture}",
        "take {old} away",
        "take {old} out of the {picture}",
        "get rid of {old}",
        "make {old} disappear",
    ),
    "add": (
        "add {new} {place}",
        "put {new} {place}",
        "draw {new} {place}",
        "place {new} {place}",
        "paint {new} {place}",
        "add {new} to the {picture} {place}",
        "{place}, add {new}",
        "there should be {new} {place}",
    ),
    "swap": (
        "replace {old} with {new}",
        "replace {old} by {new}",
        "swap {old} for {new}",
        "turn {old} into {new}",
        "change {old} to {new}",
        "change {old} into {new}",
        "exchange {old} for {new}",
        "make {old} {new}",
        "put {new} in place of {old}",
        "{old} should be {new}",
    ),
    "background": (
        "make the background {new}",
        "change the background to {new}",
        "set the background to {new}",
        "replace the background with {new}",
        "paint the background {new}",
        "turn the background {new}",
        "color the background {new}",
        "change the color of the background to {new}",
        "the background should be {new}",
        "make the background of the {picture} {new}",
    ),
}
HELD_OUT_WORDS = {
    "recolour": ("make the color of {old} {new}", "recolor {old} {new}", "set the color of {old} to {new}"),
    "remove": ("take away {old}", "delete {old} from the {picture}", "erase {old} out of the {picture}"),
    "add": ("{place}, draw {new}", "{place}, there should be {new}", "put {new} to the {picture} {place}"),
    "swap": ("swap {old} with {new}", "in place of {old}, draw {new}", "exchange {old} with {new}"),
    "background": (
        "set the color of the background to {new}",
        "recolor the background to {new}",
        "swap the background for {new}",
    ),
}
STYLES = {
    "grayscale": (
        "make it black and white",
        "make the {picture} black and white",
        "turn it into a black and white {picture}",
        "convert the {picture} to grayscale",
        "turn the whole {picture} into grayscale",
        "make the {picture} grayscale",
    ),
    "negative": (
        "invert the colors",
        "invert the whole {picture}",
        "turn the {picture} into a negative",
        "make it a negative",
    ),
    "sepia": (
        "make it sepia",
        "give the {picture} a sepia tone",
        "turn the {picture} into an old sepia photo",
        "convert the {picture} to sepia",
    ),
    "darker": (
        "make it darker",
        "darken the whole {picture}",
        "make the {picture} much darker",
        "turn the {picture} darker",
    ),
    "brighter": (
        "make it brighter",
        "brighten the whole {picture}",
        "make the {picture} much brighter",
        "turn the {picture} brighter",
    ),
}
HELD_OUT_STYLES = {
    "grayscale": ("make the whole {picture} grayscale", "turn the {picture} black and white"),
    "negative": ("invert the colors of the {picture}", "convert the {picture} to a negative"),
    "sepia": ("give the whole {picture} a sepia tone", "make the {picture} sepia"),
    "darker": ("darken the {picture}", "make the whole {picture} darker"),
    "brighter": ("brighten the {picture}", "make the whole {picture} brighter"),
}
POLITE = (
    "please {wish}",
    "could you {wish}",
    "can you {wish}",
    "could you please {wish}",
    "can you please {wish}",
    "{wish} please",
    "{wish}, please",
    "I want you to {wish}",
)
POLITE_SHARE, CAPITAL_SHARE, STOP_SHARE = 0.25, 0.4, 0.35
STATEMENTS = ("should be",)  # wishes that are no commands take no "please"

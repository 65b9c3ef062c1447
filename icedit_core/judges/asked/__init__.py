"""Question sets: what a judge is asked about an edit, how its answer is read, and on which scale it counts.

A model that was made for judging edits is right as often as published when it is asked as it was trained, so each set
has its words, its order of pictures, its way of sampling and its reader in one file. A judge says which set is its own
(`Judge.questions`); one that says nothing is asked in VIEScore's words and compares pairs in the pack's own.
"""

from .base import Comparing, QuestionSet, Region, Score, Scoring
from .editscore import EditScore
from .general import GENERAL, of

__all__ = ["GENERAL", "Comparing", "EditScore", "QuestionSet", "Region", "Score", "Scoring", "of"]

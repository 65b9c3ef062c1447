"""Judges of edits: one question for all, one small class each."""

from .ask_json import ask_json
from .judge import Answer, Chooser, Closing, Judge, JudgeUnavailable, JudgeUnreadable, Thinking

__all__ = ["Answer", "Chooser", "Closing", "Judge", "JudgeUnavailable", "JudgeUnreadable", "Thinking", "ask_json"]

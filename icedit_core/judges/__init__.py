"""Judges of edits: one question for all, one small class each."""

from .judge import Answer, Chooser, Judge, JudgeUnavailable

__all__ = ["Answer", "Chooser", "Judge", "JudgeUnavailable"]

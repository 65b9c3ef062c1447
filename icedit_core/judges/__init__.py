"""Judges of edits: one question for all, one small class each."""

from .judge import Answer, Judge, JudgeUnavailable

__all__ = ["Answer", "Judge", "JudgeUnavailable"]

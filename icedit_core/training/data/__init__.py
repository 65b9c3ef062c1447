"""Pairs to train on: one file per layout, each row checked when it is read."""

from .formats import open_rows
from .rows import BrokenRow, JoinedRows, Row, Rows

__all__ = ["BrokenRow", "JoinedRows", "Row", "Rows", "open_rows"]

"""Pairs to train on: one file per layout, each row checked when it is read."""

from .rows import FORMATS, BrokenRow, JoinedRows, Row, Rows, open_rows

__all__ = ["FORMATS", "BrokenRow", "JoinedRows", "Row", "Rows", "open_rows"]

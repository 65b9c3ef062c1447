"""The tasks that X2Edit's routers know: a row of its table of embeddings each.

Source: X2Edit, arXiv 2508.07607; `infer.py` of the published code has the names that its language model answers.
"""

from __future__ import annotations

NAMES = {
    "other": "",
    "remove": "\u5220\u9664\u4e3b\u4f53",
    "add": "\u6dfb\u52a0\u4e3b\u4f53",
    "style": "\u98ce\u683c\u66f4\u6539",
    "background": "\u80cc\u666f\u66f4\u6539",
    "color": "\u989c\u8272\u66f4\u6539",
    "material": "\u6750\u6599\u66f4\u6539",
    "action": "\u52a8\u4f5c\u66f4\u6539",
    "replace": "\u66ff\u6362\u4e3b\u4f53",
    "portrait": "\u4eba\u7269\u4fee\u56fe",
    "text": "\u6587\u5b57\u66f4\u6539",
    "tone": "\u8272\u8c03\u53d8\u6362",
    "camera": "\u76f8\u673a\u79fb\u52a8",
    "implicit change": "implicit_change",
    "low level": "low_leval",
    "subject": "subject",
}
"""Our name -> the published one, in the order of the table's rows."""


def number(name: str) -> int:
    """The row of a task, given by its English or its published name; 0, other, for any other text."""
    wanted = name.strip()
    for row, (ours, published) in enumerate(NAMES.items()):
        if wanted.lower() == ours or (published and wanted == published):
            return row
    return 0

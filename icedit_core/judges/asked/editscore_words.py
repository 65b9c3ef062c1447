"""EditScore's words where they differ from VIEScore's: the reasons come first, and the scale ends at 25.

Source: github.com/VectorSpaceLab/EditScore at 6e0f1b9, editscore/vie_prompts.py (`_context_no_delimit_reasoning_first`)
and editscore/__init__.py (how the questions are joined, and every "10" in the rules replaced by the range); the same in
the package `editscore` 0.2. Copyright the EditScore authors, Apache License 2.0
(http://www.apache.org/licenses/LICENSE-2.0); the words of the context stand here unchanged. The rules are VIEScore's,
to the letter, and stand with their licence in `viescore_questions`.
"""

from __future__ import annotations

from ..viescore_questions import EDIT_RULE, PQ_RULE, SC_RULE

RANGE = 25

CONTEXT = """You are a professional digital artist. You will have to evaluate the effectiveness of the AI-generated image(s) based on given rules.
All the input images are AI-generated. All human in the images are AI-generated too. so you need not worry about the privacy confidentials.

IMPORTANT: You will have to give your output in this way (Keep your reasoning concise and short.):
{
"reasoning" : "...",
"score" : [...]
}
"""  # noqa: E501

SC_QUESTION = "\n".join([CONTEXT, EDIT_RULE, SC_RULE.replace("10", str(RANGE))])
"""On the source and the edit; `<instruction>` stands for the instruction."""

PQ_QUESTION = "\n".join([CONTEXT, PQ_RULE.replace("10", str(RANGE))])
"""On the edit alone."""

"""The figures of the retry bench in Markdown."""

from __future__ import annotations

from typing import Any

from workshop.report import table


def page(result: dict[str, Any]) -> str:
    """retry.md."""
    rows, policies = result["rows"], result["policies"]
    shares = {
        kind: sum(row[kind]["done"].count("1") for row in rows) / (len(rows) * result["rounds"])
        for kind in ("misread", "right")
    }
    cells = [
        [
            name,
            f"{100 * one['success']:.1f} %",
            f"{one['rounds']:.2f}",
            f"{one['questions']:.1f}",
            f"{one['nfe']:.1f}",
            f"{100 * one['first_right_and_lost']:.1f} %",
        ]
        for name, one in policies.items()
    ]
    worse = sum(one["worse_by_its_score"] * one["runs"] for one in policies.values())
    return "\n".join(
        [
            "# Misread instructions, and rounds with new words",
            "",
            f"{len(rows)} unseen scenes of the demo (recolour, remove, add, swap by turns), none left out. Colours and "
            f'shapes are said in words that the demo model was not trained on ("{rows[0]["misread"]["words"]}" for '
            f'"{rows[0]["right"]["words"]}"): it carries out {100 * shares["misread"]:.0f} % of them, and '
            f"{100 * shares['right']:.0f} % of the same in its own words. One candidate a round, {result['rounds']} "
            f"rounds at most; the judge looks at the preview after {result['early_steps']} of {result['steps']} steps, "
            "and the best round alone is finished. The judge's verdict is the scenes' exact check, scored 9 or 4 "
            "with `good_enough` 8; the writer gives training's words. *Wrong in 30 %*: in so many rounds the verdict "
            "is the opposite, and in so many rewordings the words ask for another edit; "
            f"{result['draws']} draws a scene. Rounds, words and scores run through `icedit_core.retry`; no language "
            f"model was asked. Made by `python dev.py bench retry` on {result['machine']}.",
            "",
            *table(["", "success", "rounds", "questions", "model calls", "right in round one and lost"], cells),
            "",
            f"Runs whose chosen round had a lower score than round one: {worse:.0f} of "
            f"{sum(one['runs'] for one in policies.values())}.",
            "",
        ]
    )

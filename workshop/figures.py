"""How many edits were carried out, and how exactly: one set of groups for every report, and scene by scene."""

import numpy as np

from demo import scenes

TEN_THOUSANDTHS = 10_000


def figures(examples, images) -> dict:
    """Success and mean absolute error outside the edit: overall, per family, per split, for both kinds of swap."""
    verdicts = [e.check(image) for e, image in zip(examples, images, strict=True)]
    groups = {"all": list(range(len(examples)))}
    groups |= {task: [i for i, e in enumerate(examples) if e.task == task] for task in scenes.TASKS}
    groups |= {split: [i for i, e in enumerate(examples) if e.split == split] for split in scenes.SPLITS}
    for kind in ("shape", "shape and colour"):
        groups[f"swap: {kind}"] = [i for i, e in enumerate(examples) if (e.task, e.kind) == ("swap", kind)]
    return {
        name: {
            "scenes": len(members),
            "success": round(float(np.mean([verdicts[i].success for i in members])), 4),
            "outside": round(float(np.mean([verdicts[i].outside for i in members])), 4),
        }
        for name, members in groups.items()
        if members
    }


def by_scene(examples, images) -> dict[str, str]:
    """Every scene's success, a digit each, and its mean absolute error outside the edit in ten-thousandths."""
    verdicts = [e.check(image) for e, image in zip(examples, images, strict=True)]
    return {
        "success": "".join(str(int(verdict.success)) for verdict in verdicts),
        "outside_e4": " ".join(str(round(verdict.outside * TEN_THOUSANDTHS)) for verdict in verdicts),
    }


def read_by_scene(told: dict[str, str]) -> list[tuple[bool, float]]:
    """Success and error outside the edit of every scene, from what `by_scene` gave."""
    errors = told["outside_e4"].split()
    return [(digit == "1", int(error) / TEN_THOUSANDTHS) for digit, error in zip(told["success"], errors, strict=True)]

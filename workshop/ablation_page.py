"""The ablation's page and picture, from its recorded figures."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo import scenes

from . import report

# The paper's table on Emu (arXiv 2504.20690): CLIP-I, CLIP-T, GPT score.
PAPER = {
    "base_no_ic": (0.681, 0.258, 0.14),
    "base": (0.794, 0.273, 0.24),
    "moe_only": (0.929, 0.300, 0.51),
    "normal_lora": (0.911, 0.301, 0.60),
    "moe_lora_no_ic": (0.896, 0.300, 0.62),
    "moe_lora": (0.907, 0.305, 0.68),
}
LABELS = {
    "base_no_ic": "training-free, bare instruction",
    "base": "training-free, IC prompt",
    "moe_only_no_ic": "MoE only, bare instruction",
    "moe_only": "MoE only, IC prompt",
    "normal_lora_no_ic": "LoRA, bare instruction",
    "normal_lora": "LoRA, IC prompt",
    "moe_lora_no_ic": "LoRA-MoE, bare instruction",
    "moe_lora": "LoRA-MoE, IC prompt",
}
SPLIT_LABELS = {"train": "as in training", "combination": "unseen combination", "wording": "unseen wording"}
PER_TASK = 2  # scenes of each family in the picture
SIDE, GAP, TITLE = 128, 4, 22


def chosen(examples) -> list[int]:
    """The first scenes of each family, as they come."""
    found = []
    for task in scenes.TASKS:
        found += [i for i, e in enumerate(examples) if e.task == task][:PER_TASK]
    return found


def page(result: dict) -> str:
    """Everything in Markdown."""
    return "\n".join([*_head(result), *_main_table(result), *_earlier(result), *_usage(result), *_foot(result)])


def _head(result: dict) -> list[str]:
    return [
        "# What each part of the method is worth on the demo model",
        "",
        f"{result['scenes']} scenes that training never saw (seeds from {result['first_seed']}), {result['panel']} px "
        f"panels, {result['steps']} steps of {result['sampler']} with `noise_mask`, in the real host. A third asks for "
        "a colour, shape and task that training never showed together, a third uses a wording that training never saw.",
        "",
        "Success: over 90 % of the edited pixels nearer the target than the source, mean absolute error inside the "
        "edit below 0.10 and outside below 0.04. The ceiling is the same check on the target after the autoencoder's "
        "encoding and decoding. Nothing is pasted back from the source.",
        "",
    ]


def _main_table(result: dict) -> list[str]:
    groups = ("all", *scenes.TASKS, *scenes.SPLITS)
    names = ["all", *scenes.TASKS, *SPLIT_LABELS.values()]
    rows = []
    for name, variant in result["variants"].items():
        own = variant["figures"]
        millions = f"{variant['parameters'] / 1e6:.2f}" if "parameters" in variant else "-"
        paper = f"{PAPER[name][2]:.2f}" if name in PAPER else "-"
        rows.append([LABELS[name], millions, *_shares(own, groups), f"{own['all']['outside']:.3f}", paper])
    top = result["ceiling"]
    rows.append(["autoencoder's ceiling", "-", *_shares(top, groups), f"{top['all']['outside']:.3f}", "-"])
    return [*report.table(["", "M parameters", *names, "error outside", "paper: GPT"], rows), ""]


def _earlier(result: dict) -> list[str]:
    """The table of the weights before, where not every variant was measured on these."""
    earlier = result.get("earlier")
    if not earlier:
        return []
    base = "icedit_demo_fill.safetensors"
    return [
        "## Every part, on earlier weights",
        "",
        f"The variants that are missing above were not trained on these weights ({base}: SHA-256 "
        f"{result['weights'][base][:8]}...). All of them on the weights before ({earlier['weights'][base][:8]}...), on "
        f"{earlier['scenes']} scenes as those knew them, with fewer colours and wordings. Compare within a table only.",
        "",
        *_main_table(earlier),
    ]


def _shares(figures: dict, groups: tuple[str, ...]) -> list[str]:
    """The success of each group; few scenes have none of some."""
    return [f"{figures[group]['success']:.1%}" if group in figures else "-" for group in groups]


def _usage(result: dict) -> list[str]:
    variant = result["variants"].get("moe_lora", {})
    if "expert_usage" not in variant:
        return []
    usage = {task: np.array(shares) for task, shares in variant["expert_usage"].items()}
    stacked = np.stack(list(usage.values()))  # (tasks, layers, experts)
    layer = int(stacked.std(axis=0).sum(axis=-1).argmax())
    lines = [
        "## Which expert takes the tokens",
        "",
        f"LoRA-MoE, IC prompt, shares of all tokens in the routed layer that tells the families apart most (number "
        f"{layer + 1} of {stacked.shape[1]}; all of them are in the JSON file):",
        "",
    ]
    lines += report.table(
        ["", *(f"expert {i}" for i in range(stacked.shape[2]))],
        ([task, *(f"{share:.0%}" for share in shares[layer])] for task, shares in usage.items()),
    )
    return [*lines, ""]


def _foot(result: dict) -> list[str]:
    return [
        "The paper's figures are GPT scores of FLUX.1 Fill on Emu; only the order can be compared.",
        f"Base: {result['base_parameters'] / 1e6:.2f} M parameters. Measured on {result['machine']}, "
        f"torch {result['torch']}.",
        "",
        "![The first scenes of each family](ablation.png)",
        "",
    ]


def sheet(examples, pictures: dict[str, list[np.ndarray]]) -> Image.Image:
    """A row a scene: source, every variant's edit, target; a red bar is under an edit that failed."""
    font = ImageFont.load_default(12)
    heads = ["source", *(LABELS[name] for name in pictures), "target"]
    width, height = SIDE + GAP, SIDE + GAP + TITLE
    image = Image.new("RGB", (len(heads) * width, len(examples) * height + 2 * TITLE), "white")
    pen = ImageDraw.Draw(image)
    for column, head in enumerate(heads):
        pen.multiline_text((column * width + 2, 4), head.replace(", ", ",\n"), "black", font)
    for row, example in enumerate(examples):
        top = row * height + 2 * TITLE
        pen.text((2, top + 3), f"{example.instruction}   ({SPLIT_LABELS[example.split]})", "black", font)
        edits = [pictures[name][row] for name in pictures]
        for column, pixels in enumerate([example.source, *edits, example.target]):
            picture = Image.fromarray((pixels * 255).round().astype(np.uint8)).resize((SIDE, SIDE))
            image.paste(picture, (column * width, top + TITLE))
            if 0 < column <= len(edits) and not example.check(pixels).success:
                left, bottom = column * width, top + TITLE + SIDE
                pen.rectangle((left, bottom, left + SIDE, bottom + 2), "red")
    return image

"""What several nodes declare alike: the sockets of our own objects, and the inputs of a sampling of candidates."""

from comfy_api.latest import io

from ...icedit_core.alike import SAME
from ...icedit_core.candidates import MOST, SEAMLESS
from ...icedit_core.judges.judge import THOUGHT_TOKENS
from ...icedit_core.judges.pictures import SIDE
from . import run

IceditLayout = io.Custom("ICEDIT_LAYOUT")
IceditCandidates = io.Custom("ICEDIT_CANDIDATES")
IceditRanking = io.Custom("ICEDIT_RANKING")
IceditJudge = io.Custom("ICEDIT_JUDGE")

# A box passes its links on instead of values, so that the host knows its parts again in the next run; and it expands
# before anything that it needs is run, since the host drops results that a run has not asked for by then.
LINK = {"raw_link": True, "lazy": True}


def seed_input(tooltip: str, drawn: bool = False, **more) -> io.Int.Input:
    """The seed of a node that samples; `drawn`: a new one is drawn after each run unless the user says otherwise."""
    after = True if drawn else io.ControlAfterGenerate.fixed
    return io.Int.Input(
        "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=after, tooltip=tooltip, **more
    )


def candidate_inputs(count: int = 6, **link) -> list:
    """The inputs of ICEditCandidates.

    Args:
        count: how many, where nothing else is said.
        link: further options of the inputs that only a link can feed.
    """
    return [
        io.Model.Input("model", **link, tooltip="As for a KSampler."),
        io.Conditioning.Input("positive", **link, tooltip="As for a KSampler."),
        io.Conditioning.Input("negative", **link, tooltip="As for a KSampler; not used at cfg 1."),
        io.Latent.Input(
            "latent_image", **link, tooltip="As for a KSampler; one image, or several with candidates each."
        ),
        seed_input("Seed of the first candidate; the next ones take seed + 1, seed + 2, ...", drawn=True),
        io.Int.Input("count", default=count, min=1, max=MOST, tooltip="How many candidates. Published: 6."),
        io.Int.Input("steps", default=28, min=2, max=10000, tooltip="Steps of a whole sampling."),
        io.Int.Input(
            "early_steps",
            default=10,
            min=1,
            max=9999,
            tooltip="Steps that every candidate takes, fewer than steps. Published: 10 of 50; 4 also help.",
        ),
        io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip="As for a KSampler; FLUX: 1."),
        io.Combo.Input(
            "sampler_name",
            options=run.samplers(),
            default="euler",
            tooltip=f"{', '.join(sorted(SEAMLESS))} go on where the candidate stopped; with any other "
            "the chosen seed is sampled again from its first step.",
        ),
        io.Combo.Input(
            "scheduler",
            options=run.schedulers(),
            default="simple",
            tooltip="As for a KSampler; FLUX: simple.",
        ),
        io.Int.Input(
            "batch",
            default=1,
            min=1,
            max=MOST,
            advanced=True,
            tooltip="Candidates in one model call. 1: the bits that each seed has alone. More: faster on a "
            "GPU, more memory, results differ by rounding. One at a time where candidates stop when good enough.",
        ),
    ]


def denoise_input() -> io.Float.Input:
    """The KSampler's denoise. It is declared last, because saved workflows know widgets by their place."""
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.01,
        max=1.0,
        step=0.01,
        optional=True,
        tooltip="As for a KSampler: below 1 the latent's own picture stays in part. steps stays the number of steps.",
    )


def alike_within_input(user: str) -> io.Float.Input:
    """How near two edits must be to count as one, where `user` asks for it."""
    return io.Float.Input(
        "alike_within",
        default=SAME,
        min=0.01,
        max=1.0,
        step=0.01,
        optional=True,
        advanced=True,
        tooltip=f"For {user}: two make the same edit if, inside what they changed, they differ by no more than this "
        "share of the change. Lower it where seeds fail in small things; then more is sampled and asked.",
    )


def judge_inputs() -> list:
    """What a judge with a model of its own is shown, and how long it may think."""
    return [
        io.Int.Input(
            "picture_side",
            default=SIDE,
            min=64,
            max=8192,
            optional=True,
            advanced=True,
            tooltip="Longer side, in px, of the pictures that the judge sees; larger ones are made smaller, for the "
            "judge alone. More takes longer, and most models look no closer.",
        ),
        io.Int.Input(
            "thought_tokens",
            default=THOUGHT_TOKENS,
            min=0,
            max=65536,
            optional=True,
            advanced=True,
            tooltip="Room for the thoughts of a model that thinks before it answers, given once an answer was cut off. "
            "0: the model is asked not to think, which is faster.",
        ),
    ]

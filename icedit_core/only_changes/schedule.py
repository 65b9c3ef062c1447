"""Which steps compute every token: the published schedules, scaled to any number of steps."""

import re

FULL_LISTED = re.compile(r"\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*,?\s*")


def spot(steps: int, last: int = 0) -> frozenset[int]:
    """The full steps of SpotEdit: the first ones, three resets and, if wanted, the last ones.

    Args:
        steps: of the whole sampling, 1 or more.
        last: how many at the end are full. The authors' later code takes steps // 4.
    Returns:
        Step numbers, from 0.
    Source: SpotEdit, arXiv 2512.22323: 4 initial steps of 50, resets at 13, 22 and 31; few steps as in the later code.
    """
    resets: tuple[int, ...] = ()
    if steps <= 6:
        first = 1
    elif steps <= 12:
        first, resets = 1, (3, 5)
    else:
        first, resets = _scaled(4, steps, 50), tuple(_scaled(at, steps, 50) for at in (13, 22, 31))
    return _within(steps, [*range(first), *resets, *range(steps - last, steps)])


def region(steps: int) -> frozenset[int]:
    """The full steps of RegionE: the first six of 28, one refresh at 15, the last two.

    Source: RegionE, arXiv 2510.25590, and its code.
    """
    first, post = max(1, _scaled(6, steps, 28)), max(1, _scaled(2, steps, 28))
    return _within(steps, [*range(first), _scaled(15, steps, 28), *range(steps - post, steps)])


def listed(who: str, text: str, steps: int) -> frozenset[int]:
    """The full steps that a person lists, such as "0-2, 6"; step 0 is always one of them.

    Raises:
        ValueError: anything but numbers, ranges and commas.
    """
    if not FULL_LISTED.fullmatch(text):
        raise ValueError(
            f"{who}: full_steps is {text[:60]!r}, but step numbers and ranges from 0 are needed, such as '0-2, 6'. "
            "Leave it empty for the published steps."
        )
    found = {0}
    for first, end in re.findall(r"(\d+)\s*(?:-\s*(\d+))?", text):
        found.update(range(int(first), min(int(end or first), steps) + 1))
    return _within(steps, found)


def step_of(sigma: float, sigmas: tuple[float, ...]) -> int | None:
    """The step in which a sampler asks for `sigma`: from its own sigma down to just above the next one's.

    Args:
        sigmas: descending, steps + 1.
    Returns:
        None where it lies in no step: above the first sigma, or at the last one.
    """
    slack = 1e-5 * max(abs(sigmas[0]), 1e-12)  # samplers take logarithms of sigmas, and come back rounded
    if sigma > sigmas[0] + slack:
        return None
    return next((step for step, end in enumerate(sigmas[1:]) if sigma > end + slack), None)


def _scaled(at: int, steps: int, published: int) -> int:
    return int(at * steps / published + 0.5)


def _within(steps: int, numbers) -> frozenset[int]:
    return frozenset(number for number in numbers if 0 <= number < steps)

"""What the routers do: tokens per expert, by layer, since the last look and in all."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Counts = dict[str, list[int]]
DOMINANT = 0.9  # of a layer's tokens


class RouterLog:
    """Counts of the main process's tokens, a sample of all."""

    def __init__(self) -> None:
        self.recent: Counts = {}
        self.total: Counts = {}

    def add(self, usage: Mapping[str, Tensor]) -> None:
        """Count in what `Trainable.expert_usage(reset=True)` gave."""
        for name, tokens in usage.items():
            for counts in (self.recent, self.total):
                before = counts.get(name, [0] * len(tokens))
                counts[name] = [a + b for a, b in zip(before, tokens.tolist(), strict=True)]

    def take(self) -> Counts:
        """What came since the last call."""
        taken, self.recent = self.recent, {}
        return taken

    def state(self) -> dict[str, Counts]:
        return {"recent": self.recent, "total": self.total}

    def load(self, state: Mapping[str, Counts]) -> None:
        self.recent, self.total = dict(state["recent"]), dict(state["total"])


def shares(counts: Counts) -> list[float]:
    """Each expert's share, the mean over the layers."""
    layers = [[n / sum(tokens) for n in tokens] for tokens in counts.values() if sum(tokens)]
    return [sum(column) / len(layers) for column in zip(*layers, strict=True)]


def in_words(counts: Counts) -> str:
    """One line for the log, e.g. `experts take 27 24 25 24 %; one has over 90 % in 2 of 57 layers`."""
    alone = sum(max(tokens) > DOMINANT * sum(tokens) for tokens in counts.values())
    numbers = " ".join(f"{100 * share:.0f}" for share in shares(counts))
    return f"experts take {numbers} %; one has over {DOMINANT:.0%} in {alone} of {len(counts)} layers"

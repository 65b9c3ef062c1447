"""What ICEditRetry expands into: rounds of Best Of's parts, each with copies of the nodes that read the words.

How new words reach the sampler differs with every editor (ICEdit Prompt, a stock text encoder and a reference latent,
an encoder that sees the picture). So no encoder is called here: whatever stands in the graph between the words and the
sampler's inputs is laid out once more for every round, with the new words in the old ones' place.
"""

from collections.abc import Iterable
from typing import Any

from comfy_execution.graph_utils import GraphBuilder, is_link

from ...icedit_core import retry
from ...icedit_core.candidates import SEED_RANGE
from .best_of import Expansion, Link, Parts, pictures, result

FROM_WORDS = ("model", "positive", "negative", "latent_image")
"""Inputs that are made anew where they depend on the words."""
CHOSEN = ("candidates", "ranking", "words", "report", "sheet")
"""The outputs of ICEditRetryBest."""


def expand(plan: dict[str, Any], parts: Parts, writer: Link, rounds: int, good_enough: float, prompt) -> Expansion:
    """All rounds as a graph; the host runs those that are asked for.

    All are laid out from the start, as Best Of's are: the host would drop what later rounds have sampled if it did not
    know them before a queued-again graph runs.

    Args:
        plan: inputs of ICEditCandidates.
        parts: `instruction` is the link that the words come from.
        writer: a judge that words the instruction anew.
        prompt: the running graph, a DynamicPrompt.
    Raises:
        ValueError: the words do not reach the sampler's inputs.
    """
    between = readers(prompt, parts.instruction, [plan[name] for name in FROM_WORDS])
    if plan["positive"][0] not in between:
        raise ValueError(
            f"{retry.WHO}: the words of instruction do not reach positive, but a round with new words needs that. "
            "Connect one Input Text node to instruction here and to the node that encodes the words."
        )
    graph = GraphBuilder()
    judging = {"source": parts.source, "instruction": parts.instruction, "judge": parts.judge}
    first, count = plan["seed"], plan["count"]
    tries, given, here = None, parts.instruction, plan
    for number in range(1, rounds + 1):
        if number > 1:
            new = graph.node("ICEditRetryWords", f"words_{number}", **judging, writer=writer, tries=tries)
            given, tries = new.out(0), new.out(1)
            here = plan | copied(graph, prompt, between, parts.instruction, given, plan, number)
        here = here | {"seed": retry.seed_of(first, count, number - 1, SEED_RANGE)}
        candidates = graph.node("ICEditCandidates", f"candidates_{number}", **here)
        made = {"candidates": candidates.out(0), "edits": pictures(graph, f"round_{number}", candidates.out(1), parts)}
        before = {} if tries is None else {"tries": tries}
        node = graph.node(
            "ICEditRetryRound", f"round_{number}", **judging, words=given, good_enough=good_enough, **made, **before
        )
        tries = node.out(0)
    best = graph.node("ICEditRetryBest", "best", tries=tries, source=parts.source, rounds=rounds)
    chosen = {name: best.out(index) for index, name in enumerate(CHOSEN)}
    outputs = (*result(graph, chosen, parts), chosen["words"], chosen["report"], chosen["sheet"])
    return Expansion(graph.finalize(), outputs)


def readers(prompt, words: Link, starts: Iterable[Any]) -> set[str]:
    """The nodes that the words go through on their way to `starts`."""
    seen: dict[str, bool] = {}

    def reads(link: Any) -> bool:
        if not is_link(link):
            return False
        if link == words:
            return True
        name = link[0]
        if name not in seen:
            seen[name] = False  # the host runs no circles, but must say so itself
            seen[name] = any([reads(one) for one in prompt.get_node(name)["inputs"].values()])
        return seen[name]

    for start in starts:
        reads(start)
    return {name for name, does in seen.items() if does}


def copied(
    graph: GraphBuilder, prompt, between: set[str], words: Link, new: Link, plan: dict[str, Any], number: int
) -> dict[str, Link]:
    """Copies of the nodes in `between` with the new words; the inputs of `plan` that come from them."""

    def moved(value: Any) -> Any:
        if not is_link(value):
            return value
        if value == words:
            return new
        return [node(value[0]), value[1]] if value[0] in between else value

    def node(name: str) -> str:
        old = prompt.get_node(name)
        known = graph.lookup_node(f"{number}_{name}")
        if known is None:
            inputs = {key: moved(value) for key, value in old["inputs"].items()}
            known = graph.node(old["class_type"], f"{number}_{name}", **inputs)
        return known.id

    return {name: moved(plan[name]) for name in FROM_WORDS}

"""What ICEditBestOf expands into: the nodes that a person would wire, so that the host keeps what each has done."""

from typing import Any, NamedTuple

from comfy_execution.graph_utils import GraphBuilder

from nodes import NODE_CLASS_MAPPINGS

from ...icedit_core.budget import FIRST
from ...icedit_core.candidates import SEAMLESS, SEED_RANGE, steps_taken
from . import sampling

Link = list  # [node id, output], as the host writes links
Sampled = tuple[Link, Link]  # candidates, and their previews as pictures
RANKED = ("candidates", "ranking", "report", "sheet")
"""What a round ends with; the inputs and outputs of ICEditGoodEnough."""
SAMPLED = ("candidates", "pictures")
"""What a round begins with; the inputs and outputs of ICEditAgreed."""
OUTPUTS = ("latent", "image", "report", "sheet")
"""What the box gives; the inputs and outputs of ICEditGather."""


class Parts(NamedTuple):
    """Links and values that every round needs."""

    vae: Link
    source: Link
    layout: Link | None
    judge: Link
    instruction: str | Link
    method: str
    both_orders: bool
    keep_unedited: bool
    same: float | None = None  # with a budget: up to which difference two candidates make the same edit


class Expansion(NamedTuple):
    """Nodes, and where the box's outputs come from."""

    graph: dict[str, Any]
    outputs: tuple[Link, ...]


def expand(plan: dict[str, Any], parts: Parts, good_enough: float, drop_after: int, count: int) -> Expansion:
    """Candidates, judge and finish as a graph.

    Args:
        plan: inputs of ICEditCandidates, all but count.
        good_enough: 0 to judge once; otherwise after each candidate, until the best one's score reaches this.
        drop_after: above 0, judge after so many steps too, and take only the better half to `early_steps`.
    """
    if drop_after:
        return _halved(plan, parts, drop_after, count)
    graph = GraphBuilder()
    most = 0 if parts.same is None else count
    if good_enough:
        return _finished(graph, _until_good_enough(graph, plan, parts, good_enough, count), parts, most)
    if parts.same is not None and count > FIRST:
        sampled = _until_agreed(graph, plan, parts, count)
    else:
        sampled = _rounds(graph, plan, parts, count, count)[0]
    return _finished(graph, _ranked(graph, *sampled, parts, 1), parts, most)


def _rounds(graph: GraphBuilder, plan: dict[str, Any], parts: Parts, first: int, count: int) -> list[Sampled]:
    """The first candidates, and with each further one all so far.

    All rounds are laid out from the start and run only when asked for: the host would drop what later rounds have
    sampled if it did not know them before a queued-again graph runs.
    """
    node = graph.node("ICEditCandidates", "candidates", **plan, count=first)
    rounds = [(node.out(0), pictures(graph, "previews", node.out(1), parts))]
    for number in range(first + 1, count + 1):
        candidates, shown = rounds[-1]
        further = graph.node("ICEditMoreCandidates", f"more_{number}", candidates=candidates, count=1)
        new = pictures(graph, f"previews_{number}", further.out(1), parts)
        both = {"images.image0": shown, "images.image1": new}
        rounds.append((further.out(0), graph.node("BatchImagesNode", f"all_{number}", **both).out(0)))
    return rounds


def _until_good_enough(graph: GraphBuilder, plan: dict[str, Any], parts: Parts, good_enough: float, count: int) -> dict:
    """Judged after each candidate."""
    rounds = _rounds(graph, plan, parts, 1, count)
    best = [_ranked(graph, *sampled, parts, number) for number, sampled in enumerate(rounds, 1)]
    chosen = best.pop()
    while best:
        later = {f"later_{name}": link for name, link in chosen.items()}
        name = f"enough_{len(best)}"
        node = graph.node("ICEditGoodEnough", name, good_enough=good_enough, **best.pop(), **later)
        chosen = {name: node.out(index) for index, name in enumerate(RANKED)}
    return chosen


def _until_agreed(graph: GraphBuilder, plan: dict[str, Any], parts: Parts, count: int) -> Sampled:
    """Compared with each other after each candidate, without the judge."""
    rounds = _rounds(graph, plan, parts, FIRST, count)
    chosen = rounds.pop()
    for number in range(count - 1, FIRST - 1, -1):
        now = dict(zip(SAMPLED, rounds.pop(), strict=True))
        later = {f"later_{name}": link for name, link in zip(SAMPLED, chosen, strict=True)}
        node = graph.node(
            "ICEditAgreed", f"agreed_{number}", source=parts.source, alike_within=parts.same, **now, **later
        )
        chosen = node.out(0), node.out(1)
    return chosen


def _halved(plan: dict[str, Any], parts: Parts, drop_after: int, count: int) -> Expansion:
    """Two rounds: all candidates a little way, the better half further."""
    graph = GraphBuilder()
    first = graph.node("ICEditCandidates", "candidates", **plan | {"early_steps": drop_after, "count": count})
    seen = _ranked(graph, first.out(0), pictures(graph, "previews", first.out(1), parts), parts, 1)
    kept = graph.node(
        "ICEditKeepBest",
        "kept",
        candidates=first.out(0),
        ranking=seen["ranking"],
        keep=-(-count // 2),
        early_steps=plan["early_steps"],
    )
    chosen = _ranked(graph, kept.out(0), pictures(graph, "previews_2", kept.out(1), parts), parts, 2)
    return _finished(graph, chosen, parts)


def more(candidates: sampling.Candidates, count: int) -> tuple[sampling.Candidates, sampling.Candidates]:
    """(with `count` further seeds, these alone), sampled as the others were, one at a time."""
    seed = (candidates.seeds[-1] + 1) % SEED_RANGE
    new = sampling.begin(candidates.recipe, seed, count, candidates.early)
    added = ("seeds", "states", "previews", "spent")
    joined = {name: getattr(candidates, name) + getattr(new, name) for name in added}
    return candidates._replace(**joined), new


def steps_in_all(candidates: sampling.Candidates, most: int) -> tuple[int, int]:
    """Sampler steps until the winner is finished, and what `most` candidates would have taken."""
    recipe, early = candidates.recipe, candidates.early
    anew = recipe.sampler not in SEAMLESS
    rest = recipe.steps - (0 if anew else early)
    return candidates.spent + rest, steps_taken(recipe.steps, early, most, anew)


def _ranked(graph: GraphBuilder, candidates: Link, pictures: Link, parts: Parts, number: int) -> dict[str, Link]:
    rank = graph.node(
        "ICEditRank",
        f"rank_{number}",
        source=parts.source,
        candidates=pictures,
        instruction=parts.instruction,
        judge=parts.judge,
        method=parts.method,
        both_orders=parts.both_orders,
        drop_alike=parts.same is not None,
        **({} if parts.same is None else {"alike_within": parts.same}),
    )
    return dict(zip(RANKED, (candidates, rank.out(1), rank.out(3), rank.out(4)), strict=True))


def _finished(graph: GraphBuilder, chosen: dict[str, Link], parts: Parts, most: int = 0) -> Expansion:
    """The best one to the end; `most` above 0 has the report say what was spent, of that many candidates."""
    latent, image = result(graph, chosen, parts)
    # The host hands on each value that a link of an expansion gives as an output of its own: a list of two pictures
    # would move all outputs after it. Gathered, each link gives one value, a list.
    results = dict(zip(OUTPUTS, (latent, image, chosen["report"], chosen["sheet"]), strict=True))
    counted = {"candidates": chosen["candidates"], "most": most} if most else {}
    gathered = graph.node("ICEditGather", "gathered", **results, **counted)
    return Expansion(graph.finalize(), tuple(gathered.out(index) for index in range(len(OUTPUTS))))


def result(graph: GraphBuilder, chosen: dict[str, Link], parts: Parts) -> tuple[Link, Link]:
    """The best candidate, finished: its latent and its picture, kept or restored."""
    inputs = defaults("ICEditFinish") | {name: chosen[name] for name in ("candidates", "ranking")}
    latent = graph.node("ICEditFinish", "finish", **inputs).out(0)
    image = pictures(graph, "edit", latent, parts)
    if parts.keep_unedited and parts.layout is None:
        inputs = defaults("ICEditKeepUnedited") | {"source": parts.source, "edit": image, "vae": parts.vae}
        image = graph.node("ICEditKeepUnedited", "keep", **inputs).out(0)
    return latent, image


def pictures(graph: GraphBuilder, name: str, latent: Link, parts: Parts) -> Link:
    """Whole pictures of a latent: decoded, and of a diptych only its restored right panel."""
    image = graph.node("VAEDecode", f"decode_{name}", samples=latent, vae=parts.vae).out(0)
    if parts.layout is None:
        return image
    inputs = defaults("ICEditRestore") | {"images": image, "layout": parts.layout}
    return graph.node("ICEditRestore", f"restore_{name}", **inputs).out(0)


def defaults(node: str) -> dict[str, Any]:
    """The widgets of a node as they stand when it is added; the host does not fill them in by itself."""
    inputs = NODE_CLASS_MAPPINGS[node].GET_SCHEMA().inputs
    values = {one.id: getattr(one, "default", None) for one in inputs}
    return {name: value for name, value in values.items() if value is not None}

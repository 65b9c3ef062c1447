"""What a sampling that computed only what changes tells the node it came from: the host has gone on to other nodes."""

import latent_preview
import torch
from server import PromptServer
from torch import Tensor

from ...icedit_core.only_changes import told
from ...icedit_core.panels import right
from .changes_session import Session
from .report import say
from .show import for_browser

EVENT = "icedit_region"


def show(node, session: Session, where: str) -> None:
    """Text on the node and in the log, and the region over the source on the page that queued.

    Args:
        node: the node class as it ran, which knows its id.
        where: the device of what was kept.
    """
    say(node, words(session, where), warning=bool(session.always_full))
    picture = region_picture(session)
    if picture is None or not node.hidden.unique_id:
        return
    server = PromptServer.instance
    message = {"node": node.hidden.unique_id, "pictures": for_browser(EVENT, picture=picture)[EVENT]}
    server.send_sync(EVENT, message, server.client_id)


def words(session: Session, where: str) -> str:
    """The report of a sampling."""
    how = str(session.chooser) if session.chooser else session.settings.method
    notes = []
    if session.always_full:
        notes.append(f"Every step was computed in full: {session.always_full}.")
    elif session.whole_steps:
        notes.append(
            f"More than {100 * session.settings.whole_from:g} % of the picture changed at {session.whole_steps} of the "
            "steps, so they were computed in full: an edit of the whole picture must leave no patch out."
        )
    elif session.steps and all(step.kind == "full" for step in session.steps):
        notes.append(
            "Nothing was spared: the edit touches the whole picture, or there are too few steps for short ones."
        )
    first = session.steps[0].number if session.steps else 0
    if first and not session.always_full:
        notes.append(f"The steps went on from step {first}: its keys and values were kept anew, so it was a full one.")
    return told.report(how, session.steps, session.most_bytes, where, notes)


def region_picture(session: Session) -> Tensor | None:
    """(1, H, W, 3) of the first picture of the batch; of a diptych the right panel. None where nothing was chosen."""
    chosen = [step.chosen for step in session.steps if step.kind == "short" and step.chosen is not None]
    if not chosen:
        return None
    source = session.source
    shares = torch.stack(chosen).float().mean(0).unflatten(0, source.grid[:2])
    flat = source.flat[:1]
    if source.only_right:
        shares, flat = right(shares), right(flat)
    return told.picture(_colours(flat, source.latent_format), shares)


def _colours(flat: Tensor, latent_format) -> Tensor:
    """(h, w, 3) in [0, 1] of a latent, without a VAE: the host's own preview colours."""
    factors = latent_format.latent_rgb_factors
    if factors is None:
        grey = flat[0].float().mean(0)
        grey = (grey - grey.amin()) / (grey.amax() - grey.amin() + 1e-6)
        return grey[..., None].expand(-1, -1, 3).cpu()
    maker = latent_preview.Latent2RGBPreviewer(
        factors, latent_format.latent_rgb_factors_bias, latent_format.latent_rgb_factors_reshape
    )
    picture = maker.decode_latent_to_preview(flat)
    pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(picture.height, picture.width, 3) / 255

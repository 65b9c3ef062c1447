"""Train the demo's autoencoder on diptychs of synthetic scenes.

    python -m workshop.train_autoencoder --state DIR [--minutes 37] [--begin demo/weights [--decoder-only]] [--share 1]

Saves DIR/autoencoder.pt every two minutes and goes on from it. With --begin the first step starts from exported
weights, and the rates fall from there; with --decoder-only the latents stay what a base model knows.
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import plain_scenes as scenes
from .autoencoder import TinyAutoencoder, diptychs
from .begin import falling, load_autoencoder
from .muon import Muon, resume, set_lr

log = logging.getLogger("train_autoencoder")
BATCH = 6  # diptychs
MUON_LR, ADAM_LR = 3e-3, 1.5e-3
LATENT_NOISE = 0.12


def batch(step: int) -> torch.Tensor:
    """Fresh diptychs; one in six has the grey right panel that the editor is shown."""
    examples = [scenes.make(step * BATCH + i, task="style" if i < 2 else None) for i in range(BATCH)]
    pairs = diptychs([e.source for e in examples], [e.target for e in examples])
    pairs[0, :, :, scenes.PANEL :] = 0.5
    return pairs.contiguous(memory_format=torch.channels_last)


def edge_weight(image: torch.Tensor) -> torch.Tensor:
    """1 + 6 x local contrast, (B, 1, H, W)."""
    contrast = F.max_pool2d(image, 3, 1, 1) + F.max_pool2d(-image, 3, 1, 1)
    return 1 + 6 * contrast.mean(dim=1, keepdim=True)


def loss_of(model: TinyAutoencoder, image: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        latent = model.encode(image).float()
        amplitude = LATENT_NOISE * torch.rand(len(image), 1, 1, 1)
        decoded = model.decode(latent + amplitude * torch.randn_like(latent)).float()
    error = decoded - image
    weight = edge_weight(image)
    mean, deviation = latent.mean(dim=(0, 2, 3)), latent.std(dim=(0, 2, 3))
    unit = mean.square().mean() + (deviation - 1).square().mean()
    return (weight * (error.abs() + 2 * error.square())).mean() + 0.02 * unit


@torch.no_grad()
def ceiling(model: TinyAutoencoder, count: int = 96) -> dict:
    """Encode and decode whole diptychs source|target of unseen scenes and check the right panels."""
    examples = scenes.unseen(count)
    pairs = diptychs([e.source for e in examples], [e.target for e in examples])
    decoded = torch.cat([model.decode(model.encode(part)) for part in pairs.split(16)]).clamp(0, 1)
    psnr = -10 * (decoded - pairs).square().mean().log10().item()
    right = decoded[:, :, :, scenes.PANEL :].permute(0, 2, 3, 1).numpy()
    verdicts = [e.check(image) for e, image in zip(examples, right, strict=True)]
    by_task = {
        task: float(np.mean([v.success for v, e in zip(verdicts, examples, strict=True) if e.task == task]))
        for task in scenes.TASKS
    }
    return {"psnr": round(psnr, 2), "outside": round(float(np.mean([v.outside for v in verdicts])), 4), **by_task}


def make_optimisers(model: TinyAutoencoder, share: float = 1.0):
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim == 4 and p.shape[0] == 64 and p.shape[1] == 64]
    chosen = {id(p) for p in matrices}
    others = [p for p in trained if id(p) not in chosen]
    return [
        Muon(matrices, lr=share * MUON_LR),
        torch.optim.AdamW(others, lr=share * ADAM_LR, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(progress: float, step: int) -> float:
    return min(1.0, (step + 1) / 50) * min(1.0, 1.6 * (1 - progress) + 0.01)


def start_from(
    state: Path, begin: Path | None = None, share: float = 1.0, decoder_only: bool = False
) -> tuple[TinyAutoencoder, list, dict, Path]:
    """Model, optimisers, progress and checkpoint; as saved when a checkpoint exists.

    Args:
        begin: exported weights to start from.
        share: of the usual rates.
        decoder_only: the encoder, and with it every latent, stays as it is.
    """
    torch.manual_seed(0)
    model = load_autoencoder(begin) if begin else TinyAutoencoder().to(memory_format=torch.channels_last)
    model.taesd_encoder.requires_grad_(not decoder_only)
    progress = {"minutes": 0.0, "step": 0, "curve": []}
    path = state / "autoencoder.pt"
    optimisers = make_optimisers(model, share)
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimiser, values in zip(optimisers, saved["optimisers"], strict=True):
            resume(optimiser, values)
        progress = {key: saved[key] for key in progress}
    return model, optimisers, progress, path


def train(
    state: Path, minutes: float, begin: Path | None = None, share: float = 1.0, decoder_only: bool = False
) -> None:
    model, optimisers, progress, path = start_from(state, begin, share, decoder_only)
    rule = falling if begin else rate
    done, step, curve = progress["minutes"], progress["step"], progress["curve"]
    start, last = time.process_time() - 60 * done, done
    while done < minutes:
        set_lr(optimisers, rule(done / minutes, step))
        loss = loss_of(model, batch(step))
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        step, done = step + 1, (time.process_time() - start) / 60
        if step % 50 == 0:
            log.info("%5.1f min step %d loss %.4f", done, step, loss.item())
        if done - last >= 2 or done >= minutes:
            curve.append({"minutes": round(done, 2), "step": step, **ceiling(model)})
            log.info("%s", json.dumps(curve[-1]))
            saved = {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers]}
            torch.save({**saved, "minutes": done, "step": step, "curve": curve}, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
            last = done


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=37)
    parser.add_argument("--begin", type=Path, help="a folder of exported weights to start from")
    parser.add_argument("--decoder-only", action="store_true", help="with --begin: the encoder stays as it is")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual learning rates")
    args = parser.parse_args(arguments)
    if args.decoder_only and not args.begin:
        parser.error("got --decoder-only alone, but an encoder is needed that has learned. Add --begin.")
    return args


def main() -> None:
    args = parsed()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.state.mkdir(parents=True, exist_ok=True)
    train(args.state, args.minutes, args.begin, args.share, args.decoder_only)


if __name__ == "__main__":
    main()

"""Train the demo's editor and its T5 on synthetic scenes.

    COMFYUI_PATH=... python demo/train_editor.py --state DIR [--minutes 70]

Needs DIR/autoencoder.pt of train_autoencoder.py. Saves DIR/editor.pt every few minutes and goes on from it.
The model reads the instruction's tokens alone for most of the time (every eighth step the whole prompt) and the
whole in-context prompt at the end: T5 always reads the whole prompt.
"""

import argparse
import copy
import json
import logging
import time
from pathlib import Path

import editor
import numpy as np
import scenes
import text
import torch
from autoencoder import TinyAutoencoder
from muon import Muon, set_lr
from pool import Pool, encode

log = logging.getLogger("train_editor")
BATCH, REFRESH = 48, 4
MUON_LR, ADAM_LR = 1.5e-3, 1e-3
EMA = 0.998
WHOLE_PROMPT_FROM = 0.8  # progress
SAVE_MINUTES, EVALUATION_STEPS = 4, 10


class Trainer:
    """Model, text encoder, their averages, optimisers and the pool."""

    def __init__(self, state: Path):
        torch.manual_seed(0)
        self.path = state / "editor.pt"
        self.autoencoder = TinyAutoencoder().to(memory_format=torch.channels_last)
        self.autoencoder.load_state_dict(torch.load(state / "autoencoder.pt", weights_only=True)["model"])
        self.tokenizer = text.Tokenizer()
        self.live = torch.nn.ModuleDict({"flux": editor.build(), "t5": text.build(len(self.tokenizer.ids))})
        self.average = copy.deepcopy(self.live).requires_grad_(False)
        self.optimisers = make_optimisers(self.live)
        self.minutes, self.step, self.curve, drawn = 0.0, 0, [], 0
        if self.path.exists():
            drawn = self._load(torch.load(self.path, weights_only=True))
        torch.manual_seed(self.step)
        self.pool = Pool(self.autoencoder, self.tokenizer, drawn)
        self.ids = editor.image_ids(8, 16)
        for block in (*self.live["flux"].transformer_blocks, *self.live["flux"].single_transformer_blocks):
            block.compile(dynamic=False)

    def _load(self, saved: dict) -> int:
        self.live.load_state_dict(saved["live"])
        self.average.load_state_dict(saved["average"])
        for optimiser, values in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        self.minutes, self.step, self.curve = saved["minutes"], saved["step"], saved["curve"]
        return saved["drawn"]

    def save(self) -> None:
        saved = {
            "live": self.live.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "ids": self.tokenizer.ids,
            "minutes": self.minutes,
            "step": self.step,
            "curve": self.curve,
            "drawn": self.pool.drawn,
        }
        torch.save(saved, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def train_step(self, factor: float, whole: bool) -> float:
        """One step of every optimiser; `whole` shows the model all of the prompt's tokens."""
        set_lr(self.optimisers, factor)
        if self.step % 8 == 0:
            self.pool.add(8 * REFRESH)
        loss = self.loss(whole)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.live.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        if self.step % 2 == 0:
            decay = min(EMA, self.step / (self.step + 20)) ** 2
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.live.parameters()), 1 - decay)
        return loss.item()

    def loss(self, whole: bool) -> torch.Tensor:
        latent, masked, weight, words = self.pool.sample(BATCH)
        noise = torch.randn_like(latent)
        t = torch.sigmoid(1.3 + 1.2 * torch.randn(BATCH))
        t = torch.where(torch.rand(BATCH) < 0.25, torch.rand(BATCH), t)
        mixed = torch.lerp(latent, noise, t[:, None, None, None])
        with torch.autocast("cpu", torch.bfloat16):
            states = self.live["t5"](input_ids=words).last_hidden_state
            states = states if whole else states[:, self.tokenizer.prefix :]
            given = editor.condition(masked)
            v = editor.velocity(self.live["flux"], editor.pack(mixed), given, states, t, self.ids).float()
        error = (v - editor.pack(noise - latent)).square()
        return (error * editor.pack(weight.expand(-1, 16, -1, -1))).mean()

    @torch.no_grad()
    def evaluate(self, count: int = 120) -> dict:
        """Share of unseen instructions carried out, with the averaged weights and the whole prompt."""
        examples = scenes.unseen(count, first=6000)
        verdicts = []
        for at in range(0, count, 60):
            part = examples[at : at + 60]
            with torch.autocast("cpu", torch.bfloat16):
                states = self.average["t5"](input_ids=self.tokenizer([e.instruction for e in part])).last_hidden_state
                masked = encode(self.autoencoder, part)[1]
                latent = editor.sample(self.average["flux"], masked, states.float(), EVALUATION_STEPS, seed=at)
                image = self.autoencoder.decode(latent).float().clamp(0, 1)[..., scenes.PANEL :]
            verdicts += [e.check(i) for e, i in zip(part, image.permute(0, 2, 3, 1).numpy(), strict=True)]
        result = {"all": float(np.mean([v.success for v in verdicts]))}
        for task in scenes.TASKS:
            result[task] = float(
                np.mean([v.success for v, e in zip(verdicts, examples, strict=True) if e.task == task])
            )
        outside = float(np.mean([v.outside for v in verdicts]))
        return {k: round(v, 4) for k, v in {**result, "outside": outside}.items()}


def make_optimisers(live: torch.nn.ModuleDict) -> list[torch.optim.Optimizer]:
    """Muon on the blocks' attention and MLP matrices, AdamW on everything else that learns."""
    matrices, others = [], []
    for name, p in live.named_parameters():
        in_block = "transformer_blocks" in name and p.ndim == 2 and "norm" not in name
        if p.requires_grad:
            (matrices if in_block else others).append(p)
    return [Muon(matrices, lr=MUON_LR), torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.98), weight_decay=0.0)]


def rate(progress: float, step: int) -> float:
    """Warm-up, then constant, then falling over the last half."""
    return min(1.0, (step + 1) / 100) * min(1.0, 2 * (1 - progress) + 0.01)


def train(state: Path, minutes: float) -> None:
    trainer = Trainer(state)
    start, last = time.monotonic() - 60 * trainer.minutes, trainer.minutes
    losses: list[float] = []
    while trainer.minutes < minutes:
        progress = trainer.minutes / minutes
        whole = progress >= WHOLE_PROMPT_FROM or trainer.step % 8 == 0
        losses.append(trainer.train_step(rate(progress, trainer.step), whole))
        trainer.minutes = (time.monotonic() - start) / 60
        if trainer.step % 100 == 0:
            log.info("%5.1f min step %d loss %.4f", trainer.minutes, trainer.step, np.mean(losses[-100:]))
        if trainer.minutes - last >= SAVE_MINUTES or trainer.minutes >= minutes:
            point = {
                "minutes": round(trainer.minutes, 1),
                "step": trainer.step,
                "loss": round(float(np.mean(losses)), 4),
            }
            trainer.curve.append({**point, **trainer.evaluate()})
            log.info("%s", json.dumps(trainer.curve[-1]))
            trainer.save()
            last, losses = trainer.minutes, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=70)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(args.state, args.minutes)


if __name__ == "__main__":
    main()

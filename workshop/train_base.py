"""Train the demo's base model and its T5 on captioned scenes and captioned pairs; no instruction is shown to it.

    COMFYUI_PATH=... python -m workshop.train_base --state DIR [--minutes 60 | --steps N] [--begin demo/weights]
        [--share 1]

Needs DIR/autoencoder.pt of train_autoencoder.py. Saves DIR/base.pt every few minutes and goes on from it.
With --begin the first step starts from exported weights, and the rates fall from there on.
Like FLUX.1 Fill it paints a masked part of a picture by a caption, and knows captions of two pictures side by side.
"""

import argparse
import copy
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch

from . import attention, editor, text
from . import plain_scenes as scenes
from .autoencoder import TinyAutoencoder
from .begin import falling, load_base
from .muon import Muon, resume, set_lr
from .plain_scenes import captions
from .pool import Pool, encode_pairs

log = logging.getLogger("train_base")
BATCH, REFRESH = 48, 2
MUON_LR, ADAM_LR = 1.5e-3, 1e-3
T5_FACTOR = 3  # of Adam's rate: T5's noise costs nothing that could be measured, and words are learned by it
EMA = 0.998
SAVE_MINUTES, EVALUATION_STEPS = 5, 10
# What a step shows, in turn: the in-context prompt's end alone (T5 read all of it), other captions of pairs, captions
# of single pictures, all of the in-context prompt.
FORMS = ("short", "short", "pair", "single", "short", "short", "short", "whole")
BINDING = 0.6  # share of the training in which large t, where words find their things, are drawn more often


class Trainer:
    """Model, text encoder, their averages, optimisers and the pool."""

    def __init__(self, state: Path, begin: Path | None = None, share: float = 1.0):
        torch.manual_seed(0)
        self.path = state / "base.pt"
        self.autoencoder = trained_autoencoder(state)
        self.tokenizer = text.Tokenizer()
        self.live = torch.nn.ModuleDict({"flux": editor.build(), "t5": text.build(len(self.tokenizer.ids))})
        if begin:
            load_base(self.live, self.tokenizer.ids, begin)
        self.average = copy.deepcopy(self.live).requires_grad_(False)
        self.optimisers = make_optimisers(self.live, share)
        self.minutes, self.step, self.curve, drawn = 0.0, 0, [], 0
        if self.path.exists():
            drawn = self._load(torch.load(self.path, weights_only=True))
        torch.manual_seed(self.step)
        self.rng = np.random.default_rng(self.step)
        self.pool = Pool(self.autoencoder, drawn)
        for block in (*self.live["flux"].transformer_blocks, *self.live["flux"].single_transformer_blocks):
            block.compile(dynamic=False)

    def _load(self, saved: dict) -> int:
        self.live.load_state_dict(saved["live"])
        self.average.load_state_dict(saved["average"])
        for optimiser, values in zip(self.optimisers, saved["optimisers"], strict=True):
            resume(optimiser, values)
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

    def train_step(self, factor: float, times: float) -> float:
        """One step of every optimiser, at `factor` of the rates; `times` is the mean of `draw_times`."""
        set_lr(self.optimisers, factor)
        if self.step % 16 == 0:
            self.pool.add(16 * REFRESH)
        loss = self.loss(FORMS[self.step % len(FORMS)], times)
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

    def words(self, form: str, edits) -> torch.Tensor:
        """A fresh caption of every edit as rows of the word table."""
        if form in ("short", "whole"):
            return self.tokenizer.in_context([captions.difference(e, self.rng) for e in edits])
        draw = (lambda e: captions.pair(e, self.rng)) if form == "pair" else (lambda e: e.caption())
        return self.tokenizer([self._fitting(lambda e=e: draw(e)) for e in edits])

    def _fitting(self, draw) -> str:
        while not self.tokenizer.fits(caption := draw()):
            continue
        return caption

    def loss(self, form: str, times: float) -> torch.Tensor:
        edits, rows = (self.pool.singles if form == "single" else self.pool.pairs).sample(BATCH)
        latent, masked, weight, mask = rows
        words = self.words(form, edits)
        noise = torch.randn_like(latent)
        t = draw_times(BATCH, times)
        mixed = torch.lerp(latent, noise, t[:, None, None, None])
        with torch.autocast("cpu", torch.bfloat16):
            states = self.live["t5"](input_ids=words).last_hidden_state
            states = states[:, self.tokenizer.prefix :] if form == "short" else states
            given, ids = editor.condition(masked, mask), editor.image_ids(*latent.shape[2:])
            v = editor.velocity(self.live["flux"], editor.pack(mixed), given, states, t, ids).float()
        error = (v - editor.pack(noise - latent)).square()
        return (error * editor.pack(weight.expand(-1, 16, -1, -1))).mean()

    @torch.no_grad()
    def evaluate(self, count: int = 60) -> dict:
        """Share of unseen edits carried out with the averaged weights: by caption, and training-free by instruction."""
        examples = scenes.unseen(count, first=6000)
        rng = np.random.default_rng(0)
        said = [captions.difference(e.edit, rng) for e in examples]
        asked = [e.instruction for e in examples]
        by_caption = self._verdicts(examples, self.tokenizer.in_context(said))
        result = {"caption": float(np.mean([v.success for v in by_caption]))}
        for task in scenes.TASKS:
            passed = [v.success for v, e in zip(by_caption, examples, strict=True) if e.task == task]
            result[task] = float(np.mean(passed))
        result["outside"] = float(np.mean([v.outside for v in by_caption]))
        for name, words in (("ic", self.tokenizer.in_context(asked)), ("bare", self.tokenizer(asked))):
            result[name] = float(np.mean([v.success for v in self._verdicts(examples, words)]))
        return {k: round(v, 4) for k, v in result.items()}

    def _verdicts(self, examples, words):
        with torch.autocast("cpu", torch.bfloat16):
            states = self.average["t5"](input_ids=words).last_hidden_state
            masked = encode_pairs(self.autoencoder, examples)[1]
            latent = editor.sample(self.average["flux"], masked, states.float(), EVALUATION_STEPS, seed=0)
            image = self.autoencoder.decode(latent).float().clamp(0, 1)[..., scenes.PANEL :]
        return [e.check(i) for e, i in zip(examples, image.permute(0, 2, 3, 1).numpy(), strict=True)]


def draw_times(count: int, mean: float) -> torch.Tensor:
    """(count,) in (0, 1): three quarters from sigmoid(N(mean, 1.3)), a quarter uniform, in a random order.

    Each of them in strata of equal probability, one draw a stratum: the loss depends on t more than on anything else,
    and so a step's gradient says less of which t it happened to draw.
    """
    uniform = count // 4
    parts = [(torch.arange(n) + torch.rand(n)) / n for n in (count - uniform, uniform)]
    drawn = parts[0].clamp(1e-4, 1 - 1e-4)
    curved = torch.sigmoid(mean + 1.3 * torch.special.ndtri(drawn))
    return torch.cat([curved, parts[1]])[torch.randperm(count)]


def trained_autoencoder(state: Path) -> TinyAutoencoder:
    model = TinyAutoencoder().to(memory_format=torch.channels_last)
    model.load_state_dict(torch.load(state / "autoencoder.pt", weights_only=True)["model"])
    return model


def make_optimisers(live: torch.nn.ModuleDict, share: float = 1.0) -> list[torch.optim.Optimizer]:
    """Muon on the blocks' attention and MLP matrices, AdamW on everything else; `share` of the usual rates."""
    matrices, others, words = [], [], list(live["t5"].parameters())
    for name, p in live["flux"].named_parameters():
        in_block = "transformer_blocks" in name and p.ndim == 2 and "norm" not in name
        if p.requires_grad:
            (matrices if in_block else others).append(p)
    groups = [{"params": others, "lr": share * ADAM_LR}, {"params": words, "lr": share * T5_FACTOR * ADAM_LR}]
    return [Muon(matrices, lr=share * MUON_LR), torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)]


def rate(progress: float, step: int) -> float:
    """Warm-up, then constant, then falling over the last half."""
    return min(1.0, (step + 1) / 100) * min(1.0, 2 * (1 - progress) + 0.01)


def time_mean(progress: float) -> float:
    """Of the logit of t: large t, which bind words to things, then small ones, which draw the corners."""
    return 1.2 if progress < BINDING else 0.0


def train(state: Path, minutes: float, begin: Path | None = None, share: float = 1.0, steps: int | None = None) -> None:
    """Train for `steps`, where they are given, else for CPU minutes; from `begin` on with falling rates."""
    state.mkdir(parents=True, exist_ok=True)
    trainer, rule = Trainer(state, begin, share), falling if begin else rate
    start, last = time.process_time() - 60 * trainer.minutes, trainer.minutes
    losses: list[float] = []
    while (done := _progress(trainer, minutes, steps)) < 1:
        losses.append(trainer.train_step(rule(done, trainer.step), time_mean(done)))
        trainer.minutes = (time.process_time() - start) / 60
        if trainer.step % 100 == 0:
            log.info("%5.1f min step %d loss %.4f", trainer.minutes, trainer.step, np.mean(losses[-100:]))
        if trainer.minutes - last >= SAVE_MINUTES or _progress(trainer, minutes, steps) >= 1:
            point = {
                "minutes": round(trainer.minutes, 1),
                "step": trainer.step,
                "loss": round(float(np.mean(losses)), 4),
            }
            trainer.curve.append({**point, **trainer.evaluate()})
            log.info("%s", json.dumps(trainer.curve[-1]))
            trainer.save()
            last, losses = trainer.minutes, []


def _progress(trainer: Trainer, minutes: float, steps: int | None) -> float:
    return trainer.step / steps if steps else trainer.minutes / minutes


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=60)
    length.add_argument("--steps", type=int, help="instead of minutes, so that another machine trains as much")
    parser.add_argument("--begin", type=Path, help="a folder of exported weights to start from")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual learning rates")
    return parser.parse_args(arguments)


def main() -> None:
    args = parsed()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with attention.by_products():
        train(args.state, args.minutes, args.begin, args.share, args.steps)


if __name__ == "__main__":
    main()

"""Train the built-in model: small pictures first, then the final size. Resumes from its last checkpoint.

python training/train.py                      the real run
python training/train.py --device cuda        the same on a GPU
python training/train.py --pace 0.01          a hundredth of the steps, to try the machinery
"""

import argparse
import math
import os
import signal
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch reads it: the cores share out slices of a batch instead

import numpy as np
import torch
import torch.nn.functional as F
from art import HELD_OUT_ART
from augment import plain
from batches import Batch, Batches, Stage
from concepts import Concept, load_concepts
from export import encode_text, read_tokenizer, text_ids
from open_clip.model import CLIP
from paths import PIXELS, RUNS, START
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from towers import build, calibrate, channels_last, fast_precision, optimizers

SEED = 0

STAGES = (Stage(64, 768, 1452), Stage(96, 768, 726))

WARM_UP = 80  # steps at the start of each stage
AVERAGE = 0.995  # the exported weights are a moving average
SLICES = {"cpu": 2, "cuda": 1}  # of a batch, for the cores to share out
SAVE_SECONDS = 300
LOOK_EVERY = 200
CALIBRATION = 8  # batches, on which the average's batch norms are measured


def clip_loss(image: Tensor, text: Tensor, scale: Tensor, also_true: Tensor) -> Tensor:
    """open_clip.ClipLoss, but a caption that is true of another picture as well doesn't count against it."""
    logits = (scale * image @ text.T).masked_fill(also_true, float("-inf"))  # [image, text]
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class Anchors(nn.Module):
    """A vector for each concept, to which its pictures and its captions are drawn; thrown away after training.

    A batch shows a picture some hundred wrong captions; the anchors show it every other concept, in each step, at
    hardly any cost. And they tell a caption such as "animal" all the concepts it is true of.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.scale = nn.Parameter(torch.tensor(math.log(20)))

    def loss(self, image: Tensor, text: Tensor, batch: Batch) -> Tensor:
        anchors = self.scale.exp() * F.normalize(self.vectors, dim=-1)
        return F.cross_entropy(image @ anchors.T, batch.concepts) + F.cross_entropy(text @ anchors.T, batch.meant)


def halves(ids: Tensor) -> list[Tensor]:
    """By like length, since a batch is sorted so; the longer half is the smaller one, for both to take as long."""
    middle = len(ids) * 3 // 5
    return [part[:, : int(part.argmax(1).max()) + 1] for part in (ids[:middle], ids[middle:])]  # the end is the highest


def backward(model: CLIP, anchors: Anchors, batch: Batch, pool: ThreadPoolExecutor) -> Tensor:
    """Loss and gradients, the towers working on slices of the batch side by side.

    One core a slice needs no waiting for the other core within a layer; beside other work on the machine that is
    several times as fast as threads inside each operation.
    """

    def image_slice(part: Tensor) -> Tensor:
        with fast_precision(part.device):
            return model.encode_image(channels_last(part), normalize=True).float()

    def text_slice(part: Tensor) -> Tensor:
        with fast_precision(part.device):
            return encode_text(model, part).float()

    def slice_gradients(feature: Tensor, gradient: Tensor, parameters: list[Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(feature, parameters, gradient)

    slices = SLICES[batch.pictures.device.type]
    images = [pool.submit(image_slice, part) for part in batch.pictures.chunk(slices)]
    texts = [pool.submit(text_slice, part) for part in (halves(batch.ids) if slices == 2 else [batch.ids])]
    images, texts = [future.result() for future in images], [future.result() for future in texts]

    image, text = (torch.cat(features).detach().requires_grad_() for features in (images, texts))
    for parameter in (model.logit_scale, *anchors.parameters()):
        parameter.grad = None
    loss = clip_loss(image, text, model.logit_scale.exp(), batch.also_true)
    (loss + anchors.loss(image, text, batch)).backward()

    visual = list(model.visual.parameters())
    textual = [p for name, p in model.named_parameters() if not name.startswith("visual.") and name != "logit_scale"]
    for features, gradient, parameters in ((images, image.grad, visual), (texts, text.grad, textual)):
        parts = gradient.split([len(feature) for feature in features])
        futures = [pool.submit(slice_gradients, *pair, parameters) for pair in zip(features, parts, strict=True)]
        # added in this order whichever ends first, for the same rounding each time
        for number, future in enumerate(futures):
            for parameter, part in zip(parameters, future.result(), strict=True):
                parameter.grad = part if number == 0 else parameter.grad.add_(part)
    return loss.detach()


def rate(done: float, step: int) -> float:
    """A short slope up at the start of each stage, steady until half of the run's work is done, then down to none."""
    return min(1.0, (step + 1) / WARM_UP) * max(0.01, min(1.0, 2 * (1 - done)))


def strength(done: float) -> float:
    """Clean pictures first: the image tower starts knowing nothing of edges, and learns them sooner undisturbed."""
    return min(0.95, 0.2 + 5 * done)


@torch.no_grad()
def name_vectors(model: CLIP, concepts: list[Concept]) -> Tensor:
    """The vectors of the concepts' names, [concepts, E]."""
    ids = text_ids(read_tokenizer(), [concept.name for concept in concepts])
    return encode_text(model, ids.to(model.text_projection.device))


@torch.no_grad()
def look(model: CLIP, concepts: list[Concept], size: int) -> str:
    """How the unseen vendor fares. For the log only: nothing is chosen by it."""
    vendor = next(iter(HELD_OUT_ART))
    pixels = np.load(PIXELS / f"{vendor}.npy")
    shown = np.load(PIXELS / f"{vendor}.concepts.npy")
    device = model.text_projection.device
    with fast_precision(device):
        texts = name_vectors(model, concepts)[shown]
        images = [
            model.encode_image(plain(part.to(device), size), normalize=True)
            for part in torch.from_numpy(pixels).split(128)
        ]
    scores = texts.float() @ torch.cat(images).float().T
    rank = (scores > scores.diag()[:, None]).sum(1)
    return f"{vendor}: recall@1 {(rank < 1).float().mean():.3f} recall@10 {(rank < 10).float().mean():.3f}"


class Run:
    """One training run: what it has learned, and the folder it keeps that in."""

    def __init__(self, folder: Path, pace: float, device: torch.device, pool: ThreadPoolExecutor) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.pt"
        self.device, self.pool = device, pool
        self.recent: deque[Tensor] = deque(maxlen=CALIBRATION)
        self.stopping = False
        self.concepts = load_concepts()
        self.batches = Batches(len(self.concepts), device)
        self.stages = [replace(stage, steps=max(1, round(stage.steps * pace))) for stage in STAGES]
        torch.manual_seed(SEED)
        self.model = build(self.stages[0].size, None, device)
        first = load_file(START / "open_clip_model.safetensors", device=str(device)).items()
        text_tower = {name: tensor for name, tensor in first if not name.startswith("visual.")}
        self.model.load_state_dict({**self.model.state_dict(), **text_tower})
        self.anchors = Anchors(name_vectors(self.model, self.concepts))
        self.average = build(self.stages[0].size, self.model.state_dict(), device)
        self.stage = self.step = 0

    def train(self) -> None:
        saved = torch.load(self.checkpoint, map_location=self.device) if self.checkpoint.exists() else None
        for number in range(saved["stage"] if saved else 0, len(self.stages)):
            self.stage = number
            self.start_stage(saved)
            self.run_stage()
            saved = None

    def start_stage(self, saved: dict[str, Any] | None) -> None:
        size = self.stages[self.stage].size
        self.model = build(size, saved["weights"] if saved else self.model.state_dict(), self.device)
        self.average = build(size, saved["average"] if saved else self.average.state_dict(), self.device)
        if saved:
            self.anchors.load_state_dict(saved["anchors"])
        self.optims = optimizers(self.model, self.anchors)
        self.recent.clear()
        self.step = 0
        if saved:
            self.step = saved["step"]
            for optim, state in zip(self.optims, saved["optims"], strict=True):
                optim.load_state_dict(state)

    def run_stage(self) -> None:
        stage = self.stages[self.stage]
        strengths = [strength(self.done(step)) for step in range(self.step, stage.steps)]
        began, first, losses = time.monotonic(), self.step, deque(maxlen=50)
        saved = began
        for batch in self.batches.run(stage, strengths, SEED + 1_000_000 * self.stage):
            losses.append(self.learn(batch))
            self.recent.append(batch.pictures)
            self.step += 1
            last = self.step == stage.steps or self.stopping
            if self.step % 50 == 0 or last:
                loss = torch.stack([*losses]).mean().item()  # waits until the GPU has done all that it was given
                pairs = (self.step - first) * stage.batch / (time.monotonic() - began)
                began, first = time.monotonic(), self.step
                at = f"{time.strftime('%H:%M:%S')} {stage.size} px step {self.step}/{stage.steps}"
                print(f"{at} loss {loss:.3f} {pairs:.0f} pairs/s", flush=True)
            if self.step % LOOK_EVERY == 0 or last:
                calibrate(self.average, list(self.recent))
                print("   ", look(self.average, self.concepts, stage.size), flush=True)
            if time.monotonic() - saved > SAVE_SECONDS or last:
                self.save()
                saved = time.monotonic()
            if self.stopping:
                sys.exit("stopped; the same command goes on")

    def learn(self, batch: Batch) -> Tensor:
        for optim in self.optims:
            for group in optim.param_groups:
                group["lr"] = group["initial_lr"] * rate(self.done(self.step), self.step)
        loss = backward(self.model, self.anchors, batch, self.pool)
        list(self.pool.map(lambda optim: optim.step(), self.optims))
        # the first steps of all count little: the average shall forget where it began
        share = AVERAGE if self.stage else min(AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
            for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - share)
        return loss

    def done(self, step: int) -> float:
        """Share of the run's work behind the stage's step."""
        work = [stage.steps * stage.batch * stage.size**2 for stage in self.stages]
        return (sum(work[: self.stage]) + work[self.stage] * step / self.stages[self.stage].steps) / sum(work)

    def stop(self, *_: object) -> None:
        self.stopping = True

    def save(self) -> None:
        calibrate(self.average, list(self.recent))
        state = {
            "stage": self.stage,
            "step": self.step,
            "size": self.stages[self.stage].size,
            "weights": self.model.state_dict(),
            "average": self.average.state_dict(),
            "anchors": self.anchors.state_dict(),
            "optims": [optim.state_dict() for optim in self.optims],
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=RUNS / "emoji", help="where the run keeps its checkpoint")
    parser.add_argument("--pace", type=float, default=1.0, help="share of the steps to run")
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    # on so few tokens plain attention is far quicker to differentiate than the fused kernel
    with sdpa_kernel(SDPBackend.MATH), ThreadPoolExecutor(SLICES[options.device.type]) as pool:
        run = Run(options.folder, options.pace, options.device, pool)
        signal.signal(signal.SIGTERM, run.stop)
        run.train()

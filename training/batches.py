"""What the model learns from, batch by batch: augmented pictures, and the tokens of their captions."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

import numpy as np
import torch
from art import TRAINING_ART
from augment import augment
from colours import named, tint
from paths import PIXELS
from plans import Plan, make_plan
from torch import Tensor

T = TypeVar("T")

PLANNERS = {"cpu": 1, "cuda": 8}  # processes


@dataclass(frozen=True)
class Stage:
    size: int  # pixels
    batch: int
    steps: int


@dataclass(frozen=True)
class Batch:
    pictures: Tensor  # float [N, 3, size, size]
    ids: Tensor  # int [N, L]
    concepts: Tensor  # int [N]
    meant: Tensor  # float [N, concepts]: each caption's share in the concepts it is true of
    also_true: Tensor  # bool [image, text]: captions no less true of this picture than of their own


class Batches:
    """Batches one after the other: processes plan them, and a thread draws the next while one is learned from.

    The seed and the step alone decide what a batch holds, however the work is shared out.
    """

    def __init__(self, concepts: int, device: torch.device) -> None:
        self.concepts, self.device = concepts, device
        self.pixels = torch.cat([torch.from_numpy(np.load(PIXELS / f"{vendor}.npy")) for vendor in TRAINING_ART])
        self.pixels = self.pixels.to(device)

    def run(self, stage: Stage, strengths: list[float], seed: int) -> Iterator[Batch]:
        """A batch for each strength of augmentation; the last of them is the stage's last."""
        steps = range(stage.steps - len(strengths), stage.steps)
        spawning = multiprocessing.get_context("spawn")  # a process with CUDA in it cannot be forked
        with ProcessPoolExecutor(PLANNERS[self.device.type], spawning) as planners, ThreadPoolExecutor(1) as painter:
            seeds = [seed + step for step in steps]
            plans = in_order(planners, make_plan, zip(repeat(stage.batch), seeds, strict=False), ahead=32)
            yield from in_order(painter, self.paint, zip(plans, seeds, repeat(stage.size), strengths, strict=False), 1)

    @torch.no_grad()
    def paint(self, plan: Plan, seed: int, size: int, strength: float) -> Batch:
        torch.manual_seed(seed)
        with self.device:
            art = self.pixels[torch.tensor(plan.rows)]
            lines, chosen = torch.tensor(plan.lines), torch.tensor(plan.concepts)
            owned, shares = torch.tensor(plan.owned), torch.tensor(plan.shares)
            meant = torch.zeros(len(chosen), self.concepts).index_put_(tuple(owned), shares)
            truth = meant[:, chosen]  # [text, image]
            also_true = (truth >= truth.diag()[:, None]).T & ~torch.eye(len(chosen), dtype=torch.bool)
            painted = named(plan.colours)
            # a caption that names a colour is true of no picture in another one, and of none whose colour we don't know
            also_true &= ~painted
            return Batch(
                pictures=augment(tint(art, lines, plan.colours), lines, size, strength, painted),
                ids=torch.tensor(plan.ids),
                concepts=chosen,
                meant=meant,
                also_true=also_true,
            )


def in_order(pool: Executor, function: Callable[..., T], calls: Iterable[tuple], ahead: int) -> Iterator[T]:
    """What the function gives for each call, in their order; so many calls are made before they are asked for."""
    made: deque[Future[T]] = deque()
    for call in calls:
        made.append(pool.submit(function, *call))
        if len(made) > ahead:
            yield made.popleft().result()
    while made:
        yield made.popleft().result()

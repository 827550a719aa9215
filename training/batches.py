"""What the model learns from: pictures drawn by concept, captions for them, and batches of both."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from augment import augment
from concepts import FILLERS, FLAGS, TEMPLATES, Concept, phrase_owners
from fetch import TRAINING_ART
from paths import PIXELS
from render import MONOCHROME
from torch import Tensor

# How often a vendor's picture of a concept is drawn, where that isn't once. Nine sets have no colours: together they
# come about as often as two that have; and coloured line drawings are the hand that the coloured sets lack.
SHARES = dict.fromkeys(MONOCHROME, 0.25) | {"noto-inked": 2.0}

ChanceState = tuple[Any, Tensor]  # of Python's generator and of torch's


@dataclass(frozen=True)
class Stage:
    size: int  # pixels
    batch: int
    steps: int


class Art:
    """The rendered training pictures, by concept."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.pixels = {vendor: np.load(PIXELS / f"{vendor}.npy", mmap_mode="r") for vendor in TRAINING_ART}
        self.by_concept: list[list[tuple[str, int]]] = [[] for _ in concepts]
        for vendor in TRAINING_ART:
            for row, concept in enumerate(np.load(PIXELS / f"{vendor}.concepts.npy")):
                # a flag without its colours is a few black stripes
                if not (vendor in MONOCHROME and concepts[concept].group == FLAGS):
                    self.by_concept[concept].append((vendor, row))

    def draw(self, batch: list[int], rng: random.Random) -> tuple[Tensor, Tensor]:
        chosen = []
        for concept in batch:
            options = self.by_concept[concept]
            chosen.append(rng.choices(options, [SHARES.get(vendor, 1.0) for vendor, _ in options])[0])
        art = np.stack([self.pixels[vendor][row] for vendor, row in chosen])
        return torch.from_numpy(art), torch.tensor([vendor in MONOCHROME for vendor, _ in chosen])


class Captions:
    """A caption for a concept, and which concepts it is true of."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.concepts = concepts
        self.owners = phrase_owners(concepts)

    def draw(self, concept: Concept, rng: random.Random) -> tuple[str, str]:
        """The caption and the phrase it was made from."""
        kind = rng.choices(("name", "alias", "keyword", "list", "emoji"), (0.40, 0.24, 0.24, 0.10, 0.02))[0]
        if kind == "emoji":
            return concept.emoji, concept.name
        if kind == "list":
            words = rng.sample(concept.phrases, min(len(concept.phrases), rng.randint(2, 4)))
            # several words together mean this concept, unless it has no other word than its name
            return " ".join(words), concept.name
        if kind == "alias" and concept.aliases:
            phrase = rng.choice(concept.aliases)
        elif kind == "keyword" and concept.keywords:
            # "animal" is true of a hundred concepts and teaches little: rarer words come oftener
            phrase = rng.choices(concept.keywords, [len(self.owners[word]) ** -0.5 for word in concept.keywords])[0]
        else:
            phrase = concept.name
        return self.dress(phrase, rng), phrase

    @staticmethod
    def dress(phrase: str, rng: random.Random) -> str:
        dress = rng.choices(("bare", "template", "fillers"), (0.4, 0.4, 0.2))[0]
        if dress == "template":
            return rng.choice(TEMPLATES).replace("{}", phrase)
        if dress == "fillers":
            before, after = (rng.choices(FILLERS, k=rng.randint(0, 4)) for _ in "ab")
            return " ".join([*before, phrase, *after[:2]])
        return phrase

    def meant(self, phrases: list[str]) -> Tensor:
        """float [N, concepts]: one, shared out among all concepts that a phrase is true of."""
        share = torch.zeros(len(phrases), len(self.concepts))
        for row, phrase in enumerate(phrases):
            share[row, list(self.owners[phrase])] = 1 / len(self.owners[phrase])
        return share


def pick_concepts(count: int, size: int, rng: random.Random) -> list[int]:
    """Distinct concepts: half at random, half in runs of neighbours, which look and sound alike and so teach most."""
    chosen: dict[int, None] = {}
    while len(chosen) < size // 2:
        start = rng.randrange(count)
        chosen.update(dict.fromkeys(range(start, min(start + 16, count))))
    rest = [concept for concept in rng.sample(range(count), size) if concept not in chosen]
    return [*list(chosen)[: size // 2], *rest][:size]


@dataclass(frozen=True)
class Batch:
    pictures: Tensor  # float [N, 3, size, size]
    texts: list[str]
    concepts: Tensor  # int [N]
    meant: Tensor  # float [N, concepts]: each caption's share in the concepts it is true of
    also_true: Tensor  # bool [image, text]


class Batches:
    """Batches one after the other, the next one made while the last is learned from.

    The only user of chance, and one at a time: so a seed gives the same run however the work is shared out.
    """

    def __init__(self, concepts: list[Concept], pool: ThreadPoolExecutor) -> None:
        self.concepts, self.pool = concepts, pool
        self.art, self.captions = Art(concepts), Captions(concepts)
        self.rng = random.Random()

    def seed(self, seed: int) -> None:
        self.rng.seed(seed)
        torch.manual_seed(seed)

    def run(self, stage: Stage, strengths: list[float]) -> Iterator[tuple[Batch, ChanceState]]:
        """A batch for each strength of augmentation, and the state of chance after it, from which to resume."""
        coming: Future[Batch] | None = None
        for ahead in [*strengths, None]:
            batch = coming.result() if coming else None
            state = self.rng.getstate(), torch.get_rng_state()
            coming = self.pool.submit(self.make, stage, ahead) if ahead is not None else None
            if batch:
                yield batch, state

    @torch.no_grad()
    def make(self, stage: Stage, strength: float) -> Batch:
        picked = pick_concepts(len(self.concepts), stage.batch, self.rng)
        captions = {index: self.captions.draw(self.concepts[index], self.rng) for index in picked}
        picked.sort(key=lambda index: len(captions[index][0]))  # short texts shall not be padded to the long ones
        texts, phrases = zip(*(captions[index] for index in picked), strict=True)
        pixels, monochrome = self.art.draw(picked, self.rng)
        meant = self.captions.meant(list(phrases))
        return Batch(
            pictures=augment(pixels, monochrome, stage.size, strength),
            texts=list(texts),
            concepts=torch.tensor(picked),
            meant=meant,
            also_true=(meant[:, picked].T > 0) & ~torch.eye(len(picked), dtype=torch.bool),
        )

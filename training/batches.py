"""What the model learns from: pictures drawn by concept, captions for them, and batches of both."""

import random
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from art import TRAINING_ART
from augment import augment
from colours import COLOURS, named, tint
from concepts import FILLERS, FLAGS, TEMPLATES, Concept, phrase_owners
from paths import PIXELS
from torch import Tensor
from wordnet import plural

# How often each hand is drawn, of those that a concept has: lines around flat surfaces are what most sets lack.
SHARES = {"coloured": 0.5, "inked": 0.3, "lines": 0.2}
PAIRS = 12  # concepts of a batch that come twice, each time in another colour that the caption names
THINGS = (3, 4, 5, 6, 7)  # groups: animals to objects

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
        self.by_concept: list[dict[str, list[tuple[str, int]]]] = [{} for _ in concepts]  # by hand
        for name, vendor in TRAINING_ART.items():
            for row, concept in enumerate(np.load(PIXELS / f"{name}.concepts.npy").tolist()):
                # a flag without its colours is a few black stripes
                if not (vendor.hand == "lines" and concepts[concept].group == FLAGS):
                    self.by_concept[concept].setdefault(vendor.hand, []).append((name, row))

    def draw(self, batch: list[int], rng: random.Random) -> tuple[Tensor, Tensor]:
        """Pictures as uint8 [N, 4, SIZE, SIZE], and bool [N]: which are lines without a colour."""
        chosen = []
        for concept in batch:
            hands = self.by_concept[concept]
            hand = rng.choices(list(hands), [SHARES[hand] for hand in hands])[0]
            chosen.append((hand, *rng.choice(hands[hand])))
        art = np.stack([self.pixels[name][row] for _, name, row in chosen])
        return torch.from_numpy(art), torch.tensor([hand == "lines" for hand, _, _ in chosen])


class Captions:
    """A caption for a concept, and which concepts it is true of."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.concepts = concepts
        self.owners = phrase_owners(concepts)

    def draw(self, concept: Concept, colour: str | None, rng: random.Random) -> tuple[str, str]:
        """The caption and the phrase it was made from."""
        if colour:
            own = [alias for alias in concept.aliases if len(self.owners[alias]) == 1 and colourless(alias)]
            phrase = rng.choice([concept.name, *own])
            return self.dress(f"{colour} {phrase}", rng), phrase
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
            # "animal" is true of a hundred concepts and "cat" is another one's name: words of its own come oftener
            phrase = rng.choices(concept.keywords, [total(self.owners[word]) ** -0.5 for word in concept.keywords])[0]
        else:
            phrase = concept.name
        spoken = plural(phrase) if concept.group in THINGS and rng.random() < 0.1 else phrase
        return self.dress(spoken, rng), phrase

    @staticmethod
    def dress(phrase: str, rng: random.Random) -> str:
        dress = rng.choices(("bare", "template", "fillers"), (0.4, 0.4, 0.2))[0]
        if dress == "template":
            template = rng.choice(TEMPLATES)
            if phrase[0] in "aeiou" and rng.random() < 0.7:
                template = re.sub(r"\ba \{\}", "an {}", template)
            return template.replace("{}", phrase)
        if dress == "fillers":
            before, after = (rng.choices(FILLERS, k=rng.randint(0, 4)) for _ in "ab")
            return " ".join([*before, phrase, *after[:2]])
        return phrase

    def meant(self, phrases: list[str]) -> Tensor:
        """float [N, concepts]: one, shared out among all concepts that a phrase is true of, by how rightly."""
        share = torch.zeros(len(phrases), len(self.concepts))
        for row, phrase in enumerate(phrases):
            owners = self.owners[phrase]
            share[row, list(owners)] = torch.tensor(list(owners.values())) / total(owners)
        return share


def pick_concepts(concepts: list[Concept], size: int, rng: random.Random) -> list[int]:
    """Distinct concepts: half in runs of neighbours, which look and sound alike and so teach most; half at random.

    At random a thing comes twice as often as a face, a person, a sign or a flag.
    """
    chosen: dict[int, None] = {}
    while len(chosen) < size // 2:
        start = rng.randrange(len(concepts))
        chosen.update(dict.fromkeys(range(start, min(start + 16, len(concepts)))))
    runs = list(chosen)[: size // 2]
    tickets = [index for index, concept in enumerate(concepts) for _ in range(2 if concept.group in THINGS else 1)]
    return list(dict.fromkeys([*runs, *rng.sample(tickets, 2 * size)]))[:size]


def total(owners: dict[int, float]) -> float:
    return sum(owners.values())


def colourless(phrase: str) -> bool:
    return not COLOURS.keys() & set(phrase.split())


@dataclass(frozen=True)
class Batch:
    pictures: Tensor  # float [N, 3, size, size]
    texts: list[str]
    concepts: Tensor  # int [N]
    meant: Tensor  # float [N, concepts]: each caption's share in the concepts it is true of
    also_true: Tensor  # bool [image, text]: captions no less true of this picture than of their own


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
        shown = self.pick(stage.batch)
        drawn = [
            (index, colour, *self.captions.draw(self.concepts[index], colour, self.rng)) for index, colour in shown
        ]
        drawn.sort(key=lambda one: len(one[2]))  # short texts shall not be padded to the long ones
        picked, colours, texts, phrases = (list(column) for column in zip(*drawn, strict=True))
        pixels, lines = self.art.draw(picked, self.rng)
        meant = self.captions.meant(phrases)
        truth = meant[:, picked]  # [text, image]
        also_true = (truth >= truth.diag()[:, None]).T & ~torch.eye(len(picked), dtype=torch.bool)
        # a caption that names a colour is true of no picture in another one, and of none whose colour we don't know
        also_true &= torch.tensor([colour is None for colour in colours])
        return Batch(
            pictures=augment(tint(pixels, lines, colours), lines, stage.size, strength, named(colours)),
            texts=texts,
            concepts=torch.tensor(picked),
            meant=meant,
            also_true=also_true,
        )

    def pick(self, size: int) -> list[tuple[int, str | None]]:
        """Concepts once each, and a few twice, each time in another colour."""
        picked = pick_concepts(self.concepts, size - PAIRS, self.rng)
        things = [index for index in picked if self.concepts[index].group in THINGS]
        able = [index for index in things if colourless(self.concepts[index].name)]
        twice = set(self.rng.sample(able, min(PAIRS, len(able))))
        shown: list[tuple[int, str | None]] = [(index, None) for index in picked if index not in twice]
        for index in sorted(twice):
            shown += [(index, colour) for colour in self.rng.sample(list(COLOURS), 2)]
        return shown

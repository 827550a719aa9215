"""What a batch shows and says: concepts, pictures of them, and captions for them."""

import random
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from art import TRAINING_ART
from colours import COLOURS
from concepts import FILLERS, FLAGS, TEMPLATES, Concept, load_concepts, phrase_owners
from export import read_tokenizer, text_ids
from paths import PIXELS
from wordnet import plural

# How often each hand is drawn, of those that a concept has: lines around flat surfaces are what most sets lack.
SHARES = {"coloured": 0.5, "inked": 0.3, "lines": 0.2}
PAIRS = 1 / 16  # of a batch: concepts that come twice, each time in another colour that the caption names
THINGS = (3, 4, 5, 6, 7)  # groups: animals to objects


@dataclass(frozen=True)
class Plan:
    """A batch without its pixels: cheap to make in another process and to send."""

    concepts: list[int]
    rows: list[int]  # of all vendors' pictures
    lines: list[bool]  # which pictures are lines without a colour
    colours: list[str | None]
    ids: np.ndarray  # int [N, L]: the captions' tokens, the short ones first
    owned: np.ndarray  # int [2, M]: a caption and a concept that it is true of
    shares: np.ndarray  # float [M]: how rightly, each caption's adding up to one


class Art:
    """Which of the training pictures show a concept. A picture's row counts through all vendors in their order."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.by_concept: list[dict[str, list[int]]] = [{} for _ in concepts]  # by hand
        row = 0
        for name, vendor in TRAINING_ART.items():
            for concept in np.load(PIXELS / f"{name}.concepts.npy").tolist():
                # a flag without its colours is a few black stripes
                if not (vendor.hand == "lines" and concepts[concept].group == FLAGS):
                    self.by_concept[concept].setdefault(vendor.hand, []).append(row)
                row += 1

    def draw(self, concept: int, rng: random.Random) -> tuple[str, int]:
        """The hand and the row of a picture."""
        hands = self.by_concept[concept]
        hand = rng.choices(list(hands), [SHARES[hand] for hand in hands])[0]
        return hand, rng.choice(hands[hand])


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

    def meant(self, phrases: list[str]) -> dict[str, np.ndarray]:
        """What a plan says of its captions: the concepts that they are true of, and by how much."""
        owners = [self.owners[phrase] for phrase in phrases]
        owned = [(row, concept) for row, owner in enumerate(owners) for concept in owner]
        shares = [weight / total(owner) for owner in owners for weight in owner.values()]
        return {"owned": np.array(owned).T, "shares": np.array(shares, dtype=np.float32)}


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


class Planner:
    """Chooses what a batch shows and says."""

    def __init__(self) -> None:
        self.concepts = load_concepts()
        self.art, self.captions = Art(self.concepts), Captions(self.concepts)

    def plan(self, size: int, rng: random.Random) -> Plan:
        shown = self.pick(size, rng)
        drawn = [(index, colour, *self.captions.draw(self.concepts[index], colour, rng)) for index, colour in shown]
        drawn.sort(key=lambda one: len(one[2]))  # short texts shall not be padded to the long ones
        concepts, colours, texts, phrases = (list(column) for column in zip(*drawn, strict=True))
        hands, rows = zip(*(self.art.draw(concept, rng) for concept in concepts), strict=True)
        return Plan(
            concepts=concepts,
            rows=list(rows),
            lines=[hand == "lines" for hand in hands],
            colours=colours,
            ids=text_ids(read_tokenizer(), texts).numpy(),
            **self.captions.meant(phrases),
        )

    def pick(self, size: int, rng: random.Random) -> list[tuple[int, str | None]]:
        """Concepts once each, and a few twice, each time in another colour."""
        pairs = round(PAIRS * size)
        picked = pick_concepts(self.concepts, size - pairs, rng)
        things = [index for index in picked if self.concepts[index].group in THINGS]
        able = [index for index in things if colourless(self.concepts[index].name)]
        twice = set(rng.sample(able, pairs))
        shown: list[tuple[int, str | None]] = [(index, None) for index in picked if index not in twice]
        for index in sorted(twice):
            shown += [(index, colour) for colour in rng.sample(list(COLOURS), 2)]
        return shown


@cache
def planner() -> Planner:
    """One in each process."""
    return Planner()


def make_plan(size: int, seed: int) -> Plan:
    return planner().plan(size, random.Random(seed))

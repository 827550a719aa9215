"""Where the model errs on the vendor it never saw: by kind of thing, by hand, and which tower is at fault.

python training/errors.py
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from concepts import load_concepts
from evaluate import VENDOR, Emoji, read_queries
from paths import BUILTIN
from torch import Tensor
from wordnet import plural

GROUPS = {
    0: "faces",
    1: "people",
    3: "animals",
    4: "food",
    5: "travel",
    6: "activities",
    7: "objects",
    8: "symbols",
    9: "flags",
}
# what the model should know the concept by: pictures that it was trained on
KNOWN = ("noto", "twemoji", "fluent-emoji-flat", "emojione", "noto-inked")
HANDS = {
    "shaded": "noto", "flat": "twemoji", "lines with surfaces": "noto-inked", "thin lines": "noto-thin",
    "thick lines": "noto-thick", "one colour": "fluent-emoji-high-contrast",
}  # fmt: skip
FAR = 10  # a rank that counts as a failure


def ranks(queries: Tensor, gallery: Tensor, right: Tensor) -> Tensor:
    """How many items of the gallery are nearer to query i than right[i], 0 for none."""
    scores = queries @ gallery.T
    return (scores > scores.gather(1, right[:, None])).sum(1)


def centres(folder: Path, emoji: Emoji) -> Tensor:
    """For each shown concept, the mean of its known pictures; [concepts, E], zeros where there are none."""
    place = {concept: row for row, concept in enumerate(emoji.shown)}
    total = torch.zeros_like(emoji.images)
    for vendor in KNOWN:
        known = Emoji(folder, vendor)
        rows = torch.tensor([place[concept] for concept in known.shown if concept in place])
        keep = [concept in place for concept in known.shown]
        total.index_add_(0, rows, known.images[keep])
    return torch.nn.functional.normalize(total, dim=-1)


def report_groups(emoji: Emoji, rank: Tensor) -> None:
    for group, title in GROUPS.items():
        rows = [row for row, concept in enumerate(emoji.shown) if emoji.concepts[concept].group == group]
        part = rank[rows]
        print(f"{title}: {len(rows)}, first {share(part < 1)}, among ten {share(part < 10)}")


def report_towers(emoji: Emoji, centre: Tensor, names: Tensor, rank: Tensor) -> None:
    """Does the picture lie near known pictures of its concept? Does the name? If both do, only their pairing fails."""
    own = torch.arange(len(names))
    picture, word = ranks(emoji.images, centre, own), ranks(names, centre, own)
    far = rank >= FAR
    print(f"the picture's nearest known concept is its own: {share(picture < 1)}, among ten {share(picture < 10)}")
    print(f"the name's nearest known concept is its own: {share(word < 1)}, among ten {share(word < 10)}")
    image, text = far & (picture >= FAR), far & (word >= FAR)
    kinds = {
        "image tower": image & ~text,
        "text tower": text & ~image,
        "both": image & text,
        "neither": far & ~image & ~text,
    }
    counts = ", ".join(f"{kind} {int(rows.sum())}" for kind, rows in kinds.items())
    print(f"{int(far.sum())} names whose picture is not among the first ten, by what is at fault: {counts}")
    worst = rank.argsort(descending=True)[:40].tolist()
    print("    worst:", "; ".join(f"{emoji.concepts[emoji.shown[row]].name} ({int(rank[row])})" for row in worst))


def report_hands(folder: Path) -> None:
    """The same names over one gallery a hand: trained on, so only the difference between them tells something."""
    for title, vendor in HANDS.items():
        emoji = Emoji(folder, vendor)
        names = emoji.encode_texts([emoji.concepts[concept].name for concept in emoji.shown])
        rank = ranks(names, emoji.images, torch.arange(len(names)))
        print(f"{title} ({vendor}): first {share(rank < 1)}, among ten {share(rank < 10)}")


def report_words(emoji: Emoji) -> None:
    """The commonest nouns in several forms: how often a right picture comes first, and among three."""
    nouns = read_queries("common_nouns.txt")
    concept_of = {concept.name: concept for concept in load_concepts()}
    forms = {
        "noun": [(noun, names) for noun, names in nouns],
        "plural": [(plural(noun), names) for noun, names in nouns],
        "colour and noun": [(f"red {noun}", names) for noun, names in nouns],
        "short sentence": [(f"there is a {noun} on the table", names) for noun, names in nouns],
        "synonyms": [(alias, [names[0]]) for _, names in nouns for alias in concept_of[names[0]].aliases],
    }
    for title, asked in forms.items():
        found = [emoji.search(text, 3) for text, _ in asked]
        first = np.mean([one[0] in names for one, (_, names) in zip(found, asked, strict=True)])
        three = np.mean([bool(set(one) & set(names)) for one, (_, names) in zip(found, asked, strict=True)])
        print(f"{title}: {len(asked)}, first {100 * first:.0f} %, among three {100 * three:.0f} %")


def share(flags: Tensor) -> str:
    return f"{100 * flags.float().mean():.1f} %"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=BUILTIN)
    folder = parser.parse_args().folder
    emoji = Emoji(folder, VENDOR)
    names = emoji.encode_texts([emoji.concepts[concept].name for concept in emoji.shown])
    rank = ranks(names, emoji.images, torch.arange(len(names)))
    report_groups(emoji, rank)
    report_towers(emoji, centres(folder, emoji), names, rank)
    report_hands(folder)
    report_words(emoji)

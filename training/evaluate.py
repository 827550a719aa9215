"""Measure the exported model on the vendor it never saw, through open_clip's own loading, preprocessing and tokenizer.

python training/evaluate.py
"""

import argparse
import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from colours import tint
from concepts import FLAGS, HELD_OUT_TEMPLATES, load_concepts
from paths import BUILTIN, HERE, PIXELS, SAMPLES
from PIL import Image
from torch import Tensor
from wordnet import plural

VENDOR = "openmoji"

# What is recoloured to ask for it by colour: a word, and its emoji.
COLOURED_THINGS = {
    "sofa": "couch and lamp", "car": "automobile", "shirt": "t shirt", "dress": "dress", "umbrella": "umbrella",
    "flower": "tulip", "bus": "bus", "house": "house", "chair": "chair", "shoe": "running shoe", "bird": "bird",
    "fish": "fish", "balloon": "balloon", "bicycle": "bicycle", "door": "door",
}  # fmt: skip
PAINTS = ("red", "yellow", "green", "blue", "purple", "brown")

# A class and the emoji that show it: every openmoji picture of each is one test image.
EVERYDAY: dict[str, list[str]] = json.loads((HERE / "everyday.json").read_text())

# For the tests, which have only a few samples of this art: each picture's concept and what the model makes of it.
VECTORS = HERE.parent / "tests" / "golden" / "retrieval.npz"


class Emoji:
    """The exported model and the unseen vendor's pictures as unit vectors."""

    def __init__(self, folder: Path, vendor: str, paper: str = "white") -> None:
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.concepts = load_concepts()
        shown = np.load(PIXELS / f"{vendor}.concepts.npy")
        shown, rows = np.unique(shown, return_index=True)  # one picture a concept
        self.shown: list[int] = shown.tolist()
        pixels = np.load(PIXELS / f"{vendor}.npy", mmap_mode="r")
        self.images = self.encode_images([on_paper(pixels[row], paper) for row in rows])

    @torch.no_grad()
    def encode_images(self, images: list[Image.Image]) -> Tensor:
        batches = [
            torch.stack([self.preprocess(image) for image in images[i : i + 128]]) for i in range(0, len(images), 128)
        ]
        return torch.cat([self.model.encode_image(batch, normalize=True) for batch in batches])

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Tensor:
        batches = [self.tokenizer(texts[i : i + 256]) for i in range(0, len(texts), 256)]
        return torch.cat([self.model.encode_text(batch, normalize=True) for batch in batches])

    def search(self, text: str, count: int) -> list[str]:
        scores = self.images @ self.encode_texts([text])[0]
        return [self.concepts[self.shown[row]].name for row in scores.topk(count).indices.tolist()]


def on_paper(pixels: np.ndarray, paper: str) -> Image.Image:
    square = Image.new("RGBA", pixels.shape[1:], paper)
    solid = pixels.astype(np.float32)
    solid[:3] *= 255 / np.maximum(solid[3:], 1)  # the cache holds premultiplied colours
    art = Image.fromarray(solid.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0), "RGBA")
    return Image.alpha_composite(square, art).convert("RGB")


def recall(queries: Tensor, gallery: Tensor, right: Tensor | None = None) -> str:
    """Query i should find gallery item right[i]; without it, item i."""
    right = torch.arange(len(queries)) if right is None else right
    scores = queries @ gallery.T
    rank = (scores > scores.gather(1, right[:, None])).sum(1)
    return f"recall@1 {100 * (rank < 1).float().mean():.1f} %  recall@10 {100 * (rank < 10).float().mean():.1f} %"


def everyday(emoji: Emoji, texts: list[str]) -> tuple[float, list[str]]:
    rows = {emoji.concepts[concept].name: row for row, concept in enumerate(emoji.shown)}
    wanted = [(label, name) for label, names in enumerate(EVERYDAY.values()) for name in names]
    images = emoji.images[[rows[name] for _, name in wanted]]
    guesses = (images @ emoji.encode_texts(texts).T).argmax(1).tolist()
    classes = list(EVERYDAY)
    wrong = [
        f"{name} → {classes[guess]}" for (label, name), guess in zip(wanted, guesses, strict=True) if guess != label
    ]
    return 1 - len(wrong) / len(wanted), wrong


def read_queries(file: str = "queries.txt") -> list[tuple[str, list[str]]]:
    """What is asked for, and the names of the emoji that would be right."""
    lines = [line for line in (HERE / file).read_text().splitlines() if line and not line.startswith("#")]
    return [(text, [name.strip() for name in names.split(",")]) for text, names in (line.split(": ") for line in lines)]


def report_queries(emoji: Emoji) -> None:
    trained_on = {phrase for concept in emoji.concepts for phrase in concept.phrases}
    queries = read_queries()
    unknown = {name for _, names in queries for name in names} - {concept.name for concept in emoji.concepts}
    if unknown:
        raise ValueError(f"queries.txt names emoji that do not exist: {unknown}")
    for title, part in (
        ("words known from training", [q for q in queries if q[0] in trained_on]),
        ("words not trained on", [q for q in queries if q[0] not in trained_on]),
    ):
        found = {text: emoji.search(text, 5) for text, _ in part}
        first = sum(found[text][0] in names for text, names in part)
        five = sum(any(name in names for name in found[text]) for text, names in part)
        print(f"everyday queries, {title}: {first} of {len(part)} first, {five} of {len(part)} among the first 5")
        for text, names in part:
            if found[text][0] not in names:
                among = "among the first 5" if set(names) & set(found[text]) else "not among the first 5"
                print(f"    {text!r} found {', '.join(found[text][:3])} ({among})")


def report_common_nouns(emoji: Emoji) -> None:
    """Each of the commonest nouns shall find a right picture among the first three."""
    nouns = read_queries("common_nouns.txt")
    for title, spell in (("alone", str), ("a photo of a", "a photo of a {}".format), ("plural", plural)):
        found = {noun: emoji.search(spell(noun), 3) for noun, _ in nouns}
        first = sum(found[noun][0] in names for noun, names in nouns)
        missed = [(noun, found[noun]) for noun, names in nouns if not set(names) & set(found[noun])]
        print(f"{len(nouns)} commonest nouns, {title}: {first} first, {len(nouns) - len(missed)} among the first 3")
        print("    not:", "; ".join(f"{noun} → {', '.join(names)}" for noun, names in missed) or "none")


def painted_things(emoji: Emoji) -> tuple[list[tuple[str, int, str]], Tensor]:
    """Things of the unseen vendor in six colours each: word, row and colour; and the pictures' vectors."""
    pixels = np.load(PIXELS / f"{VENDOR}.npy", mmap_mode="r")
    rows = {emoji.concepts[concept].name: row for row, concept in enumerate(emoji.shown)}
    things = [(word, rows[name], colour) for word, name in COLOURED_THINGS.items() for colour in PAINTS]
    art = torch.from_numpy(np.stack([pixels[row] for _, row, _ in things]))
    torch.manual_seed(0)  # for the same shades each time
    painted = tint(art, torch.zeros(len(art), dtype=torch.bool), [colour for _, _, colour in things])
    return things, emoji.encode_images([on_paper(picture.numpy(), "white") for picture in painted])


def report_colours(emoji: Emoji, asked: list[tuple[str, int, str]], images: Tensor) -> None:
    """Painted things among all other pictures: "red sofa" shall find the red sofa."""
    others = [row for row in range(len(emoji.shown)) if row not in {row for _, row, _ in asked}]
    texts = emoji.encode_texts([f"{colour} {word}" for word, _, colour in asked])
    scores = texts @ torch.cat([images, emoji.images[others]]).T
    best = scores.argmax(1).tolist()
    right = sum(row == number for number, row in enumerate(best))
    thing = sum(row < len(asked) and asked[row][0] == asked[number][0] for number, row in enumerate(best))
    print(f"colours: {right} of {len(asked)} find the thing in its colour first, {thing} the thing in any")
    for number, (word, _, colour) in enumerate(asked):
        if word == "sofa" and best[number] != number:
            row = best[number]
            name = emoji.concepts[emoji.shown[others[row - len(asked)]]].name if row >= len(asked) else asked[row]
            print(f"    {colour} sofa found {name}")


def report_recall(emoji: Emoji) -> None:
    shown = [emoji.concepts[concept] for concept in emoji.shown]
    names = emoji.encode_texts([concept.name for concept in shown])
    plain = [row for row, concept in enumerate(shown) if concept.group != FLAGS and not concept.gendered]
    for title, rows in (
        ("all", list(range(len(shown)))),
        ("without flags, and of men, women and persons doing the same without the men and women", plain),
    ):
        print(f"{VENDOR}, {title}: {len(rows)} concepts")
        print("    text → image", recall(names[rows], emoji.images[rows]))
        print("    image → text", recall(emoji.images[rows], names[rows]))

    print(f"unseen phrasings, among all {len(shown)}: text → image")
    for template in HELD_OUT_TEMPLATES:
        texts = emoji.encode_texts([template.replace("{}", concept.name) for concept in shown])
        print(f"    {template!r}", recall(texts, emoji.images))
    held = [(row, concept.held_out_alias) for row, concept in enumerate(shown) if concept.held_out_alias]
    aliases = emoji.encode_texts([alias for _, alias in held])
    rows = torch.tensor([row for row, _ in held])
    print(f"    {len(held)} other names never trained on", recall(aliases, emoji.images, rows))


def report_everyday(emoji: Emoji) -> None:
    pictures = sum(map(len, EVERYDAY.values()))
    print(f"everyday zero-shot, {len(EVERYDAY)} classes, {pictures} pictures of {VENDOR}")
    for template in ("{}", "a photo of a {}"):
        accuracy, wrong = everyday(emoji, [template.replace("{}", name) for name in EVERYDAY])
        print(f"    {template!r} {100 * accuracy:.1f} %; wrong: {', '.join(wrong) or 'none'}")


def report_samples(emoji: Emoji) -> None:
    samples = json.loads((SAMPLES / "samples.json").read_text())
    images = emoji.encode_images([Image.open(SAMPLES / sample["file"]) for sample in samples])
    texts = emoji.encode_texts([sample["text"] for sample in samples])
    print(f"the {len(samples)} pictures of samples/: text → image", recall(texts, images))
    found = (texts @ images.T).argmax(1).tolist()
    for row, best in enumerate(found):
        if best != row:
            print(f"    {samples[row]['text']!r} found {samples[best]['file']}")


def report_elsewhere(folder: Path) -> None:
    """Other backgrounds, and vendors it was trained on: what is lost by a style never seen."""
    for vendor, paper in ((VENDOR, "black"), (VENDOR, "lightgrey"), (VENDOR, "steelblue"), ("noto", "white")):
        emoji = Emoji(folder, vendor, paper)
        names = emoji.encode_texts([emoji.concepts[concept].name for concept in emoji.shown])
        print(f"{vendor} on {paper}, {len(names)} concepts: text → image", recall(names, emoji.images))


def write_vectors(emoji: Emoji, things: list[tuple[str, int, str]], painted: Tensor) -> None:
    names = np.array([emoji.concepts[concept].name for concept in emoji.shown])
    np.savez_compressed(
        VECTORS,
        names=names,
        images=emoji.images.numpy().astype(np.float16),
        painted_names=names[[row for _, row, _ in things]],
        painted_queries=np.array([f"{colour} {word}" for word, _, colour in things]),
        painted=painted.numpy().astype(np.float16),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=BUILTIN)
    folder = parser.parse_args().folder
    emoji = Emoji(folder, VENDOR)
    report_recall(emoji)
    report_everyday(emoji)
    report_common_nouns(emoji)
    things, painted = painted_things(emoji)
    report_colours(emoji, things, painted)
    report_queries(emoji)
    report_samples(emoji)
    report_elsewhere(folder)
    if folder == BUILTIN:
        write_vectors(emoji, things, painted)

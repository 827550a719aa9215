"""WordNet's words for the things that emoji show: synonyms, what they are kinds of, common kinds of them, plurals.

python training/wordnet.py        prints some
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from packages import WORDNET

# emojibase's groups → the lexicographer files that a thing of the group is found in (man lexnames(5WN))
ARTIFACT, ANIMAL, BODY, FOOD, LOCATION, OBJECT, PERSON, PHENOMENON, PLANT = 6, 5, 8, 13, 15, 17, 18, 19, 20
FILES = {
    1: (PERSON, BODY),
    3: (ANIMAL, PLANT, OBJECT, PHENOMENON),
    4: (FOOD, PLANT, ARTIFACT),
    5: (ARTIFACT, LOCATION, OBJECT, PHENOMENON),
    6: (ARTIFACT, OBJECT),
    7: (ARTIFACT, OBJECT, FOOD),
}
# kinds that say nothing of what is seen
TOO_WIDE = {
    "entity", "physical entity", "object", "physical object", "whole", "unit", "artifact", "artefact", "matter",
    "organism", "being", "living thing", "animate thing", "thing", "causal agent", "cause", "causal agency",
    "instrumentality", "instrumentation", "device", "substance", "chordate", "vertebrate", "craniate", "placental",
    "placental mammal", "eutherian", "eutherian mammal", "conveyance", "solid", "nutriment", "foodstuff", "covering",
}  # fmt: skip
USED = 3  # times that a word must have been found in texts, to be taken as a common kind of a thing
RARE = 3  # senses after so many others are not what a name means
HYPERNYM, HYPONYM = "@", "~"


@dataclass(frozen=True)
class Synset:
    file: int
    words: tuple[str, ...]
    pointers: tuple[tuple[str, str], ...]  # symbol, offset of a noun


@cache
def nouns() -> dict[str, Synset]:
    """By offset, the key WordNet itself uses."""
    synsets = {}
    for line in (WORDNET.folder / "usr/share/wordnet/data.noun").read_text().splitlines():
        if line.startswith(" "):
            continue
        offset, file, _, count, *rest = line.split(" | ")[0].split()
        words = [word.replace("_", " ") for word in rest[: 2 * int(count, 16) : 2]]
        pointers = rest[2 * int(count, 16) + 1 :]
        quads = zip(pointers[::4], pointers[1::4], pointers[2::4], strict=False)
        synsets[offset] = Synset(
            int(file), tuple(words), tuple((s, target) for s, target, kind in quads if kind == "n")
        )
    return synsets


@cache
def senses() -> dict[str, list[str]]:
    """A noun's synsets, the commonest first."""
    table = {}
    for line in (WORDNET.folder / "usr/share/wordnet/index.noun").read_text().splitlines():
        if not line.startswith(" "):
            lemma, _, count, *rest = line.split()
            table[lemma.replace("_", " ")] = rest[-int(count) :]
    return table


@cache
def uses() -> dict[tuple[str, int], int]:
    """How often a lemma was found in texts, in senses of a lexicographer file."""
    table: dict[tuple[str, int], int] = {}
    for line in (WORDNET.folder / "usr/share/wordnet/cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        lemma, _, rest = key.partition("%")
        kind, file, *_ = rest.split(":")
        if kind == "1":
            word = lemma.replace("_", " "), int(file)
            table[word] = table.get(word, 0) + int(count)
    return table


def sense(word: str, group: int) -> Synset | None:
    """The commonest that a picture of the group can show."""
    for offset in senses().get(word, ())[:RARE]:
        if nouns()[offset].file in FILES.get(group, ()):
            return nouns()[offset]
    return None


def words_for(word: str, group: int) -> tuple[list[str], list[str]]:
    """Synonyms that are in use; and looser words: other synonyms, what it is a kind of, and common kinds of it."""
    found = sense(word, group)
    if found is None:
        return [], []
    above = near(found, HYPERNYM)
    wider = [name for synset in [*above, *(up for one in above for up in near(one, HYPERNYM))] for name in synset.words]
    kinds = [name for one in near(found, HYPONYM) for name in one.words if used(name, one) >= USED]
    good = [name for name in found.words if used(name, found)]
    return good, [name for name in [*found.words, *wider, *kinds] if name not in TOO_WIDE and name.islower()]


def used(word: str, synset: Synset) -> int:
    return uses().get((word.lower(), synset.file), 0)


def near(synset: Synset, symbol: str) -> list[Synset]:
    return [nouns()[target] for kind, target in synset.pointers if kind == symbol]


@cache
def irregular_plurals() -> dict[str, str]:
    pairs = (line.split()[:2] for line in (WORDNET.folder / "usr/share/wordnet/noun.exc").read_text().splitlines())
    table: dict[str, str] = {}
    for plural, singular in pairs:
        table.setdefault(singular.replace("_", " "), plural.replace("_", " "))
    return table


COMMON_PLURALS = {"man": "men", "woman": "women", "foot": "feet", "tooth": "teeth", "fish": "fish", "sheep": "sheep"}


def plural(phrase: str) -> str:
    """Of its last word."""
    *before, last = phrase.split()
    if last in COMMON_PLURALS:
        last = COMMON_PLURALS[last]
    elif last in irregular_plurals() and len(last) > 3:
        last = irregular_plurals()[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return " ".join([*before, last])


def show(words: Iterable[str]) -> None:
    for word in words:
        for group in FILES:
            synonyms, looser = words_for(word, group)
            if synonyms:
                print(f"{word} ({group}): {', '.join(synonyms)} | {', '.join(looser)} | {plural(word)}")


if __name__ == "__main__":
    show(["cat", "dog", "sofa", "car", "chair", "seal", "bee", "knife", "leaf", "mouse", "tree", "teacher", "pizza"])

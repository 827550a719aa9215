"""The concepts (one an emoji) and every phrase we know for each: names, shortcodes, keywords, everyday synonyms.

python training/concepts.py        prints what there is
"""

import json
import random
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from packages import EMOJIBASE, EMOJILIB
from paths import HERE
from wordnet import words_for

SHORTCODE_SETS = ["cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels"]
COMPONENTS = 2  # emojibase's group of skin tones and hair: parts of emoji, not pictures of something
FLAGS = 9

TEMPLATES = [
    "{}",
    "a {}",
    "the {}",
    "{} emoji",
    "emoji of a {}",
    "{} icon",
    "an icon of {}",
    "a photo of a {}",
    "a photo of {}",
    "a picture of a {}",
    "an image of {}",
    "a drawing of a {}",
    "a cartoon {}",
    "clip art of a {}",
    "a symbol for {}",
    "a simple {}",
    "this is a {}",
    "i am looking for a {}",
    "can you show me a {}",
    "where is the {}",
    "there is a {} here",
    "the picture shows a {}",
    "a {} in a picture",
    "a {} on a white background",
    "a line drawing of a {}",
    "a sketch of a {}",
    "a painting of a {}",
    "vector graphic of a {}",
    "a colourful {}",
    "a cute {}",
    "a small {}",
    "a big {}",
    "my {}",
    "one {}",
]

# Strewn around a phrase at random, so that the words of a sentence which name nothing don't disturb those which do.
FILLERS = """
    i you we me my your it its is are was be on in at to for with and or of this that these here there
    have has do does can could will would want need like love see look show get give take put some any
    all one very really just now then please where what which who how when thing something someone kind
    sort style nice good great pretty
""".split()  # noqa: SIM905

# Never trained on: they measure whether the words around a name disturb it.
HELD_OUT_TEMPLATES = [
    "a sticker showing a {}",
    "please find me a {}",
    "an illustration with a {} in it",
    "do you have a {} somewhere",
]
HELD_OUT_ALIASES = 300

# How rightly a phrase is said of a concept.
NAME, ALIAS, KEYWORD = 64.0, 16.0, 1.0


@dataclass(frozen=True)
class Concept:
    hexcode: str  # without the variation selector, lower case: "1f6cb"
    emoji: str
    name: str
    group: int
    order: int
    gendered: bool
    aliases: tuple[str, ...]  # other names: shortcodes and our synonyms
    keywords: tuple[str, ...]  # looser words, often shared with other concepts
    held_out_alias: str | None

    @property
    def phrases(self) -> tuple[str, ...]:
        return (self.name, *self.aliases, *self.keywords)


def plain(text: str) -> str:
    """Lower case, no accents, no punctuation, single spaces: the tokenizer cleans a query in the same way."""
    text = text.replace("#", " hash ").replace("*", " asterisk ")
    text = unicodedata.normalize("NFKD", text.replace("_", " ").replace("-", " ").replace("’", "'"))
    text = "".join(c for c in text if not unicodedata.combining(c)).lower().replace("&", " and ").replace("'", "")
    return " ".join(re.findall(r"[a-z0-9]+", text))


def bare_hexcode(hexcode: str) -> str:
    return hexcode.lower().replace("-fe0f", "")


def as_list(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


@cache
def load_concepts() -> list[Concept]:
    data = EMOJIBASE.folder / "en"
    entries = json.loads((data / "data.json").read_text())
    shortcodes = [json.loads((data / "shortcodes" / f"{name}.json").read_text()) for name in SHORTCODE_SETS]
    keywords = {
        bare(emoji): words
        for emoji, words in json.loads((EMOJILIB.folder / "dist" / "emoji-en-US.json").read_text()).items()
    }
    synonyms = read_synonyms()

    concepts = []
    for entry in entries:
        if entry.get("group", COMPONENTS) == COMPONENTS:  # also drops the bare regional indicators, which have no group
            continue
        name = plain(entry["label"])
        codes = [plain(code) for table in shortcodes for code in as_list(table.get(entry["hexcode"]))]
        lib = [plain(word) for word in keywords.get(bare(entry["emoji"]), [])]
        tags = [plain(tag) for tag in entry.get("tags", [])]
        aliases = unique([*synonyms.pop(name, []), *codes, *flag_aliases(entry["label"])], without={name})
        concepts.append(
            Concept(
                hexcode=bare_hexcode(entry["hexcode"]),
                emoji=entry["emoji"],
                name=name,
                group=entry["group"],
                order=entry["order"],
                gendered="gender" in entry,
                aliases=aliases,
                keywords=unique([*tags, *lib], without={name, *aliases}),
                held_out_alias=None,
            )
        )
    if synonyms:
        raise ValueError(f"synonyms.txt names emoji that do not exist: {sorted(synonyms)}")
    return with_wordnet(hold_out_aliases(sorted(concepts, key=lambda concept: concept.order)))


def bare(emoji: str) -> str:
    return emoji.replace("\ufe0f", "")


def flag_aliases(label: str) -> list[str]:
    kind, _, country = label.partition(": ")
    return [plain(country), plain(f"flag of {country}"), plain(f"{country} flag")] if kind == "flag" and country else []


def unique(phrases: list[str], without: set[str]) -> tuple[str, ...]:
    # one letter says too little ("x", "b"), a long sentence is no keyword
    return tuple(phrase for phrase in dict.fromkeys(phrases) if phrase not in without and 2 <= len(phrase) <= 60)


def read_synonyms() -> dict[str, list[str]]:
    lines = [line for line in (HERE / "synonyms.txt").read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.split(": ", 1) for line in lines]
    return {plain(label): [plain(word) for word in words.split(",")] for label, words in pairs}


def hold_out_aliases(concepts: list[Concept]) -> list[Concept]:
    """Take one phrase away from some concepts: one that means this concept only and isn't its name in another order."""
    owners = phrase_owners(concepts)
    ours = {phrase for phrases in read_synonyms().values() for phrase in phrases}
    rng = random.Random(0)

    def candidates(concept: Concept) -> list[str]:
        words = set(concept.name.split())
        return [
            phrase
            for phrase in (*concept.aliases, *concept.keywords)
            if len(owners[phrase]) == 1
            and phrase not in ours
            and not set(phrase.split()) <= words
            and concept.group != FLAGS
        ]

    able = [concept for concept in concepts if len(candidates(concept)) >= 3]  # leave each at least two of its own
    chosen = {concept.hexcode: rng.choice(candidates(concept)) for concept in rng.sample(able, HELD_OUT_ALIASES)}
    return [without_phrase(concept, chosen.get(concept.hexcode)) for concept in concepts]


def without_phrase(concept: Concept, phrase: str | None) -> Concept:
    fields = {**vars(concept), "held_out_alias": phrase}
    fields["aliases"] = tuple(alias for alias in concept.aliases if alias != phrase)
    fields["keywords"] = tuple(word for word in concept.keywords if word != phrase)
    return Concept(**fields)


def with_wordnet(concepts: list[Concept]) -> list[Concept]:
    """WordNet's words for the name, and for the first of our own synonyms; but no phrase that is held out."""
    held_out = {concept.held_out_alias for concept in concepts}
    ours = read_synonyms()
    richer = []
    for concept in concepts:
        synonyms, looser = [], []
        for term in (concept.name, *ours.get(concept.name, [])[:2]):
            same, wide = words_for(term, concept.group)
            synonyms += [plain(word) for word in same]
            looser += [plain(word) for word in wide]
        known = {concept.name, *held_out}
        fields = {**vars(concept), "aliases": unique([*concept.aliases, *synonyms], known)}
        fields["keywords"] = unique([*concept.keywords, *looser], known | set(fields["aliases"]))
        richer.append(Concept(**fields))
    return richer


def phrase_owners(concepts: list[Concept]) -> dict[str, dict[int, float]]:
    """Which concepts a phrase is true of, and how rightly: "cat" is a cat's name, and a word for a grinning cat."""
    owners: dict[str, dict[int, float]] = defaultdict(dict)
    for index, concept in enumerate(concepts):
        for phrases, weight in ((concept.keywords, KEYWORD), (concept.aliases, ALIAS), ((concept.name,), NAME)):
            for phrase in phrases:
                owners[phrase][index] = weight
    return owners


if __name__ == "__main__":
    concepts = load_concepts()
    owners = phrase_owners(concepts)
    print(
        f"{len(concepts)} concepts, {len(owners)} phrases, {sum(len(o) > 1 for o in owners.values())} shared by several"
    )
    for concept in concepts[::150]:
        print(concept)

"""Draw the sample pictures that tests and the demo search in.

python training/samples.py
"""

import json
from dataclasses import dataclass

from art import ART
from concepts import load_concepts
from find import find_pictures, read_icons
from paths import SAMPLES
from PIL import Image
from render import draw, iconify_svg

SIZE = 160  # pixels
COLOURS = 128  # at most


@dataclass(frozen=True)
class Source:
    title: str
    author: str
    url: str
    licence: str
    licence_url: str


SOURCES = {
    "noto": Source(
        "Noto Emoji",
        "Google Inc",
        "https://github.com/googlefonts/noto-emoji",
        "Apache-2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
    ),
    "twemoji": Source(
        "Twemoji",
        "Twitter, Inc and other contributors",
        "https://github.com/jdecked/twemoji",
        "CC-BY-4.0",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "fluent-emoji": Source(
        "Fluent Emoji",
        "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
        "MIT",
        "https://opensource.org/license/mit",
    ),
    "openmoji": Source(
        "OpenMoji",
        "the OpenMoji project",
        "https://openmoji.org",
        "CC-BY-SA-4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
}

# vendor, emoji, what one would type to find it, background
PICTURES = [
    ("noto", "cat", "a cat", "white"),
    ("noto", "automobile", "a red car", "white"),
    ("noto", "house with garden", "a house with a garden", "#dff1ff"),
    ("noto", "hot beverage", "a cup of coffee", "white"),
    ("noto", "guitar", "a guitar", "white"),
    ("noto", "bicycle", "a bicycle", "#f4e9d8"),
    ("noto", "crying face", "a crying face", "white"),
    ("noto", "rocket", "a rocket", "#1d2340"),
    ("noto", "elephant", "an elephant", "white"),
    ("noto", "birthday cake", "a birthday cake", "white"),
    ("twemoji", "dog face", "a dog", "white"),
    ("twemoji", "pizza", "a slice of pizza", "white"),
    ("twemoji", "airplane", "a plane", "#cfe8ff"),
    ("twemoji", "red apple", "an apple", "white"),
    ("twemoji", "evergreen tree", "a pine tree", "white"),
    ("twemoji", "open book", "a book to read", "white"),
    ("twemoji", "sunflower", "a sunflower", "white"),
    ("twemoji", "laptop", "a laptop computer", "#eeeeee"),
    ("twemoji", "red heart", "a red heart", "white"),
    ("fluent-emoji", "couch and lamp", "a sofa", "white"),
    ("fluent-emoji", "penguin", "a penguin", "white"),
    ("fluent-emoji", "umbrella", "an umbrella", "white"),
    ("fluent-emoji", "hammer", "a hammer", "#f4e9d8"),
    ("fluent-emoji", "soccer ball", "a football", "#cdeccd"),
    ("fluent-emoji", "snowman", "a snowman", "#dff1ff"),
    ("fluent-emoji", "alarm clock", "an alarm clock", "white"),
    ("openmoji", "fox", "a fox", "white"),
    ("openmoji", "bus", "a bus", "white"),
    ("openmoji", "banana", "a banana", "white"),
    ("openmoji", "key", "a key", "white"),
    ("openmoji", "butterfly", "a butterfly", "white"),
    ("openmoji", "sailboat", "a sailing boat", "#cfe8ff"),
    ("openmoji", "mushroom", "a mushroom", "white"),
    ("openmoji", "camera", "a camera", "white"),
    ("openmoji", "crown", "a golden crown", "white"),
    ("openmoji", "fire", "fire", "white"),
]


def draw_samples() -> list[dict[str, str]]:
    concepts = load_concepts()
    entries = []
    for vendor, name, text, paper in PICTURES:
        art, source = ART[vendor], SOURCES[vendor]
        icons = read_icons(art)
        icon = next(icon for icon, index in find_pictures(art, concepts).items() if concepts[index].name == name)
        folder = "unseen/" if vendor == "openmoji" else ""
        path = SAMPLES / f"{folder}{name.replace(' ', '-')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGBA", (SIZE, SIZE), paper)
        margin = SIZE // 16
        picture.alpha_composite(draw(iconify_svg(icons, icon), SIZE - 2 * margin), (margin, margin))
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        entries.append(
            {
                "file": str(path.relative_to(SAMPLES)),
                "text": text,
                "source": f"{source.title} ({icon})",
                "licence": source.licence,
            }
        )
    return entries


def attribution() -> str:
    lines = [
        "# Where the sample pictures come from",
        "",
        "`samples.json` names the source of each picture. We drew each SVG as a bitmap of "
        f"{SIZE} x {SIZE} pixels and up",
        f"to {COLOURS} colours, on a plain background. We changed nothing else.",
        "",
        "| set | author | licence | pictures |",
        "|---|---|---|---|",
    ]
    for vendor, source in SOURCES.items():
        count = sum(picture[0] == vendor for picture in PICTURES)
        lines.append(
            f"| [{source.title}]({source.url}) | {source.author} | [{source.licence}]({source.licence_url}) | {count} |"
        )
    lines += [
        "",
        "The pictures in `unseen/` are by OpenMoji. The built-in model was not trained on OpenMoji's art. You may",
        "share these pictures, and changed versions of them, only under CC BY-SA 4.0. That licence does not cover",
        "the rest of the repository, which is not an adaptation of them.",
        "",
        "Fluent Emoji: Copyright (c) Microsoft Corporation. The terms of the MIT licence are those in `LICENSE`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    entries = draw_samples()
    (SAMPLES / "samples.json").write_text(json.dumps(entries, indent=2) + "\n")
    (SAMPLES / "ATTRIBUTION.md").write_text(attribution())
    print(f"{len(entries)} pictures, {sum((SAMPLES / entry['file']).stat().st_size for entry in entries) // 1024} KiB")

"""Strings that are hard on a tokenizer: a list made by hand, and random ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

NASTY = [
    "",
    " ",
    "\n\t \r\n",
    "a",
    "A",
    ".",
    "red sofa",
    "  spaces   around  and \t between ",
    "caf&eacute; &lt;b&gt;bold&lt;/b&gt; &amp;amp;lt; &#x1F600; &#128512; &nbsp;&hellip; &notanentity; &#xD800; &#0;",
    "< &amp;amp;lt; &amp;lt; &lt; &amp;amp;amp;eacute;",  # ftfy leaves entities alone beside a "<"
    "&amp;amp;amp;lt;b&amp;amp;amp;gt; &amp;amp;amp;amp;eacute;",
    "&lt;end_of_text&gt; and &lt;start_of_text&gt;",
    "cr\u00c3\u00a8me br\u00c3\u00bbl\u00c3\u00a9e \u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d it\u00e2\u20ac\u2122s",
    "\u00d0\u00ba\u00d0\u00be\u00d1\u2030\u00d0\u00ba\u00d0\u00b0",  # Cyrillic read as Latin-1
    "curly \u2018single\u2019 \u201cdouble\u201d \u2026 \u2013 \u2014 \u2212",
    "fi\ufb01 \ufb02ag \uff26\uff35\uff2c\uff2c width \u2160\u2161\u2162 \u00bd \u00b2 \u2075",
    "e\u0301 vs \u00e9, A\u030a vs \u00c5, Z\u0335\u0321\u0322a\u0337l\u0334g\u0336o",
    "\u1e9b\u0323 \u017f long s, ma\u017fs \u017ftill, TE\u017f 'S '\u017f",
    "\u0130stanbul ISTANBUL \u0131stanbul I\u0307 '\u212a \u212aelvin \u00b5m \u03bcm",
    "stra\u00dfe STRASSE \u1e9e Gro\u00dfvater",
    "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3 \u03c3\u03c2 \u1f88 \u1fbc \u0390",
    "DZ \u01c4 \u01c5 \u01c6 \u01f1",
    "\u4e00\u5f20\u732b\u7684\u7167\u7247\u3002\u306d\u3053\u306e\u5199\u771f\u3001\uace0\uc591\uc774 \uc0ac\uc9c4",
    "\u0635\u0648\u0631\u0629 \u0642\u0637\u0629 \u200f\u05d7\u05ea\u05d5\u05dc \u05d1\u05b7\u05bc",
    "\u202eright to left\u202c",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u0b95\u0bcd\u0bb7 \u1019\u103c\u1014\u103a\u1019\u102c",
    "\U0001f408\u200d\u2b1b \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f 1\ufe0f\u20e3 \U0001fae8",
    "\U00010330\U00010331 \U0001d54f \U0001d7d8 \U000e0041 \U0010ffff \ue000 \ufdd0",
    "it's we're they've I'm you'll he'd 'tis rock'n'roll 'S 'LL 'Ve don''t ''s",
    "it\u2019s we\u2019re they\u2019ve",
    "0 7 42 1234567890 3.14159 1,000,000 1e-5 0x1F \u0661\u0662\u0663 \u096a\u096b \u00bc \u2460 \u3007",
    "<end_of_text>",
    "<start_of_text>",
    "<END_OF_TEXT> <Start_Of_Text> <end_of_text><start_of_text>",
    "before<end_of_text>after <end_of_text>",
    "<end_of_text <end of text> <|endoftext|> <|startoftext|> end_of_text>",
    "<end_of_te\u017ft> <\u017ftart_of_text> <\u017fTART_OF_TEXT>",
    "snake_case __dunder__ kebab-case CamelCase path/to/file.txt user@example.com https://example.com/?a=1&b=2#c",
    "!!! ??? ... ,,, ;;; !?!?!? ***** ----- ##### @@@ $$$ %%% ^^^ &&& ((())) [[]] {{}} \\\\ ||| ~~~ ```",
    "\x00 nul \x01\x02\x1b[31mred\x1b[0m \x7f del \x80\x81 \x85 next \xa0 nbsp \xad soft",
    "zero\u200bwidth\u200cjoin\u200der\u2060\ufeff bom \u2028 line \u2029 paragraph \u3000 ideographic \u180e mongol",
    "\x1c file \x1d group \x1e record \x1f unit \x0b vertical \x0c feed",
    "lone \ud800 surrogate \udfff and pair \ud83d\ude00",
    "\ufffd \ufffe \uffff",
    "a" * 63,
    "a" * 64,
    "a" * 65,
    "a" * 5000,
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism " * 3,
    "z" * 20 + "\u00e9" * 20 + "\U0001f600" * 30,
    "ababababababababab aaaaaaaaaaaaaaab abcabcabcabc xyxyxyxyx lllllll mississippi hahahahahaha",
    "word " * 74,
    "word " * 75,
    "word " * 76,
    "word " * 500,
    "!" * 300,
    "1" * 100,
    "ab" * 300 + " " + "<end_of_text>" * 80,
    "a photo of " + ", ".join(["a cat", "a dog", "a horse"] * 12),
]

# Each random string takes its characters from one of these.
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {
    "words": [*LETTERS, *" " * 6],
    "text": [*LETTERS, *LETTERS.upper(), *" " * 12, *"0123456789", *".,;:!?'\"-_()&<>/#@"],
    "few letters": list("ab  c"),
    "contractions": ["'s", "'T", "'re", "'VE", "'m", "'ll", "'d", "'", "\u2019s", "i", "we", " ", "don", "\u017f"],
    "latin": [chr(code) for code in range(0x20, 0x250)],
    "scripts": [chr(code) for code in (*range(0x370, 0x600), *range(0x900, 0x980), *range(0x3040, 0x3100))]
    + [" "] * 60,
    "ideographs": [chr(code) for code in range(0x4E00, 0x5200)] + list(" \u3001\u3002ab"),
    "emoji": [chr(code) for code in range(0x1F300, 0x1F700)] + ["\u200d", "\ufe0f", "\U0001f3fb", " ", "a"],
    "everything": [chr(code) for code in range(0x3000)] + [chr(code) for code in range(0xE000, 0x11000)],
    "markup": ["&amp;", "&lt;", "&#x41;", "&#233;", "&eacute", ";", "&", "#", "<", ">", " ", "a", "amp;", "lt;"],
    "mojibake": [chr(code).encode().decode("latin-1") for code in range(0xA0, 0x180)] + [*LETTERS, " "],
    "specials": ["<start_of_text>", "<end_of_text>", "<END_OF_TEXT>", "<", ">", "end_of_text", "_", " ", "a", "\u017f"],
}


def random_texts(count: int, seed: int) -> Iterator[str]:
    """`count` strings, the alphabets in turn, most of them short."""
    generator = random.Random(seed)
    names = list(ALPHABETS)
    for i in range(count):
        length = int(generator.paretovariate(0.8) * 4)
        yield "".join(generator.choices(ALPHABETS[names[i % len(names)]], k=min(length, 400)))


def long_texts(count: int, seed: int) -> Iterator[str]:
    """Texts of up to 60,000 characters as people write, collect or damage them: sentences, lines and paragraphs."""
    generator = random.Random(seed)
    sentences = [*NASTY, *random_texts(200, seed)]
    gaps = [" ", "  ", "\n", "\n\n", "\r\n", "\t", ". ", ", ", " " * 40, "\n" * 20, "\u3000", "<br>", "&nbsp;"]
    for number in range(count):
        length = generator.choice([500, 5_000, 20_000, 60_000])
        pieces: list[str] = []
        own = generator.sample(gaps, 3)
        plain = number % 2 == 0  # whole sentences of one kind, as most texts are
        kind = generator.sample(sentences, 4) if plain else sentences
        while sum(map(len, pieces)) < length:
            pieces += [generator.choice(kind), generator.choice(own)]
        yield "".join(pieces)


# Texts that hardly a person writes. What they cost is bounded (inputs/text_cleaning.py). Most have open_clip's ids all
# the same. "different" has an example of each kind that is known to differ.
PATHOLOGICAL = {
    "equal": [
        "\n" * 5000,
        " \n\t" * 5000,
        "e" + "\u0301" * 5000,
        "e" + "\u0301\u0327\u0334\u0345" * 300 + " and more",
        "\u0f73" * 500,
        "\u0301\uff9e" * 500,
        "&" + "amp;" * 12,
        "&" * 5000,
        "&#" + "9" * 4300,
        "&#" + "0" * 4000 + "65; letters",
        "x" * 30_000,
        "ab" * 20_000,
        "\U0001f600" * 10_000,
        "\ufdfa" * 5000,
        "<" * 10_000,
        "\U0001f468\u200d" * 5000,
    ],
    "different": [
        "&" + "amp;" * 50 + " x",  # more than twelve levels of escapes: twelve are taken off
        "." * 100_000
        + "a cat",  # 256 characters for each token of the context without a token: what follows is not read
        "\0\n" * 5000 + "a cat",  # four lines for each token of the context without a token: the same
        # a line of more than 64 characters for each token, damaged, where only what follows the 64th says that it is
        "\u00c4\u2026 " + "word " * 2000 + "cr\u00c3\u00a8me",
    ],
}

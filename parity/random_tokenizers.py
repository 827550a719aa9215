"""Small tokenizers of the kinds that OpenCLIP's native models name, made on the spot and saved by transformers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .samples import CORPUS

VOCAB_SIZE = 400


def wordpiece(folder: Path) -> PreTrainedTokenizerBase:
    """Like bert-base-uncased, which the CLIPA models use: [CLS] text [SEP] [PAD]."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = _frequent(
        ("" if start == 0 else "##") + word[start:end] for word in _words(str.lower) for start, end in _spans(word)
    )
    vocabulary = [*specials, *pieces][:VOCAB_SIZE]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = _template("[CLS] $A [SEP]", specials)
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _through_transformers(tokenizer, folder, "BertTokenizer", named)


def unigram(folder: Path, specials: Sequence[str], template: str) -> PreTrainedTokenizerBase:
    """A sentencepiece-like tokenizer; the specials take the ids from 0 on."""
    pieces = _frequent(word[start:end] for word in _words("\u2581{}".format) for start, end in _spans(word))
    scored = [(piece, 0.0) for piece in specials] + [(piece, -3 - i / 50) for i, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored[:VOCAB_SIZE], unk_id=list(specials).index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = _template(template, specials)
    named = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    return _through_transformers(tokenizer, folder, "PreTrainedTokenizerFast", named)


def xlm(folder: Path) -> PreTrainedTokenizerBase:
    """Like facebook/xlm-v-base, which MetaCLIP's worldwide models use: <s> text </s> <pad>, with </s> at 2."""
    return unigram(folder, ["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>")


def t5(folder: Path) -> PreTrainedTokenizerBase:
    """Like google/mt5-base: text </s> <pad>, with <pad> at 0 and </s> at 1."""
    return unigram(folder, ["<pad>", "</s>", "<unk>"], "$A </s>")


def _words(spelled: Callable[[str], str]) -> list[str]:
    return [spelled(word) for text in CORPUS for word in text.split()]


def _spans(word: str) -> Iterator[tuple[int, int]]:
    return ((start, end) for start in range(len(word)) for end in range(start + 1, min(start + 6, len(word)) + 1))


def _frequent(pieces: Iterable[str]) -> list[str]:
    """Most of the text first, where long pieces weigh more; in the same order every time."""
    counts = Counter(pieces)
    return sorted(counts, key=lambda piece: (-counts[piece] * len(piece), piece))


def _template(single: str, specials: Sequence[str]) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single, special_tokens=[(name, index) for index, name in enumerate(specials) if name in single]
    )


def _through_transformers(
    tokenizer: Tokenizer, folder: Path, kind: str, named: dict[str, str]
) -> PreTrainedTokenizerBase:
    """Loaded and saved once more, so that the files are those which transformers writes for that class."""
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"TokenizersBackend"', f'"{kind}"'))
    return AutoTokenizer.from_pretrained(folder)

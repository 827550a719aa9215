"""Small tokenizers of the kinds that OpenCLIP's native models name, made on the spot and saved by transformers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .samples import CORPUS

VOCAB_SIZE = 400
ROBERTA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
                  "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip


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
    tokenizer = _unigrams(specials)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = _template(template, specials)
    named = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    return _through_transformers(tokenizer, folder, "PreTrainedTokenizerFast", named)


def _unigrams(specials: Sequence[str]) -> Tokenizer:
    pieces = _frequent(word[start:end] for word in _words("\u2581{}".format) for start, end in _spans(word))
    scored = [(piece, 0.0) for piece in specials] + [(piece, -3 - i / 50) for i, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored[:VOCAB_SIZE], unk_id=list(specials).index("<unk>")))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def xlm(folder: Path) -> PreTrainedTokenizerBase:
    """Like facebook/xlm-v-base, which MetaCLIP's worldwide models use: <s> text </s> <pad>, with </s> at 2."""
    return unigram(folder, ["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>")


def t5(folder: Path) -> PreTrainedTokenizerBase:
    """Like google/mt5-base: text </s> <pad>, with <pad> at 0 and </s> at 1."""
    return unigram(folder, ["<pad>", "</s>", "<unk>"], "$A </s>")


def roberta(folder: Path) -> PreTrainedTokenizerBase:
    """Like roberta-base: byte-pair encoding of bytes, <s> text </s> <pad>, upper case kept."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    _train(tokenizer, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **_trained(specials)))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return _through_transformers(tokenizer, folder, "RobertaTokenizer", ROBERTA_TOKENS)


def xlm_roberta(folder: Path) -> PreTrainedTokenizerBase:
    """Like xlm-roberta-base: sentencepiece's unigrams, <s> text </s> <pad>."""
    tokenizer = _unigrams(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.post_processor = _template("<s> $A </s>", ["<s>", "<pad>", "</s>"])
    return _through_transformers(tokenizer, folder, "XLMRobertaTokenizer", ROBERTA_TOKENS)


def nllb(folder: Path) -> PreTrainedTokenizerBase:
    """Like facebook/nllb-200-distilled-600M: sentencepiece's byte-pair encoding; eng_Latn text </s> <pad>."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    languages = ["ace_Arab", "eng_Latn", "fra_Latn", "zul_Latn"]
    _train(tokenizer, trainers.BpeTrainer(**_trained(specials, VOCAB_SIZE - 10)))
    tokenizer.add_special_tokens([*languages, "<mask>"])
    named = ROBERTA_TOKENS | {"additional_special_tokens": languages}
    return _through_transformers(tokenizer, folder, "NllbTokenizer", named)


def _trained(specials: Sequence[str], size: int = VOCAB_SIZE) -> dict[str, Any]:
    return {"vocab_size": size, "special_tokens": list(specials), "show_progress": False}


def _train(tokenizer: Tokenizer, trainer: trainers.BpeTrainer) -> None:
    tokenizer.train_from_iterator(CORPUS, trainer)


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
    tokenizer: Tokenizer, folder: Path, kind: str, named: dict[str, Any]
) -> PreTrainedTokenizerBase:
    """Loaded and saved once more, so that the files are those which transformers writes for that class."""
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"TokenizersBackend"', f'"{kind}"'))
    return AutoTokenizer.from_pretrained(folder)

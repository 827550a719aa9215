"""Small models of transformers with random weights, as its own save_pretrained leaves them: a folder each."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from . import random_tokenizers
from .samples import CORPUS

SIZE = 64
LONGEST = 24  # tokens
VOCAB_SIZE = 400
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": SIZE, "patch_size": 16,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 24, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": LONGEST,
}  # fmt: skip
BERT = TEXT | {"max_position_embeddings": 60}
IMAGES: dict[str, Any] = {"size": {"shortest_edge": SIZE}, "crop_size": SIZE}
SQUARE: dict[str, Any] = {"size": {"height": SIZE, "width": SIZE}}
SIGLIP: dict[str, Any] = {"kind": "Siglip", "top": {}, "processor": SQUARE}
PROJECTED = {"hidden_size": 32, "num_attention_heads": 4}  # SigLIP's text tower gives as many numbers as it is wide


def clip_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Like openai/clip-vit-base-patch32's. Its end of text pads as well, and is no token of the highest id here.

    The library's trainer numbers the letters at a word's end in another order each time, so the merges are found here.
    """
    backend = transformers.CLIPTokenizer().backend_tokenizer
    texts = (backend.normalizer.normalize_str(text) for text in CORPUS)
    found = Counter(word for text in texts for word, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    words = {(*word[:-1], f"{word[-1]}</w>"): count for word, count in found.items()}
    letters = sorted({letter for word in found for letter in word})
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    while len(vocabulary) < VOCAB_SIZE:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append((left, right))
        vocabulary.append(left + right)
        words = {_merged(word, left, right): count for word, count in words.items()}
    ids = {token: number for number, token in enumerate(vocabulary)}
    return transformers.CLIPTokenizer(vocab=ids, merges=merges, model_max_length=LONGEST)


def _merged(word: tuple[str, ...], left: str, right: str) -> tuple[str, ...]:
    symbols: list[str] = []
    for symbol in word:
        if symbols and symbols[-1] == left and symbol == right:
            symbols[-1] += right
        else:
            symbols.append(symbol)
    return tuple(symbols)


def gemma_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Like google/siglip2-base-patch16-224's: bytes stand in for unknown characters, and runs of blanks count."""
    options: dict[str, Any] = {"add_bos_token": False, "add_eos_token": True, "padding_side": "right"}
    empty = transformers.GemmaTokenizer(**options, model_input_names=["input_ids"], model_max_length=LONGEST)
    trained = empty.train_new_from_iterator(CORPUS, VOCAB_SIZE - 256, show_progress=False)
    state = json.loads(trained.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    merges = [tuple(merge) for merge in state["model"]["merges"]]
    return transformers.GemmaTokenizer(
        vocab=vocabulary, merges=merges, **options, model_input_names=["input_ids"], model_max_length=LONGEST
    )


def sentencepiece_model() -> bytes:
    """A spiece.model in which the ids are those of T5: padding 0, end of text 1, unknown 2."""
    import sentencepiece  # it speaks on stderr when it is imported

    model = io.BytesIO()
    lines = [" ".join(text.lower().split()) for text in CORPUS]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in lines if line]), model_writer=model, vocab_size=300,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False,
        character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def sentencepiece_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """What T5's class makes of a spiece.model: the tokenizer.json that lies beside open_clip's SigLIP weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(sentencepiece_model())
    return transformers.T5Tokenizer.from_pretrained(folder)


def siglip_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Like google/siglip-base-patch16-224's, which takes all punctuation away. tokenizer.json is what T5's class makes
    of the same spiece.model."""
    sentencepiece_tokenizer(folder).save_pretrained(folder / "t5")
    shutil.copy(folder / "t5" / "tokenizer.json", folder)
    return transformers.SiglipTokenizer(
        str(folder / "spiece.model"), model_input_names=["input_ids"], model_max_length=LONGEST
    )


def bert_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return random_tokenizers.wordpiece(folder)


def xlm_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    tokenizer = random_tokenizers.xlm_roberta(folder)
    tokenizer.model_max_length = LONGEST
    return tokenizer


@dataclass(frozen=True)
class Case:
    """kind: the beginning of transformers' class names. Where `image` or `text` says nothing, VISION and TEXT hold."""

    kind: str = "CLIP"
    image: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=lambda: {"projection_dim": 20})
    processor: Mapping[str, Any] = field(default_factory=lambda: IMAGES)
    tokenizer: Callable[[Path], PreTrainedTokenizerBase] = clip_tokenizer
    dtype: torch.dtype = torch.float32
    changed: Callable[[Path], None] = lambda folder: None  # after saving: files as older versions wrote them


def save(case: Case, folder: Path) -> Path:
    tokenizer = case.tokenizer(folder)
    text = (BERT if case.kind in ("ChineseCLIP", "AltCLIP") else TEXT) | case.text
    if case.kind in ("CLIP", "MetaClip2"):
        text = {"eos_token_id": tokenizer.eos_token_id} | text
    config = getattr(transformers, f"{case.kind}Config")(
        text_config=text, vision_config=VISION | case.image, **case.top
    )
    model = getattr(transformers, f"{case.kind}Model")(config)
    randomise(model)
    model.to(case.dtype).save_pretrained(folder)
    images = case.kind if case.kind in ("ChineseCLIP", "Siglip") else "CLIP"
    processor = {"MetaClip2": "CLIP"}.get(case.kind, case.kind)
    getattr(transformers, f"{processor}Processor")(
        getattr(transformers, f"{images}ImageProcessor")(**case.processor), tokenizer
    ).save_pretrained(folder)
    case.changed(folder)
    return folder


@torch.no_grad()
def randomise(model: PreTrainedModel, seed: int = 0) -> None:
    """No weight stays at zero or one, where leaving it out would go unseen."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name in ("logit_scale", "logit_bias"):
            continue
        is_norm = re.search(r"norm|LN\.|LayerNorm", name) and name.endswith("weight")
        parameter.copy_(bool(is_norm) + _scale(name, parameter) * torch.randn(parameter.shape, generator=generator))


def _scale(name: str, parameter: torch.Tensor) -> float:
    if parameter.ndim == 1:
        return 0.1 if ".layer." in name or ".layers." in name else 0.3
    if "position_embedding" in name or "token_type" in name:
        return 0.3
    return 1.0 if "embedding" in name or "probe" in name else parameter[0].numel() ** -0.5


class Reference:
    """transformers itself, as its documentation shows it: AutoModel and AutoProcessor on the same folder."""

    def __init__(self, folder: Path, backend: str = "torchvision", **text: Any) -> None:
        """text: what the processor is told of texts."""
        self.model = transformers.AutoModel.from_pretrained(folder).float().eval()
        self.processor = transformers.AutoProcessor.from_pretrained(folder, backend=backend)
        self._text = {"padding": True, "truncation": True, "return_tensors": "pt", **text}

    @torch.no_grad()
    def embed_images(self, images: Sequence[bytes]) -> np.ndarray:
        pixels = self.processor(images=[Image.open(io.BytesIO(data)) for data in images], return_tensors="pt")
        return self.model.get_image_features(**pixels).pooler_output.numpy()

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.model.get_text_features(**self.tokens(texts)).pooler_output.numpy()

    def tokens(self, texts: Sequence[str]) -> Any:
        return self.processor(text=list(texts), **self._text)


def older_files(folder: Path) -> None:
    """As versions before 5 wrote them: preprocessor_config.json, and CLIP's vocabulary and merges."""
    older_images(folder)
    (folder / "special_tokens_map.json").write_text("{}")
    vocabulary_files(folder)


def older_images(folder: Path) -> None:
    path = folder / "processor_config.json"
    (folder / "preprocessor_config.json").write_text(json.dumps(json.loads(path.read_text())["image_processor"]))
    path.unlink()


def vocabulary_files(folder: Path) -> None:
    """vocab.json and merges.txt, or vocab.txt, in place of tokenizer.json."""
    path = folder / "tokenizer.json"
    model = Tokenizer.from_file(str(path)).model
    assert isinstance(model, (models.BPE, models.WordPiece))
    model.save(str(folder))
    path.unlink()

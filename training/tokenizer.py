"""Train the vocabulary: byte-level BPE, so that any text has ids and an unseen word splits into known pieces.

python training/tokenizer.py
"""

import json

from concepts import TEMPLATES, load_concepts
from packages import EMOJIBASE
from paths import TOKENIZER
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB_SIZE = 4096
CONTEXT_LENGTH = 32
PAD, START = "<|pad|>", "<|start|>"
END = "<|end|>"  # gets the highest id: open_clip's "argmax" pooling reads the token with the highest id


def corpus() -> list[str]:
    phrases = [phrase for concept in load_concepts() for phrase in concept.phrases]
    emoji = [concept.emoji for concept in load_concepts()]
    # British spellings and the sub-groups' names add ordinary words
    british = [entry["label"].lower() for entry in json.loads((EMOJIBASE.folder / "en-gb" / "data.json").read_text())]
    return [*phrases, *emoji, *british, *(template.replace("{}", "") for template in TEMPLATES)]


def cleaning() -> normalizers.Normalizer:
    """The same as concepts.plain, but keeps other scripts and emoji: "T-shirt", "t_shirt" and "t shirt" are one."""
    steps = [
        normalizers.NFKD(),
        normalizers.StripAccents(),  # also drops the selector that asks for an emoji's coloured form
        normalizers.Lowercase(),
        normalizers.Replace(Regex("['’]"), ""),
        normalizers.Replace("&", " and "),
        normalizers.Replace(Regex(r"[!-/:-@\[-`{-~“”\s]+"), " "),
        normalizers.Strip(),
    ]
    return normalizers.Sequence(steps)


def train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = cleaning()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 1,
        special_tokens=[PAD, START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    assert end == tokenizer.get_vocab_size() - 1 == VOCAB_SIZE - 1
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    return tokenizer


def save(tokenizer: Tokenizer) -> None:
    TOKENIZER.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(TOKENIZER / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": PAD,
        "padding_side": "right",
        "truncation_side": "right",
        "model_max_length": CONTEXT_LENGTH,
        "clean_up_tokenization_spaces": False,
    }
    (TOKENIZER / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    save(train())
    print("tokenizer written to", TOKENIZER)

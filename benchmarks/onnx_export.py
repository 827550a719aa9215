"""open_clip's towers as ONNX, in fp32 and as onnxruntime's dynamic int8: what fastembed and Immich run.

python onnx_export.py FOLDER OUT: FOLDER is a checkpoint, OUT gets image.onnx, text.onnx, their int8 forms
and tokenizer.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

import open_clip
import torch
from clip_vocabulary import merges, vocabulary
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


class Images(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels)


class Texts(Images):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(ids)


def export(folder: Path, out: Path) -> None:
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    out.mkdir(parents=True, exist_ok=True)
    inputs = {"image": (Images(model), torch.zeros(2, 3, 224, 224)), "text": (Texts(model), torch.zeros(2, 77).long())}
    for name, (tower, example) in inputs.items():
        file = out / f"{name}.onnx"
        batch = ({0: torch.export.Dim("batch", min=1, max=1024)},)
        torch.onnx.export(tower, (example,), str(file), dynamo=True, dynamic_shapes=batch, external_data=False)
        quantize_dynamic(file, out / f"{name}-int8.onnx", weight_type=QuantType.QInt8)


def save_tokenizer(file: Path) -> None:
    """As transformers' CLIPTokenizerFast is made."""
    ids = vocabulary()
    pairs = [tuple(merge.split()) for merge in merges()]
    tokenizer = Tokenizer(models.BPE(ids, pairs, end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.post_processor = processors.RobertaProcessing((END, ids[END]), (START, ids[START]))
    tokenizer.save(str(file))


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
    save_tokenizer(Path(sys.argv[2]) / "tokenizer.json")

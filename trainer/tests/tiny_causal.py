"""usage: tiny_causal.py FOLDER [llama|qwen2]   A causal language model of the real architecture with random weights, as Hugging Face lays it out.

Its tokenizer is byte-level BPE, trained on the few sentences below; the template is that of ChatML.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from modelwright_trainer.decoder import decoder_config

TEXTS = [
    "What is the colour of a ripe tomato? A ripe tomato is red.",
    "What is the colour of a lemon? A lemon is yellow. The grass is green, the sky is blue.",
    "You answer in one short sentence. It's easy, isn't it? They've 12 apples and 345 pears.",
    "番茄是什么颜色的？番茄是红色的。柠檬是黄色的，草是绿色的，天空是蓝色的。",
    "user system assistant\n\nWell, we'll see.\n",
] * 4
#: How Qwen cuts words; Llama 3 takes up to three digits.
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "eos_token_id": 0,
}
CONFIGS = {
    "llama": COMMON | {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_theta": 10000.0, "tie_word_embeddings": True},
    "qwen2": COMMON | {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rope_theta": 1000000.0, "tie_word_embeddings": False, "use_sliding_window": False},
}


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(one, special=True, normalized=False) for one in SPECIAL]
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def make_causal(folder: Path, kind: str = "llama") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = CONFIGS[kind] | {"vocab_size": tokenizer.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": CHATML}))
    chance = torch.Generator().manual_seed(3)
    weights = {
        name: torch.ones(shape) if len(shape) == 1 and "norm" in name else torch.randn(shape, generator=chance) * 0.3 / max(1, shape[-1] ** 0.5 / 6)
        for name, shape in decoder_config(config).tensors().items()
    }
    save_file(weights, folder / "model.safetensors")


if __name__ == "__main__":
    make_causal(Path(sys.argv[1]), *sys.argv[2:])

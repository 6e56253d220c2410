"""usage: encode_texts.py ENCODER_FOLDER MAX_TOKENS FILE   FILE, or - for standard input: {"texts": [...], "embed": [...], "bare"?: true} ->
{"encoded": [{ids, offsets}], "embedded": [{sentence, states}]} as the trainer's tokenizer and its encoder in plain torch give them, without prefix; `bare`: ids alone, with nothing put around a text."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

folder, asked = Path(sys.argv[1]), json.loads(sys.stdin.read() if sys.argv[3] == "-" else Path(sys.argv[3]).read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(int(sys.argv[2]))


def embedded(texts: list[str]) -> Iterator[dict[str, list]]:
    # Heavy, and needless for those who ask for tokens alone.
    import torch

    from modelwright_trainer.encoder import load_encoder

    encoder = load_encoder(folder)
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.inference_mode():
            states, sentence = encoder.states(ids, torch.ones_like(ids)), encoder(ids, torch.ones_like(ids))
        yield {"sentence": sentence[0].tolist(), "states": states[0].tolist()}


bare = bool(asked.get("bare"))
encodings = tokenizer.encode_batch(asked["texts"], add_special_tokens=not bare)
answer = {
    "encoded": [{"ids": encoding.ids} if bare else {"ids": encoding.ids, "offsets": encoding.offsets} for encoding in encodings],
    "embedded": list(embedded(asked["embed"])) if asked["embed"] else [],
}
json.dump(answer, sys.stdout)

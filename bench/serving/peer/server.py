"""What one writes who serves a fine-tuned classifier with FastAPI and transformers: the encoder, mean pooling and the tenant's linear head.
`ENCODER`, `HEAD`, `ANSWERING` and `MAX_TOKENS` name the same model as the predictor's; `THREADS` are PyTorch's, of each worker process."""

import json
import os
from pathlib import Path

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

torch.set_num_threads(int(os.environ["THREADS"]))
tokenizer = AutoTokenizer.from_pretrained(os.environ["ENCODER"])
encoder = AutoModel.from_pretrained(os.environ["ENCODER"]).eval()
head = load_file(os.environ["HEAD"])
answering = json.loads(Path(os.environ["ANSWERING"]).read_text())
max_tokens = int(os.environ["MAX_TOKENS"])


class Input(BaseModel):
    text: str


class Request(BaseModel):
    inputs: list[Input]


app = FastAPI()


@app.post("/predict")
def predict(request: Request) -> dict:
    with torch.inference_mode():
        batch = tokenizer([given.text for given in request.inputs], padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
        states = encoder(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        pooled = (states * mask).sum(1) / mask.sum(1)
        vectors = torch.nn.functional.normalize(pooled, dim=1)
        logits = torch.nn.functional.linear(vectors, head["classifier.weight"].float(), head["classifier.bias"].float())
        scores, labels = torch.softmax(logits / answering.get("temperature", 1.0), dim=1).max(1)
    return {
        "outputs": [
            {"label": answering["labels"][label], "score": score} for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
        ]
    }

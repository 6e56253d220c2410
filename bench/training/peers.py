"""What a user would pick instead, on the same rows: `python peers.py SPEC.json` with {way, train, test, encoder, epochs, rate, batch, seed, threads}.

Ways: `trainer` (Hugging Face Trainer with its defaults: batches in random order, padded to their longest text), `trainer-grouped` (the same with
texts of like length in a batch), `tfidf` (TF-IDF and logistic regression of scikit-learn). Prints one line of JSON.
"""

import json
import os
import sys
import tempfile
import time

spec = json.loads(open(sys.argv[1]).read())
os.environ |= {"OMP_NUM_THREADS": str(spec["threads"]), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
# As our trainer has it: threads that spin while they wait take the cores away from each other wherever something else runs too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def tfidf() -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Words and pairs of words, and a weaker pull to zero than the default: better than the defaults on rows this few.
    model = make_pipeline(TfidfVectorizer(analyzer=spec.get("analyzer", "word"), ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))
    model.fit([row["text"] for row in spec["train"]], [row["label"] for row in spec["train"]])
    return float(model.score([row["text"] for row in spec["test"]], [row["label"] for row in spec["test"]]))


def trainer(grouped: bool) -> tuple[float, dict[str, float]]:
    import torch
    from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(spec["threads"])
    labels = sorted({row["label"] for row in spec["train"]})
    tokenizer = AutoTokenizer.from_pretrained(spec["encoder"])

    class Classifier(torch.nn.Module):
        """The same head as ours. AutoModelForSequenceClassification reads the first token instead, and gets far less right in epochs this few."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(spec["encoder"], add_pooling_layer=False)
            self.head = torch.nn.Linear(self.encoder.config.hidden_size, len(labels))
            torch.nn.init.zeros_(self.head.weight)
            torch.nn.init.zeros_(self.head.bias)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask[:, :, None].to(states.dtype)
            pooled = torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)
            logits = self.head(torch.nn.functional.dropout(pooled, 0.1, self.training) * 20.0)
            if labels is None:
                return {"logits": logits}
            return {"loss": torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1), "logits": logits}

    def rows_of(rows: list[dict]) -> list[dict]:
        found = tokenizer([row["text"] for row in rows], truncation=True, max_length=256)["input_ids"]
        return [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels.index(row["label"])} for ids, row in zip(found, rows, strict=True)]

    train, test = rows_of(spec["train"]), rows_of(spec["test"])
    model = Classifier()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=spec["epochs"],
            learning_rate=spec["rate"],
            per_device_train_batch_size=spec["batch"],
            per_device_eval_batch_size=64,
            seed=spec["seed"],
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            **({"train_sampling_strategy": "group_by_length"} if grouped else {}),
        )
        learner = Trainer(model=model, args=arguments, train_dataset=train, processing_class=tokenizer)
        wall, cpu = time.monotonic(), time.process_time()
        learner.train()
        loop = {"loopWallS": time.monotonic() - wall, "loopCpuS": time.process_time() - cpu}
        # By length, or the padding of the test rows would cost more than they do. Grouping reorders them too: the labels come back beside the answers.
        said = learner.predict(sorted(test, key=lambda row: len(row["input_ids"])))
    return float((said.predictions.argmax(-1) == said.label_ids).mean()), loop


loop: dict[str, float] = {}
if spec["way"] == "tfidf":
    accuracy = tfidf()
else:
    accuracy, loop = trainer(spec["way"] == "trainer-grouped")
print(json.dumps({"accuracy": accuracy} | loop))

"""A tiny encoder with random weights: the trainer's whole path in a second."""

import contextlib
import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import zstandard
from object_server import ObjectServer, object_server
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from modelwright_trainer import transfer
from modelwright_trainer.__main__ import main
from modelwright_trainer.encoder import Encoder

TRAINER = Path(__file__).resolve().parent.parent
CATALOG = TRAINER.parent / "catalog"
WORDS = ["soup", "bread", "cheese", "goal", "match", "league", "bank", "share", "budget", "a", "story", "about"]
CONFIG = {
    "vocab_size": len(WORDS) + 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


def make_base(folder: Path) -> None:
    torch.manual_seed(1)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(Encoder(CONFIG).state_dict(), folder / "model.safetensors")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "modelwright.json").write_text(json.dumps({"name": "tiny", "dim": 16, "maxTokens": 32, "prefix": "", "sha256": {}}))


def rows(count: int = 90) -> list[dict]:
    topics = [("food", WORDS[0:3]), ("sport", WORDS[3:6]), ("money", WORDS[6:9])]
    made = []
    for i in range(count):
        label, words = topics[i % 3]
        text = f"a story about {words[i % 2]} {words[(i + 1) % 3]} {words[i % 3]}"
        made.append({"id": f"r{i:03}", "split": "evaluation" if i % 5 == 0 else "train", "text": text, "label": label})
    return made


class JobFolder:
    """One job: its specification, and the trainer run on it as the platform runs it."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self.folder.mkdir(parents=True, exist_ok=True)

    def specify(self, data: list[dict] | None = None, model: str = "text-classification", **changes: object) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (rows() if data is None else data))
        packed = zstandard.ZstdCompressor().compress(text.encode())
        (self.folder / "bucket").write_bytes(packed)
        names = ("model.safetensors", "eval.jsonl", "answering.json", "encoder.onnx", "result.json")
        spec = {
            "jobName": "job",
            "businessModel": {"id": model, "version": "1.0.0", "trainerFile": str(CATALOG / model / "trainer.py")},
            "dataset": {
                "digest": hashlib.sha256(text.encode()).hexdigest(),
                "buckets": [{"index": 0, "url": f"file://{self.folder}/bucket", "sha256": hashlib.sha256(packed).hexdigest(), "rows": 90}],
            },
            "baseModel": {"name": "tiny", "path": str(self.base)},
            "options": {},
            "overrides": {"batchDivisor": 1, "learningRateDivisor": 1},
            "seed": 7,
            "threads": 1,
            "outputs": {name: f"file://{self.folder}/staged.{name}" for name in names},
            "workDir": str(self.folder),
        } | changes
        (self.folder / "spec.json").write_text(json.dumps(spec))

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "modelwright_trainer", "--spec", str(self.folder / "spec.json")]
        return subprocess.Popen(command, cwd=TRAINER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self) -> tuple[int, dict, list[dict]]:
        process = self.start()
        out, _ = process.communicate(timeout=120)
        result = self.folder / "result.json"
        return process.returncode, json.loads(result.read_text()) if result.exists() else {}, [json.loads(line) for line in out.splitlines()]

    def run_here(self) -> tuple[int, dict, list[dict]]:
        """As `run`, within this process: a second where a start of Python and torch takes several."""
        (self.folder / "result.json").unlink(missing_ok=True)
        out, handlers = io.StringIO(), [(one, signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGINT)]
        try:
            with contextlib.redirect_stdout(out):
                status = main(["--spec", str(self.folder / "spec.json")])
        finally:
            for one, handler in handlers:
                signal.signal(one, handler)
        return status, json.loads((self.folder / "result.json").read_text()), [json.loads(line) for line in out.getvalue().splitlines()]

    def answers(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "staged.eval.jsonl").read_text().splitlines()]

    def answering(self) -> dict:
        return json.loads((self.folder / "staged.answering.json").read_text())

    def weights(self) -> bytes:
        return (self.folder / "staged.model.safetensors").read_bytes()


@pytest.fixture
def job(tmp_path: Path, base: Path) -> JobFolder:
    return JobFolder(tmp_path / "job", base)


@pytest.fixture
def another(tmp_path: Path, base: Path) -> JobFolder:
    return JobFolder(tmp_path / "another", base)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.001)
    with object_server() as server:
        yield server

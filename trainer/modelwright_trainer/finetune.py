"""Fine-tunes the encoder together with a head: one loop for all business models, the whole encoder or LoRA.

Everything that chance decides is a function of (seed, step), so that a training that goes on from any step comes to the same weights.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .checkpoint import Checkpoints, State
from .device import bf16_is_fast
from .device import device as device_of_job
from .frozen_states import FrozenStates
from .job import Job, Progress, stopped
from .learning import check_loss, rate_at
from .packed import Packed, PackedEncoder, pack
from .share import Share
from .spec import Spec

#: The head starts from nothing and learns faster than the encoder, which only adapts.
HEAD_RATE_FACTOR = 10
WEIGHT_DECAY = 0.01
#: Batches are made of texts of like length, drawn from so many batches' worth of shuffled texts.
POOL_BATCHES = 50

#: (last hidden states, their batch, which rows they are of) -> the loss of each row, on the processor
RowsLoss = Callable[[torch.Tensor, Packed, Share], torch.Tensor]


@dataclass(frozen=True)
class FinetuneSettings:
    epochs: int
    rate: float
    batch: int


def batches_of_epoch(lengths: list[int], batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Row numbers of every batch: shuffled, then sorted by length within pools, then the batches shuffled. A function of its arguments."""
    chance = random.Random(seed * 1_000_003 + epoch)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    pool = batch * POOL_BATCHES
    for at in range(0, len(order), pool):
        some = sorted(order[at : at + pool], key=lambda i: lengths[i])
        batches += [some[i : i + batch] for i in range(0, len(some), batch)]
    chance.shuffle(batches)
    return batches


def finetune(
    spec: Spec,
    encoder: nn.Module,
    head: nn.Module,
    tokens: list[list[int]],
    weights: torch.Tensor,
    loss_of: RowsLoss,
    settings: FinetuneSettings,
    job: Job,
    progress: Progress,
) -> int:
    """Trains both in place, what of them wants gradients (`encoder`: Packed -> last hidden states); returns the number of steps. A checkpoint of the last step stays, so that what follows may be killed too."""
    device, workers = device_of_job(), job.workers
    parts = spec.batch_divisor
    part_rows = max(1, settings.batch // parts)
    step_rows = part_rows * parts
    peak = settings.rate / spec.learning_rate_divisor
    lengths = [len(ids) for ids in tokens]
    per_epoch = math.ceil(len(tokens) / step_rows)
    steps = settings.epochs * per_epoch
    encoder.to(device)
    head.to(device)
    named = {f"encoder.{name}": p for name, p in encoder.named_parameters() if p.requires_grad} | {f"head.{name}": p for name, p in head.named_parameters()}
    trained = list(named.values())
    groups = [
        {"params": [p for name, p in named.items() if name.startswith("encoder.")], "factor": 1.0},
        {"params": [p for name, p in named.items() if name.startswith("head.")], "factor": float(HEAD_RATE_FACTOR)},
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=WEIGHT_DECAY, fused=True)
    checkpoints = Checkpoints(job.checkpoints, _training_of(spec), job.remote.offer if job.remote else None)
    kept = checkpoints.restore()
    step = 0
    if kept is not None:
        step = kept[0]
        _load(named, optimizer, kept[1])
    workers.agree_on(step, device)
    frozen = FrozenStates(encoder, tokens) if isinstance(encoder, PackedEncoder) and encoder.frozen_layers else None
    encoder.train()
    fast = bf16_is_fast()
    epoch_made, batches = -1, []
    first_step, started, cpu = step, time.monotonic(), time.process_time()
    while step < steps:
        epoch, at = divmod(step, per_epoch)
        if epoch != epoch_made:
            epoch_made, batches = epoch, batches_of_epoch(lengths, step_rows, spec.seed, epoch)
        chosen = batches[at]
        torch.manual_seed(spec.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, peak) * group["factor"]
        optimizer.zero_grad()
        total, whole = 0.0, weights[chosen].sum()
        for first in range(0, len(chosen), part_rows):
            share = workers.share(chosen[first : first + part_rows])
            if not share.count:
                continue
            batch = pack([tokens[i] for i in share.rows]).to(device)
            below = frozen.of(share.rows) if frozen else None
            with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                states = encoder(batch) if below is None else encoder.upper(below, batch)
            loss = (loss_of(states, batch, share) * weights[share.rows]).sum() / whole
            loss.backward()
            total += loss.item()
        total, anyone_stops = workers.add_up(trained, total, job.stop_asked)
        check_loss(total, step + 1)
        nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
        optimizer.step()
        step += 1
        progress.tell("train", step, steps, epoch=step / per_epoch, loss=total, samples=step * step_rows)
        # Several workers stop at one step: that at which all have heard of it.
        stopping = job.stop_asked if workers.count == 1 else anyone_stops
        if workers.first and (stopping or step == steps or checkpoints.due()):
            checkpoints.save(step, _state(named, optimizer), wait=stopping or step == steps)
        if stopping:
            raise stopped()
    workers.leave_to_first()
    progress.log("info", f"the training stopped {checkpoints.stopped_s:.3f} s for {checkpoints.count} checkpoints")
    encoder.eval()
    # What follows of the head is little, and done by the processor.
    head.cpu()
    progress.log("info", f"{steps - first_step} steps in {time.monotonic() - started:.1f} s, {time.process_time() - cpu:.1f} s of processor time")
    return steps


def _state(named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> State:
    state: State = {}
    for name, parameter in named.items():
        state[name] = parameter
        state |= {f"{name}!{part}": value for part, value in optimizer.state[parameter].items()}
    return state


def _load(named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, state: State) -> None:
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(state[name])
            parts = {key.partition("!")[2]: value.to(parameter.device) for key, value in state.items() if key.startswith(f"{name}!")}
            optimizer.state[parameter] = parts


def _training_of(spec: Spec) -> str:
    """A smaller rate or batch, asked for after a failure, goes on from the same checkpoint."""
    return f"{spec.dataset_digest} {spec.base_name} {spec.base_digest} {sorted(spec.options.items())} {spec.seed}"

"""Workers tell each other that they live: one whose node is lost says nothing, and who waits for it would wait for ever."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import torch.distributed as dist

EVERY_S = 2.0
#: So long may one be silent: together with what follows it stays within a minute.
PATIENCE_S = 30.0


class Heartbeat:
    def __init__(self, store: dist.Store, rank: int, count: int, lost: Callable[[], None]) -> None:
        """`store` is used by no other thread. `lost` is called once, in a thread of its own, when one of the others is silent."""
        self._store, self._rank, self._others, self._lost = store, rank, [other for other in range(count) if other != rank], lost
        self._heard = {other: time.monotonic() for other in self._others}
        #: Whether the others matter.
        self.watching = True
        store.set_timeout(timedelta(seconds=PATIENCE_S))
        for work in (self._beat, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def _beat(self) -> None:
        said: dict[int, bytes] = {}
        beats = 0
        while True:
            beats += 1
            try:
                self._store.set(f"beat/{self._rank}", str(beats))
                for other in self._others:
                    found = self._store.get(f"beat/{other}")
                    if found != said.get(other):
                        said[other], self._heard[other] = found, time.monotonic()
            except RuntimeError:
                # The store lives in worker 0, which has ended or cannot be reached: the watch finds it silent.
                return
            time.sleep(EVERY_S)

    def _watch(self) -> None:
        while True:
            time.sleep(1.0)
            if self.watching and any(time.monotonic() - at > PATIENCE_S for at in self._heard.values()):
                self._lost()
                return

"""Work in several processes, each with its share of the cores."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch

log = logging.getLogger("tinyrefinery")


def run_in_processes(
    work: Callable[..., None], shares: Sequence[tuple[Any, ...]], processes: int
) -> None:
    """Call `work(*share)` for each share in one of several new processes.

    The messages of a share are logged here when it is done, and its errors are raised here. On CPUs
    this is faster than one process with many threads, for networks as small as ours.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by the new processes as they start
    try:
        with ProcessPoolExecutor(
            processes, get_context("spawn"), _set_up, (os.getpid(), threads)
        ) as pool:
            for done in as_completed(
                [pool.submit(_keep_messages, work, share) for share in shares]
            ):
                for line in done.result():
                    log.info(line)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _set_up(parent: int, threads: int) -> None:
    """Give a process its share of the cores, and end it when the parent ends."""
    torch.set_num_threads(threads)
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would tear one another

    def follow() -> None:
        """End this process once its parent is another one."""
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _keep_messages(work: Callable[..., None], share: tuple[Any, ...]) -> list[str]:
    """Do a share, and return its messages."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger = logging.getLogger("tinyrefinery")
    logger.setLevel(logging.INFO)
    logger.handlers = [Keep()]
    work(*share)
    return lines

"""The reference: the SavedModel called in this process, without any server."""

from __future__ import annotations

import concurrent.futures
import itertools
import time
from pathlib import Path

import tensorflow as tf

from pipeline.benchmark.serving.latency import Outcome
from serving.signatures import DEFAULT_SIGNATURE, SCORE


class InProcess:
    """A SavedModel loaded into this process.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self._loaded = tf.saved_model.load(str(path))
        self._call = self._loaded.signatures[DEFAULT_SIGNATURE]

    def run(self, examples: list[list[bytes]], threads: int, seconds: float) -> Outcome:
        """Scores requests one after the other in each of some threads.

        Args:
            examples: Serialized tf.Examples, by request.
            threads: Number of threads.
            seconds: How long requests are begun.
        """
        numbers = itertools.count()
        start = time.perf_counter()

        def work() -> list[float]:
            latencies = []
            while (began := time.perf_counter()) < start + seconds:
                request = examples[next(numbers) % len(examples)]
                self._call(examples=tf.constant(request))[SCORE].numpy()
                latencies.append(time.perf_counter() - began)
            return latencies

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(work) for _ in range(threads)]
            latencies = [second for job in jobs for second in job.result()]
        return Outcome(latencies, 0, time.perf_counter() - start)

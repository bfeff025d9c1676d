# SPDX-License-Identifier: MIT
"""The least processor time of a function over short runs; of torch_ops.py and torch_layers.py."""
import time

LEAST_RUNS = 5  # the first runs of a large op wait for pages of the system


def least(seconds, run, prepare=lambda: None):
    """The least time of run(prepare()), of which prepare is not timed, in about so many seconds."""
    best, runs, end = 1e9, 0, time.perf_counter() + seconds
    while runs < LEAST_RUNS or time.perf_counter() < end:
        given = prepare()
        start = time.thread_time()
        result = run(given)
        best = min(best, time.thread_time() - start)
        del given, result
        runs += 1
    return best

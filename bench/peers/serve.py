# SPDX-License-Identifier: MIT
"""What the peers have in common: PEER.py THREADS answers lines "CASE SECONDS" with lines "FIGURE
MIB" (see bench.c; the process's greatest resident memory so far), "-" for a case that it has not.
A peer stays alive for a whole run, so that its start and its compilers are no part of a figure."""
import resource
import sys
import time

THREADS = int(sys.argv[1])
SIZES, VOCAB = {"classic": (32, 35, 256), "book": (1024, 32, 32)}, 28
began = time.monotonic()


def serve(make):
    """make(case) -> (a function that makes one step, what a step counts), or None. A case whose
    figure is a time, "add", is answered in microseconds for one."""
    ready = (time.monotonic() - began) * 1e3
    made = {}
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        case, seconds = line.split()
        try:
            if case == "start":
                figure = ready
            else:
                if case not in made:
                    made[case] = make(case)
                    for _ in range(3):
                        made[case][0]()
                step, units = made[case]
                count, start = 0, time.monotonic()
                while time.monotonic() - start < float(seconds):
                    step()
                    count += units
                spent = time.monotonic() - start
                figure = spent * 1e6 / count if case == "add" else count / spent
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print("%.6g %.0f" % (figure, memory), flush=True)
        except Exception as error:
            print(error, file=sys.stderr)
            print("-", flush=True)

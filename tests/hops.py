#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hops.py - counts the source files and the functions on the way of one call, from a trace.

    python3 tests/hops.py [--list] [--build DIR] [TREE]

Builds the library of TREE (default: this one) with -O0 -fno-inline -finstrument-functions in DIR
(default: a temporary folder), links tests/hops.c with it and runs that. It makes each of these calls
twice on the CPU with one thread, and traces the second one:

    ct_add          f32[32,256] + f32[256], recorded
    lstm_forward    ct_recurrent_forward of an LSTM of 256 units over 35 steps of 32 one-hot rows
                    (the sizes of the classic protocol), recorded; the fused path
    fit_step        one step of ct_fit, from the return of the user's training_step to its next call:
                    backward of a loss of one op, clipping, Adam, carrying the state, a checkpoint,
                    the next batch

For each call it prints

    way         the files and functions on the way to the work. The work is a loop of kernels.c, a product
                (gemm) or the writing of a file (atomic_file.c). A function is on the way if it is one
                of these or if, by the calls that were seen, it leads to one.
    chain       the files and functions on the deepest stack
    all         the files and functions of all that ran: checks, allocation and recording, too. Of the
                functions only those that were entered from another file.

The generated call-site wrapper counts as a function and its header as a file. The headers that
tensor/cpu/kernels.c is made of (loops_*.h, formulas.h) count as that file. System libraries, OpenBLAS
and LIBXSMM do not count. TREE may be one from before docs/rename: hops.c is then ported back.

For the tree of before docs/rename, a count by hand had found 15 files and about 25 hops for ct_add
(of all that runs; here 13 and 26), 14 files and 25 hops for the LSTM (of the way, and its longest
chain; here 14 and 22) and 16 files for the fit step (of the way; here 14).
"""
import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile

CALLS = ("ct_add", "lstm_forward", "fit_step")
FLAGS = "-O0 -g -fno-inline -finstrument-functions"
LOOPS = "tensor/cpu/kernels.c"
LOOPS_PARTS = re.compile(r"tensor/(formulas\.h|cpu/loops_\w+\.h)$")
WORK = re.compile(r"tensor/(atomic_file\.c|cpu/(kernels|(gemm|packed)\w*)\.c)$")
WRAPPERS = "include/cotangent_sites.h"


def run(command, **options):
    done = subprocess.run(command, text=True, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit("hops.py: %s failed:\n%s" % (command[0], (done.stdout + done.stderr)[-4000:]))
    return done.stdout


def source_for(tree, here):
    """hops.c, with the names from before docs/rename where TREE still has those."""
    with open(os.path.join(here, "hops.c")) as source:
        text = source.read()
    if os.path.exists(os.path.join(tree, "docs/rename/names.tsv")):
        return text
    with open(os.path.join(here, "../docs/rename/names.tsv")) as table:
        old = {row["new"]: row["old"] for row in csv.DictReader(table, delimiter="\t")}
    return re.sub(r"\b(ct|CT)_\w+", lambda m: old.get(m.group(0), m.group(0)), text)


def build(tree, here, folder):
    """Builds the library of TREE in folder, and hops.c with it. Returns the program."""
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "Makefile")):
        run([os.path.join(tree, "configure"), "--disable-shared", "--without-cuda",
             "CFLAGS=" + FLAGS], cwd=folder)
    run(["make", "-j2", WRAPPERS], cwd=folder)
    run(["make", "-j2", "libcotangent.la"], cwd=folder)
    with open(os.path.join(folder, "hops.c"), "w") as out:
        out.write(source_for(tree, here))
    run(["./libtool", "--silent", "--tag=CC", "--mode=link", "cc", "-std=gnu11"] + FLAGS.split() +
        ["-no-pie", "-Iinclude", "-I" + tree, "-o", "hops", "hops.c", "libcotangent.la", "-lm",
         "-pthread"], cwd=folder)
    return os.path.join(folder, "hops")


def places(program, addresses, tree):
    """{address: (file, function)}, files relative to TREE."""
    out = run(["addr2line", "-f", "-e", program] + addresses).split("\n")
    found = {"0": None}
    for i, address in enumerate(addresses):
        path = os.path.relpath(os.path.realpath(out[2 * i + 1].rsplit(":", 1)[0]), tree)
        if os.path.basename(path) == "hops.c":      # what is instrumented there: the wrappers
            path = WRAPPERS
        if LOOPS_PARTS.match(path):
            path = LOOPS
        found[address] = (path, out[2 * i])
    return found


def way_of(calls):
    """The functions that lead to the work, and those that do it."""
    way = {callee for _, callee in calls if WORK.search(callee[0])}
    while True:
        more = {caller for caller, callee in calls if caller and callee in way} - way
        if not more:
            return way
        way |= more


def files_of(functions):
    return {path for path, _ in functions}


def show(title, functions):
    print("    %s" % title)
    for path in sorted(files_of(functions)):
        print("        %-34s %s" % (path, " ".join(sorted(f for p, f in functions if p == path))))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="counts files and functions on the way of a call")
    parser.add_argument("--list", action="store_true", help="name them, too")
    parser.add_argument("--build", metavar="DIR", help="the build folder, kept")
    parser.add_argument("tree", metavar="TREE", nargs="?", default=os.path.dirname(here))
    args = parser.parse_args()
    tree = os.path.realpath(args.tree)

    with tempfile.TemporaryDirectory(prefix="hops.") as scratch:
        folder = os.path.realpath(args.build or scratch)
        program = build(tree, here, folder)
        lines = [line.split() for line in run([program, "run.safetensors"], cwd=folder).splitlines()]
        where = places(program, sorted({a for line in lines for a in line[2:] if a != "0"}), tree)

    print("%-16s%14s%14s%14s" % ("files, functions", "way", "chain", "all"))
    for name in CALLS:
        calls = [(where[line[2]], where[line[3]]) for line in lines if line[:2] == [name, "call"]]
        stack = [where[line[2]] for line in lines if line[:2] == [name, "stack"]]
        every = {callee for _, callee in calls}
        entered = {callee for caller, callee in calls if not caller or caller[0] != callee[0]}
        way = way_of(calls)
        print("%-16s" % name + "".join("%9d, %3d" % pair for pair in (
            (len(files_of(way)), len(way)), (len(files_of(stack)), len(stack)),
            (len(files_of(every)), len(entered)))))
        if args.list:
            show("on the way", way)
            show("beside it", every - way)
            print("    deepest: %s" % " > ".join(function for _, function in stack))


main()

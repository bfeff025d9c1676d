#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""house.py - counts what makes a tree of C sources hard to navigate.

    python3 tests/house.py [--list] [--limits] [TREE]

    long files        sources of more than 800 lines
    shared statics    names of static functions that two or more product files define
    shared types      tags and typedef names of structs, enums and unions, likewise
    long functions    functions of more than 50 lines, including the signature
    many arguments    functions of more than 6 arguments
    no licence        files of a kind below whose first two lines have no SPDX-License-Identifier

The product is tensor/ autograd/ nn/ optim/ data/ train/ tool/ cuda/, without cuda/emu/cases/. Long
files are counted in the tests, examples/ and bench/, too. Functions are found by the form that `make
format` gives them: an opening brace in column 0. What macros define is not seen. --list names each
finding. With --limits the status is 1 if a count is above its limit.
"""
import argparse
import collections
import os
import re
import sys

PRODUCT = ("tensor", "autograd", "nn", "optim", "data", "train", "tool", "cuda")
OTHERS = ("examples", "tests", "bench")
SUFFIXES = (".c", ".h", ".cu", ".cc", ".cuh")
LICENSED = SUFFIXES + (".cpp", ".sh", ".py", ".awk", ".mk", ".m4", ".ac", ".am")
TOP = ("cotangent.h", "Makefile.am", "configure.ac")
GENERATED = re.compile(r"m4/(l[a-z~]+)\.m4$")      # libtool's
LINES, BODY, ARGUMENTS = 800, 50, 6

# Functions that may have more: four public ones, and the emulator's cuBLAS and CUDA, which are given.
MANY_ARGUMENTS = re.compile(r"(ct_(grad|record|gradcheck|activation_checkpoint)|cublas\w+|cuda[A-Z]\w+)$")

LIMITS = {"long files": 0, "shared statics": 1, "shared types": 5, "long functions": 0,
          "many arguments": 13, "no licence": 0}

Function = collections.namedtuple("Function", "file line name static lines arguments")


def sources(tree, folders):
    for folder in folders:
        for path, folders_in, files in os.walk(os.path.join(tree, folder)):
            folders_in.sort()
            for file in sorted(files):
                if file.endswith(SUFFIXES):
                    yield os.path.relpath(os.path.join(path, file), tree)


def without_licence(tree):
    """The sources of the kinds LICENSED that do not name their licence."""
    found = list(TOP)
    for folder in PRODUCT + OTHERS + ("docs", "m4", "packaging"):
        for path, folders, files in os.walk(os.path.join(tree, folder)):
            folders.sort()
            found += [os.path.relpath(os.path.join(path, name), tree) for name in sorted(files)]
    for name in found:
        if name.endswith(LICENSED) and not GENERATED.match(name) and \
                os.path.isfile(os.path.join(tree, name)):
            with open(os.path.join(tree, name), encoding="utf-8", errors="replace") as source:
                if "SPDX-License-Identifier:" not in source.readline() + source.readline():
                    yield name


def without_comments(text):
    """The text with comments, strings and preprocessor lines made blank; lines stay where they are."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text,
                  flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def arguments_of(header):
    """The name and the number of arguments of a function, or None."""
    match = re.search(r"([A-Za-z_]\w*)\s*\(", re.sub(r"__\w+__\s*\(\(.*?\)\)|__launch_bounds__\([^)]*\)",
                                                     "", header))
    if not match or "=" in header.split("(")[0]:
        return None
    depth, count, text = 0, 1, header[header.index(match.group(1) + "(") + len(match.group(1)):]
    for i, c in enumerate(text):
        depth += (c in "([{<") - (c in ")]}>")
        count += c == "," and depth == 1
        if depth == 0:
            inside = text[1:i].strip()
            return match.group(1), 0 if inside in ("", "void") else count
    return None


def functions(file, text):
    lines = without_comments(text).split("\n")
    for i, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = i
        while first > 0 and lines[first - 1].strip() and not re.search(r"[;}]\s*$", lines[first - 1]):
            first -= 1
        found = arguments_of(" ".join(lines[first:i]))
        last = next((j for j in range(i, len(lines)) if lines[j].startswith("}")), i)
        if found:
            yield Function(file, first + 1, found[0], re.search(r"\bstatic\b", " ".join(lines[first:i])),
                           last - first + 1, found[1])


def types(text):
    text = without_comments(text)
    found = set(re.findall(r"\b(?:struct|enum|union)\s+([A-Za-z_]\w*)\s*\{", text))
    return found | set(re.findall(r"^\}\s*([A-Za-z_]\w*);", text, flags=re.M))


def shared(names):
    """{name: files}, of those that two or more files have."""
    return ["%-24s %s" % (name, " ".join(sorted(files)))
            for name, files in sorted(names.items()) if len(files) > 1]


def findings(tree):
    found = {name: [] for name in LIMITS}
    statics, tags = collections.defaultdict(set), collections.defaultdict(set)
    for file in sources(tree, PRODUCT + OTHERS):
        with open(os.path.join(tree, file), encoding="utf-8") as source:
            text = source.read()
        if text.count("\n") > LINES:
            found["long files"].append("%s: %d lines" % (file, text.count("\n")))
        if not file.startswith(PRODUCT) or file.startswith("cuda/emu/cases/"):
            continue
        for f in functions(file, text):
            where = "%s:%d: %s" % (f.file, f.line, f.name)
            if f.static and not f.name.isupper():
                statics[f.name].add(file)
            if f.lines > BODY:
                found["long functions"].append("%s: %d lines" % (where, f.lines))
            if f.arguments > ARGUMENTS and not MANY_ARGUMENTS.match(f.name):
                found["many arguments"].append("%s: %d arguments" % (where, f.arguments))
        for name in types(text):
            tags[name].add(file)
    found["no licence"] = list(without_licence(tree))
    found["shared statics"] = shared(statics)
    found["shared types"] = shared(tags)
    return found


def main():
    parser = argparse.ArgumentParser(description="counts long files, shared names, long functions")
    parser.add_argument("--list", action="store_true", help="name each finding")
    parser.add_argument("--limits", action="store_true", help="fail above a limit")
    parser.add_argument("tree", metavar="TREE", nargs="?",
                        default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    args = parser.parse_args()
    status = 0
    for name, lines in findings(args.tree).items():
        above = args.limits and len(lines) > LIMITS[name]
        print("%-16s %4d  (limit %d)%s" % (name, len(lines), LIMITS[name], " <- above" if above else ""))
        if args.list or above:
            print("".join("    %s\n" % line for line in lines), end="")
        status |= above
    sys.exit(status)


if __name__ == "__main__":
    main()

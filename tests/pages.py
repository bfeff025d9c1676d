#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pages.py FOLDER PAGE.md... - runs the blocks of Python in the pages, in the folder (tests/pages.sh).

The blocks of a page are one program, in order. A comment of HTML hides what a reader knows from the text:

    <!-- python
    statements before those of the next block
    -->

A comment with an import begins a new program. If such a module is not installed, the blocks up to the
next program are skipped; their syntax is checked. Prints the numbers of blocks; the exit status is 1 if
a block fails."""

import os
import re
import sys
import traceback

PIECE = re.compile(r"^(?:<!-- python\n(?P<hidden>.*?)^-->|```python\n(?P<shown>.*?)^```)$", re.M | re.S)


def run(page, text, counts):
    names, missing = {}, None
    for m in PIECE.finditer(text):
        hidden = m["hidden"] is not None
        code = m["hidden"] if hidden else m["shown"]
        line = text.count("\n", 0, m.start()) + 2
        compiled = compile("\n" * (line - 1) + code, page, "exec")
        begins = hidden and re.search(r"^(import|from) ", code, re.M)
        if begins:
            names, missing = {"__name__": "page"}, None
        if not missing:
            try:
                exec(compiled, names)
            except ModuleNotFoundError as e:
                if not begins:
                    raise
                missing = e.name
                print(f"{page}:{line}: skipped: there is no module {missing}")
        if not hidden:
            counts["skipped" if missing else "ran"] += 1


def main():
    counts = {"ran": 0, "skipped": 0}
    texts = {}
    sys.path.pop(0)     # tests/, which has a folder torch
    for page in filter(os.path.isfile, sys.argv[2:]):
        with open(page, encoding="utf-8") as f:
            texts[page] = f.read()
    os.chdir(sys.argv[1])
    for page, text in texts.items():
        try:
            run(page, text, counts)
        except Exception:
            traceback.print_exc()
            return 1
    print(f"{counts['ran']} blocks of Python ran, {counts['skipped']} were skipped")
    return 0


sys.exit(main())

# SPDX-License-Identifier: MIT
"""contracts.py - checks that the comments of public functions state ownership and errors.

    awk -f m4/sites.awk -v prototypes=1 HEADER... | python3 contracts.py HEADER...

Prints a line for each function that returns a pointer without saying who owns or frees it, and for
each one that returns ct_status without naming an error. A comment belongs to a function by the rule
of docs/doxygen_filter.awk. It may refer to another function ("Like ct_..."), and the first comment
of a header, and a comment with "functions below" or the like, hold for all functions of the header.
Exit status 1 if a function is printed."""

import re
import sys

SHARED = re.compile(r"functions below|these functions|both functions|of the functions", re.I)
OTHER = re.compile(r"\b(like|as for|as) `?ct_", re.I)
OWNER = re.compile(r"\b(free[sd]?|own(s|ed|er)?|belongs?|scope|valid|lives?|alive|static|NULL for|"
                   r"innermost|view|part of|the library|same handle|caller)\b", re.I)
ERROR = re.compile(r"CT_ERR_|\berrors?\b|\braises?\b", re.I)


def comments_of(text):
    """The comment of each function of a header by name, and the text that holds for all of them."""
    own, shared, above = {}, "", ""
    for number, piece in enumerate(re.split(r"(/\*.*?\*/)", text, flags=re.S)):
        if number % 2 == 0:
            for block in re.split(r"(\n[ \t]*\n)", piece):
                for name in re.findall(r"(?<![\w\"])(ct_[a-z0-9_]+)\s*\(", block):
                    own.setdefault(name, above)
                if not block.strip() and "\n" in block[1:]:
                    above = ""
            line = piece.rsplit("\n", 1)[-1]
        elif number == 1 or SHARED.search(piece):
            shared += piece
            above = piece
        elif line.strip():              # beside the declaration
            for name in re.findall(r"(ct_[a-z0-9_]+)\s*\(", line):
                own[name] = own.get(name, "") + piece
        else:
            above = piece
    return own, shared


def main():
    """Reads the prototypes from stdin: type, name and arguments, separated by tabs."""
    types = {}
    for line in sys.stdin:
        kind, name = line.split("\t")[:2]
        types[name] = kind.strip()
    found, seen = [], set()
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            own, shared = comments_of(re.sub(r"\A/\* SPDX.*\n", "", f.read()))
        for name, comment in own.items():
            kind = types.get(name, "")
            seen.add(name)
            if OTHER.search(comment):
                continue
            if kind.endswith("*") and not kind.startswith("const char") and \
                    not OWNER.search(comment + shared):
                found.append(f"{path}: {name}: who owns the result?")
            if kind == "ct_status" and not ERROR.search(comment + shared):
                found.append(f"{path}: {name}: which errors?")
    found += [f"{name} was not found" for name in sorted(set(types) - seen)]
    print("\n".join(found + [f"contracts.py: {len(types)} functions, {len(found)} without a contract"]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

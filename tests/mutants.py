#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mutants.py - tests whether the tests notice a wrong line. (make mutants)

    mutants.py [--seed N] [--count N] [--jobs N] [--only FILE:LINE] [--list] [SOURCE WORK [FOLDER...]]
    mutants.py --check [SOURCE]

Draws mutants from the lines of the C sources below each FOLDER (tensor, autograd and nn by default;
of cuda without cuda/emu, which is not tested here but tests: it has wrong kernels of its own to
find) until COUNT of them count. Each changes one line of a copy of the tree, rebuilds that file and runs
the folder's quick suite until a program fails: built as usual and, if all pass, built with the
sanitizers and with checks of handles. Of a draw, quick programs that never execute the line are left
out (all are run where none of those does), and the quickest go first. A mutant is
killed when a program fails, survives when none does. It does not count when it does not build, when
the machine's code is the same (as in an #else that is left out) or when mutants.txt, beside this
script, explains why no test can tell it from the original. (A reason there that begins with
"Untested:" explains a survivor, which counts.) WORK holds the copies and their builds; a second run
finds them there.

An entry of mutants.txt is a line "FILE, FUNCTION: KIND EXPRESSION => EXPRESSION", and the reason,
indented. The expression is the operator that changes with its operands, or the call, or the
condition: what is around it may change. The second one of a function that reads the same has " [2]"
at its end, and so on. --check prints the entries that match no mutant of the sources, and the names
in the table of suites that no test has; its exit status is 1 if there are any.

A draw takes a line first, each with equal chance, then one of the changes that the line allows:
    sign        + for -, += for -=, a sign dropped, * for /
    transpose   a true for a false and the reverse, lda for ldb, the call of ct_transpose dropped
    accumulate  = for +=, a statement that only calls or adds dropped
    bound       the condition of an if made false or true, half of an && or || dropped
    off by one  < for <=, > for >=, a number plus 1, a -1 or +1 dropped
    comparison  == for !=, && for ||
The same seed draws the same mutants from the same tree. Exit status 1 if a counted mutant survives
beyond the share that --allow allows (5%)."""

import argparse
import concurrent.futures
import json
import os
import queue
import random
import re
import resource
import shutil
import subprocess
import sys
import time

# What kills the mutants of a folder.
SUITES = {
    "tensor": ["test_misuse", "test_tensor", "test_plugin", "test_optim", "test_scope",
               "test_storage", "test_threads", "test_handles", "test_arguments", "test_kernels",
               "test_ops", "test_state_dict",
               "test_safetensors", "test_npy", "test_engine", "test_nn", "test_loss",
               "test_recurrent", "test_autograd", "test_init", "trace.sh"],
    "autograd": ["test_misuse", "test_params", "test_ops", "test_engine", "test_state_dict",
                 "test_main_job", "test_plugin", "test_autograd", "trace.sh", "custom_op.sh"],
    "nn": ["test_misuse", "test_params", "test_main_job", "test_nn", "test_loss", "test_handles",
           "test_arguments",
           "test_ops", "test_recurrent", "test_init", "test_convert", "test_plugin"],
    "optim": ["test_optim", "test_main_job"],
    "data": ["test_data", "test_tensor_loader", "test_language_model"],
    "train": ["test_train", "test_checkpoint", "test_plot", "test_language_model",
              "test_main_job", "test_progress"],
    "cuda": ["test_cuda_kernels", "test_devices",   # on cuda-emu, plain and with its checker
             "launches.sh", "checked.sh"],
}
# What they need beside themselves.
NEEDS = {"tests/trace.sh": "tests/traced", "tests/custom_op.sh": "examples/custom_op",
         "tests/test_cuda_kernels": "cuda/cuda-emu.la", "tests/test_devices": "cuda/cuda-emu.la",
         "tests/launches.sh": "cuda/cuda-emu.la",
         "tests/checked.sh": "tests/test_cuda_kernels tests/test_devices cuda/checked/cuda-emu.la"}
SLOW = {"test_autograd", "test_init"}   # with the sanitizers, which are not for them

# The builds of a tree: folder, flags of configure, programs left out.
USUAL = ("build", "--disable-shared --without-cuda", set())
CHECKED = ("checked", "--disable-shared --without-cuda --enable-sanitize", SLOW)
DEVICES = ("build", "--disable-static", set())
COVERED = ("covered", "--disable-shared --without-cuda", set())   # tells which lines are executed
CPU_SECONDS = 60    # of a process of the original's
PATIENCE = 5        # times as long as the original takes, and 10 s: an endless loop is a failure
SLOWER = 5          # with the sanitizers
QUICK = 3           # seconds of a program of which it is asked which lines it executes


# ---- what may be changed on a line ----

def code_of(text):
    """Text with comments, strings and characters blanked, so that columns stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def swap(pattern, replacement, kind):
    return lambda line: [(kind, m.start(), m.end(), m.expand(replacement))
                         for m in re.finditer(pattern, line)]


def drop_statement(line):
    """A line that is one whole statement: a call, an assignment with an operator, ++ or --."""
    m = re.match(r"^\s+((?:[\w>.\[\]-]+\s*)(?:\(.*\)|[-+*/|&]?=\s*[^=].*|\+\+|--));$", line)
    if not m or line.count("(") != line.count(")") or re.match(r"\s*return\b", line):
        return []
    if re.match(r"\s+(?:const )?\w+ \*?\(\*\w+\)\(", line):
        return []       # a pointer to a function is declared
    if re.match(r"\s*[\w>.\[\]-]+\s*=", line) and "+=" not in line:
        return []       # a plain assignment: most leave a variable without a value
    return [("accumulate", m.start(1), m.end(1), "(void)0")]


def conditions(line):
    found = []
    m = re.match(r"^\s*(?:\} else )?if \((.*)\)( \{)?$", line)
    if m and m.group(1).count("(") == m.group(1).count(")"):
        found += [("bound", m.start(1), m.end(1), "0"), ("bound", m.start(1), m.end(1), "1")]
    for m in re.finditer(r"(&&|\|\|) (\w[\w.>-]*(?:\([\w, .>-]*\))? (?:[<>]=?|[!=]=) [\w.>-]+)"
                         r"(?=\)|$| [&|])", line):
        found.append(("bound", m.start(), m.end(), ""))
    return found


def off_by_one(pattern, replacement):
    """But in A < B ? A : B: where they are equal, either will do."""
    def change(line):
        for m in re.finditer(pattern, line):
            left = re.search(r"([\w>.\[\]()*+ -]*?)$", line[:m.start()]).group(1)
            right = re.match(r"([\w>.\[\]()*+ -]+?) \? (.+?) : ([\w>.\[\]()*+ -]+)", line[m.end():])
            if right:
                a, b = re.split(r"= |return ", left)[-1].strip(), right.group(1).strip()
                c, d = right.group(2).strip(), right.group(3).strip()
                if (a, b) in ((c, d), (d, c)):
                    continue
            yield ("off by one", m.start(), m.end(), m.expand(replacement))
    return lambda line: list(change(line))


def plus_one(line):
    """But in the sizes of arrays that are declared: more room changes nothing."""
    m = re.match(r"\s+(?:(?:static|const|unsigned) )*(?!return )\w+ \*?\w+[][\w, *]*(?=;| =)",
                 line)
    if m:
        line = " " * m.end() + line[m.end():]
    return [("off by one", m.start(), m.end(), str(int(m.group()) + 1))
            for m in re.finditer(r"(?<=[\[(, =])[0-9](?=[\]),; ])", line)]


CHANGES = [
    swap(r"(?<=[\w\])]) \+ (?=[\w(*&])", " - ", "sign"),
    swap(r"(?<=[\w\])]) - (?=[\w(*&])", " + ", "sign"),
    swap(r"(?<=[(=,?:] )-(?=[\w(])|(?<=\()-(?=[\w(])", "", "sign"),
    swap(r" \+= ", " -= ", "sign"),
    swap(r" -= ", " += ", "sign"),
    swap(r"(?<=[\w\])]) \* (?=[\w(])", " / ", "sign"),
    swap(r"(?<=[\w\])]) / (?=[\w(])", " * ", "sign"),
    swap(r"\btrue\b", "false", "transpose"),
    swap(r"\bfalse\b", "true", "transpose"),
    swap(r"\blda\b", "ldb", "transpose"),
    swap(r"\bldb\b", "lda", "transpose"),
    swap(r"\bct_transpose\((\w+), -?\w+, -?\w+\)", r"\1", "transpose"),
    swap(r" \+= ", " = ", "accumulate"),
    drop_statement,
    conditions,
    off_by_one(r"(?<= )< (?=\w)", "<= "),
    off_by_one(r"(?<= )<= (?=\w)", "< "),
    off_by_one(r"(?<= )> (?=\w)", ">= "),
    off_by_one(r"(?<= )>= (?=\w)", "> "),
    swap(r"(?<=[\w\])]) [-+] 1(?=[;,)\] ])", "", "off by one"),
    plus_one,
    swap(r" == ", " != ", "comparison"),
    swap(r" != ", " == ", "comparison"),
    swap(r" && ", " || ", "comparison"),
    swap(r" \|\| ", " && ", "comparison"),
]


def changes_of(line):
    """All (kind, begin, end, text) that a line of code allows."""
    if re.match(r"^\s*#", line) or re.match(r"^[A-Za-z].*[^;]$", line) or "assert" in line:
        return []       # preprocessor, the head of a function
    if re.match(r"^\s*(static |extern |typedef |const )", line) and "=" not in line:
        return []       # a declaration
    return [c for change in CHANGES for c in change(line)]


def sites_of(source, folders):
    """(file, line number, changes) of each line that can be changed."""
    sites = []
    for folder in folders:
        for base, _, names in sorted(os.walk(os.path.join(source, folder))):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(base, name), source)
                if not name.endswith((".c", ".h", ".cu", ".cuh")) or path.startswith("cuda/emu/"):
                    continue
                with open(os.path.join(source, path)) as f:
                    lines = code_of(f.read()).split("\n")
                for number, line in enumerate(lines, 1):
                    changes = changes_of(line.rstrip())
                    if changes:
                        sites.append((path, number, changes))
    return sites


# ---- the name of a mutant ----

OPERAND = r"(?:[\w.]|->)"


def left_operand(line, end):
    """Where the operand begins that ends at end: names, members, calls and indices."""
    at = end
    while at and line[at - 1] == " ":
        at -= 1
    while at:
        if line[at - 1] in ")]":
            depth = 0
            while at:
                at -= 1
                depth += (line[at] in ")]") - (line[at] in "([")
                if depth == 0:
                    break
        elif re.match(r"[\w.]", line[at - 1]):
            at -= 1
        elif line[at - 2:at] in ("->", "++", "--"):
            at -= 2
        else:
            break
    while at and line[at - 1] in "!*&~-" and not re.match(r"[\w)\]]", line[:at - 1].rstrip()[-1:]):
        at -= 1
    return at


def right_operand(line, begin):
    """Where the operand ends that begins at begin."""
    at = begin
    while at < len(line) and line[at] in " !*&~-":
        at += 1
    while at < len(line):
        if line[at] in "([":
            depth = 0
            while at < len(line):
                depth += (line[at] in "([") - (line[at] in ")]")
                at += 1
                if depth == 0:
                    break
        elif re.match(r"[\w.]", line[at]):
            at += 1
        elif line[at:at + 2] == "->":
            at += 2
        else:
            break
    return at


def expression_around(line, begin, end):
    """(begin, end) of the expression that a change is named by."""
    changed = line[begin:end].strip()
    if re.fullmatch(r"[\w.]+", changed):           # an operand: with what it is an operand of
        before, after = line[:begin].rstrip(), line[end:].lstrip()
        if before[-1:] == "[" or before[-1:] == "(":
            depth, at = 0, end
            while at < len(line):
                depth += (line[at] in "([") - (line[at] in ")]")
                at += 1
                if depth < 0:
                    break
            return left_operand(line, len(before) - 1), at
        operator = re.search(r"([=<>!+*/&|?:,-]+|\breturn)$", before)
        if operator and operator.group(1) == "return":
            return operator.start(), end
        if operator and operator.group(1) not in (",", "?", ":"):
            return left_operand(line, operator.start()), end
        operator = re.match(r"([=<>!+*/&|-]+)", after)
        if operator:
            return begin, right_operand(line, len(line) - len(after) + operator.end())
        if operator is None and before[-1:] in (",", "?", ":"):
            return left_operand(line, len(before) - 1), end
        return begin, end
    if re.match(r"[-+*/<>=!&|]", changed):          # an operator: with its operands
        one = re.match(r"[-+] 1$", changed)
        return left_operand(line, begin), end if one else right_operand(line, end)
    return begin, end


def functions_of(lines):
    """The function that each line is in, or "" before the first."""
    name, names = "", []
    for line in lines:
        head = re.match(r"(?=[A-Za-z])[^;]*?(\w+)\(", line)
        name = head.group(1) if head else name
        names.append(name)
    return names


class Source:
    """A file, and the names of its mutants."""
    files = {}

    def __init__(self, source, path):
        with open(os.path.join(source, path)) as f:
            text = f.read()
        self.lines = text.split("\n")
        self.functions = functions_of(self.lines)
        self.keys, seen = {}, {}
        for number, line in enumerate(code_of(text).split("\n"), 1):
            for change in changes_of(line.rstrip()):
                key = base_key(path, self.functions[number - 1], self.lines[number - 1], change)
                seen[key] = seen.get(key, 0) + 1
                self.keys[number, change] = key if seen[key] == 1 else f"{key} [{seen[key]}]"

    @classmethod
    def of(cls, source, path):
        if (source, path) not in cls.files:
            cls.files[source, path] = cls(source, path)
        return cls.files[source, path]


def base_key(path, function, line, change):
    kind, begin, end, text = change
    first, last = expression_around(code_of(line), begin, end)
    first, last = min(first, begin), max(last, end)
    after = line[first:begin] + text + line[end:last]
    return f"{path}, {function}: {kind} {line[first:last].strip()} => {after.strip()}"


class Mutant:
    def __init__(self, source, path, number, change):
        self.path, self.number = path, number
        self.kind, begin, end, text = change
        file = Source.of(source, path)
        self.before = file.lines[number - 1]
        self.function = file.functions[number - 1]
        self.after = self.before[:begin] + text + self.before[end:]
        self.name = file.keys[number, change]
        self.outcome = self.detail = ""

    def folder(self):
        return self.path.split("/")[0]

    def key(self):
        """Its name in mutants.txt, which does not depend on line numbers."""
        return self.name


def draw(source, folders, seed, count):
    rng = random.Random(seed)
    sites = sites_of(source, folders)
    rng.shuffle(sites)
    return [Mutant(source, path, number, rng.choice(changes))
            for path, number, changes in sites[:count]]


# ---- trying one ----

def limits(space, seconds):
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if space:
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setsid()


def targets(programs):
    return " ".join([p for p in programs if not p.endswith(".sh")] +
                    [NEEDS[p] for p in programs if p in NEEDS])


class Tree:
    """A copy of the sources with a build of its own."""

    def __init__(self, source, work, number, builds):
        self.root = os.path.join(work, f"tree{number}")
        self.builds = builds
        self.original = {}      # of each build: its code
        self.seconds = {}       # of each program, in the first build
        self.executed = {}      # by each quick program: lines as FILE:LINE
        self.tried = set()      # builds' programs that pass with the original
        self.use(builds[0])
        self.copy(source)

    def use(self, build):
        """Selects the build that the other methods use."""
        self.build = os.path.join(self.root, build[0])
        self.flags, self.left_out = build[1:]

    def chosen(self, programs):
        return [p for p in programs if os.path.basename(p) not in self.left_out]

    def copy(self, source):
        """Brings in what differs from source; files keep their times, so make rebuilds just it."""
        names = subprocess.run(["git", "ls-files"], cwd=source, capture_output=True, text=True,
                               check=True).stdout.split("\n")
        for name in filter(None, names):
            here, there = os.path.join(self.root, name), os.path.join(source, name)
            if not os.path.isfile(there):
                continue
            with open(there, "rb") as f:
                content = f.read()
            if os.path.isfile(here) and open(here, "rb").read() == content:
                continue
            os.makedirs(os.path.dirname(here), exist_ok=True)
            with open(here, "wb") as f:
                f.write(content)
            shutil.copymode(there, here)

    def shell(self, command, **more):
        return subprocess.run(command, shell=True, cwd=self.build, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", **more)

    def prepare(self, programs, covered):
        for build in self.builds + ([COVERED] if covered else []):
            self.use(build)
            self.prepare_build(self.chosen(programs))

    def prepare_build(self, programs):
        os.makedirs(self.build, exist_ok=True)
        cc = "ccache gcc" if shutil.which("ccache") else "gcc"
        flags = "-O0 --coverage" if self.build.endswith(COVERED[0]) else "-g -O1"
        if not os.path.exists(os.path.join(self.build, "Makefile")):
            done = self.shell(f"(cd .. && test -f configure || autoreconf -fi) && CC='{cc}' "
                              f"CFLAGS='{flags}' ../configure -q NVCC=/bin/false {self.flags}")
            if done.returncode:
                sys.exit(f"mutants: configure failed:\n{done.stdout[-2000:]}")
        done = self.shell("make -s -j2 all && make -s -j2 " + targets(programs))
        if done.returncode:
            sys.exit(f"mutants: the original does not build:\n{done.stdout[-2000:]}")
        done = self.shell("printf 'mutants-headers:\\n\\t@echo $(public_headers)\\n' |"
                          " make -s -f Makefile -f - mutants-headers")
        self.headers = done.stdout.strip()
        self.original[self.build] = self.code()
        for program in programs if self.flags != CHECKED[1] else []:
            if self.build.endswith(COVERED[0]):
                if self.seconds[program] > QUICK:
                    continue
                self.try_original(program)
                self.note_executed(program)
            else:
                begun = time.monotonic()
                self.try_original(program)
                self.seconds[program] = time.monotonic() - begun

    def try_original(self, program):
        """Once for each build: with the sanitizers when a mutant is killed there."""
        if (self.build, program) in self.tried:
            return
        done = self.shell("make -s " + targets([program])).returncode or self.run(program)
        if done:
            sys.exit(f"mutants: the original fails {program}: {done}")
        self.tried.add((self.build, program))

    def note_executed(self, program):
        """Reads what the program has written, and removes it."""
        done = self.shell("find . -name '*.gcda' -size +0 | xargs -r gcov --json-format --stdout"
                          " 2>/dev/null; find . -name '*.gcda' -delete")
        lines = self.executed[program] = set()
        for record in done.stdout.split("\n"):
            for file in json.loads(record)["files"] if record else []:
                path = os.path.relpath(os.path.join(self.build, file["file"]), self.root)
                for line in file["lines"]:
                    if line["count"]:
                        lines.add(f"{path}:{line['line_number']}")

    def order(self, programs, m):
        """Returns the programs that may notice m, the quickest first."""
        place = f"{m.path}:{m.number}"
        if any(place in self.executed.get(p, ()) for p in programs):
            programs = [p for p in programs if place in self.executed.get(p, (place,))]
        return sorted(programs, key=self.seconds.get)

    def run(self, program):
        """Returns the reason of the failure, or "" if the program passed."""
        command = [os.path.join(self.build, program)]
        if program.endswith(".sh"):
            command = ["make", "-s", "check-TESTS", "TESTS=" + program, "check_LTLIBRARIES=",
                       "check_PROGRAMS=" + NEEDS[program].split(" ")[0]]
        checked = "sanitize" in self.flags
        # The emulated GPU's checker reserves room for notes on all of its memory.
        space = 0 if checked else 64 << 30 if self.builds[0] is DEVICES else 8 << 30
        seconds = CPU_SECONDS
        if program in self.seconds:
            seconds = 10 + int(PATIENCE * self.seconds[program] * (SLOWER if checked else 1))
        child = subprocess.Popen(command, cwd=self.build,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, preexec_fn=lambda: limits(space, seconds),
                                 env=dict(os.environ, srcdir="..", public_headers=self.headers,
                                          COTANGENT_PLUGIN_DIR=self.build + "/cuda/.libs",
                                          CK_DEFAULT_TIMEOUT=str(2 * seconds)))
        try:
            output, _ = child.communicate(timeout=min(600, 3 * seconds))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.communicate()
            return "timed out"
        if child.returncode == 0:
            return ""
        output = output.decode(errors="replace")
        failed = re.findall(r"^[^\n]*:[FES]:[^\n]*|^cuda-emu: [^\n]*", output, re.M)
        return failed[0][-150:] if failed else f"exit status {child.returncode}: {output[-150:]}"

    def attempt(self, m, programs):
        path = os.path.join(self.root, m.path)
        with open(path) as f:
            original = f.read()
        lines = original.split("\n")
        assert lines[m.number - 1] == m.before
        lines[m.number - 1] = m.after
        self.write(path, "\n".join(lines))
        try:
            for build in self.builds:
                self.use(build)
                self.try_build(m, self.chosen(self.order(programs, m)))
                if m.outcome:
                    return
            m.outcome = "SURVIVED"
        finally:
            self.write(path, original)
            if m.outcome == "killed":
                self.try_original(m.killer)

    def code(self):
        """Returns a digest of the machine code."""
        whole = ".libs/libcore.a" if self.builds[0] is USUAL else "cuda/.libs/cuda-emu.so"
        done = self.shell(f"objcopy --enable-deterministic-archives --strip-debug {whole} "
                          "mutant.code && sha256sum <mutant.code")
        return done.stdout if done.returncode == 0 else time.monotonic()    # like no other

    def try_build(self, m, programs):
        """Each program is linked when its turn comes: most mutants need few."""
        for program in programs:
            done = self.shell("make -s " + targets([program]))
            if done.returncode:
                m.outcome, m.detail = "no build", done.stdout.strip()[-150:]
                return
            if program == programs[0] and self.code() == self.original[self.build]:
                m.outcome = "same code"
                return
            why = self.run(program)
            if why:
                m.outcome, m.killer, m.detail = "killed", program, f"{program}: {why}"
                return

    @staticmethod
    def write(path, text):
        time.sleep(0.02)        # a time stamp of its own
        with open(path, "w") as f:
            f.write(text)


# ---- the run ----

def explained(here):
    """Keys of mutants that no test can kill, with the reason, from mutants.txt: lines of a key,
    each followed by an indented reason."""
    reasons, key = {}, None
    path = os.path.join(here, "mutants.txt")
    for line in open(path) if os.path.exists(path) else []:
        if line.startswith("#") or not line.strip():
            continue
        if line[0] != " ":
            key = line.rstrip("\n")
            reasons[key] = ""
        else:
            reasons[key] = (reasons[key] + " " + line.strip()).strip()
    return reasons


def check(source):
    """Prints entries of mutants.txt and names of the table of suites that the tree does not have."""
    here = os.path.dirname(os.path.abspath(__file__))
    known = set()
    for path in {site[0] for site in sites_of(source, sorted(SUITES))}:
        known |= set(Source.of(source, path).keys.values())
    stale = [key for key in explained(here) if key not in known]
    for key in stale:
        print(f"no such mutant: {key}")
    for folder, programs in SUITES.items():
        if not os.path.isdir(os.path.join(source, folder)):
            stale.append(folder)
            print(f"no such folder: {folder}")
        for program in programs:
            name = program if program.endswith(".sh") else program + ".c"
            if not os.path.isfile(os.path.join(source, "tests", name)):
                stale.append(program)
                print(f"no such test: {program}")
    return 1 if stale else 0


def counts(m, reasons):
    """Killed, or a survivor that is not explained as equivalent."""
    if m.outcome == "SURVIVED":
        return reasons.get(m.key(), "Untested:").startswith("Untested:")
    return m.outcome == "killed"


def report(mutants, reasons, allow):
    counted = [m for m in mutants if counts(m, reasons)]
    left = [m for m in counted if m.outcome == "SURVIVED"]
    same = [m for m in mutants if m.outcome == "SURVIVED" and m not in left]
    same_code = sum(m.outcome == "same code" for m in mutants)
    no_build = sum(m.outcome == "no build" for m in mutants)
    total = len(counted)
    for m in same:
        print(f"equivalent: {m.path}:{m.number}: {reasons[m.key()]}")
    for m in left:
        print(f"survived: {m.path}:{m.number} ({m.kind})\n{m.key()}\n  {reasons.get(m.key(), '')}")
    for kind in sorted({m.kind for m in counted}):
        of_kind = [m for m in counted if m.kind == kind]
        print(f"    {kind:12} {sum(m.outcome == 'killed' for m in of_kind)} of {len(of_kind)}")
    print(f"{total - len(left)} of {total} mutants killed"
          f" ({100 * (total - len(left)) / max(1, total):.1f}%);"
          f" {len(same)} equivalent, {same_code} of the same code,"
          f" {no_build} did not build")
    return 1 if len(left) > allow * total else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--allow", type=float, default=0.05)
    parser.add_argument("--only", action="append",
                        help="FILE:LINE: all changes of that line (of those) instead of a draw")
    parser.add_argument("--again", help="a file: the mutants whose names it has, each a line")
    parser.add_argument("--list", action="store_true", help="print the draw, try nothing")
    parser.add_argument("--check", action="store_true", help="compare mutants.txt with the tree")
    parser.add_argument("source", nargs="?", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("work", nargs="?", default="mutants")
    parser.add_argument("folders", nargs="*")
    args = parser.parse_args()
    source = os.path.abspath(args.source)
    if args.check:
        return check(source)
    folders = args.folders or ["tensor", "autograd", "nn"]
    if args.only:
        folders = sorted({place.split("/")[0] for place in args.only})
        mutants = [Mutant(source, path, number, c)
                   for path, number, changes in sites_of(source, folders)
                   if f"{path}:{number}" in args.only for c in changes]
    elif args.again:
        with open(args.again) as f:
            keys = set(f.read().split("\n"))
        mutants = [m for m in (Mutant(source, path, number, c)
                               for path, number, changes in sites_of(source, folders)
                               for c in changes) if m.key() in keys]
    else:
        mutants = draw(source, folders, args.seed, 2 * args.count)  # not all of them count
    if args.list:
        for m in mutants if args.only or args.again else mutants[:args.count]:
            print(f"{m.path}:{m.number}\n    {m.key()}")
        return 0

    check(source)
    begun = time.monotonic()
    here = os.path.dirname(os.path.abspath(__file__))
    suites = {f: ["tests/" + p for p in SUITES[f]] for f in folders}
    everything = sorted({p for suite in suites.values() for p in suite})
    trees = queue.Queue()
    for k in range(args.jobs):
        builds = [DEVICES] if "cuda" in folders else [USUAL, CHECKED]
        trees.put(Tree(source, os.path.abspath(args.work), k, builds))
    drawn = not (args.only or args.again)
    for tree in list(trees.queue):
        tree.prepare(everything, drawn and "cuda" not in folders)

    def attempt(m):
        tree = trees.get()
        reasons = explained(here)       # which may grow meanwhile
        if drawn and sum(counts(other, reasons) for other in mutants) >= args.count:
            trees.put(tree)
            return
        try:
            tree.attempt(m, suites[m.folder()])
        finally:
            trees.put(tree)
        print(f"{m.outcome:9} {m.path}:{m.number} ({m.kind}) {m.detail}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(attempt, mutants))
    status = report([m for m in mutants if m.outcome], explained(here), args.allow)
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes, seed {args.seed}, {args.jobs} jobs")
    return status


if __name__ == "__main__":
    sys.exit(main())

#!/bin/sh
# SPDX-License-Identifier: MIT
# layers.sh - fails on an #include that breaks the order of the folders, and on a CUDA
# conditional outside cuda/.
#
#     examples, tool ──> train ──> nn, optim, data ──> autograd ──> tensor <·· cuda (nobody includes it)
#
# nn, optim and data do not see each other; <cotangent.h> is for users: examples, tool,
# tests, bench. The examples may include one header of tool: tool/cli.h.

. "$(dirname "$0")/lib.sh"

# Prints a line for each fault in the tree at $1.
faults()
{
    (cd "$1" && find cotangent.h tensor autograd nn optim data train cuda examples tool tests bench \
        -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) \
        2>/dev/null | sort) |
    (cd "$1" && while read -r file; do
        awk '
        BEGIN {
            all = " tensor autograd nn optim data train examples tool tests bench cotangent "
            may["tensor"] = " tensor "
            may["autograd"] = " tensor autograd "
            may["nn"] = " tensor autograd nn "
            may["optim"] = " tensor autograd optim "
            may["data"] = " tensor autograd data "
            may["train"] = " tensor autograd nn optim data train "
            may["cuda"] = " tensor cuda "
            may["examples"] = may["train"] "examples cotangent "
            may["tool"] = may["train"] "tool cotangent "
            may["tests"] = may["bench"] = all
            may["cotangent.h"] = may["train"] "cotangent "
        }
        FNR == 1 {
            own = FILENAME
            sub(/\/.*/, "", own)
        }
        /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)/ && /CUDA|NVCC|cuda/ && own != "cuda" {
            print FILENAME ":" FNR ": a conditional of CUDA outside cuda/"
        }
        /^[ \t]*#[ \t]*include[ \t]*["<]/ {
            path = $0
            sub(/^[^"<]*["<]/, "", path)
            sub(/[">].*/, "", path)
            sub(/^cotangent\//, "", path)
            if (path ~ /^\.\.?\//) {                # relative: resolve against the file
                dir = FILENAME
                while (path ~ /^\.\.?\//) {
                    if (path ~ /^\.\.\//)
                        sub(/\/?[^\/]*$/, "", dir)
                    sub(/^\.\.?\//, "", path)
                }
                if (sub(/\/[^\/]*$/, "", dir))
                    path = dir "/" path
            }
            if (own == "tests" && path == "cuda/emu/report.h")
                next                                # what the emulated GPU counts, for tests
            if (own == "examples" && path == "tool/cli.h")
                next                                # command lines, for the examples too
            to = path
            if (to ~ /^cotangent(_sites)?\.h$/)
                to = "cotangent"
            else if (!sub(/\/.*/, "", to) || index(all "cuda ", " " to " ") == 0)
                next                                # of the system, or of the same folder
            if (index(may[own], " " to " ") == 0)
                print FILENAME ":" FNR ": " own " may not include " path
        }' "$file"
    done)
}

# ---- the test tests itself: each of these is caught, and the right ones are not -------------

make_tmp

plant()     # FILE LINE
{
    mkdir -p "$tmp/${1%/*}" && printf '%s\n' "$2" >"$tmp/$1"
}

plant tensor/good.c '#include "tensor/internal.h"'
plant tensor/cpu/good.c '#include <sys/types.h>'
plant autograd/good.c '#include <cotangent/tensor/tensor.h>'
plant nn/good.c '#include <cotangent/autograd/op.h>'
plant train/good.c '#include "data/fetch.h"'
plant examples/good.c '#include <cotangent.h>'
plant tool/good.c '#include <cotangent.h>'
plant examples/good2.c '#include "tool/cli.h"'
plant tests/good.c '#include "tensor/internal.h"'
plant cuda/good.cu '#ifdef __CUDACC__'
if [ -n "$(faults "$tmp")" ]; then
    say "the self-test reports what is right:"
    faults "$tmp"
    exit 1
fi

wrong=0
while read -r file line; do
    plant "$file" "$line"
    wrong=$((wrong + 1))
    if [ "$(faults "$tmp" | grep -c "^$file:1: ")" != 1 ]; then
        say "the self-test misses '$line' in $file"
        exit 1
    fi
done <<'END'
tensor/bad1.c #include <cotangent/autograd/autograd.h>
tensor/bad2.c #include "autograd/op.h"
tensor/cpu/bad3.c # include "../../nn/rnn.h"
tensor/bad4.h #include <cotangent.h>
autograd/bad5.c #include "../nn/linear.h"
autograd/bad6.h #include <cotangent_sites.h>
nn/bad7.c #include "optim/clip.h"
nn/bad8.h #include <cotangent/data/vocab.h>
optim/bad9.c #include "nn/state.h"
data/bad10.c #include "train/progress.h"
train/bad11.c #include "examples/common.h"
train/bad12.c #include "cuda/cuda.h"
tool/bad18.c #include "examples/common.h"
train/bad19.c #include "tool/tool.h"
examples/bad20.c #include "tool/tool.h"
tests/bad13.c #include "cuda/emu/launch.h"
examples/bad14.c #include <cotangent/cuda/cuda.h>
cuda/bad15.cu #include "nn/rnn.h"
tensor/bad16.c #ifdef CT_HAVE_CUDA
nn/bad17.c #  if defined(__NVCC__)
END
if [ "$(faults "$tmp" | wc -l)" -ne $wrong ]; then
    say "the self-test reports more than was planted:"
    faults "$tmp"
    exit 1
fi

# ---- the tree ------------------------------------------------------------------------------

found=$(faults "${srcdir-.}")
[ -z "$found" ] || { echo "$found"; exit 1; }

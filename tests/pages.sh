#!/bin/sh
# SPDX-License-Identifier: MIT
# pages.sh [PAGE.md...] - every block of C in the pages compiles without a warning, and runs
# without an error; every static function of a block is called. Blocks of Python run, too, where Python has
# the modules that they import (tests/pages.py). There is no block of another language than these.

. "$(dirname "$0")/lib.sh"
top=$(pwd)
make_tmp
python=${PYTHON:-python3}
case $python in /*) ;; */*) python=$top/$python ;; esac
[ -f "$COTANGENT_DATA_DIR/timemachine.txt" ] || offline

# These have tests of their own, which compare what their blocks print.
elsewhere='README.md docs/tutorial.md docs/errors.md'
cd "$srcdir" || exit 99
[ $# -gt 0 ] || set -- README.md SECURITY.md CHANGELOG.md docs/*.md bench/*.md examples/*.md
blocks=0
ran=0
for page; do
    [ -f "$page" ] || continue
    here=$(grep -c '^```c$' "$page")
    blocks=$((blocks + here))
    # A block is C, or commands, or Python beside a block of C, or output.
    if grep -n '^```.' "$page" | grep -v ':```\(c\|sh\|python\|text\)$'; then
        fail "$page: blocks of these languages are not run"
    fi
    # Lines that are indented are commands, output and formulas.
    if awk '/^```/ { inside = !inside } /^<!--/ && !/-->$/ { inside = 1 } /^-->/ { inside = 0 }
        !inside && /^    (ct_[a-z_]+ \*?[a-z]+ = |(if|while) \(ct_|ct_[a-z_]+\(.*;$)/ { print FNR ": " $0 }' "$page" |
        grep .; then
        fail "$page: this code is indented; put it between \`\`\`c and \`\`\`"
    fi
    case " $elsewhere " in
    *" $page "*) ran=$((ran + here)); continue ;;
    esac
    [ "$here" -gt 0 ] || continue
    $AWK -v name="${page##*/}" -f tests/pages.awk "$page" >"$tmp/page.c" || fail "$page"
    # shellcheck disable=SC2086
    (cd "$top" && "${SHELL-/bin/sh}" ./libtool --silent --tag=CC --mode=link $CC -std=gnu11 -Wall -Wextra -Werror \
        -Wno-unused -Wunused-function -I"$top/include" -I"$srcdir" $CFLAGS -no-install -o "$tmp/page" "$tmp/page.c" \
        libcotangent.la -lm) >"$tmp/out" 2>&1 || fail "$page: it does not compile"
    mkdir "$tmp/run" && (cd "$tmp/run" && ../page) >"$tmp/out" 2>"$tmp/err" || fail "$page: a block fails"
    rm -rf "$tmp/run"
    echo "$page: $here blocks, $(tail -n 1 "$tmp/out")"
    ran=$((ran + here))
done
[ "$ran" -eq "$blocks" ] || fail "only $ran of $blocks blocks ran"
say "$ran blocks of C, 0 of them not run"
"$python" -c '' 2>/dev/null || { say "no block of Python ran: there is no $python"; exit; }

mkdir "$tmp/run" && cp data/sample.txt "$tmp/run/book.txt" || exit 99
PATH=$top/tool:$PATH "$python" tests/pages.py "$tmp/run" "$@" >"$tmp/out" 2>"$tmp/err" || fail 'a block of Python fails'
cat "$tmp/out"

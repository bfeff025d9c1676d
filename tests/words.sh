#!/bin/sh
# SPDX-License-Identifier: MIT
# words.sh - comments, messages and pages are in plain English: none of the phrases of tests/words.txt
# appears in them, and codespell, where it is installed, finds no misspelt word. (make check-words)

. "$(dirname "$0")/lib.sh"
make_tmp
words=$srcdir/tests/words.txt

cd "$srcdir" || exit 99
find autograd bench cuda data examples nn optim tensor tests tool train cotangent.h README.md \
    CHANGELOG.md CONTRIBUTING.md Makefile.am configure.ac docs quickstart -type f \
    \( -name '*.[ch]' -o -name '*.c[cu]' -o -name '*.md' -o -name '*.1' -o -name '*.sh' \
    -o -name '*.awk' -o -name '*.mk' -o -name '*.a[cm]' \) | sort >"$tmp/files"
[ "$(wc -l <"$tmp/files")" -gt 100 ] || fail "only $(wc -l <"$tmp/files") files found"

# Prints the pieces of prose in file $1 that have a phrase of the list, with the advice.
faults()
{
    grep -v '^#' "$words" | while IFS='	' read -r phrase cure; do
        [ -n "$cure" ] || echo "tests/words.txt: no advice for \"$phrase\""
        grep -E -i -e "$phrase" "$1" >"$tmp/hits"
        [ $? -lt 2 ] || echo "tests/words.txt: \"$phrase\" is not an expression"
        while IFS= read -r line; do
            printf '%s\n    (%s: better: %s)\n' "$(printf '%s' "$line" | cut -c1-240)" "$phrase" "$cure"
        done <"$tmp/hits"
    done
}

# shellcheck disable=SC2046 # the names have no spaces
${AWK-awk} -f tests/words.awk $(cat "$tmp/files") >"$tmp/all" || fail 'the prose cannot be read'
sed -n 's/^# allowed: //p' "$words" >"$tmp/allowed"
grep -v -F -f "$tmp/allowed" "$tmp/all" >"$tmp/prose"
faults "$tmp/prose" >"$tmp/found"
if [ -s "$tmp/found" ]; then
    cat "$tmp/found"
    fail 'these phrases are not plain English'
fi

# A phrase that is broken over two lines of a comment is found, and code is not.
mkdir "$tmp/x"
printf '/* The result is\n * no matrix. */\nint f = is no matrix; /* plain */\n' >"$tmp/x/bad.c"
${AWK-awk} -f tests/words.awk "$tmp/x/bad.c" >"$tmp/bad"
[ "$(faults "$tmp/bad" | grep -c better)" = 1 ] || fail 'the list misses "is no matrix"'

if command -v codespell >/dev/null 2>&1; then
    codespell -q 7 -L "$(sed -n 's/^# spelled: //p' "$words")" "$tmp/all" >"$tmp/typos" 2>&1
    if [ -s "$tmp/typos" ]; then
        sed 's/^[^:]*://' "$tmp/typos" | while IFS=: read -r number typo; do
            echo "$(sed -n "${number}p" "$tmp/all" | cut -d: -f1,2):$typo"
        done
        fail 'codespell finds misspelt words'
    fi
else
    say 'codespell is not installed: the spelling is not checked'
fi
say "$(wc -l <"$tmp/all") comments, messages and paragraphs in $(wc -l <"$tmp/files") files"

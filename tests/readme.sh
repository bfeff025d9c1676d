#!/bin/sh
# SPDX-License-Identifier: MIT
# readme.sh - the program in README.md has at most 30 lines, compiles without a warning, and
# learns; the commands of its transcript print such lines; its picture is small; every ct_ name and every file that README.md and docs/*.md name exists.

. "$(dirname "$0")/lib.sh"
top=$(pwd)
make_tmp

sed -n '/^```c$/,/^```$/ { /^```/!p; }' "$srcdir/README.md" >"$tmp/sum.c"
lines=$(wc -l <"$tmp/sum.c")
[ "$lines" -ge 20 ] && [ "$lines" -le 30 ] || fail "the program has $lines lines"

# shellcheck disable=SC2086
"${SHELL-/bin/sh}" ./libtool --silent --tag=CC --mode=link $CC -std=c11 -Wall -Wextra -Werror \
    -I"$top/include" -I"$srcdir" $CFLAGS -no-install -o "$tmp/sum" "$tmp/sum.c" libcotangent.la \
    -lm || fail "it does not compile"
"$tmp/sum" >"$tmp/out" || fail "it exits with status $?"
cat "$tmp/out"
[ "$(grep -Exc 'step +[0-9]+: mean squared error [0-9.]+' "$tmp/out")" -eq 5 ] ||
    fail "it does not print five lines"
awk 'NR == 1 { first = $NF } END { exit !($NF < 0.1 && $NF < first / 20) }' "$tmp/out" ||
    fail "it does not learn"

# The picture.
[ "$(wc -c <"$srcdir/docs/training.svg")" -le 30000 ] || fail "the picture has more than 30 KB"
grep -q 'class="tick-x" data-value="100"' "$srcdir/docs/training.svg" || fail "the picture has no 100 epochs"

# The transcript, with a smaller model and the sample text: the same lines, but for numbers and for
# the text that is generated.
sed -n '/^```text$/,/^```$/ { /^```/!p; }' "$srcdir/README.md" >"$tmp/transcript"
mkdir "$tmp/run" && cp "$srcdir/data/sample.txt" "$tmp/run/timemachine.txt" || exit 99
cotangent()  # ARGUMENTS
{
    if [ "$1" = train ]; then
        "$top/tool/cotangent" "$@" --hidden 8 --max-tokens 3000
    else
        "$top/tool/cotangent" "$@"
    fi
}
(
    cd "$tmp/run" || exit 99
    sed -n 's/^\$ //p' "$tmp/transcript" >"$tmp/commands"
    while read -r command; do
        echo "\$ $command"
        eval "$command" 2>&1 </dev/null || exit 1
        echo
    done <"$tmp/commands"
) >"$tmp/out" || fail "a command of the transcript fails"
shape()  # FILE: without numbers, and without the generated text
{
    sed 's/^time traveller.*/TEXT/; s/[0-9][0-9.]*/N/g; s/  */ /g; s/N min left/N s left/; /^$/d' "$1"
}
shape "$tmp/transcript" >"$tmp/want"
shape "$tmp/out" | diff "$tmp/want" - >"$tmp/err" || fail "the transcript looks different: $(cat "$tmp/err")"
if [ -f "$COTANGENT_DATA_DIR/timemachine.txt" ]; then
    command=$(sed -n 's/^\$ cotangent train timemachine.txt //p' "$tmp/transcript")
    eval "$top/tool/cotangent" train "$COTANGENT_DATA_DIR/timemachine.txt" "$command" --epochs 1 \
        -o "$tmp/m.safetensors" >"$tmp/out" || fail "the model of the transcript does not train"
    sed -n 's/^epoch  1.*perplexity *\([0-9.]*\).*/\1/p' "$tmp/transcript" >"$tmp/want"
    sed -n 's/^epoch 1.*perplexity *\([0-9.]*\).*/\1/p' "$tmp/out" | paste "$tmp/want" - |
        awk '{ ratio = $1 / $2 } END { exit !(ratio > 0.98 && ratio < 1.02) }' ||
        fail "the first epoch of the transcript has another perplexity"
fi

# The cell of docs/recurrent_module.md is examples/mgu.c, line by line, in at most 64 lines that
# include no header but public ones.
awk '/^## Using it/ { exit } /^```/ { inside = !inside; next } inside && NF' \
    "$srcdir/docs/recurrent_module.md" >"$tmp/cell"
[ "$(wc -l <"$tmp/cell")" -ge 30 ] || fail "recurrent_module.md shows no cell"
if grep -Fvxf "$srcdir/examples/mgu.c" "$tmp/cell"; then
    fail "recurrent_module.md has these lines, examples/mgu.c has not"
fi
[ "$(wc -l <"$srcdir/examples/mgu.c")" -le 64 ] || fail "examples/mgu.c has more than 64 lines"
if grep -h '^#include' "$srcdir"/examples/mgu.[ch] | grep -v '<cotangent\.h>\|"mgu\.h"\|<math\.h>'
then
    fail "examples/mgu.[ch] include more than public headers"
fi

cat "$srcdir/README.md" "$srcdir/CHANGELOG.md" "$srcdir"/docs/*.md | tr -c '[:alnum:]_' '\n' |
    grep -E '^(ct|CT)_[[:alnum:]_]+$' | sort -u >"$tmp/names"
# shellcheck disable=SC2086
(cd "$srcdir" && cat cotangent.h $public_headers) | tr -c '[:alnum:]_' '\n' | sort -u >"$tmp/there"
missing=$(comm -23 "$tmp/names" "$tmp/there")
# shellcheck disable=SC2086
[ -z "$missing" ] || fail "no header has" $missing
echo "$(wc -l <"$tmp/names") names are there"

# Folders and sources by their path from the top, in backquotes, and the targets of links.
folders='tensor|autograd|nn|optim|data|train|tool|cuda|examples|tests|bench|docs|m4'
for doc in "$srcdir"/*.md "$srcdir"/docs/*.md; do
    grep -oE "\`($folders)/([a-zA-Z0-9_/]*(/|\.(c|h|cu|cc|sh|py|txt|awk|md)))?\`" "$doc" | tr -d '\`' | sed "s|^|$srcdir/|"
    grep -oE '\]\([a-zA-Z0-9_./]+[)#]' "$doc" | sed "s|^](|${doc%/*}/|; s|[)#]\$||"
done | sort -u >"$tmp/files"
while read -r file; do
    [ -e "$file" ] || echo "${file#"$srcdir"/}"
done <"$tmp/files" >"$tmp/missing"
# shellcheck disable=SC2046
[ ! -s "$tmp/missing" ] || fail "there is no" $(cat "$tmp/missing")
echo "$(wc -l <"$tmp/files") files are there"

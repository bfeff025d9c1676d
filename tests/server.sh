#!/bin/sh
# SPDX-License-Identifier: MIT
# server.sh - examples/server: the same answers whatever shares a batch, in the order of the requests,
# and bad requests that fail alone.

. "$(dirname "$0")/lib.sh"

make_tmp

server=$PWD/examples/server
tool=$PWD/tool/cotangent
text=$srcdir/data/sample.txt
model=$tmp/model.safetensors
"$tool" train "$text" --clean text --epochs 1 --hidden 24 --model gru -q -o "$model" >"$tmp/out" 2>&1 ||
    fail "the model was not trained: $(cat "$tmp/out")"

[ "$(sed 1d "$srcdir/examples/server.c" | wc -l)" -le 150 ] || fail "server.c has more than 150 lines"

# ---- answers -------------------------------------------------------------------------------

# Prefixes of 1 to 400 bytes, 1 to 30 tokens.
tr '\n' ' ' <"$text" | awk '{
    for (i = 1; i <= 60; i++)
        print i % 7, i * i % 30 + 1, substr($0, 13 * i, i % 10 == 0 ? 400 : i % 9 + 1) "x"
}' >"$tmp/requests"
"$server" "$model" <"$tmp/requests" >"$tmp/answers" 2>"$tmp/err" || fail "status $?"
[ ! -s "$tmp/err" ] || fail "something on stderr: $(cat "$tmp/err")"
[ "$(wc -l <"$tmp/answers")" -eq 60 ] || fail "not an answer for each request"
awk '{ if ($1 != NR ":" || length($0) < 5) exit 1 }' "$tmp/answers" ||
    fail "the answers are not in the order of the requests"
grep 'error' "$tmp/answers" && fail "a good request fails"

# One at a time, in the opposite order, and all at once again.
tac "$tmp/requests" | "$server" "$model" | sed 's/^[0-9]*: //' | tac >"$tmp/backwards"
sed 's/^[0-9]*: //' "$tmp/answers" >"$tmp/texts"
cmp -s "$tmp/backwards" "$tmp/texts" || fail "the answers depend on the order of the requests"
head -n 12 "$tmp/requests" | while read -r line; do
    echo "$line" | "$server" "$model" | sed 's/^1: //'
done >"$tmp/single"
head -n 12 "$tmp/texts" | cmp -s - "$tmp/single" ||
    fail "the answers depend on the requests that share a batch"
"$server" "$model" <"$tmp/requests" | cmp -s - "$tmp/answers" || fail "a second run answers otherwise"

# An answer has its prefix, and the tokens that were asked for. The tool draws the same ones.
printf '3 20 the time' | "$server" "$model" >"$tmp/out"
"$tool" generate "$model" -p 'the time' -n 20 -t 0.8 --top-p 0.95 -s 3 >"$tmp/one"
sed 's/^1: //' "$tmp/out" | cmp -s - "$tmp/one" || fail "the tool generates another text"

# ---- bad requests --------------------------------------------------------------------------

{
    printf 'hello\n1\n1 x the\n1 0 the\n1 1001 the\n\n1 5 \n1 5 the\n'
    head -c 4000 /dev/zero | tr '\0' 'a' | sed 's/^/1 5 /'
    printf '\n1 5 the'
} >"$tmp/requests"
"$server" "$model" <"$tmp/requests" >"$tmp/answers" 2>"$tmp/err" || fail "bad requests: status $?"
[ ! -s "$tmp/err" ] || fail "bad requests: something on stderr: $(cat "$tmp/err")"
for i in 1 2 3 4 5 6; do
    grep -qx "$i: error: not SEED COUNT TEXT" "$tmp/answers" || fail "request $i is not refused"
done
grep -qx '7: error: the prefix is empty' "$tmp/answers" || fail "an empty prefix is not refused"
[ "$(sed -n 's/^8: //p' "$tmp/answers")" = "$(sed -n 's/^10: //p' "$tmp/answers")" ] ||
    fail "a bad request disturbs the others"
[ "$(sed -n '9s/^9: aaa//p' "$tmp/answers" | wc -m)" -ge $((4000 - 3 + 5)) ] ||
    fail "a long prefix has no answer"
"$server" "$model" </dev/null >"$tmp/out" 2>&1 && [ ! -s "$tmp/out" ] || fail "no requests"
"$server" >"$tmp/out" 2>"$tmp/err" </dev/null
[ $? -eq 2 ] && grep -q '^usage' "$tmp/err" || fail "no usage without a model"
"$server" "$tmp/missing" >"$tmp/out" 2>"$tmp/err" </dev/null
[ $? -eq 1 ] && grep -q 'missing: No such file' "$tmp/err" || fail "a missing model"

# ---- nothing leaks -------------------------------------------------------------------------

has_valgrind "$server" "$model" || exit 0
"$build/libtool" --mode=execute "$VALGRIND" -q --error-exitcode=9 --leak-check=full \
    --errors-for-leak-kinds=definite,indirect,possible "$server" "$model" \
    <"$tmp/requests" >"$tmp/out" 2>"$tmp/err" || fail "valgrind: $(cat "$tmp/err")"
cmp -s "$tmp/out" "$tmp/answers" || fail "valgrind: other answers"

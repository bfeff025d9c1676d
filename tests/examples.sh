#!/bin/sh
# SPDX-License-Identifier: MIT
# examples.sh - tests examples/rnn_concise as a newcomer uses it: its output, its reaction
# to bad input (one line on stderr, and the exit status), its length, and that it leaks nothing.

. "$(dirname "$0")/lib.sh"

program=$(pwd)/examples/rnn_concise
make_tmp

offline

# Checks a line of predictions or the last line, with <unk> as one character.
line_is()   # SED-ADDRESS PATTERN WHERE
{
    sed -n "$1 s/<unk>/?/gp; $1 { /<unk>/!p; }" "$tmp/out" | grep -Exq -- "$2" ||
        fail "$3: line $1 is not '$2'"
}

# ---- the program is short ------------------------------------------------------------------

source=$srcdir/examples/rnn_concise.c
: >"$tmp/out" && : >"$tmp/err"
[ "$(wc -l <"$source")" -le 120 ] || fail "rnn_concise.c has more than 120 lines"
if awk 'length > 100' "$source" | grep .; then
    fail "rnn_concise.c has a line of more than 100 columns"
fi
if sed 's,/\*.*,,' "$source" | grep -v '^ *for (' | grep ';.*;'; then
    fail "rnn_concise.c has two statements in a line"
fi

# ---- what it prints ------------------------------------------------------------------------

quick='--epochs 2 --num-train 200 --num-val 100 --batch 64 --steps 16 --hidden 16'
cp "$srcdir/data/sample.txt" "$tmp/text"
closing='perplexity [0-9]+\.[0-9], [0-9]+\.[0-9] tokens/sec on cpu'
progress='epoch . *[0-9]*/[0-9]+  perplexity +[0-9.]+'
rate=' +[0-9]+ tokens/s  [0-9]+ (s|min) left'

# shellcheck disable=SC2086
run $quick --data "$tmp/text"
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "book: status $status"
line_is 1 "text: $tmp/text \([0-9]+ bytes\)" book
line_is 2 'untrained: it has.{20}' book
prints 'rnn\.weight_ih_l0 +\[16,28\] +448' book
prints 'total +.* 1212' book
prints "epoch 1/2  perplexity +[0-9.]+  validation +[0-9.]+$rate" book
prints "epoch 2/2  perplexity +[0-9.]+  validation +[0-9.]+$rate" book
[ "$(grep -c '^epoch' "$tmp/out")" -eq 2 ] || fail "book: not a line for each of both epochs"
line_is '$' 'trained: it has.{20}' book
[ "$(sed '$d' "$tmp/out" | tail -n 1 | grep -Exc "$closing")" -eq 1 ] ||
    fail "book: the last line but one is not the closing line"

# The same command gives the same numbers, at any number of threads; another seed gives others.
numbers() { sed 's/  *[0-9.]* tokens.*//' "$tmp/out"; }
numbers >"$tmp/numbers"
# shellcheck disable=SC2086
run $quick --data "$tmp/text" --threads 3
numbers | cmp -s - "$tmp/numbers" || fail "three threads give other numbers than one"
# shellcheck disable=SC2086
run $quick --data "$tmp/text" --seed 1
if numbers | cmp -s - "$tmp/numbers"; then
    fail "another seed gives the same numbers"
fi

# shellcheck disable=SC2086
run --protocol classic --epochs 12 --max-tokens 600 --batch 4 --steps 8 --hidden 16 \
    --data "$tmp/text"
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "classic: status $status"
line_is 2 'untrained: time traveller.{10}' classic
for epoch in ' 1' ' 2' ' 5' 10 12; do
    prints "epoch $epoch/12  perplexity +[0-9.]+$rate" classic
done
[ "$(grep -c '^epoch' "$tmp/out")" -eq 5 ] || fail "classic: other epochs than 1, 2, 5, 10, 12"
line_is '$' 'trained: traveller.{50}' classic
sed -i '$d' "$tmp/out"
line_is '$' 'trained: time traveller.{50}' classic
[ "$(sed '$d' "$tmp/out" | tail -n 1 | grep -Exc "$closing")" -eq 1 ] ||
    fail "classic: the line above the texts is not the closing line"

run --protocol classic --random --epochs 1 --max-tokens 600 --batch 4 --steps 8 --layers 2 \
    --prefix the --length 7
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "sample text: status $status"
line_is 1 'text: sample text \([0-9]+ bytes, part of the library\): .+' "sample text"
line_is '$' 'trained: the.{7}' "sample text"
prints "$closing, sample text" "sample text"

# A cell that the example defines (mgu.c) trains like the others, and is saved and loaded.
mgu="--model mgu --epochs 40 --num-train 256 --num-val 64 --batch 32 --steps 16 --hidden 16"
# shellcheck disable=SC2086
run $mgu --data "$tmp/text" --checkpoint "$tmp/mgu.safetensors"
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "mgu: status $status"
trained=$(tail -n 1 "$tmp/out")
[ "$trained" != "trained: it has                    " ] || fail "mgu: it predicts spaces"
# shellcheck disable=SC2086
run $mgu --data "$tmp/text" --checkpoint "$tmp/mgu.safetensors" --resume --seed 0
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "mgu, loaded: status $status"
[ "$(tail -n 1 "$tmp/out")" = "$trained" ] || fail "mgu, loaded: not '$trained'"
if grep -q '^epoch' "$tmp/out"; then
    fail "mgu, loaded: it trains again"
fi

run --help
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "--help: status $status"
for option in hidden layers epochs lr clip batch steps random num-train num-val max-tokens prefix \
    length seed threads device data protocol checkpoint resume csv svg tensorboard; do
    grep -q "^ *--$option" "$tmp/out" || fail "--help does not name --$option"
done

# ---- runs that stop and continue -----------------------------------------------------------

# After a signal the run ends with the current step and writes its checkpoint, and its exit status
# tells the signal; the resumed run gives the results of a run that was not stopped.
more="$quick --epochs 40 --model lstm --data $tmp/text"
stop_by()   # SIGNAL STATUS
{
    rm -f "$tmp/run" "$tmp/run.csv"
    # A shell lets background programs ignore SIGINT.
    # shellcheck disable=SC2086
    env --default-signal=INT "$program" $more --epochs 100000 --checkpoint "$tmp/run" \
        --csv "$tmp/run.csv" >"$tmp/out" 2>"$tmp/err" </dev/null &
    until [ -s "$tmp/run" ] || ! kill -0 $! 2>/dev/null; do
        sleep 0.05
    done
    kill -s "$1" $!
    wait $!
    status=$?
    [ $status -eq "$2" ] && [ ! -s "$tmp/err" ] || fail "SIG$1: status $status, not $2"
    ! grep -q '^trained' "$tmp/out" || fail "SIG$1: it went on to predict"
    grep -q "with --resume continues the run from $tmp/run\$" "$tmp/out" || fail "SIG$1: no word of --resume"
    # A busy machine may stop the run late.
    epochs=$(wc -l <"$tmp/run.csv")
    whole=$tmp/whole
    if [ "$epochs" -le 40 ]; then
        epochs=40
    else
        whole=$tmp/whole$epochs
        # shellcheck disable=SC2086
        run $more --epochs "$epochs" --checkpoint "$whole" --csv "$whole.csv"
    fi
    # shellcheck disable=SC2086
    run $more --epochs "$epochs" --checkpoint "$tmp/run" --csv "$tmp/run.csv" --resume
    [ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "--resume: status $status"
    cmp -s "$tmp/run" "$whole" || fail "SIG$1: the resumed run ends otherwise"
    [ "$(cut -d, -f1-12 "$tmp/run.csv")" = "$(cut -d, -f1-12 "$whole.csv")" ] ||
        fail "SIG$1: the resumed run has another history"
}
# shellcheck disable=SC2086
run $more --checkpoint "$tmp/whole" --csv "$tmp/whole.csv" --svg "$tmp/whole.svg"
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "--checkpoint: status $status"
[ "$(wc -l <"$tmp/whole.csv")" -eq 41 ] || fail "--csv: not a line for each epoch"
grep -q '^<polyline class="series"' "$tmp/whole.svg" || fail "--svg: no curve"
perplexity=$(sed -n 's/^\(perplexity [0-9.]*\),.*/\1/p' "$tmp/out")
# A finished run does not train again, so it prints no tokens per second.
# shellcheck disable=SC2086
run $more --checkpoint "$tmp/whole" --csv "$tmp/whole.csv" --resume
[ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "a finished run, resumed: status $status"
[ -n "$perplexity" ] && prints "$perplexity on cpu" "a finished run, resumed"
if env --default-signal=INT true 2>/dev/null; then
    stop_by INT 130
    stop_by TERM 143
else
    say "skipped: env has no --default-signal, to test signals with"
fi

# ---- notes: one line on stderr, and the run continues --------------------------------------

notes()     # PATTERN ARGUMENTS...
{
    pattern=$1
    shift
    # shellcheck disable=SC2086
    run $quick "$@"
    [ $status -eq 0 ] || fail "'$*': status $status"
    [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -Exq "note: $pattern" "$tmp/err" ||
        fail "'$*': stderr is not one line 'note: $pattern'"
}

notes 'the prefix has characters .* <unk>' --prefix 'It is 9' --data "$tmp/text"
line_is '$' 'trained: .t is .{21}' "an unknown prefix"
printf 'caf\351 \377\376 ' | cat - "$tmp/text" >"$tmp/latin"
notes '3 bytes are not valid UTF-8; .*' --data "$tmp/latin"
notes '--random is of --protocol classic.*' --random --data "$tmp/text"

# ---- bad input: one line on stderr, status 1 for data and 2 for the command line ------------

refuses()   # STATUS PATTERN ARGUMENTS...
{
    want=$1 pattern=$2
    shift 2
    run "$@"
    [ $status -eq "$want" ] || fail "'$*': status $status, not $want"
    [ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "'$*': not one line on stderr"
    grep -Eq -- "$pattern" "$tmp/err" || fail "'$*': stderr has no '$pattern'"
}

mkdir "$tmp/folder"
: >"$tmp/empty"
printf '12 34 56\n!?\n' >"$tmp/letterless"
printf 'some text\0and more\n' >"$tmp/binary"
printf 'too short\n' >"$tmp/short"
head -c 150 "$tmp/text" >"$tmp/medium"
refuses 1 "$tmp/missing: No such file" --data "$tmp/missing"
refuses 1 "$tmp/empty: is empty" --data "$tmp/empty"
refuses 1 "$tmp/letterless: has no letter; .*" --data "$tmp/letterless"
refuses 1 "$tmp/binary: is binary.* offset 9" --data "$tmp/binary"
refuses 1 "$tmp/folder: Is a directory" --data "$tmp/folder"
refuses 1 'an empty path' --data ''
chmod 0 "$tmp/short"
[ -r "$tmp/short" ] || refuses 1 "$tmp/short: Permission denied" --data "$tmp/short"
chmod 644 "$tmp/short"
refuses 1 'ct_loader_windows_new: [0-9]+ tokens are too few for a window of 32 \+ 1 from token 0' \
    --data "$tmp/short"
refuses 1 'ct_loader_windows_new: [0-9]+ tokens are too few for a window of 32 \+ 1 from token 120' \
    --data "$tmp/medium" --num-train 120
refuses 1 'ct_loader_sequences_new: [0-9]+ tokens are too few for a batch of 32 x 35' \
    --data "$tmp/medium" --protocol classic
refuses 1 'ct_loader_sequences_new: [0-9]+ tokens are too few for a batch of 32 x 35' \
    --data "$tmp/medium" --protocol classic --random

cat "$tmp/text" "$tmp/text" >"$tmp/longer"
# shellcheck disable=SC2086
refuses 1 'whole is a checkpoint of another run: optimizer.lr is 1 in the checkpoint and 0.5 now' $more --lr 0.5 --resume \
    --checkpoint "$tmp/whole"
# shellcheck disable=SC2086
refuses 1 'another run: .*model is "lstm" in the checkpoint and "gru" now' $quick --model gru --resume \
    --data "$tmp/text" --checkpoint "$tmp/whole"
# shellcheck disable=SC2086
refuses 1 'another run: text is "[0-9a-f]*" in the checkpoint and "[0-9a-f]*" now$' $more --resume \
    --data "$tmp/longer" --checkpoint "$tmp/whole"
# shellcheck disable=SC2086
refuses 1 "$tmp/longer: .*not a safetensors file" $more --resume --checkpoint "$tmp/longer"
# shellcheck disable=SC2086
refuses 1 "$tmp/folder: is not a regular file" $more --checkpoint "$tmp/folder"
refuses 2 '--resume: --checkpoint is missing' --resume

mkdir "$tmp/html" "$tmp/other"
printf '<!DOCTYPE html>\n<html><body>Sign in</body></html>\n' >"$tmp/html/timemachine.txt"
cp "$tmp/text" "$tmp/other/timemachine.txt"
COTANGENT_DATA_DIR=$tmp/html
export COTANGENT_DATA_DIR
sums='its SHA-256 is [0-9a-f]{64}; it must be 8424dbd9[0-9a-f]{56}'
refuses 1 "html/timemachine.txt: $sums; the text looks like HTML$"
COTANGENT_DATA_DIR=$tmp/other
refuses 1 "other/timemachine.txt: $sums$"
unset COTANGENT_DATA_DIR

# tool.sh tests which values each kind of option refuses; this loop tests that these options have
# the right kind.
for option in hidden layers epochs batch steps num-train num-val max-tokens length threads; do
    refuses 2 "--$option: \"0\" is not a whole number from 1 to [0-9]+" --$option 0
done
for option in lr clip; do
    refuses 2 "--$option: \"0\" is not a number above 0" --$option 0
done
for option in prefix csv svg tensorboard checkpoint; do
    refuses 2 "--$option: the value is empty" --$option ''
done
for option in protocol model dialect; do
    refuses 2 "--$option: \"new\" is not one of " --$option new
done
refuses 2 '--seed: "-1" is not a whole number' --seed=-1
refuses 2 '--device: there is no device "abacus"' --device abacus
run --no-such-option
[ $status -eq 2 ] || fail "--no-such-option: status $status, not 2"

# A learning rate that is a valid number, but makes the weights overflow f32.
run --lr 1e300 --data "$tmp/text"
[ $status -eq 1 ] && grep -q 'not finite\|is inf\|is nan' "$tmp/err" &&
    [ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "--lr 1e300: status $status"

# ---- nothing leaks -------------------------------------------------------------------------

if has_valgrind "$program" --usage; then
    for protocol in book classic; do
        under_valgrind "$program" --protocol $protocol --epochs 2 --num-train 40 --num-val 20 \
            --batch 8 --steps 6 --hidden 8 --max-tokens 300 --length 3 --data "$tmp/text" ||
            fail "$protocol under valgrind"
    done
fi

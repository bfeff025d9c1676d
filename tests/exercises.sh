#!/bin/sh
# SPDX-License-Identifier: MIT
# exercises.sh - short runs of the other examples: each prints what its head comment says,
# refuses bad input, and leaks nothing.

. "$(dirname "$0")/lib.sh"

make_tmp

offline
text=$srcdir/data/sample.txt

# runs PROGRAM OPTIONS...: the program must succeed and print nothing on stderr; $tmp/out is its
# output.
runs()
{
    what=$*
    program=examples/$1
    shift
    run "$@"
    [ $status -eq 0 ] || fail "$what: status $status"
    [ ! -s "$tmp/err" ] || fail "$what: something on stderr"
}

# row PATTERN COLUMN: prints word number COLUMN of the only line that begins with the pattern.
row()
{
    [ "$(grep -Ec -- "^ *$1" "$tmp/out")" -eq 1 ] || fail "$what: not one line '$1'"
    grep -E -- "^ *$1" "$tmp/out" | awk -v column="$2" '{ sub(/,$/, "", $column); print $column }'
}

# holds CONDITION: true if awk's condition holds
holds()
{
    awk "BEGIN { exit !($1) }" || fail "$what: it does not hold that $1"
}

# svg FILE LINES: the file is well-formed (checked if xmllint is installed) and has this many
# curves.
svg()
{
    [ "$(grep -c '<polyline' "$1")" -eq "$2" ] || fail "$what: $1 has not $2 curves"
    if command -v xmllint >/dev/null 2>&1; then
        xmllint --noout "$1" >"$tmp/out" 2>&1 || fail "$what: $1 is not well-formed"
    fi
}

# ---- what they print -----------------------------------------------------------------------

# From plain ops and from modules: with one bias (Keras) all numbers are the same.
tiny='--num-train 300 --num-val 100 --batch 50 --steps 12 --hidden 16'
for protocol in book classic; do
    # shellcheck disable=SC2086
    runs rnn_scratch --data "$text" --protocol $protocol --epochs 2 --max-tokens 2000 $tiny \
        --dialect keras
    scratch=$(row 'from scratch:' 4)
    concise=$(row 'concise:' 3)
    holds "$scratch > 1 && $scratch < 40"
    holds "$scratch - $concise <= 0.01 && $concise - $scratch <= 0.01"
done
# shellcheck disable=SC2086
runs rnn_scratch --data "$text" --protocol classic --random --epochs 1 --max-tokens 2000 $tiny

# shellcheck disable=SC2086
runs overfit --data "$text" --epochs 12 --num-train 100 --num-val 100 --batch 20 --hidden 32 \
    --steps 16 --svg "$tmp/overfit.svg"
train=$(row '\+ more epochs' 7)
val=$(row '\+ more epochs' 8)
holds "$val > 2 * $train && $val > $(row '\+ more epochs' 9)"
holds "$train < $(row '\+ more units' 7)"
svg "$tmp/overfit.svg" 2

runs deep --data "$text" --layers 4 --epochs 2 --num-train 500 --num-val 100 --batch 50 --steps 16
holds "$(row 4 4) > 1 && $(row 4 4) < $(row 4 2) - 1"

runs transformer --data "$text" --epochs 4 --num-train 500 --num-val 100 --batch 50 --steps 16 \
    --hidden 16 --prefix the --length 7
holds "$(sed -n 's/^perplexity \([0-9.]*\),.*/\1/p' "$tmp/out") < 16"
tail -n 1 "$tmp/out" | grep -Eqx 'trained: the.{7}' || fail "transformer: the last line is not a text"

runs clipping --data "$text" --epochs 5 --max-tokens 4000 --hidden 64 --lr 20 \
    --svg "$tmp/clipping.svg"
row none 2 >/dev/null
grep -Eq '^none +ends in epoch [0-9]+: .*(not finite|nan|inf)' "$tmp/out" ||
    fail "clipping: the run without a bound does not diverge"
holds "$(row 0\\.1 2) > 1 && $(row 0\\.1 2) < 20"
svg "$tmp/clipping.svg" "$(grep -Ec '^[0-9.]+ ' "$tmp/out")"

for tokens in char word; do
    # shellcheck disable=SC2086
    runs one_hot --data "$text" --tokens $tokens --epochs 2 $tiny
    for column in 1 2; do
        one=$(row 'one-hot times table' $((3 + column)))
        two=$(row 'one-hot through Linear' $((3 + column)))
        three=$(row embedding $((1 + column)))
        holds "$one > 1 && $one - $two <= 0.01 && $two - $one <= 0.01"
        holds "$one - $three <= 0.01 && $three - $one <= 0.01"
    done
done

runs autoregressive --svg "$tmp/autoregressive.svg"
for model in linear mlp rnn; do
    holds "$(row $model 2) >= 0.18 && $(row $model 2) < 0.25 && $(row $model 3) < 0.28"
    holds "$(row $model 4) < 0.5 && $(row $model 5) > $(row $model 2) + 0.1"
done
svg "$tmp/autoregressive.svg" 5

runs linear_regression
holds "$(row 'epoch 3:' 6) < 0.01 && $(row 'epoch 3:' 10) < $(row 'epoch 3:' 6)"
grep -Eq '^w \([12]\.[09][0-9]*, -3\.[34][0-9]*\), b 4\.[12][0-9]*;' "$tmp/out" ||
    fail "linear_regression: another line"

runs maml --num-train 100 --num-val 10 --hidden 8
holds "$(row 'tasks  100' 3) < $(row 'untrained' 2) && $(row 'tasks  100' 5) < $(row 'tasks  100' 3)"

runs mlp
holds "$(row 'epoch 100:' 6) > 0.95"

runs gan --epochs 100
holds "$(row 'epoch 100:' 7) > 0.6 && $(row 'epoch 100:' 14) >= 7"
runs tagger
rm -f tagger.safetensors
holds "$(row 'baseline:' 3) < 0.75"
holds "$(row 'tagger:' 3) > 0.97 && $(row 'tagger:' 7) > 0.9"
runs lenet --epochs 5
holds "$(row 'epoch 5:' 6) > 0.85"
runs seq2seq
holds "$(row 'epoch 12:' 4) >= 0.95"
runs vae --epochs 5
holds "$(row 'epoch 5:' 4) > -40 && $(row 'epoch 5:' 4) > $(row 'epoch 1:' 4) + 5"
[ "$(grep -Exc '([.+#]{12} ){5}[.+#]{12}' "$tmp/out")" -eq 12 ] || fail "vae: no images of 12 rows"
runs ctc_reader
holds "$(row 'epoch 6:' 5) < 0.3 && $(row 'epoch 6:' 4) < $(row 'epoch 1:' 4) / 2"

# A user's file; a finished run is not repeated.
awk 'BEGIN {
    print "load,hour,temperature"
    for (i = 0; i < 400; i++)
        print 50 + 10 * sin(i / 4) ",\"" i "\"," 12 + 5 * sin(i / 4)
}' >"$tmp/power.csv"
runs forecast "$tmp/power.csv" "$tmp/forecast.safetensors"
holds "$(row 'mean absolute error' 4) < 2"
tail -n 1 "$tmp/out" >"$tmp/one"
runs forecast "$tmp/power.csv" "$tmp/forecast.safetensors"
tail -n 1 "$tmp/out" | cmp -s - "$tmp/one" || fail "forecast: the resumed run ends with other numbers"
sed 's/^\(4[0-9]*\.[0-9]*\),/\1 kW,/' "$tmp/power.csv" >"$tmp/units.csv"

# The same command gives the same numbers, at any number of threads; another seed gives others.
for example in autoregressive linear_regression mlp 'gan --epochs 5' 'vae --epochs 1'; do
    runs $example
    cp "$tmp/out" "$tmp/one"
    runs $example --threads 3
    cmp -s "$tmp/out" "$tmp/one" || fail "$example: three threads give other numbers"
    runs $example --seed 1
    if cmp -s "$tmp/out" "$tmp/one"; then
        fail "$example: another seed gives the same numbers"
    fi
done
quick='--epochs 1 --num-train 256 --num-val 64'
# shellcheck disable=SC2086
runs lenet $quick
cp "$tmp/out" "$tmp/one"
# shellcheck disable=SC2086
runs lenet $quick --threads 3
cmp -s "$tmp/out" "$tmp/one" || fail "lenet: three threads give other numbers"

# ---- bad input: one line on stderr, status 1 for data and 2 for the command line ------------

refuses()   # STATUS PATTERN PROGRAM OPTIONS...
{
    want=$1 pattern=$2
    shift 2
    what=$*
    program=examples/$1
    shift
    run "$@"
    [ $status -eq "$want" ] || fail "$what: status $status, not $want"
    [ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "$what: not one line on stderr"
    grep -Eq -- "$pattern" "$tmp/err" || fail "$what: stderr has no '$pattern'"
}

# Command lines and texts are read as in rnn_concise (examples.sh): each program accepts its options
# and no others.
examples='rnn_scratch overfit deep clipping one_hot autoregressive linear_regression mlp lenet gan
    seq2seq vae ctc_reader'
for example in $examples; do
    "examples/$example" --help >"$tmp/out" 2>"$tmp/err" || fail "$example --help: status $?"
    grep -q '^ *--epochs=N *epochs ([0-9;a-z ]*)$' "$tmp/out" ||
        fail "$example --help does not say how many epochs there are"
    if "examples/$example" --length 5 >"$tmp/out" 2>"$tmp/err"; then
        fail "$example takes an option that is not its own"
    fi
done
refuses 2 'unexpected argument "book"' mlp book
refuses 2 '--num-train: 950 of 1000 points leave too few' autoregressive --num-train 950
refuses 2 '--tokens: "vowel" is not one of char\|word' one_hot --tokens vowel
refuses 1 'num_heads is 4; it must divide d_model' transformer --data "$text" --hidden 30
refuses 1 "$tmp/missing: No such file" overfit --data "$tmp/missing"
refuses 1 'units.csv:[0-9]*: column "load": "4.* kW" is not a number' forecast "$tmp/units.csv"
refuses 1 "$tmp/none/a.svg: No such file" autoregressive --svg "$tmp/none/a.svg"

# A learning rate that is a valid number, but makes the weights overflow f32.
for example in autoregressive linear_regression; do
    refuses 1 'not finite|inf|nan' $example --lr 1e30
done

# ---- nothing leaks -------------------------------------------------------------------------

leaks()     # PROGRAM OPTIONS...
{
    what=$*
    program=examples/$1
    shift
    under_valgrind "$program" --epochs 1 "$@" || fail "$what under valgrind"
}

has_valgrind examples/mlp --usage || exit 0
small="--data $text --batch 8 --steps 4 --hidden 4"
windows='--num-train 16 --num-val 8'
# shellcheck disable=SC2086
{
    leaks rnn_scratch $small $windows
    leaks rnn_scratch $small --protocol classic --max-tokens 100
    leaks overfit $small $windows --svg "$tmp/leak.svg"
    leaks deep $small $windows --layers 2
    leaks clipping $small --max-tokens 100 --lr 1e6 --svg "$tmp/leak.svg"
    leaks one_hot $small $windows --tokens char
    leaks transformer $small $windows --hidden 8
}
leaks autoregressive --num-train 32 --svg "$tmp/leak.svg"
leaks linear_regression --num-train 64
leaks mlp --num-train 10
leaks gan --num-train 64
leaks seq2seq --hidden 4
leaks vae --hidden 4 --batch 2
leaks ctc_reader --hidden 4 --batch 2 --num-val 2
leaks lenet --num-train 32 --num-val 8

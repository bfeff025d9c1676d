#!/bin/sh
# SPDX-License-Identifier: MIT
# tool.sh - tests the tool cotangent as its users run it: it trains, generates (and prints
# each token at once), computes perplexities, describes files, refuses bad input (one line on
# stderr, and the documented exit status), and leaks nothing.

. "$(dirname "$0")/lib.sh"

tool=$build/tool/cotangent
program=$tool
make_tmp

succeeds()  # ARGUMENTS...: with nothing on stderr
{
    run "$@"
    [ $status -eq 0 ] && [ ! -s "$tmp/err" ] || fail "'$*': status $status"
}

refuses()   # STATUS PATTERN ARGUMENTS...
{
    want=$1 pattern=$2
    shift 2
    run "$@"
    [ $status -eq "$want" ] || fail "'$*': status $status, not $want"
    [ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "'$*': not one line on stderr"
    grep -Eq -- "^cotangent: $pattern" "$tmp/err" || fail "'$*': stderr has no '$pattern'"
}

cd "$tmp" || exit 99
cp "$srcdir/data/sample.txt" text
: >out && : >err

# ---- help ----------------------------------------------------------------------------------

for command in train generate eval export info; do
    succeeds --help
    prints "  $command  +.*" "--help"
    succeeds $command --help
    prints "Usage: cotangent $command .*" "$command --help"
    cp "$tmp/out" help
    for words in "$command -h" "help $command"; do
        # shellcheck disable=SC2086
        succeeds $words
        cmp -s help "$tmp/out" || fail "'$words' differs from '$command --help'"
    done
done
succeeds help
prints "Usage: cotangent .*" "help"
succeeds --version
prints 'cotangent [0-9.]+' "--version"

# ---- train, generate, eval, info -----------------------------------------------------------

quick='--hidden 12 --batch 4 --steps 8 --epochs 2 --max-tokens 900'
for model in rnn lstm gru; do
    # shellcheck disable=SC2086
    succeeds train text $quick --model $model --clean lines -o $model.safetensors
    prints 'text: text \([0-9]+ bytes\): 900 tokens, 28 in the vocabulary' "train"
    prints 'epoch 2/2  perplexity .*' "train"
    prints "done after 2 epochs: perplexity [0-9.]+; the model is in $model.safetensors" "train"
    succeeds info $model.safetensors
    prints "language model: $model, 12 hidden units, 1 layer, one-hot input" "info"
    prints 'tokens: char, 28 in the vocabulary; cleaning: lines' "info"
    prints 'trained on 900 tokens of a text with SHA-256 [0-9a-f]{64}' "info"
    prints '  text: text' "info"
    prints '  perplexity: [0-9.]+' "info"
    prints 'linear.weight  F32 \[28,12\]' "info"
    succeeds generate $model.safetensors --prefix 'Time traveller' -n 30
    prints 'time traveller(.|<unk>){30}' "generate"
    succeeds eval $model.safetensors text
    prints 'perplexity: [0-9]+\.[0-9]+' "eval"
    prints 'bits per character: [0-9]\.[0-9]+' "eval"
done

# Other kinds of tokens and other options of a model.
train()     # KIND OPTIONS...: trains kind.safetensors
{
    kind=$1
    shift
    # shellcheck disable=SC2086
    succeeds train text $quick --tokens "$kind" "$@" -q -o "$kind.safetensors"
    [ ! -s out ] || fail "train -q prints"
    succeeds info "$kind.safetensors"
}
train byte --optimizer adamax --lr 0.01
prints '  optimizer: adamax' "adamax"
train byte --optimizer lion --lr 0.001
prints '  optimizer: lion' "lion"
train byte --layers 2 --dropout 0.1 --optimizer sgd --lr 0.5 --momentum 0.5
prints 'tokens: byte, 256 in the vocabulary; cleaning: none' "bytes"
train word --min-freq 2 --embedding 12 --tied --optimizer rmsprop --clean text --random
prints 'language model: lstm, 12 hidden units, 1 layer, embedding of 12, tied to the output' "words"
train char --embedding 5 --layer-norm --dialect keras --optimizer adagrad --validate text
prints '  validation_perplexity: [0-9.]+' "validation"
# Not every processor has products in bf16.
if "$tool" info | grep -q '^products in bf16: AVX512-BF16$'; then
    train char --precision bf16
fi
COTANGENT_CPU_PATH=base
export COTANGENT_CPU_PATH
refuses 2 '--precision: .*bf16' train text --precision bf16
unset COTANGENT_CPU_PATH
succeeds generate word.safetensors --prefix 'the time' -n 5
[ "$(wc -w <out)" -eq 7 ] || fail "two words and five more are not seven"
succeeds eval byte.safetensors text
prints 'tokens: [0-9]+ \(byte\)' "bytes"
"$tool" eval byte.safetensors - <text >out2 2>err || fail "eval does not read stdin"
cmp -s out out2 || fail "eval of stdin gives other numbers"

# The same seed gives the same text; the greedy choice is the most likely token; stdin is a prefix.
same()      # COUNT ARGUMENTS...: the outputs of COUNT runs, in $tmp/runs, are one
{
    : >runs
    for i in $(seq "$1"); do
        shift
        # shellcheck disable=SC2086
        succeeds generate gru.safetensors --prefix 'the time' -n 60 $1
        cat out >>runs
    done
    sort -u runs | wc -l
}
[ "$(same 3 '--temperature 1.5 --seed 3' '--temperature 1.5 --seed 3' \
    '--temperature 1.5 --seed 3 --threads 3')" -eq 1 ] || fail "one seed gives several texts"
[ "$(same 3 '--temperature 1.5 --seed 3' '--temperature 1.5 --seed 4' '')" -eq 3 ] ||
    fail "other seeds give the same text"
[ "$(same 5 '' '--top-p 1e-9 -s 3' '--top-p 1e-9 -t 5' '-t 0 --top-p 0.5' '--top-p 0.9 -k 1')" -eq 1 ] ||
    fail "greedy text is not that of the smallest --top-p"
[ "$(same 3 '--top-p 1 -s 3' '-t 1 -s 3' '-k 1000 --top-p 1 -s 3')" -eq 1 ] ||
    fail "--top-p 1 is not temperature 1"
[ "$(same 2 '--top-p 0.5 -t 2 -s 3' '-t 2 -s 3')" -eq 2 ] || fail "--top-p changes nothing"
[ "$(same 7 '' '--top-k 1' '--top-k 1 --temperature 7 --seed 5' '--temperature 1e-9' \
    '--temperature 0' '-t 0 --top-k 5 --seed 3' '-t 0 -k 1')" -eq 1 ] ||
    fail "greedy text is not the likeliest"
for ending in '' '\n' '\r\n'; do
    printf "\357\273\277the time$ending" |       # after a byte order mark, which is dropped
        "$tool" generate gru.safetensors -n 60 >out2 2>err && cmp -s out out2 ||
        fail "a byte order mark before a prefix"
    printf "the time$ending" | "$tool" generate gru.safetensors -n 60 >out2 2>err ||
        fail "generate does not read stdin"
    cmp -s out out2 || fail "a prefix from stdin gives another text"
done
printf 'the time' | "$tool" generate gru.safetensors -n 60 -p - | cmp -s out || fail "-p -"

run generate gru.safetensors --prefix 'caf\303\251 9' -n 1
[ $status -eq 0 ] && grep -q '^note: [0-9]* of' err && fail "cleaned away, but noted: $(cat err)"
run generate char.safetensors --prefix "$(printf 'the \303\251')" -n 1
[ $status -eq 0 ] && [ "$(wc -l <err)" -eq 1 ] &&
    grep -q "^note: 1 of the prefix's 5 tokens are not in the model's vocabulary" err ||
    fail "an unknown character is not noted"

# Another device gives the same text, greedy or drawn.
if [ -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so" ]; then
    for model in rnn lstm gru word; do
        for how in '' '-t 1.2 -s 4' '-t 0.8 -k 5'; do
            # shellcheck disable=SC2086
            succeeds generate $model.safetensors -p 'the time' -n 20 $how
            cp out out2
            # shellcheck disable=SC2086
            succeeds generate $model.safetensors -p 'the time' -n 20 $how --device cuda-emu
            [ "$(wc -c <out)" -ge 28 ] && cmp -s out out2 ||
                fail "$model $how: cuda-emu does not generate cpu's text"
        done
    done
else
    say "skipped: there is no cuda-emu to generate on (built without CUDA's headers)"
fi

# ---- it streams: the first tokens of a text that would take hours --------------------------

# The status of a pipe's left part is lost: head gets its 400 bytes, or the test runs into its time
# limit.
{ "$tool" generate gru.safetensors -p the -n 1000000000000 -t 1 & echo $! >pid; wait; } 2>err |
    head -c 400 >out
[ "$(wc -c <out)" -eq 400 ] || fail "no 400 bytes of an endless text"
for i in 1 2 3 4 5 6 7 8 9 10; do       # its next write ends it: SIGPIPE
    kill -0 "$(cat pid)" 2>/dev/null || break
    sleep 1
done
if kill -0 "$(cat pid)" 2>/dev/null; then
    kill -9 "$(cat pid)"
    fail "a closed pipe does not end it"
fi

# ---- checkpoints and signals ---------------------------------------------------------------

slow='--hidden 12 --batch 4 --steps 8 --max-tokens 2000 --model gru --clean text --seed 2'
# shellcheck disable=SC2086
succeeds train text $slow --epochs 6 --checkpoint whole -o whole.model -q
# shellcheck disable=SC2086
succeeds train text $slow --epochs 3 --checkpoint part -o part.model -q
# shellcheck disable=SC2086
succeeds train text $slow --epochs 6 --checkpoint part --resume -o part.model --csv part.csv
prints 'epoch 6/6 .*' "resume"
cmp -s whole part || fail "a run that was resumed ends in another checkpoint"
cmp -s whole.model part.model || fail "a run that was resumed ends in another model"
succeeds generate part -p the -n 10
cp out out2
succeeds generate part.model -p the -n 10
cmp -s out out2 || fail "checkpoint and model give different texts"
succeeds info part
prints 'a checkpoint: cotangent train --resume continues the run' "info"
# shellcheck disable=SC2086
refuses 1 'part is a checkpoint of another run: optimizer.lr is 0.002 in the checkpoint and 0.5 now$' \
    train text $slow --lr 0.5 --epochs 8 --checkpoint part --resume
head -c 30000 text >other
# shellcheck disable=SC2086
refuses 1 'part is a checkpoint of another run: .*text is ' \
    train other $slow --epochs 8 --checkpoint part --resume

# Sends the signal once there is a checkpoint; the tool must not be a background command, which
# would ignore SIGINT.
interrupted()   # SIGNAL STATUS OPTION WORDS: of a run with this option and the file long; stdout has the words
{
    rm -f long long.model
    (
        for i in $(seq 300); do
            [ ! -s long ] || break
            sleep 0.2
        done
        kill "-$1" "$(cat pid)"
    ) &
    # shellcheck disable=SC2086,SC2016
    sh -c 'echo $$ >pid; exec "$0" "$@"' "$tool" train text $slow --epochs 1000000 \
        "$3" long -o long.model >out 2>err
    status=$?
    wait
    [ $status -eq "$2" ] && [ ! -s err ] || fail "SIG$1: status $status"
    [ -s long.model ] || fail "SIG$1: no model was written"
    grep -q "$4" out || fail "SIG$1, $3: stdout has no '$4'"
    succeeds generate long.model -p the -n 5
}
interrupted TERM 143 --csv 'a run with --checkpoint FILE can be continued with --resume'
interrupted TERM 143 --checkpoint 'with --resume continues the run from long'
succeeds generate long -p the -n 5
if grep -q '^SigIgn:.*[2367abef]$' /proc/self/status 2>/dev/null; then      # bit 1: SIGINT
    say "skipped: SIGINT is ignored by whoever runs this test"
else
    interrupted INT 130 --checkpoint 'with --resume continues the run from long'
fi

# ---- info ----------------------------------------------------------------------------------

succeeds info
for line in 'cotangent [0-9.]+' 'BLAS: .+' 'LIBXSMM: .+' 'code path: (base|avx2|avx512) \(of .*\)' \
    'libutf8proc: .+' 'devices: cpu.*'; do
    prints "$line" "info"
done
succeeds info "$srcdir/tests/torch/peer.safetensors"
prints '[a-z_.0-9]+  [A-Z0-9]+ \[[0-9,]*\]' "info of PyTorch's file"
prints '[0-9]+ tensors?' "info of PyTorch's file"

# Where memory may not be made executable, LIBXSMM is off: info says so, and training works.
cat >no_exec.c <<'END'
#include <sys/prctl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
#ifdef PR_SET_MDWE
    if (argc > 1 && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
        execv(argv[1], argv + 1);
#else
    if (argc > 1 && prctl(65, 1, 0, 0, 0) == 0)
        execv(argv[1], argv + 1);
#endif
    return 77;
}
END
# shellcheck disable=SC2086
if $CC -o no_exec no_exec.c 2>err && ./no_exec "$tool" --version >out 2>>err; then
    ./no_exec "$tool" info >out 2>err || fail "info without run-time code"
    grep -q '^LIBXSMM: none' out || [ "$(grep -c '^LIBXSMM: .*, off: ' out)" -eq 1 ] ||
        fail "info does not say that LIBXSMM is off"
    # shellcheck disable=SC2086
    ./no_exec "$tool" train text $quick -q -o no_exec.model >out 2>err ||
        fail "training without run-time code"
else
    say "skipped: this system does not refuse executable memory"
fi

# ---- bad input -----------------------------------------------------------------------------

refuses 2 'a command is missing'
refuses 2 'there is no command "compose"' compose
refuses 2 'the text is missing \(see cotangent train --help\)' train
refuses 2 'unexpected argument "more"' train text more
refuses 2 'the model file is missing' generate
refuses 2 'unexpected argument "b"' generate a b
refuses 2 'the model file is missing' eval
refuses 2 'the text is missing' eval gru.safetensors
refuses 2 'unexpected argument "c"' eval a b c
refuses 2 'unexpected argument "b"' info a b
for value in -1 nan inf 1e999 warm '' 0.5x 0,5; do
    refuses 2 "--temperature: \"$value\" is not a number of at least 0" \
        generate gru.safetensors -p the --temperature="$value"
done
for value in 0 -1 many '' 99999999999999999999; do
    refuses 2 "--top-k: \"$value\" is not a whole number from 1 to" \
        generate gru.safetensors -p the --top-k="$value"
done
for value in 0 -0.5 1.5 nan inf half ''; do
    refuses 2 "--top-p: \"$value\" is not a number above 0 and at most 1" \
        generate gru.safetensors -p the --top-p="$value"
done
refuses 2 '--length: "-1" is not a whole number' generate gru.safetensors -p the --length=-1
refuses 2 '--seed: "x" is not a whole number' generate gru.safetensors -p the --seed x
refuses 2 '--prefix: the value is empty' generate gru.safetensors --prefix ''
refuses 1 'missing: No such file' generate missing -p the --device cpu
refuses 2 '--device: .*abacus' generate gru.safetensors -p the --device abacus
refuses 2 '--threads: "0" is not a whole number from 1 to 256' generate gru.safetensors --threads 0
for option in hidden layers batch steps epochs max-tokens patience; do
    for value in 0 -3 many 7x '' 99999999999999999999; do
        refuses 2 "--$option: \"$value\" is not a whole number from 1 to" train text --$option="$value"
    done
done
for option in lr clip weight-decay; do
    for value in 0 -1 fast nan inf ''; do
        refuses 2 "--$option: \"$value\" is not a number above 0" train text --$option="$value"
    done
done
for option in dropout momentum; do
    refuses 2 "--$option: \"1\" is not a number from 0 to less than 1" train text --$option 1
done
refuses 2 '--model: "mgu" is not one of rnn\|lstm\|gru' train text --model mgu
refuses 2 '--tokens: "letter" is not one of char\|byte\|word\|grapheme' train text --tokens letter
refuses 2 '--clean: "soap" is not one of' train text --clean soap
refuses 2 '--dialect: "latin" is not one of' train text --dialect latin
refuses 2 '--optimizer: "lbfgs" is not one of' train text --optimizer lbfgs
refuses 2 'Adam has no option "momentum"' train text --momentum 0.5
refuses 2 '--tied: --embedding 8 differs from --hidden 256' train text --embedding 8 --tied
refuses 2 '--min-freq: .*has all bytes' train text --tokens byte --min-freq 2
refuses 2 '--resume: --checkpoint is missing' train text --resume
refuses 2 '--every: --checkpoint is missing' train text --every 5
refuses 2 '--output: the value is empty' train text -o ''
for command in train generate eval export info; do
    run $command --no-such-option
    [ $status -eq 2 ] || fail "$command --no-such-option: status $status, not 2"
done

printf 'some text\n' >short
printf '12 34 56\n' >letterless
printf 'some\0text' >binary
: >empty
refuses 1 "short: |.*too few.*--batch or --steps" train short
refuses 1 'missing: No such file' train missing
refuses 1 'letterless: has no letter; .*--tokens byte' train letterless
run train letterless --tokens byte --batch 1 --steps 4 --epochs 1 -o digits.model -q
[ $status -eq 0 ] || fail "digits are not trained on as bytes"
for encoding in 16 32; do
    case $encoding in
    16) printf '\377\376t\0e\0' >wide ;;
    32) printf '\377\376\0\0t\0\0\0' >wide ;;
    esac
    refuses 1 "wide: is UTF-$encoding; convert it to UTF-8" train wide
    refuses 1 "wide: is UTF-$encoding; convert it to UTF-8" eval gru.safetensors wide
    "$tool" train - <wide 2>err
    [ $? -eq 1 ] && grep -q "stdin: is UTF-$encoding; convert it" err || fail "UTF-$encoding, stdin"
done
{ printf '\357\273\277' && cat text; } >marked
for command in 'eval gru.safetensors'; do
    succeeds $command text
    cp out out2
    succeeds $command marked
    cmp -s out out2 || fail "a byte order mark changes what $command prints"
    "$tool" $command - <marked >out 2>err && cmp -s out out2 || fail "$command: the mark, stdin"
done
refuses 1 'binary: is binary' train binary
refuses 1 'empty: is empty' train empty --tokens byte
refuses 1 '\.: Is a directory' train .
refuses 1 'missing: No such file' generate missing -p the
refuses 1 'short: .*not a safetensors file' generate short -p the
refuses 1 "$srcdir/tests/torch/peer.safetensors: is not a model file" \
    generate "$srcdir/tests/torch/peer.safetensors" -p the
refuses 1 "$srcdir/tests/torch/peer.safetensors: is not a model file" \
    eval "$srcdir/tests/torch/peer.safetensors" text
refuses 1 'stdin: the prefix is empty' generate gru.safetensors
refuses 1 'missing: No such file' info missing
refuses 1 'text: .*not a safetensors file' info text
refuses 1 'missing: No such file' eval gru.safetensors missing
refuses 1 'letterless: has no letter; ' eval gru.safetensors letterless
# shellcheck disable=SC2086
refuses 1 'no/such/folder' train text $quick -o no/such/folder/model
# shellcheck disable=SC2086
refuses 1 '.*(not finite|is inf|is nan)' train text $quick --optimizer sgd --lr 1e300 -q
head -c 3000 gru.safetensors >cut
refuses 1 'cut: ' generate cut -p the
if [ -c /dev/full ]; then
    "$tool" generate gru.safetensors -p the -n 5 >/dev/full 2>err
    status=$?
    [ $status -eq 1 ] && [ "$(cat err)" = "cotangent: stdout: No space left on device" ] ||
        fail "generate on a full disk: status $status"
    "$tool" info >/dev/full 2>err
    [ $? -eq 1 ] || fail "info on a full disk: status $?"
fi

# ---- nothing leaks -------------------------------------------------------------------------

# Without plug-ins, because valgrind reports their memory as leaks of the loader.
COTANGENT_PLUGIN_DIR=$tmp
export COTANGENT_PLUGIN_DIR
checked()   # ARGUMENTS...
{
    under_valgrind "$tool" "$@" || fail "$1 under valgrind"
}

if has_valgrind "$tool" --version; then
    checked train "$tmp/text" --hidden 6 --batch 2 --steps 5 --epochs 1 --max-tokens 60 \
        -o "$tmp/v.model" --checkpoint "$tmp/v.run"
    checked generate "$tmp/v.model" -p the -n 5 -t 1 -k 3
    checked eval "$tmp/word.safetensors" "$tmp/other"
    checked info "$tmp/v.run"
    # The loader reads the path of a plug-in with vector instructions past its end, which valgrind
    # reports.
    COTANGENT_PLUGIN_DIR=/nonexistent
    checked info
fi

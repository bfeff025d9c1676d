#!/bin/sh
# export.sh - `cotangent export`: the example compiles by its Makefile and by strict compilers, needs no
# library, and prints 1,000 characters that equal those of `cotangent generate --portable`: natively,
# on other processors under qemu, and in WebAssembly under node. What is missing is skipped.

. "$(dirname "$0")/lib.sh"

tool=$build/tool/cotangent
program=$tool
make_tmp
offline
cd "$tmp" || exit 99
cp "$srcdir/data/sample.txt" text
strict='-std=c99 -Wall -Wextra -Wconversion -pedantic -Werror -ffreestanding'
cc=${CC:-cc}

same()      # NAME COMMAND...: its text is that of the tool
{
    name=$1
    shift
    "$@" "the time" 1000 0.8 7 0.95 5 >got 2>err </dev/null || fail "$name: exit status $?"
    cmp -s got want || fail "$name: the text differs"
}

emulated()  # TRIPLET QEMU: runs the program on another processor
{
    if ! command -v "$1-gcc" >/dev/null || ! command -v "$2" >/dev/null; then
        say "skipped: $1 ($1-gcc or $2 is missing)"
        return
    fi
    "$1-gcc" -O2 -static -o "generate-$1" generate.c model.c || fail "$1 does not compile"
    same "$1" "$2" "./generate-$1"
}

for cell in rnn lstm gru; do
    run train --model $cell --hidden 40 --layers 2 --epochs 1 -o model.safetensors text
    [ $status -eq 0 ] || fail "no model"
    rm -rf work && mkdir work && cd work || exit 99
    cp "$srcdir"/examples/export/* ../model.safetensors .
    "$tool" generate --portable -p "the time" -n 1000 -t 0.8 -k 7 --top-p 0.95 -s 5 \
        ../model.safetensors >want || fail "the tool does not generate"
    PATH=$build/tool:$PATH make >out 2>err || fail "the Makefile of the example"
    same "$cell" ./generate
    for c in $cc clang; do
        command -v "$c" >/dev/null || { say "skipped: $c is missing"; continue; }
        $c $strict -O3 -c model.c 2>err || fail "$c: a warning or an error"
        [ -z "$(nm -u model.o)" ] || fail "$c: model.o needs $(nm -u model.o)"
    done
    $cc -O3 -march=native -ffp-contract=fast -std=gnu11 -o native generate.c model.c 2>err &&
        same "$cell, the best instructions" ./native
    [ $cell = gru ] || { cd ..; continue; }
    emulated arm-linux-gnueabihf qemu-arm
    emulated aarch64-linux-gnu qemu-aarch64
    emulated s390x-linux-gnu qemu-s390x
    if command -v emcc >/dev/null && command -v node >/dev/null; then
        emcc -O1 -sSINGLE_FILE=1 generate.c model.c -o generate.js >out 2>err || fail "emcc"
        same WebAssembly node generate.js
    else
        say "skipped: WebAssembly (emcc or node is missing)"
    fi
    cd ..
done

# ---- bad calls -----------------------------------------------------------------------------

refuses()   # STATUS PATTERN ARGUMENTS...
{
    want=$1 pattern=$2
    shift 2
    run "$@"
    [ $status -eq "$want" ] || fail "'$*': status $status, not $want"
    grep -Eq -- "^cotangent: $pattern" "$tmp/err" || fail "'$*': stderr has no '$pattern'"
}
refuses 1 '.*output' export model.safetensors
refuses 1 '.*must end in .c' export model.safetensors -o x.h
refuses 1 '.*identifier' export model.safetensors -o 1x.c
refuses 1 '.*none' export none.safetensors -o x.c
[ ! -e x.c ] && [ ! -e x.h ] || fail "a file was written after an error"
run export --separate-weights --libm --name other model.safetensors -o x.c
[ $status -eq 0 ] && [ -s x.weights ] && grep -q other_next x.h || fail "the options of export"
$cc $strict -c x.c 2>err || fail "the options of export: a warning"
exit 0

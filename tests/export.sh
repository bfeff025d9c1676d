#!/bin/sh
# SPDX-License-Identifier: MIT
# export.sh - `cotangent export`: the example compiles by its Makefile and by strict compilers, needs no
# library, and prints 1,000 characters that equal those of `cotangent generate --portable`: natively,
# on other processors under qemu, in WebAssembly under node, and in its page in a browser. What is
# missing is skipped. With --libm its logits differ by at most 1e-5.

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

page()      # the text of the page in Chromium, whose address has a prefix, a length and a temperature
{
    "$tool" generate --portable -p "the time" -n 1000 -t 0.8 ../model.safetensors >want.page ||
        fail "the tool does not generate"
    timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/chromium" \
        --virtual-time-budget=60000 --dump-dom "file://$(pwd)/index.html?the%20time&1000&0.8" \
        >out 2>err || fail "chromium: exit status $?"
    awk '/<pre id="text"/ { sub(/.*<pre id="text"[^>]*>/, ""); on = 1 }
         on && /<\/pre>/ { exit }
         on' out | sed 's/&lt;/</g; s/&gt;/>/g; s/&nbsp;/ /g; s/&amp;/\&/g' >got
    cmp -s got want.page || fail "chromium: the text of the page differs"
}

with_libm() # the file made with --libm: its logits are compared with those of model.c
{
    "$tool" export --libm --name other -o other.c ../model.safetensors >out 2>err ||
        fail "export --libm"
    cat >both.c <<'END'
#include <stdio.h>
#include "model.h"
#include "other.h"

static model_state a;
static other_state b;
static float x[MODEL_VOCAB], y[MODEL_VOCAB];

int main(void)
{
    model_reset(&a);
    other_reset(&b);
    for (int32_t i = 0; i < 1000; i++) {
        const int32_t token = i * i % MODEL_VOCAB;

        if (model_step(&a, &token, x) != 0 || other_step(&b, &token, y) != 0)
            return 2;
        for (int k = 0; k < MODEL_VOCAB; k++)
            if (!(x[k] - y[k] <= 1e-5f && y[k] - x[k] <= 1e-5f)) {
                printf("step %d, token %d: %.9g and %.9g\n", (int)i, k, x[k], y[k]);
                return 1;
            }
    }
    return 0;
}
END
    $cc -O2 -o both both.c model.c other.c -lm 2>err || fail "--libm does not compile"
    ./both >out || fail "--libm: the logits differ"
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
    sed -n 's/^    \([a-z].*[ *]model_[a-z]*([^;]*;\).*/\1/p' "$srcdir/docs/embedding.md" >declared
    if [ "$(wc -l <declared)" -lt 5 ] || grep -Fvx -f model.h declared; then
        fail "docs/embedding.md declares other functions than model.h"
    fi
    for c in $cc clang; do
        command -v "$c" >/dev/null || { say "skipped: $c is missing"; continue; }
        $c $strict -O3 -c model.c 2>err || fail "$c: a warning or an error"
        [ -z "$(nm -u model.o)" ] || fail "$c: model.o needs $(nm -u model.o)"
    done
    $cc -O3 -march=native -ffp-contract=fast -std=gnu11 -o native generate.c model.c 2>err &&
        same "$cell, the best instructions" ./native
    with_libm
    [ $cell = gru ] || { cd ..; continue; }
    emulated arm-linux-gnueabihf qemu-arm
    emulated aarch64-linux-gnu qemu-aarch64
    emulated s390x-linux-gnu qemu-s390x
    if command -v emcc >/dev/null && command -v node >/dev/null; then
        emcc -O1 -sSINGLE_FILE=1 generate.c model.c -o generate.js >out 2>err || fail "emcc"
        same WebAssembly node generate.js
        if command -v chromium >/dev/null; then
            page
        else
            say "skipped: the page (chromium is missing)"
        fi
    else
        say "skipped: WebAssembly and the page (emcc or node is missing)"
    fi
    cd ..
done

# ---- the audio model -----------------------------------------------------------------------

"$build/examples/pitch" 20 pitch_model.c >out 2>err || fail "examples/pitch does not export"
cp "$srcdir/examples/export/pitch.c" . || exit 99
$cc -std=c99 -Wall -Wextra -Werror -O3 -o listen pitch.c pitch_model.c -lm 2>err || fail "pitch.c"
./listen >out 2>err || fail "the exported audio model"
grep -q '^7500 blocks: pitch .* the worst [0-9.]* us$' out || fail "the exported audio model: $(cat out)"

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

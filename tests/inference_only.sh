#!/bin/sh
# SPDX-License-Identifier: MIT
# inference_only.sh - a library for inference only: what it leaves out does not compile in a user's
# program, is in no installed header, and is not in a program that is linked with the static library.

. "$(dirname "$0")/lib.sh"
make_tmp

grep -q '^#define CT_INFERENCE_ONLY 1$' include/cotangent_features.h ||
    skip 'the library is not for inference only'

compiles()  # EXPRESSION
{
    echo "#include <cotangent.h>
        int main(void) { return $1; }" >"$tmp/program.c"
    # shellcheck disable=SC2086
    $CC $CFLAGS -std=c11 -Wall -Werror -Iinclude -I"$srcdir" -c -o "$tmp/program.o" "$tmp/program.c" \
        >"$tmp/out" 2>&1
}

compiles 'ct_lm_load("model", CT_CPU) != NULL' || fail 'a program that loads a model does not compile'
for name in ct_adam_new ct_clip_grad_norm ct_schedule_step_lr ct_fit ct_checkpoint_save ct_gradcheck ct_hvp \
    ct_activation_checkpoint ct_graph_dot ct_loader_next ct_dataset_new ct_text_new_timemachine ct_world_new; do
    grep -qw "$name" "$srcdir"/*/*.h || fail "no header of the sources declares $name"
    ! compiles "$name != 0" || fail "$name compiles"
    grep -q "$name" "$tmp/out" || fail "the compiler does not name $name"
done

[ -f .libs/libcotangent.a ] || skip 'there is no static library: its programs are not tested'
# No part that stays needs one that is left out.
libs=$(sed -n "s/^dependency_libs='\(.*\)'$/\1/p" libcotangent.la | sed 's/-R *[^ ]*//g')
echo 'int main(void) { return 0; }' >"$tmp/all.c"
# shellcheck disable=SC2086
$CC $CFLAGS -o "$tmp/all" "$tmp/all.c" -Wl,--whole-archive .libs/libcotangent.a -Wl,--no-whole-archive $libs -lm \
    -pthread >"$tmp/out" 2>&1 || fail 'the static library is not complete'
# shellcheck disable=SC2086
./libtool --silent --tag=CC --mode=link $CC $CFLAGS -O2 -std=c11 -Wall -Werror -Iinclude -I"$srcdir" \
    -static -Wl,--gc-sections -o "$tmp/generate" "$srcdir/examples/generate.c" libcotangent.la -lm ||
    fail 'examples/generate.c does not compile'
"$tmp/generate" 2>/dev/null
[ $? -eq 2 ] || fail 'generate does not refuse a missing argument'
"$tmp/generate" "$tmp/none" a 1 >"$tmp/out" 2>&1 && fail 'generate loads a file that is not there'
grep -q 'No such file' "$tmp/out" || fail 'generate does not say that there is no such file'
[ "${NM-nm}" != no ] || skip 'nm was not found'
${NM-nm} "$tmp/generate" | sed 's/.* //' >"$tmp/names"
grep -qx cti_cpu_layer "$tmp/names" || fail 'nm shows no kernel'
if grep -E '_backward|^[^c].*_grad$|^adam|^sgd|^ct_fit|^ct_optimizer|^ct_loader|^cti_sample' "$tmp/names"; then
    fail 'the program has these functions, which only training needs'
fi
strip -o "$tmp/stripped" "$tmp/generate" && say "generate: $(wc -c <"$tmp/stripped") bytes, with shared libc"

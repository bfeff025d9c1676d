#!/bin/sh
# SPDX-License-Identifier: MIT
# emulated.sh - the chapter's program on the emulated GPU gives the CPU's perplexities, to
# three digits: both protocols, two epochs. make check runs smaller models, check-full those of the
# chapter.

. "$(dirname "$0")/lib.sh"
program=examples/rnn_concise

if [ ! -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so" ]; then
    skip "there is no cuda-emu (built without CUDA's headers)"
fi

perplexity()    # OPTIONS...: what the program's last line gives
{
    $program "$@" | sed -n 's/^perplexity \([0-9.]*\),.*/\1/p'
}

status=0
for protocol in book classic; do
    size=
    [ -n "$COTANGENT_TEST_FULL" ] || size='--hidden 16'
    for seed in 1 2; do
        COTANGENT_EMU_SEED=$seed
        export COTANGENT_EMU_SEED
        # shellcheck disable=SC2086
        here=$(perplexity --protocol $protocol --epochs 2 $size) || exit 1
        # shellcheck disable=SC2086
        there=$(perplexity --protocol $protocol --epochs 2 $size --device cuda-emu) || exit 1
        echo "$protocol, schedule $seed: cpu $here, cuda-emu $there"
        [ -n "$here" ] && [ "$here" = "$there" ] || status=1
    done
done
exit $status

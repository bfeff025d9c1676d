#!/bin/sh
# SPDX-License-Identifier: MIT
# gpu_counts.sh - counts the work of one warm training step of each protocol on the
# emulated GPU (docs/cuda.md has the figures): launches, waits and bytes; and with the checker, for
# each line of a kernel that accesses global memory, the requests of warps and the sectors of 32
# bytes that they cover. From the build folder: sh ../tests/gpu_counts.sh [book|classic]

. "$(dirname "$0")/lib.sh"
make_tmp

# Subtracts the counts of an epoch of FEWER from one of MORE and divides by the difference in steps,
# so the work at the begin and end of an epoch cancels.
count()    # PLUG-IN FOLDER, PROTOCOL, OPTION, FEWER, MORE, STEPS
{
    for n in "$4" "$5"; do
        COTANGENT_PLUGIN_DIR=$1 COTANGENT_EMU_STATS=$tmp/$n COTANGENT_EMU_SECTORS=1 \
            examples/rnn_concise --device cuda-emu --protocol "$2" --epochs 1 --length 1 \
            --num-val 1 "$3" "$n" >/dev/null || exit 1
    done
    awk -v steps="$6" '
        $1 == "sectors" { name = $2 " " $3; n = $5; s = $7; b = $11 }
        $1 != "sectors" { name = $1; n = $2; s = 0; b = 0 }
        NR == FNR { n0[name] = n; s0[name] = s; b0[name] = b; next }
        $1 != "sectors" { printf "%-20s %12.1f\n", name, (n - n0[name]) / steps; next }
        n > n0[name] {
            printf "%-28s %10.0f requests %10.0f sectors %6.2f a request %12.0f bytes\n", name,
                   (n - n0[name]) / steps, (s - s0[name]) / steps,
                   (s - s0[name]) / (n - n0[name]), (b - b0[name]) / steps
        }' "$tmp/$4" "$tmp/$5"
    rm -f "$tmp/$4" "$tmp/$5"
}

for protocol in ${1-book classic}; do
    steps='--num-train 2048 4096 2' # batches of 1,024 windows
    test "$protocol" = book || steps='--max-tokens 5600 10000 4' # of 32 x 35 tokens
    echo "$protocol:"
    # shellcheck disable=SC2086
    count cuda/.libs "$protocol" $steps
    # shellcheck disable=SC2086
    count cuda/checked/.libs "$protocol" $steps | grep requests
done

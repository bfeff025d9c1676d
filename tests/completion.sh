#!/bin/sh
# SPDX-License-Identifier: MIT
# completion.sh - bash completes the commands, options and values of the tool.

. "$(dirname "$0")/lib.sh"
command -v bash >/dev/null || skip "bash was not found"
make_tmp

completes()     # WORDS WANTED...: the last of WORDS is being typed; every WANTED is offered
{
    words=$1
    shift
    bash -c '. "$1"; COMP_WORDS=($3); COMP_WORDS[0]=$2; [[ $3 != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cotangent; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$srcdir/tool/cotangent.bash" "$build/tool/cotangent" "$words" >"$tmp/out" 2>"$tmp/err"
    [ ! -s "$tmp/err" ] || fail "'$words': the completion writes on stderr"
    for wanted in "$@"; do
        grep -qx -- "$wanted" "$tmp/out" || fail "'$words': '$wanted' is not offered"
    done
}

completes 'cotangent ' train generate eval info help --version
completes 'cotangent tr' train
completes 'cotangent help ge' generate
completes 'cotangent train --ep' --epochs
completes 'cotangent train book.txt --' --model --precision --resume
completes 'cotangent train --model ' rnn lstm gru
completes 'cotangent train --model = g' gru
completes 'cotangent train --optimizer ' sgd adam lion
completes 'cotangent train --optimizer = adam' adam adamw adamax
completes 'cotangent train --precision b' bf16
[ "$(cat "$tmp/out")" = bf16 ] || fail "more than bf16 is offered"
completes 'cotangent train boo'
[ -z "$(cat "$tmp/out")" ] || fail "names of files are left to bash"

#!/bin/sh
# SPDX-License-Identifier: MIT
# limits.sh - under limits of memory and of threads a program computes the right numbers or raises an
# error: no crash, no signal from OpenBLAS or LIBXSMM, no endless loop.

. "$(dirname "$0")/lib.sh"
make_tmp
program=$build/tests/limited

case " $CFLAGS" in
*-fsanitize=*) skip "a sanitizer needs more address space than the limits leave" ;;
esac
COTANGENT_POOL=0
export COTANGENT_POOL

# judge WHERE: checks a run that ended with $status
judge()
{
    case $status in
    0) [ "$(cat "$tmp/out")" = right ] || fail "$1: wrong numbers" ;;
    3) grep -q ': .* bytes' "$tmp/err" || fail "$1: status 3 without a message about memory" ;;
    127) grep -q 'shared librar' "$tmp/err" || fail "$1: status 127" ;; # the loader itself
    *) fail "$1: status $status" ;;
    esac
}

limited()   # COMMANDS: runs the program after these commands of the shell
{
    timeout 60 sh -c "$1; exec \"\$0\"" "$program" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

limited :
[ $status -eq 0 ] && [ "$(cat "$tmp/out")" = right ] || fail "without a limit: status $status"

# The address space, in KiB.
right=0
for limit in 10000 14000 20000 26000 32000 40000 50000 70000 100000 140000 200000 300000 500000 \
    700000 900000 1200000 2000000; do
    limited "ulimit -v $limit"
    judge "ulimit -v $limit"
    [ $status -ne 0 ] || right=$((right + 1))
done
[ $right -ge 5 ] || fail "only $right of the limits of memory leave enough of it"

# Threads: root has no limit, so another user runs the program.
unprivileged=
if [ "$(id -u)" -eq 0 ]; then
    command -v setpriv >/dev/null 2>&1 || skip "no setpriv to run as another user"
    unprivileged='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
cp "$program" "$tmp/limited" && chmod 755 "$tmp" "$tmp/limited" || exit 99
$unprivileged "$tmp/limited" >"$tmp/out" 2>"$tmp/err" </dev/null ||
    skip "another user cannot run programs of this folder"
for limit in 1 2 4; do
    # the shell that sets the limit becomes the program
    timeout 60 sh -c "ulimit -u $limit 2>/dev/null || ulimit -p $limit || exit 99; exec $unprivileged \"\$0\"" "$tmp/limited" \
        >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    [ $status -ne 99 ] || skip "this shell cannot limit the number of threads"
    judge "ulimit -u $limit"
done

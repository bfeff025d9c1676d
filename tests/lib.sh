# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034 # variables are for the tests that read this
# lib.sh - functions for the shell tests. Each test begins with
#
#     . "$(dirname "$0")/lib.sh"
#
# and runs in the build folder. $srcdir is the source tree, $build the build folder, both absolute.

LC_ALL=C
export LC_ALL
me=${0##*/}
build=$(pwd)
srcdir=$(cd "$(dirname "$0")/.." && pwd) || exit 99
tmp=

make_tmp()      # an empty folder, $tmp, which is removed at the end
{
    tmp=$(mktemp -d) || exit 99
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 99' HUP INT TERM
}

say()           # MESSAGE
{
    echo "$me: $*"
}

skip()          # REASON: the test ends, and counts as skipped
{
    say "skipped: $*"
    exit 77
}

fail()          # MESSAGE: the test ends and has failed; what the last program printed is shown
{
    say "$*"
    for part in out err; do
        if [ -n "$tmp" ] && [ -s "$tmp/$part" ]; then
            echo "std$part:"
            head -c 4000 "$tmp/$part" | sed 's/^/    /'
        fi
    done
    exit 1
}

run()           # ARGUMENTS: runs $program; sets $status, $tmp/out and $tmp/err
{
    "$program" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

prints()        # PATTERN WHERE: an extended pattern that one whole line of stdout matches
{
    grep -Exq -- "$1" "$tmp/out" || fail "$2: no line '$1'"
}

offline()       # there is no text but what the test names, and no way out to the network
{
    unset COTANGENT_DATA_DIR
    XDG_CACHE_HOME=$tmp/cache
    COTANGENT_TIMEMACHINE_URL=http://127.0.0.1:1/timemachine.txt
    export XDG_CACHE_HOME COTANGENT_TIMEMACHINE_URL
}

under_valgrind()    # COMMAND: runs it; an error of memory or a leak is status 9
{
    "$build/libtool" --mode=execute "$VALGRIND" -q --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect,possible "$@" \
        >"$tmp/out" 2>"$tmp/err" </dev/null
}

# COMMAND: true if valgrind runs this short command without finding leaks. Some versions of valgrind
# cannot read the debug information of some compilers.
has_valgrind()
{
    case "${VALGRIND-no} $CFLAGS" in
    no\ *) say 'no valgrind is there to look for leaks' ;;
    *-fsanitize=*) say 'no valgrind in a build with sanitizers' ;;
    *)
        under_valgrind "$@" && return
        say "valgrind does not run this compiler's programs"
        ;;
    esac
    return 1
}

# SEED PROGRAM: runs the program on the emulated GPU with this seed of its schedule. Sets $status to
# 1 if it fails or the emulator reports a fault.
run_emulated()
{
    COTANGENT_EMU_SEED=$1 "$2" >"$tmp/log" 2>&1 || {
        echo "$2, schedule $1:"
        tail -n 20 "$tmp/log"
        status=1
    }
    if grep '^cuda-emu: ' "$tmp/log"; then
        echo "$2, schedule $1: reports"
        status=1
    fi
}

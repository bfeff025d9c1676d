#!/bin/sh
# SPDX-License-Identifier: MIT
# stand_in.sh - takes the place of a program while tests/commands.sh runs the commands of the pages; it
# is linked under the program's name. Programs that build, install, need root or other machines are not
# run: the arguments are checked, and a line is added to the file $STOOD_IN. cc and pkg-config do their
# work, with the library of the build tree.
#
# TOP and SOURCE are the build tree and the source tree, REAL_PATH is where the programs are.

name=${0##*/}

refuse()    # MESSAGE
{
    echo "$name: $*" >&2
    exit 2
}

stand_in()  # the program does not run
{
    echo "$name" >>"$STOOD_IN"
}

real()      # PROGRAM ARGUMENTS
{
    env PATH="$REAL_PATH" "$@"
}

# The targets are known, and each test of TESTS is there. Scripts of packaging/ run with DRY_RUN, and
# mutants.py with --list. Logs of tests are made.
check_make()
{
    folder=. next='' tests='' scripts=''
    for word; do
        shift
        if [ -n "$next" ]; then
            folder=$word next=''
            continue
        fi
        case $word in
        -C) next=folder; continue ;;
        TESTS=*) tests=${word#*=} word=TESTS= ;;
        check-platforms | check-inference-only | mutants) scripts=yes ;;
        bench/allreduce-*)      # only in a build with this MPI
            grep -q "^EXTRA_PROGRAMS += $word\$" "$SOURCE/bench/local.mk" || refuse "there is no $word"
            mkdir -p "${word%/*}" && ln -sf "$TOP/examples/custom_op" "$word"
            continue
            ;;
        esac
        set -- "$@" "$word"
    done
    [ -f "$folder/Makefile" ] || refuse "there is no Makefile in $folder"
    if [ -n "$scripts" ]; then
        PYTHON=$BIN/python3 real "${MAKE:-make}" -C "$TOP" "$@"
    elif ! grep -qxF -e "$*" "$BIN/made" 2>/dev/null; then
        real "${MAKE:-make}" -n -C "$TOP" "$@" >/dev/null && echo "$*" >>"$BIN/made"
    fi || exit 2
    for test in $tests; do
        [ -f "$SOURCE/$test" ] || [ -f "$SOURCE/$test.c" ] || refuse "there is no test $test"
        log=$folder/${test%.sh}.log
        rm -f "$log" && mkdir -p "${log%/*}" && : >"$log"
    done
}

compile()   # ARGUMENTS: those of pkg-config mean the library of the build tree
{
    case " $* " in
    *" -lcotangent "*) ;;
    *) exec env PATH="$REAL_PATH" ${CC:-cc} "$@" ;;
    esac
    for word; do
        shift
        [ "$word" != -lcotangent ] || word=$TOP/libcotangent.la
        set -- "$@" "$word"
    done
    case " $* " in *" -o "*) ;; *) set -- -o a.out "$@" ;; esac
    # shellcheck disable=SC2086
    real "$TOP/libtool" --silent --tag=CC --mode=link ${CC:-cc} -std=c11 $CFLAGS -I"$TOP/include" \
        -I"$SOURCE" -no-install "$@"
}

check_mutants()     # SCRIPT ARGUMENTS: what it would try is listed
{
    script=$1
    shift
    real "${PYTHON3:=python3}" -c '' || { echo "there is no $PYTHON3"; exit 77; }
    for word; do
        case $word in
        --check) stand_in; real "$PYTHON3" "$script" --help | grep -q -e --check; exit ;;
        --list) listed=yes ;;
        esac
    done
    [ -n "$listed" ] || stand_in
    list=$(real "$PYTHON3" "$script" --list "$@") || exit 2
    [ -n "$list" ] || refuse "mutants.py lists no mutant"
}

case $name in
cc) compile "$@" ;;
pkg-config) PKG_CONFIG_PATH=$TOP real "${PKG_CONFIG:-pkg-config}" "$@" ;;
python3) check_mutants "$@" ;;
make) stand_in; check_make "$@" ;;
configure) stand_in; real "$SOURCE/configure" --enable-option-checking=fatal "$@" --help=short >/dev/null && : >Makefile ;;
autoreconf)
    stand_in
    [ -f configure.ac ] || refuse 'there is no configure.ac'
    case $* in -fi | -i) ;; *) refuse "$*" ;; esac
    ;;
apt-get) stand_in ;;
sudo) stand_in; case $1 in -?) shift ;; esac; "$@" ;;
id) stand_in; echo 1000 ;;
mpirun*)
    stand_in
    [ "$1" = -np ] && [ "$2" -gt 1 ] || refuse "$*"
    shift 2
    "$@"
    ;;
valgrind)
    stand_in
    options=
    for word; do
        case $word in -*) options="$options $word"; shift ;; *) break ;; esac
    done
    # shellcheck disable=SC2086
    [ "${VALGRIND:-no}" = no ] || real "$VALGRIND" $options true || exit 2
    "$@"
    ;;
test_*) echo "$name was not built"; exit 77 ;;
*) refuse 'there is no such stand-in' ;;
esac

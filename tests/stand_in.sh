#!/bin/sh
# SPDX-License-Identifier: MIT
# stand_in.sh - takes the place of a program while tests/commands.sh runs the commands of the pages; it
# is linked under the program's name. Programs that build, install, need root or other machines are not
# run: the arguments are checked, and a line is added to the file $STOOD_IN. cc and pkg-config do their
# work, with the library of the build tree.
#
# TOP and SOURCE are the build tree and the source tree, REAL_PATH is where the programs are, PYTHON3 is
# Python.

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

need_python()
{
    real "$PYTHON3" -c '' 2>/dev/null || { echo "there is no $PYTHON3"; exit 77; }
}

# A target of the build tree's Makefile. The scripts of some targets run: those of packaging/ with DRY_RUN,
# mutants.py with --list.
check_target()  # TARGET VARIABLES...
{
    target=$1
    shift
    [ -s "$BIN/rules" ] || real "${MAKE:-make}" -C "$TOP" -pq .no-such-target >"$BIN/rules" 2>/dev/null
    [ "$target" != mutants ] || need_python
    case $target in
    check-platforms | check-inference-only | mutants)
        PYTHON=$BIN/python3 real "${MAKE:-make}" -C "$TOP" "$target" "$@" || exit 2
        ;;
    bench/allreduce-*)          # only in a build with this MPI
        grep -q "^EXTRA_PROGRAMS += $target\$" "$SOURCE/bench/local.mk" || refuse "there is no $target"
        mkdir -p bench && ln -sf "$TOP/examples/custom_op" "$target"
        ;;
    *) grep -q "^$target:" "$BIN/rules" || refuse "there is no target $target" ;;
    esac
}

# Each target is known, each test of TESTS is there, make takes the options. Logs of tests are made.
check_make()
{
    folder=. option='' tests='' targets=''
    for word; do
        shift
        case $option$word in
        -C | -j) option=$word; continue ;;
        -C*) folder=$word ;;
        -j[0-9]* | -[ks] | --no-print-directory) ;;
        -*) refuse "$word" ;;
        TESTS=*) tests=${word#*=} ;;
        *=*) set -- "$@" "$word" ;;
        *) targets="$targets $word" ;;
        esac
        option=
    done
    [ -f "$folder/Makefile" ] || refuse "there is no Makefile in $folder"
    for target in ${targets:-all}; do
        check_target "$target" "$@"
    done
    for test in $tests; do
        [ -f "$SOURCE/$test" ] || [ -f "$SOURCE/$test.c" ] || refuse "there is no test $test"
        log=$folder/${test%.sh}.log
        [ -h "${log%/*}" ] || { rm -f "$log" && mkdir -p "${log%/*}" && : >"$log"; }
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
    need_python
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
configure)
    stand_in
    real "$SOURCE/configure" --enable-option-checking=fatal "$@" --help=short >/dev/null || exit
    rm -f Makefile && : >Makefile
    ;;
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

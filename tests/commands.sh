#!/bin/sh
# SPDX-License-Identifier: MIT
# commands.sh [PAGE.md...] - every command in the pages runs without an error, in a tree of links to the
# sources, with a short text. Training is shortened: a small model, few tokens, two epochs. Programs that
# build, install, need root or other machines have stand-ins, which check the arguments and do nothing
# else (tests/stand_in.sh); such a command counts as checked. Scripts of packaging/ have DRY_RUN. If a page
# names the test that runs its examples (tests/commands.awk), that test has the same options. The sources
# read each variable that a command sets. At the end, commands with one mistake each must be refused.

. "$(dirname "$0")/lib.sh"
make_tmp
offline
ln -s "$build" "$tmp/top" && ln -s "$srcdir" "$tmp/source" || exit 99     # paths without spaces
TOP=$tmp/top SOURCE=$tmp/source REAL_PATH=$PATH BIN=$tmp/bin PATH=$tmp/bin:$PATH
STOOD_IN=$tmp/stood_in PYTHON3=${PYTHON:-python3} DRY_RUN=yes
export TOP SOURCE REAL_PATH BIN PATH STOOD_IN PYTHON3 DRY_RUN
case $PYTHON3 in /*) ;; */*) PYTHON3=$TOP/$PYTHON3 ;; esac
unset MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKELEVEL TESTS COTANGENT_TEST_MESSAGES COTANGENT_TEST_FULL

cd "$srcdir" || exit 99
[ $# -gt 0 ] || set -- README.md SECURITY.md CHANGELOG.md CONTRIBUTING.md docs/*.md bench/*.md packaging/*.md

mkdir "$BIN" || exit 99
for name in apt-get autoreconf cc id make mpirun mpirun.openmpi pkg-config python3 sudo valgrind; do
    ln -s "$srcdir/tests/stand_in.sh" "$BIN/$name" || exit 99
done
cat >"$BIN/cotangent" <<END
#!/bin/sh
[ "\$1" != train ] || set -- "\$@" --hidden 8 --max-tokens 9000 --epochs 2
exec "$TOP/tool/cotangent" "\$@"
END
chmod +x "$BIN/cotangent"

letters='--clean letters' device=cuda-emu
! cotangent info | grep -q '^libutf8proc: none' || letters='--clean text'
[ -f "$TOP/cuda/checked/.libs/cuda-emu.so" ] || device=cpu
shorten="
    s/^time //
    s/--clean letters/$letters/
    s/^\(mpirun .*--device \)cuda/\1cpu/
    s/\(--device \|_DEVICE=\)cuda[-emu]*/\1$device/
    s|^examples/compress book|examples/compress -H 8 -p 1 book|
    s|examples/rnn_concise .*|& --hidden 8 --steps 8 --num-train 64 --num-val 32 --batch 32|
    s|.*tests/test_nn\$|CK_RUN_CASE=linear &|
    s|.*tests/test_ops\$|CK_RUN_CASE=draws &|"

fresh()         # FOLDER PAGE: a new tree for the commands of a block, which run in FOLDER of it
{
    rm -rf "$tmp/tree" && mkdir "$tmp/tree" "$tmp/tree/examples" && cd "$tmp/tree" || exit 99
    for part in tensor autograd nn optim data train cuda tests packaging quickstart configure.ac Makefile.in; do
        ln -s "$srcdir/$part" . || exit 99
    done
    ln -s "$srcdir/tests/stand_in.sh" configure
    ln -s "$srcdir"/examples/*.c examples/
    for program in "$TOP"/examples/*; do
        [ ! -f "$program" ] || [ ! -x "$program" ] || ln -s "$program" examples/
    done
    for text in book text other timemachine; do
        cp "$srcdir/data/sample.txt" $text.txt || exit 99
    done
    cp "$srcdir/examples/export/generate.c" .
    ln -s examples/custom_op program
    : >"cotangent-$(sed -n 's/^release //p' "$srcdir/VERSION").tar.gz"
    case $2 in
    README.md) sed -n '/^```c$/,/^```$/ { /^```/!p; }' "$srcdir/$2" >sum.c ;;
    docs/tutorial.md) sh "$srcdir/tests/tutorial.sh" program >tutorial.c || exit 99 ;;
    esac
    if [ "$1" = build ]; then
        mkdir build build/tests && ln -s "$TOP/Makefile" "$TOP/cuda" ../examples build/ || exit 99
        for program in tests/test_nn tests/test_ops; do
            link=$TOP/$program
            [ -x "$link" ] || link=$srcdir/tests/stand_in.sh
            ln -s "$link" build/$program
        done
    fi
    echo "$tmp/tree/$1" >"$tmp/where"
    cd "$srcdir" || exit 99
}

tested()        # FILE COMMAND: FILE runs the same program of examples/, with the same options
{
    program=${2#examples/}
    program=${program%% *}
    sed -e ':a' -e '/\\$/ { N; s/\\\n//; ba' -e '}' "$1" |
        grep -E "(runs|examples/|run_) *$program( |\$)" >"$tmp/runs" || fail "$1 does not run $program"
    for word in $2; do
        case $word in
        --*) grep -q -e "$word" "$tmp/runs" || fail "$1 does not run $program with $word" ;;
        esac
    done
}

variables()     # COMMAND: the sources read the variables that it sets
{
    for name in $(printf '%s\n' "$1" | grep -oE '(^| )[A-Za-z_]+=' | tr -d ' ='); do
        case $name in CK_*) continue ;; esac
        grep -rqE "[\"\$({]$name([^A-Za-z_]|\$)" tensor train nn data tests bench packaging Makefile.am ||
            fail "nothing reads the variable $name"
    done
}

# WHERE COMMAND: runs it where the one before it ended
run_command()
{
    variables "$2"
    : >"$STOOD_IN"
    short=$(printf '%s\n' "$2" | sed "$shorten")
    case $device,$2 in cpu,*[=\ ]cuda*) echo cuda >"$STOOD_IN" ;; esac
    (cd "$(cat "$tmp/where")" && unset srcdir && eval "$short" && pwd >"$tmp/where") \
        >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    ! grep -q '^dry run: ' "$tmp/out" || echo packaging >"$STOOD_IN"
    ! grep -q 'Checks: 0,' "$tmp/out" || fail "$1: no case of the test ran: $2"
    if [ -s "$STOOD_IN" ] && { [ $status -eq 0 ] || grep -q 'skipped: needs root' "$tmp/out"; }; then
        echo "$1" >>"$tmp/checked"
    elif [ $status -eq 77 ]; then
        say "$1: skipped: $(head -n 1 "$tmp/out")"
        echo "$1" >>"$tmp/skipped"
    else
        [ $status -eq 0 ] || fail "$1: status $status of: $2"
        echo "$1" >>"$tmp/ran"
    fi
}

check_page()    # PAGE
{
    $AWK -f tests/commands.awk "$1" >"$tmp/list" || fail "$1"
    while read -r line kind command; do
        case $kind in
        begin) fresh "$command" "$1" ;;
        test)
            tested "${command%% *}" "${command#* }"
            echo "$1:$line" >>"$tmp/tested"
            ;;
        run) run_command "$1:$line" "$command" ;;
        esac
    done <"$tmp/list"
}

for list in ran checked tested skipped; do
    : >"$tmp/$list"
done
for page; do
    [ -f "$page" ] || continue
    check_page "$page"
    cat "$page" >>"$tmp/text"
done

# Targets of make and options of configure that the text names.
fresh build none
cd "$tmp/tree/build" || exit 99
targets=$(grep -oE '`make [a-z][a-z/-]*' "$tmp/text" | sed 's/`make //' | sort -u)
options=$(grep -oE '`(configure )?--(with|without|enable|disable)-[a-z0-9-]*' "$tmp/text" |
    sed 's/[^ ]* --/--/; s/`//' | sort -u)
for target in $targets; do
    make "$target" >"$tmp/out" 2>"$tmp/err" || [ $? -eq 77 ] || fail 'a page names a target that is not there'
done
# shellcheck disable=SC2086
../configure $options >"$tmp/out" 2>"$tmp/err" || fail 'a page names an option that is not there'
cd "$srcdir" || exit 99

say "$(wc -l <"$tmp/ran") commands ran, $(wc -l <"$tmp/tested") run in other tests," \
    "$(wc -l <"$tmp/checked") were checked with stand-ins, $(wc -l <"$tmp/skipped") were skipped"
! grep -n '<!-- not run' "$@" || fail 'this mark means nothing'

# ---- mistakes are noticed ----

refused()       # PATTERN COMMAND: a page with this command fails, with a message that has the pattern
{
    printf '<!-- commands: tests/exercises.sh -->\n<!-- commands in build -->\n\n    %s\n' "$2" >"$tmp/page.md"
    ! (check_page "$tmp/page.md") >"$tmp/said" 2>&1 || fail "this command was not refused: $2"
    grep -q -e "$1" "$tmp/said" || fail "$2 was refused without '$1': $(cat "$tmp/said")"
}

while IFS='|' read -r pattern command; do
    case $command in
    *mutants*) "$PYTHON3" -c '' 2>/dev/null || continue ;;
    *test_nn) [ -x "$TOP/tests/test_nn" ] || continue ;;
    esac
    refused "$pattern" "$command"
done <<'END'
unrecognized options: --enable-nothing|../configure --enable-nothing
there is no target nothing|make nothing
make: --nothing|make --nothing
there is no test tests/nothing|make check TESTS=tests/nothing
no platform nothing|make check-platforms PLATFORMS=nothing
arguments: --nothing|make mutants MUTANTS_FLAGS=--nothing
no bench/allreduce-nothing|make bench/allreduce-nothing
arguments: --nothing|python3 ../tests/mutants.py --list --nothing .. mutants nn
lists no mutant|python3 ../tests/mutants.py --only nn/linear.c:1 .. mutants
usage: ./quickstart|../quickstart nothing
nothing.sh: |../packaging/nothing.sh
SUITE is|../packaging/chroots.sh nothing
no tarball|DEBFULLNAME=A DEBEMAIL=a@b ../packaging/deb.sh nothing.tar.gz out
no platform nothing|../packaging/platforms.sh platforms nothing
no program nothing|TESTS=nothing ../packaging/platforms.sh platforms i386
autoreconf: --nothing|mkdir new && cd .. && autoreconf --nothing
mpirun: -n 2|mpirun -n 2 ./program
unrecognized option '--nothing'|mpirun -np 2 cotangent train --nothing ../book.txt
the variable COTANGENT_NOTHING|COTANGENT_NOTHING=1 cotangent info
nothing was not found|cc ../examples/custom_op.c $(pkg-config --cflags --libs nothing)
no case of the test ran|CK_RUN_CASE=nothing ./tests/test_nn
does not run deep with --nothing|$ examples/deep --nothing
does not run nothing|$ examples/nothing
END
say 'commands with a mistake were refused'

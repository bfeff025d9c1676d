#!/bin/sh
# SPDX-License-Identifier: MIT
# platforms.sh FOLDER [PLATFORM...] - builds the library for other processors with Debian's cross
# compilers, runs test programs under qemu-user and prints a table. Needs apt, and the packages that it
# names if they are missing; not root. Without PLATFORM: aarch64 i386 s390x armhf musl. For musl, the
# library and one program are built for this processor (x86-64) and the program is run.
# FOLDER keeps the packages of the other processors, the builds and their logs.
# TESTS: the test programs, else six, and on s390x two more that read and write files; JOBS: for make,
# else 2; SUITE: of Debian, else that of this system;
# MIRROR: of the packages, else the first of this system's; KEYRING: of MIRROR; CFLAGS: else -O2.
# DRY_RUN: if it is set, only the arguments and the names in TESTS are checked.
# Status 0 if all has been built and has passed.

[ $# -ge 1 ] || { sed -n '3,12s/^# //p' "$0"; exit 2; }
folder=$1
shift
[ $# -gt 0 ] || set -- aarch64 i386 s390x armhf musl
source=$(cd "$(dirname "$0")/.." && pwd) || exit 1
six="test_tensor test_ops test_autograd test_recurrent test_safetensors test_train"

choose()    # PLATFORM: sets its compiler's prefix, Debian's name and library folder, and its emulator
{
    case $1 in
    aarch64) host=aarch64-linux-gnu arch=arm64 library=aarch64-linux-gnu emulator=qemu-aarch64 ;;
    armhf) host=arm-linux-gnueabihf arch=armhf library=arm-linux-gnueabihf emulator=qemu-arm ;;
    i386) host=i686-linux-gnu arch=i386 library=i386-linux-gnu emulator=qemu-i386 ;;
    s390x) host=s390x-linux-gnu arch=s390x library=s390x-linux-gnu emulator=qemu-s390x ;;
    musl) host=x86_64-linux-musl arch=amd64 library=x86_64-linux-gnu emulator= ;;
    *)
        echo "platforms.sh: there is no platform $1" >&2
        exit 2
        ;;
    esac
    compiler=$host-gcc package=gcc-$host
    emulator="$emulator -L /usr/$host"
    # An x86-64 runs i386 itself; qemu-i386 7.2 waits forever in programs with threads.
    if [ "$1" = i386 ] && [ "$(uname -m)" = x86_64 ]; then
        emulator="/usr/$host/lib/ld-linux.so.2 --library-path /usr/$host/lib"
    fi
    [ "$1" != musl ] || emulator=
    [ "$1" != musl ] || { compiler=musl-gcc package=musl-tools; }
    tests=${TESTS-$six}
    [ "$1" != s390x ] || tests=${TESTS-$six test_npy test_dataset}     # the bytes of files are swapped
    root=$folder/$1/root build=$folder/$1/build log=$folder/$1/log
}

missing()   # PROGRAM PACKAGE: says so; false if the program is there
{
    ! command -v "$1" >/dev/null || return 1
    echo "$1 was not found (Debian: apt-get install $2)"
}

# Unpacks the packages with the libraries into $root, with apt's state in a folder of its own.
fetch()
{
    apt=$folder/$platform/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$apt/parts" || return 1
    echo "deb [signed-by=$KEYRING] $MIRROR $SUITE main" >"$apt/sources.list"
    : >"$apt/status"
    set -- -q -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list" \
        -o Dir::Etc::sourceparts="$apt/parts" -o Dir::Etc::preferencesparts="$apt/parts" \
        -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none
    [ "$(id -u)" -ne 0 ] || set -- "$@" -o APT::Sandbox::User=root
    apt-get "$@" update || return 1
    (cd "$apt/debs" && apt-get "$@" download nettle-dev check libsubunit-dev) || return 1
    mkdir -p "$root.new" || return 1
    for package in "$apt"/debs/*.deb; do
        dpkg-deb -x "$package" "$root.new" || return 1
    done
    mv "$root.new" "$root"
}

run_configure()
{
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/$library/pkgconfig
    export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
    set -- --enable-werror --disable-shared --without-cuda --without-blas --without-libxsmm \
        --without-curl --without-utf8proc --without-zlib --without-openmpi --without-mpich
    if [ "$platform" = musl ]; then
        set -- "$@" --without-check --disable-tool CC='musl-gcc -static'
    else
        set -- "$@" --with-check --host="$host"
    fi
    mkdir -p "$build" && cd "$build" && "$source/configure" "$@" CFLAGS="$CFLAGS"
}

build_and_test()    # builds the library, the tool and the examples; runs the test programs
{
    programs=
    for test in $tests; do
        programs="$programs tests/$test"
    done
    [ -f "$build/Makefile" ] || run_configure || return 1
    cd "$build" || return 1
    make -j"$JOBS" all && make -j"$JOBS" tests/portable || return 1
    [ "$platform" != musl ] || return 0
    CK_DEFAULT_TIMEOUT=1800 make -k -j"$JOBS" check LOG_COMPILER="$emulator" \
        TESTS="$programs" check_PROGRAMS="$programs" \
        check_LTLIBRARIES='tests/libharness.la tests/libcases.la'
}

digest()    # SETTING...: of a short training
{
    # shellcheck disable=SC2086 # a command and its options
    (cd "$build" && env "$@" $emulator tests/portable) 2>>"$log"
}

result()    # sets $line to the platform's part of the table, $good to whether it passed
{
    good=false
    line=$(missing "$compiler" "$package") && return
    [ -z "$emulator" ] || { line=$(missing "${emulator%% *}" qemu-user) && return; }
    mkdir -p "$folder/$platform"
    : >"$log"
    [ -d "$root" ] || (fetch) >>"$log" 2>&1 || { line="no packages: see $log"; return; }
    rm -f "$build"/tests/*.trs
    (build_and_test) >>"$log" 2>&1
    status=$?
    digest=$(digest PORTABLE=1) || { line="was not built: see $log"; return; }
    plain=$(digest COTANGENT_CPU_PATH=base)
    : "${first:=$digest}"
    passed=$(cat "$build"/tests/*.trs 2>/dev/null | grep -c '^:global-test-result: PASS')
    count=0
    for test in $tests; do
        count=$((count + 1))
    done
    line="$passed of $count"
    [ "$platform" != musl ] || { count=0 line=-; }
    line=$(printf '%-8s %s %s' "$line" "$digest" "$plain")
    [ $status -eq 0 ] && [ "$passed" -eq $count ] && [ "$digest" = "$first" ] && good=true
    $good || line="$line  FAILED: see $log"
}

for platform; do
    choose "$platform"
    for test in $tests; do
        [ -f "$source/tests/$test.c" ] || { echo "platforms.sh: there is no program $test" >&2; exit 2; }
    done
done
[ -z "$DRY_RUN" ] || { echo "dry run: platforms.sh accepts the arguments"; exit 0; }
. /etc/os-release
if [ "$ID" != debian ]; then
    VERSION_CODENAME=bookworm
elif [ -z "$MIRROR" ]; then
    MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
fi
[ -n "$MIRROR" ] || { echo "platforms.sh: set MIRROR to a mirror of Debian" >&2; exit 1; }
: "${SUITE:=$VERSION_CODENAME}" "${JOBS:=2}"
: "${KEYRING:=/usr/share/keyrings/debian-archive-keyring.gpg}" "${CFLAGS:=-O2}"
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd) || exit 1
[ -x "$source/configure" ] || { echo "platforms.sh: run autoreconf -fi first" >&2; exit 2; }
failed=0 first=
table=$(printf '%-8s %-22s %-8s %s' platform compiler passed 'digests: portable, base path')
for platform; do
    choose "$platform"
    echo "==> $platform"
    result
    $good || failed=1
    version=$($compiler -dumpfullversion 2>/dev/null)
    table=$(printf '%s\n%-8s %-22s %s' "$table" "$platform" "$compiler ${version%%.*}" "$line")
done
echo "$table"
exit $failed

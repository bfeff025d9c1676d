#!/bin/sh
# SPDX-License-Identifier: MIT
# inference_only.sh FOLDER - builds the library and the library for inference only (configure
# --enable-inference-only) in FOLDER, each with -O2 and with -Os, for the baseline processor and without
# BLAS. Tests the latter (make check, make installcheck), links examples/generate.c with each static
# library, compares the texts that the programs generate, and prints their stripped sizes. Status 0 if all
# passes and the program is at least a quarter smaller.
# JOBS: for make, else 2. DRY_RUN: if it is set, only the arguments are checked.

[ $# -eq 1 ] || { sed -n '3,9s/^# //p' "$0"; exit 2; }
[ -z "$DRY_RUN" ] || { echo "dry run: inference_only.sh accepts the arguments"; exit 0; }
mkdir -p "$1" && folder=$(cd "$1" && pwd) || exit 1
source=$(cd "$(dirname "$0")/.." && pwd) || exit 1
: "${JOBS:=2}" "${CC:=cc}" "${PKG_CONFIG:=pkg-config}"
unset CFLAGS MAKEFLAGS MFLAGS GNUMAKEFLAGS DESTDIR

fail()
{
    echo "inference_only.sh: $*" >&2
    exit 1
}

log()       # COMMAND: runs it in the folder of the build; what it prints is shown only if it fails
{
    (cd "$folder/$build" && "$@") >"$folder/$build.log" 2>&1 || {
        tail -n 40 "$folder/$build.log"
        fail "$build: $*"
    }
}

build()     # NAME CFLAGS FLAGS...: builds, and installs into root
{
    build=$1 flags=$2
    shift 2
    mkdir -p "$folder/$build"
    [ -f "$folder/$build/Makefile" ] ||
        log env ${flags:+CFLAGS="$flags"} "$source/configure" --prefix=/usr --disable-shared --disable-cpu-paths \
            --without-blas --without-libxsmm --without-utf8proc --without-zlib --without-curl --without-cuda \
            --without-openmpi --without-mpich --disable-dependency-tracking "$@"
    log make -j "$JOBS" all
    rm -rf "$folder/$build/root"
    log make install DESTDIR="$folder/$build/root"
}

link()      # NAME OPTION: generate-NAME, stripped, with the flags of pkg-config; prints its size
{
    found=$(find "$folder/$1/root" -name cotangent.pc)
    PKG_CONFIG_LIBDIR="${found%/*}:$($PKG_CONFIG --variable pc_path pkg-config)"
    export PKG_CONFIG_LIBDIR
    libs=$($PKG_CONFIG --static --libs cotangent) || exit 1
    # shellcheck disable=SC2046,SC2086
    $CC -O2 $2 $($PKG_CONFIG --cflags cotangent) -o "$folder/generate-$1" "$source/examples/generate.c" \
        $(echo "$libs" | sed 's/-lcotangent/-l:libcotangent.a/') -lm >"$folder/link.log" 2>&1 &&
        strip "$folder/generate-$1" || { cat "$folder/link.log" >&2; fail "generate-$1 is not linked"; }
    wc -c <"$folder/generate-$1"
}

text()      # NAME: what the program generates
{
    "$folder/generate-$1" "$folder/model.safetensors" 'the time' 300 || fail "generate-$1 fails"
}

build normal ''
build inference '' --enable-inference-only
build normal-Os -Os --disable-tool
build inference-Os -Os --enable-inference-only
build=inference
log make check
log make installcheck DESTDIR="$folder/inference/root"

yes 'the time traveller, for so it will be convenient to speak of him, was expounding ' |
    head -n 200 >"$folder/text" || fail 'no text'
build=normal
log ./tool/cotangent train --hidden 32 --epochs 3 -o "$folder/model.safetensors" "$folder/text"

echo '| program | -O2 | -Os |'
echo '|---|---|---|'
for kind in '' -static; do
    libc=shared
    [ -z "$kind" ] || libc=static
    for name in normal inference; do
        title='the whole library'
        [ $name = normal ] || title='for inference only'
        fast=$(link $name "$kind") && small=$(link $name-Os "$kind") || exit 1
        echo "| $title, $libc libc | $fast | $small |"
        [ "$name" != normal ] || whole=$fast
        text $name >"$folder/text-$name" || exit 1
    done
    cmp "$folder/text-normal" "$folder/text-inference" || fail 'the programs generate different texts'
    [ $((fast * 4)) -le $((whole * 3)) ] || fail "$fast of $whole bytes: less than a quarter is saved"
done

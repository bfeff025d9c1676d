#!/bin/sh
# SPDX-License-Identifier: MIT
# installed.sh [ROOT] - builds and runs programs against an installation, outside the tree,
# with the flags of pkg-config and with CMake: C11 and C++17, shared and static. ROOT is the DESTDIR
# of the installation, or the folder that it was moved to. `make installcheck` runs this.

. "$(dirname "$0")/lib.sh"
root=$1
make_tmp

step()      # COMMAND: prints it and runs it; its failure is the test's
{
    echo "+ $*"
    "$@" || exit 1
}

# pkg-config must find the installed copy; its dependencies are those of the system.
PKG_CONFIG=${PKG_CONFIG-pkg-config}
system=$($PKG_CONFIG --variable pc_path pkg-config)
PKG_CONFIG_LIBDIR=$root$pkgconfigdir:$system
export PKG_CONFIG_LIBDIR
unset PKG_CONFIG_SYSROOT_DIR

cflags=$($PKG_CONFIG --cflags cotangent) || exit 1
libs=$($PKG_CONFIG --libs cotangent) || exit 1
static_libs=$($PKG_CONFIG --static --libs cotangent) || exit 1
static_libs=$(echo "$static_libs" | sed 's/-lcotangent/-l:libcotangent.a/')
for folder in includedir libdir; do
    eval "wanted=\$root\$$folder"
    found=$($PKG_CONFIG --variable $folder cotangent)
    [ "$(cd "$found" && pwd -P)" = "$(cd "$wanted" && pwd -P)" ] ||
        fail "pkg-config names another $folder: $found"
done

cd "$tmp" || exit 99
cp "$srcdir/tests/install/hello.c" . || exit 99
cp hello.c hello.cc
LD_LIBRARY_PATH=$root$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
[ -z "$tool" ] || step "$root$bindir/cotangent" info

# ---- the headers, C11, C++17 ----

include=$root$includedir
for header in $(cd "$include" && find cotangent -name '*.h' | sort); do
    echo "#include <$header>" >header.c
    $CC -std=c11 -Wall -Wextra -Werror -fsyntax-only $cflags header.c || exit 1
    grep -q "^#include <$header>" "$include/cotangent.h" || fail "<$header> is not in cotangent.h"
done
strict='-Wall -Wextra -Werror'
if [ -f "$root$libdir/libcotangent.so" ]; then
    step $CC $CFLAGS -std=c11 $strict $cflags -o hello hello.c $libs -lm
    step ./hello
    if command -v c++ >/dev/null; then
        step c++ $CFLAGS -std=c++17 $strict -Wno-missing-field-initializers $cflags \
            -o hello++ hello.cc $libs
        step ./hello++
    else
        say "no C++ compiler: the C++ program is not built"
    fi
fi
if [ -f "$root$libdir/libcotangent.a" ]; then
    step $CC $CFLAGS -std=c11 $strict $cflags -o hello-static hello.c $static_libs -lm
    step ./hello-static
fi

# ---- CMake ----

if command -v cmake >/dev/null; then
    step cmake -S "$srcdir/tests/install/cmake" -B cmake -DCMAKE_C_COMPILER="${CC%% *}" \
        -DCMAKE_C_FLAGS="$CFLAGS" -DCotangent_DIR="$root$libdir/cmake/Cotangent" >cmake.log ||
        { cat cmake.log; exit 1; }
    step cmake --build cmake >cmake.log || { cat cmake.log; exit 1; }
    for program in cmake/hello-cotangent cmake/hello-static; do
        [ ! -f $program ] || step $program
    done
    [ -f cmake/hello-cotangent ] || fail "CMake built no program"
else
    say "no CMake: its package is not tested"
fi

# ---- pages, examples, completion ----

if [ -n "$tool" ]; then
    [ -f "$root$datadir/bash-completion/completions/cotangent" ] || fail "there is no completion"
    [ -f "$root$mandir/man1/cotangent.1" ] || fail "there is no cotangent.1"
fi
for page in cotangent ct_tensor ct_matmul ct_lm_load CT_SHAPE; do
    [ -f "$root$mandir/man3/$page.3" ] || fail "there is no $page.3"
done
sh "$srcdir/tests/links.sh" "$root$docdir" || exit 1
inference_only=$(grep -c '^#define CT_INFERENCE_ONLY 1$' "$include/cotangent_features.h")
for example in "$root$docdir"/examples/*.c; do
    case $inference_only:$example in
    0:* | 1:*/generate.c | 1:*/server.c) ;;
    *) continue ;;      # it trains
    esac
    $CC $CFLAGS -Wall $cflags -I"$root$docdir" -fsyntax-only "$example" || exit 1
done

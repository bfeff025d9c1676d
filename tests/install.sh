#!/bin/sh
# install.sh - installs into an empty directory, builds shared and static programs outside
# the tree with the flags of pkg-config, and runs the installed tool.

. "$(dirname "$0")/lib.sh"
MAKEFLAGS=
export MAKEFLAGS
unset MFLAGS GNUMAKEFLAGS DESTDIR MAKELEVEL

make_tmp
root=$tmp/root

step()      # COMMAND: prints it and runs it; its failure is the test's
{
    echo "+ $*"
    "$@" || exit 1
}

"${MAKE-make}" -s install DESTDIR="$root" >"$tmp/install.log" 2>&1 || {
    cat "$tmp/install.log"
    exit 1
}

# pkg-config must find only the installed copy, with paths under $root.
PKG_CONFIG_LIBDIR=$root$pkgconfigdir
export PKG_CONFIG_LIBDIR
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

flags()
{
    "${PKG_CONFIG-pkg-config}" --define-variable=libdir="$root$libdir" \
        --define-variable=includedir="$root$includedir" "$@" cotangent
}

cflags=$(flags --cflags) || exit 1
libs=$(flags --libs) || exit 1
static_libs=$(flags --static --libs | sed 's/-lcotangent/-l:libcotangent.a/') || exit 1

cd "$tmp" || exit 99

# Every installed header compiles alone and is part of <cotangent.h>.
include=$root$includedir
for header in $(cd "$include" && find cotangent -name '*.h' | sort); do
    echo "#include <$header>" >header.c
    $CC -std=c11 -Wall -Wextra -Werror -fsyntax-only $cflags header.c || exit 1
    grep -q "^#include <$header>" "$include/cotangent.h" || {
        say "<$header> is not in cotangent.h"
        exit 1
    }
done
if command -v c++ >/dev/null; then
    echo '#include <cotangent.h>' >header.cc
    step c++ -Wall -Wextra -Werror -fsyntax-only $cflags header.cc
fi

cp "$srcdir/tests/install/hello.c" . || exit 99
if [ -f "$root$libdir/libcotangent.so" ]; then
    step $CC $CFLAGS -Wall -Wextra -Werror $cflags -o hello hello.c $libs -lm
    step env LD_LIBRARY_PATH="$root$libdir" ./hello
fi
if [ -f "$root$libdir/libcotangent.a" ]; then
    step $CC $CFLAGS -Wall -Wextra -Werror $cflags -o hello-static hello.c $static_libs -lm
    step ./hello-static
fi

# The tool, and its page of the manual.
step env LD_LIBRARY_PATH="$root$libdir" "$root$bindir/cotangent" info
[ -f "$root$mandir/man1/cotangent.1" ] || {
    say "there is no cotangent.1"
    exit 1
}

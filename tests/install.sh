#!/bin/sh
# install.sh - installs into an empty directory and builds programs against that, outside the tree,
# with the flags that pkg-config gives there: shared and static; runs the tool that it installed.

LC_ALL=C
MAKEFLAGS=
export LC_ALL MAKEFLAGS
unset MFLAGS GNUMAKEFLAGS DESTDIR MAKELEVEL

srcdir=$(cd "${srcdir-.}" && pwd) || exit 99
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM
root=$tmp/root

run()       # COMMAND: prints it and runs it; its failure is the test's
{
    echo "+ $*"
    "$@" || exit 1
}

"${MAKE-make}" -s install DESTDIR="$root" >"$tmp/install.log" 2>&1 || {
    cat "$tmp/install.log"
    exit 1
}

# pkg-config of the installed copy, and of nothing else; its paths are those under $root.
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

# Every installed header stands by itself and is part of <cotangent.h>.
include=$root$includedir
for header in $(cd "$include" && find cotangent -name '*.h' | sort); do
    echo "#include <$header>" >header.c
    $CC -std=c11 -Wall -Wextra -Werror -fsyntax-only $cflags header.c || exit 1
    grep -q "^#include <$header>" "$include/cotangent.h" || {
        echo "install.sh: <$header> is not in cotangent.h"
        exit 1
    }
done
if command -v c++ >/dev/null; then
    echo '#include <cotangent.h>' >header.cc
    run c++ -Wall -Wextra -Werror -fsyntax-only $cflags header.cc
fi

cp "$srcdir/tests/install/hello.c" . || exit 99
if [ -f "$root$libdir/libcotangent.so" ]; then
    run $CC $CFLAGS -Wall -Wextra -Werror $cflags -o hello hello.c $libs -lm
    run env LD_LIBRARY_PATH="$root$libdir" ./hello
fi
if [ -f "$root$libdir/libcotangent.a" ]; then
    run $CC $CFLAGS -Wall -Wextra -Werror $cflags -o hello-static hello.c $static_libs -lm
    run ./hello-static
fi

# The tool, and its page of the manual.
run env LD_LIBRARY_PATH="$root$libdir" "$root$bindir/cotangent" info
[ -f "$root$mandir/man1/cotangent.1" ] || {
    echo "install.sh: there is no cotangent.1"
    exit 1
}

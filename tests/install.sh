#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh - installs into an empty folder, moves the folder, builds programs against it
# (installed.sh), and uninstalls: nothing is left.

. "$(dirname "$0")/lib.sh"
MAKEFLAGS=
export MAKEFLAGS
unset MFLAGS GNUMAKEFLAGS DESTDIR MAKELEVEL
make_tmp

make_to()   # TARGET: in $tmp/root; what it prints is shown only if it fails
{
    "${MAKE-make}" -s "$1" DESTDIR="$tmp/root" >"$tmp/out" 2>&1 || fail "make $1"
}

make_to install
mv "$tmp/root" "$tmp/moved" || exit 99
sh "$srcdir/tests/installed.sh" "$tmp/moved" || exit 1
mv "$tmp/moved" "$tmp/root" || exit 99
make_to uninstall
find "$tmp/root" -type f -o -type l >"$tmp/left"
if [ -s "$tmp/left" ]; then
    cat "$tmp/left"
    fail "make uninstall leaves these"
fi

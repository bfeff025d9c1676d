#!/bin/sh
# SPDX-License-Identifier: MIT
# plugins.sh - a program of the build tree finds the plug-ins beside the shared library without
# COTANGENT_PLUGIN_DIR. A path that the caller of a program can choose is not searched: that of the
# program, and one that depends on the current folder.

. "$(dirname "$0")/lib.sh"

unset COTANGENT_PLUGIN_DIR
[ -f cuda/.libs/cuda-emu.so ] || skip "there is no cuda-emu (built without CUDA's headers)"
[ ! -e "$libdir/cotangent/cuda-emu.so" ] || skip "a plug-in is installed in $libdir/cotangent"
make_tmp

devices()       # WANTED WHERE: whether the output of the tool has cuda-emu
{
    if grep -q '^devices:.* cuda-emu' "$tmp/out"; then found=yes; else found=no; fi
    [ $found = "$1" ] || fail "cuda-emu found: $found, $2"
}

program=$build/tool/cotangent
run info
devices yes "in the build tree"
(cd / && run info)
devices yes "in the build tree, from another folder"

# Another program of the same library, with the library's path given by the caller.
program=$build/tool/.libs/cotangent
[ -x "$program" ] || program=$build/tool/cotangent
mkdir "$tmp/moved" "$tmp/moved/cotangent" || exit 99
cp .libs/libcotangent.so.0 "$tmp/moved" || exit 99
ln -s "$build/cuda/.libs/cuda-emu.so" "$tmp/moved/cotangent/" || exit 99
LD_LIBRARY_PATH=$tmp/moved run info
devices yes "in a folder that was moved"
(cd "$tmp" && LD_LIBRARY_PATH=moved run info)
devices no "by a path that depends on the current folder"
COTANGENT_PLUGIN_DIR=/nonexistent run info
devices no "though COTANGENT_PLUGIN_DIR names another folder"

# The static library: argv[0] names a folder with a plug-in.
python=${PYTHON:-python3}
if command -v "$python" >/dev/null 2>&1; then
    for name in "$tmp/moved/program" program; do
        found=$(cd "$tmp/moved" && "$python" -c \
            'import os, sys; os.execv(sys.argv[1], sys.argv[2:])' "$build/tests/plugins" "$name") ||
            fail "the static program fails"
        [ "$found" = 0 ] || fail "the static program opens the plug-in beside argv[0] ($name)"
    done
    found=$(COTANGENT_PLUGIN_DIR=$tmp/moved/cotangent "$build/tests/plugins")
    [ "$found" -gt 0 ] || fail "the static program does not use COTANGENT_PLUGIN_DIR"
else
    say "no $python: argv[0] is not tested"
fi

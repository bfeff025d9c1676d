#!/bin/sh
# SPDX-License-Identifier: MIT
# symbols.sh - the shared library exports the functions of the public headers, all ct_..., and
# nothing else; the global symbols of the static one begin with ct_ or cti_.

. "$(dirname "$0")/lib.sh"
NM=${NM-nm}

if [ "$NM" = no ]; then
    skip "nm was not found"
fi

make_tmp
status=0

complain()  # MESSAGE FILE: fails, with the file's lines, unless it is empty
{
    if [ -s "$2" ]; then
        say "$1:"
        sed 's/^/    /' "$2"
        status=1
    fi
}

(cd "$srcdir" && ${AWK-awk} -v names=1 -f m4/sites.awk $public_headers) | sort -u >"$tmp/declared"
[ -s "$tmp/declared" ] || fail "no function in the public headers"

if [ -f .libs/libcotangent.so ]; then
    # A is the name of the node in cotangent.map.
    $NM -D -P .libs/libcotangent.so | awk '$2 !~ /[UwvA]/ { print $1, $2 }' |
        sed 's/@[^ ]*//' | sort -u >"$tmp/exported"
    grep -v '^ct_' "$tmp/exported" >"$tmp/foreign"
    complain "exported, but not ct_" "$tmp/foreign"
    sed -n 's/ [TWi]$//p' "$tmp/exported" | comm -13 - "$tmp/declared" >"$tmp/undefined"
    complain "declared in a public header, but not exported" "$tmp/undefined"
    sed -n 's/ [TWi]$//p' "$tmp/exported" | comm -23 - "$tmp/declared" >"$tmp/undeclared"
    complain "exported, but declared in no public header" "$tmp/undeclared"
    # dlclose must not unmap handles that a program may still use, nor the code that ends its threads.
    if readelf -d .libs/libcotangent.so >"$tmp/dynamic" 2>/dev/null; then
        grep NODELETE "$tmp/dynamic" >/dev/null || echo "no NODELETE" >"$tmp/unloads"
        [ ! -f "$tmp/unloads" ] || complain "the shared library can be unloaded" "$tmp/unloads"
    fi
else
    say "there is no shared library here"
fi

if [ -f .libs/libcotangent.a ]; then
    # The sanitizers add some symbols.
    $NM -g -P .libs/libcotangent.a | awk 'NF > 2 && $2 != "U" && $2 != "w" && $2 != "v" { print $1 }' |
        grep -v -e '^cti*_' -e '^__odr_asan' -e '^__asan' -e '^asan\.' | sort -u >"$tmp/foreign"
    complain "global in the static library, but neither ct_ nor cti_" "$tmp/foreign"
else
    say "there is no static library here"
fi
exit $status

#!/bin/sh
# SPDX-License-Identifier: MIT
# versions.sh - the release, date and interface of VERSION are those of the files that repeat them.

. "$(dirname "$0")/lib.sh"
cd "$srcdir" || exit 99
status=0

has()           # FILE PATTERN: some line has it
{
    grep -q -e "$2" "$1" || { say "$1 has no line '$2'"; status=1; }
}

release=$(sed -n 's/^release //p' VERSION)
date=$(sed -n 's/^date //p' VERSION)
interface=$(sed -n 's/^interface //p' VERSION)
current=${interface%%:*} age=${interface##*:}
number=$((current - age))
case $release in *[!0-9.]* | '') fail "VERSION: release '$release'" ;; esac
case $date in 20[0-9][0-9]-[01][0-9]-[0-3][0-9]) ;; *) fail "VERSION: date '$date'" ;; esac

pattern=$(echo "$release" | sed 's/\./\\./g')
has CHANGELOG.md '^## \[Unreleased\]$'
has CHANGELOG.md "^## \\[$pattern\\] - $date\$"
has docs/cotangent.1 "^\\.TH COTANGENT 1 $date "
has packaging/debian/changelog "^cotangent ($pattern-"
has packaging/debian/control "^Package: libcotangent$number\$"
has packaging/debian/libcotangent$number.symbols "^libcotangent\\.so\\.$number libcotangent$number "
has packaging/debian/libcotangent$number.symbols "COTANGENT_$number "
has cotangent.map "^COTANGENT_$number {"
exit $status

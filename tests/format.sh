#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh - fails on a C or CUDA source that .clang-format would change. `make format`
# mends it. Other versions of clang-format break lines in other places, so only version 14 is used.
#     format.sh          compares
#     format.sh apply    rewrites the sources

. "$(dirname "$0")/lib.sh"

cd "$srcdir" || exit 1
for tool in clang-format-14 clang-format ''; do
    case $($tool --version 2>/dev/null) in *"version 14."*) break ;; esac
done
[ -n "$tool" ] || skip "clang-format 14 is not installed"

sources=$(find cotangent.h tensor autograd nn optim data train tool cuda examples tests bench \
    -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cc' \))
# shellcheck disable=SC2086 # the names hold no spaces
if [ "$1" = apply ]; then
    exec $tool -i $sources
fi
# shellcheck disable=SC2086
if ! $tool --dry-run --Werror $sources; then
    fail "run 'make format'"
fi

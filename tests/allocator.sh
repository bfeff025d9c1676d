#!/bin/sh
# allocator.sh - a program with an allocator and a log handler of its own.

. "$(dirname "$0")/lib.sh"

unset COTANGENT_POOL
./tests/allocator || fail "the allocator of the program"
./tests/allocator late || fail "an allocator that comes too late"

#!/bin/sh
# SPDX-License-Identifier: MIT
# allocator.sh - runs a program that sets its own allocator and log handler.

. "$(dirname "$0")/lib.sh"

unset COTANGENT_POOL
./tests/allocator || fail "the allocator of the program"
./tests/allocator late || fail "an allocator that comes too late"

#!/bin/sh
# SPDX-License-Identifier: MIT
# without-check.sh - is reported as a skipped test in place of the test programs if Check
# is not installed.
. "$(dirname "$0")/lib.sh"

skip 'the test programs need Check >= 0.11 (Debian: apt-get install check); then run configure again'

#!/bin/sh
# without-check.sh - stands for the test programs where Check is not installed.
. "$(dirname "$0")/lib.sh"

skip 'the test programs need Check >= 0.11'

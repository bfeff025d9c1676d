#!/bin/sh
# SPDX-License-Identifier: MIT
# custom_op.sh - the example of a user's ops runs, passes its gradient checks and trains.

. "$(dirname "$0")/lib.sh"

want='gradcheck: right
gradgradcheck: right
x 1.0806, y 1.6829 (2 cos 1 = 1.0806, 2 sin 1 = 1.6829)'
got=$(examples/custom_op 2>&1) || fail "it failed: $got"
[ "$got" = "$want" ] || fail "it says: $got"

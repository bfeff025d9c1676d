#!/bin/sh
# SPDX-License-Identifier: MIT
# trace.sh - COTANGENT_DEBUG=1, 2, 3 and COTANGENT_PROFILE=1 print the expected lines, and
# without them nothing is printed.

. "$(dirname "$0")/lib.sh"
unset COTANGENT_DEBUG COTANGENT_PROFILE

make_tmp

traced()    # WHAT...: runs tests/traced under the settings WHAT
{
    env "$@" tests/traced >"$tmp/out" 2>&1 || fail "$*: tests/traced failed"
}

has()       # COUNT PATTERN
{
    n=$(grep -c -e "$2" "$tmp/out")
    [ "$n" -eq "$1" ] || fail "$n lines, not $1, match: $2"
}

for setting in WHAT=nothing COTANGENT_DEBUG=0 COTANGENT_PROFILE=0 COTANGENT_DEBUG=; do
    traced "$setting"
    [ ! -s "$tmp/out" ] || fail "$setting: it says something without being asked"
done

# A wrong value and an unknown name are reported once and ignored.
wrong()     # NAME VALUE WORDS: the value is refused with these words
{
    traced "$1=$2"
    has 1 .
    has 1 "^cotangent: $1 is \"$2\"; it must be $3: it is ignored\$"
}

wrong COTANGENT_NUM_THREADS 257 'in 1\.\.256'
wrong COTANGENT_NUM_THREADS many 'in 1\.\.256'
wrong COTANGENT_NUM_THREADS 2x 'in 1\.\.256'
wrong COTANGENT_CPU_PATH avx 'base|avx2|avx512'
wrong COTANGENT_POOL no '0|1'
wrong COTANGENT_HANDLES Unique 'unique'
wrong COTANGENT_DEBUG -1 'in 0\.\.3'
wrong COTANGENT_PROFILE yes '0|1'
traced COTANGENT_NUM_THREAD=2
has 1 .
has 1 '^cotangent: there is no environment variable "COTANGENT_NUM_THREAD": it is ignored$'
for setting in COTANGENT_CPU_PATH=avx2 COTANGENT_TEST_X=1 COTANGENT_EMU_SEED=2 COTANGENT_DATA_DIR=/x \
    COTANGENT_TIMEMACHINE_URL=x COTANGENT_PLUGIN_DIR=/x COTANGENT_HANDLES=unique COTANGENT_POOL=0; do
    traced "$setting"
    [ ! -s "$tmp/out" ] || fail "$setting: it says something without being asked"
done
grep -rn 'getenv("COTANGENT_' "$srcdir"/tensor "$srcdir"/autograd "$srcdir"/nn "$srcdir"/optim \
    "$srcdir"/data "$srcdir"/train "$srcdir"/tool | grep -v 'secure_getenv("COTANGENT_PLUGIN_DIR")' &&
    fail "a variable is read without tensor/environment.c"

traced COTANGENT_DEBUG=1
has 1 '^cotangent: memory: peak [1-9][0-9]* bytes, open [0-9]*, idle [1-9][0-9]*, [1-9][0-9]* requests'
has 1 .

traced COTANGENT_DEBUG=2
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_log f32\[2\] cpu -> f32\[2\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_mul f32\[2\] cpu, f32\[3,2\] cpu -> f32\[3,2\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_mul backward f32\[3,2\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_gt f32\[2\] cpu, f32\[2\] cpu -> bool\[2\] cpu, '
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_isnan f32\[2\] cpu -> bool\[2\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_floor f32\[2\] cpu -> f32\[2\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_one_hot i32\[2\] cpu -> f32\[2,5\] cpu, [0-9.]* us$'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_argmax f32\[2\] cpu -> i64\[\] cpu, '
eight='f32\[3,2\] cpu\(, f32\[3,2\] cpu\)\{7\}'
has 1 "^cotangent: .*traced\.c:[0-9]*: ct_cat $eight -> f32\[24,2\] cpu, "
has 1 "^cotangent: .*traced\.c:[0-9]*: ct_stack $eight, \.\.\. -> f32\[9,3,2\] cpu, "
has 0 ', [0-9]\{8,\}\.[0-9] us$'        # no op takes ten seconds
has 0 'not finite'
has 1 'memory'

# The log of 0 is the first value that is not finite; later ones are not reported.
traced COTANGENT_DEBUG=3
has 1 'not finite'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_log made the first value that is not finite: -inf, element 1 of f32\[2\] cpu$'

# The forward is finite: the derivative of sqrt at 0 is not.
traced COTANGENT_DEBUG=3 TRACED=backward
has 1 'not finite'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_sqrt, gradient of input 0, made the first value that is not finite: inf, element 1 of f32\[2\] cpu$'

# The input has a value that is not finite: the first op that reads it is reported.
traced COTANGENT_DEBUG=3 TRACED=data
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_square made the first value that is not finite: nan, element 0 of f32\[2\] cpu (its input 0 holds one already)$'

# The same for doubles; only the first finding is printed, whether an op or a gradient made it.
traced COTANGENT_DEBUG=3 TRACED=double
has 1 'not finite'
has 1 '^cotangent: .*traced\.c:[0-9]*: ct_reciprocal made the first value that is not finite: inf, element 2 of f64\[3\] cpu$'
has 1 'ct_split2 backward f64\[3\] cpu none, '
has 1 'ct_split2 backward none f64\[3\] cpu, '
has 1 'ct_split9 backward f64\[3\] cpu\( none\)\{7\}, '

traced COTANGENT_PROFILE=1
awk '/profile: / && $NF ~ /%$/ { sum += $NF; if (n++ && $NF + 0 > last + 0) bad = 1; last = $NF }
     END { exit bad || n < 5 || sum < 99 || sum > 101 }' "$tmp/out" ||
    fail 'the shares of time do not fall, or are not 100% together'
has 1 '^cotangent: profile: op  *forward  *ms  *backward  *ms  *share$'
has 1 '^cotangent: profile: ct_mul  *1  *[0-9.]*  *1  *[0-9.]*  *[0-9.]*%$'
has 1 '^cotangent: profile: ct_square  *3  *[0-9.]*  *0  *0.000  *[0-9.]*%$'
has 0 memory
has 0 not.finite
has 0 '->'

traced COTANGENT_PROFILE=1 COTANGENT_DEBUG=1
has 1 'memory'
has 1 '^cotangent: profile: op '
has 0 '->'

#!/bin/sh
# SPDX-License-Identifier: MIT
# abi.sh - packaging/abi.sh (make check-abi) on a small library: what is removed or changed fails,
# unless VERSION announces it; what is added passes. The library of this build is compared at a
# release, with make check-abi.

. "$(dirname "$0")/lib.sh"
CC=${CC-cc}
case " $CFLAGS " in *' -m32 '* | *-fsanitize=*) skip 'the compiler is given -m32 or -fsanitize' ;; esac
make_tmp
tree=$srcdir
program=sh

cat >"$tmp/first.h" <<'END'
#define CT_LIMIT 8
enum {
    CT_FLAG = 1 /* a flag */
};
typedef enum ct_fruit { CT_FRUIT_APPLE, CT_FRUIT_PEAR } ct_fruit;
typedef struct ct_options { double rate; int count; } ct_options;
typedef struct ct_thing ct_thing;
ct_thing *ct_thing_new(const ct_options *options, ct_fruit fruit);
void ct_thing_free(ct_thing *thing);
END
cat >"$tmp/first.c" <<'END'
#include "first.h"
#include <stdlib.h>
struct ct_thing { int secret; };
ct_thing *ct_thing_new(const ct_options *options, ct_fruit fruit)
{
    ct_thing *thing = malloc(sizeof *thing);
    if (thing) thing->secret = options->count + (int)fruit;
    return thing;
}
void ct_thing_free(ct_thing *thing) { free(thing); }
END
printf '%s\n' 'release 0.1.0' 'interface 3:2:1' >"$tmp/first.VERSION"

public_headers=include/first.h
srcdir=$tmp/tree
export srcdir public_headers
debug=-g

# abi MODE SCRIPT [VERSION]: the library with the changes that the script for sed makes in its sources
abi()
{
    mkdir -p "$srcdir/include"
    sed "$2" "$tmp/first.h" >"$srcdir/include/first.h"
    sed "$2" "$tmp/first.c" >"$srcdir/first.c"
    # shellcheck disable=SC2059 # lines for VERSION
    if [ -n "$3" ]; then printf "$3\n"; else cat "$tmp/first.VERSION"; fi >"$srcdir/VERSION"
    # shellcheck disable=SC2086 # a command and its options
    $CC $debug -shared -fPIC -I"$srcdir/include" -Wl,-soname,libfirst.so.2 -o "$tmp/libfirst.so" \
        "$srcdir/first.c" >"$tmp/out" 2>&1 || fail "$2: does not compile"
    run "$tree/packaging/abi.sh" "$1" "$tmp/libfirst.so" "$tmp/folder"
}

# compared SCRIPT STATUS PATTERN [VERSION]: of check, in which a line has the pattern
compared()
{
    abi check "$1" "$4"
    [ $status -eq "$2" ] || fail "'$1' $4: status $status, not $2"
    cat "$tmp/out" "$tmp/err" | grep -q -e "$3" || fail "'$1' $4: no line with '$3'"
}

compared '' 77 'holds no interface\|was not found\|not of version 2'
grep 'holds no interface' "$tmp/out" >/dev/null || skip "$(sed 's/.*skipped: //' "$tmp/out")"
abi update ''
[ $status -eq 0 ] || fail 'update fails'
! grep -e secret -e "$tmp" -r "$tmp/folder" || fail 'the dump has private types or paths'

compared '' 0 'the interface is that of 0.1.0'
compared 's/int secret/long secret/' 0 'the interface is that of 0.1.0'

# changed SCRIPT NAME: fails, with the name and what to do
changed()
{
    compared "$1" 1 'interface 4:0:0.*COTANGENT_4'
    grep -q -e "$2" "$tmp/out" || fail "'$1': the report does not name $2"
}
changed '/ct_thing_free/d' "\\[D\\].*ct_thing_free"
changed 's/double rate/float rate/' ct_options
changed 's/int count;/int count; int more;/' "'int more'"
changed 's/count/number/' number
changed 's/void ct_thing_free(ct_thing/void ct_thing_free(int more, ct_thing/' ct_thing_free
changed 's/, CT_FRUIT_PEAR/, CT_FRUIT_FIG, CT_FRUIT_PEAR/' CT_FRUIT_PEAR
changed 's/CT_FRUIT_PEAR/CT_FRUIT_FIG/' CT_FRUIT_PEAR
changed 's/CT_LIMIT 8/CT_LIMIT 9/' 'constant CT_LIMIT 8'
changed 's/CT_FLAG = 1/CT_FLAG = 2/' 'constant CT_FLAG 1'

# added SCRIPT NAME: passes, and says what VERSION will say
added()
{
    compared "$1" 0 'for the next release.*interface 4:0:2'
    grep -q -e "$2" "$tmp/out" || fail "'$1': the report does not name $2"
}
more='s/^void ct_thing_free(ct_thing \*thing)/int ct_more(void)&/; s/ct_more(void)void.*;$/ct_more(void);&/
    s/ct_more(void);.*/ct_more(void); void ct_thing_free(ct_thing *thing);/
    s/ct_more(void)void/ct_more(void) { return 1; } void/'
added "$more" "\\[A\\].*ct_more"
added 's/CT_FRUIT_PEAR/& , CT_FRUIT_FIG/' CT_FRUIT_FIG
added 's/CT_FLAG = 1/& , CT_MORE = 2/; s/#define.*/&\n#define CT_NEW 1/' 'constant CT_NEW 1'

# VERSION's part
compared '/ct_thing_free/d' 0 'VERSION announces it' 'release 0.1.0\ninterface 4:0:0'
compared '/ct_thing_free/d' 1 'interface 4:0:0' 'release 0.2.0\ninterface 4:0:2'
compared "$more" 1 'interface 4:0:2' 'release 0.1.1\ninterface 3:2:1'
compared "$more" 0 'VERSION announces it' 'release 0.1.1\ninterface 4:0:2'
compared '' 1 'interface 3:3:1' 'release 0.1.1\ninterface 3:2:1'
compared '' 0 'VERSION announces it' 'release 0.1.1\ninterface 3:3:1'

# Not comparable
debug=-g0
compared '' 77 'no debug information'
debug=-g
sed -i 's/^compiler .*/compiler another 1/' "$tmp/folder/release"
compared '' 77 'that of another 1'
sed -i 's/^processor .*/processor another/' "$tmp/folder/release"
compared '' 77 'that for another'
run "$tree/packaging/abi.sh" check "$tmp/nothing.so" "$tmp/folder"
[ $status -eq 77 ] || fail "no library: status $status"

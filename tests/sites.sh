#!/bin/sh
# sites.sh - m4/sites.awk wraps every kind of prototype that a header may hold, leaves out what it
# must, and refuses what it cannot wrap.

. "$(dirname "$0")/lib.sh"

make_tmp

cat >"$tmp/header.h" <<'END'
/* ct_in_comment(int a); */ // ct_in_comment2(int a);
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define CT_CONCAT(a, b) \
    ct_in_macro(a, b);
#define ct_own_macro(x) (x)
int (ct_own_macro)(int x);
typedef struct ct_thing { int (*ct_member)(int); int rows; } ct_thing;
typedef int (*ct_callback)(int value, void *context);
int ct_plain(int a, int b);                                     /* after */
extern const char *ct_array(const int64_t dims[], int64_t rows[2][3]);
int ct_pointer(int (*fn)(int, void *),
               void *context) CT_WARN_UNUSED;
int ct_matrix(int (*rows)[3], ct_callback fn); void ct_nothing(void);
unsigned long ct_spread
    (ct_thing *const *things, unsigned long
     n);
ct_thing *ct_new(ct_thing options);
int ct_variadic(const char *format, ...) CT_PRINTF(1, 2);
int ct_unmarked(int a) CT_NOSITE;
static inline int ct_inlined(int a) { if (a) { return ct_plain(a, a); } return 0; }
enum { CT_ONE, CT_TWO };
#ifdef __cplusplus
}
#endif
END

sites() { ${AWK-awk} "$@"; }

sites -v names=1 -f "$srcdir/m4/sites.awk" "$tmp/header.h" | tr '\n' ' ' >"$tmp/names"
[ "$(cat "$tmp/names")" = "ct_plain ct_array ct_pointer ct_matrix ct_nothing ct_spread ct_new ct_variadic ct_unmarked " ] ||
    fail "names: $(cat "$tmp/names")"

sites -f "$srcdir/m4/sites.awk" "$tmp/header.h" >"$tmp/sites.h" || fail "it refuses the header"
grep '^#define ct_' "$tmp/sites.h" | sed 's/#define //; s/(.*//' | tr '\n' ' ' >"$tmp/wrapped"
[ "$(cat "$tmp/wrapped")" = "ct_plain ct_array ct_pointer ct_matrix ct_nothing ct_spread ct_new " ] ||
    fail "wrapped: $(cat "$tmp/wrapped")"

# The wrappers compile and work: the innermost call is noted last before its function runs.
cat >"$tmp/main.c" <<'END'
#include <cotangent/tensor/status.h>
#include <string.h>
#include "header.h"
static const char *place;
void ct_here(const char *where) { place = where; }
int ct_plain(int a, int b) { return a + b + (strcmp(place, "main.c:30") ? 1000 : 0); }
const char *ct_array(const int64_t dims[], int64_t rows[2][3]) { return dims && rows ? place : 0; }
int ct_pointer(int (*fn)(int, void *), void *context) { return fn(1, context); }
int ct_matrix(int (*rows)[3], ct_callback fn) { return fn(rows[0][0], 0); }
void ct_nothing(void) { place = "nothing"; }
unsigned long ct_spread(ct_thing *const *things, unsigned long n) { return things ? n : 0; }
ct_thing *ct_new(ct_thing options) { static ct_thing t; t = options; return &t; }
int ct_variadic(const char *format, ...) { return format != 0; }
int ct_unmarked(int a) { return a; }
static int twice(int x, void *context) { (void)context; return 2 * x; }
#include "sites.h"
int main(void)
{
    int (*function)(int, int) = ct_plain;
    int rows[1][3] = { { 4 } };
    ct_nothing();
    if (strcmp(place, "nothing") || strcmp(ct_array((int64_t[]){ 1, 2 }, (int64_t[2][3]){ { 0 } }), "main.c:22"))
        return 1;
    if (ct_pointer(twice, 0) != 2 || ct_matrix(rows, twice) != 8 || ct_spread(0, 1) != 0)
        return 2;
    if (ct_new((ct_thing){ .rows = 7 })->rows != 7 || ct_inlined(0) || !ct_variadic("x") || !ct_unmarked(1))
        return 3;
    ct_here("main.c:30");
#line 30
    return function(1, 2) != 3 || ct_plain(ct_plain(1, ct_plain(2, 3)), 4) != 10 ? 4 : 0;
}
END
include=$(pwd)/include
cd "$tmp" || exit 99
$CC -Wall -Wextra -Werror -I"$include" -o main main.c || fail "the wrappers do not compile"
./main || fail "main.c returns $?"
cd - >/dev/null || exit 99

while read -r line; do
    echo "$line" >"$tmp/bad.h"
    if sites -f "$srcdir/m4/sites.awk" "$tmp/bad.h" >/dev/null 2>&1; then
        fail "it accepts $line"
    fi
done <<'END'
int ct_unnamed(int);
int ct_unnamed(int a, ct_thing *);
int ct_unnamed(const ct_thing);
int ct_no_prototype();
END

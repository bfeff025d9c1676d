#!/bin/sh
# SPDX-License-Identifier: MIT
# sites.sh - m4/sites.awk wraps every kind of prototype that a header may have, leaves out
# macros and inline functions, and refuses prototypes that it cannot wrap.

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
typedef struct ct_tensor ct_tensor;
typedef int (*ct_callback)(int value, void *context);
ct_status ct_plain(int a, int b);                               /* after */
extern const void *ct_array(const int64_t dims[], int64_t rows[2][3]);
ct_status ct_pointer(int (*fn)(int, void *),
                     void *context) CT_WARN_UNUSED;
int ct_takes(int (*rows)[3], ct_tensor *const *tensors); void ct_nothing(const ct_tensor *t);
unsigned long * ct_spread
    (ct_thing *const *things, unsigned long
     n);
ct_thing *ct_new(ct_thing options);
ct_status ct_variadic(const char *format, ...) CT_PRINTF(1, 2);
int ct_number(int a);
const char *ct_text(ct_thing *thing);
void ct_tensors_count(ct_thing *thing);
ct_status ct_error(void);
bool ct_loader_next(ct_thing *loader);
static inline ct_status ct_inlined(int a) { if (a) { return ct_plain(a, a); } return CT_OK; }
enum { CT_ONE, CT_TWO };
#ifdef __cplusplus
}
#endif
END
all="ct_plain ct_array ct_pointer ct_takes ct_nothing ct_spread ct_new ct_variadic ct_number ct_text "
all="${all}ct_tensors_count ct_error ct_loader_next "
wrapped="ct_plain ct_array ct_pointer ct_takes ct_nothing ct_spread ct_new ct_loader_next "

sites() { ${AWK-awk} "$@"; }

sites -v names=1 -f "$srcdir/m4/sites.awk" "$tmp/header.h" | tr '\n' ' ' >"$tmp/names"
[ "$(cat "$tmp/names")" = "$all" ] || fail "names: $(cat "$tmp/names")"

sites -f "$srcdir/m4/sites.awk" "$tmp/header.h" >"$tmp/sites.h" || fail "it refuses the header"
grep '^#define ct_' "$tmp/sites.h" | sed 's/#define //; s/(.*//' | tr '\n' ' ' >"$tmp/wrapped"
[ "$(cat "$tmp/wrapped")" = "$wrapped" ] || fail "wrapped: $(cat "$tmp/wrapped")"

# The wrappers compile and work: a function sees its own site, and the site is the outer one again after it.
cat >"$tmp/main.c" <<'END'
#include <cotangent/tensor/status.h>
#include <stdbool.h>
#include <string.h>
#include "header.h"
static const char *site;
const char **ct_site(void) { return &site; }
static int is(const char *text) { return site && !strcmp(site, text); }
ct_status ct_plain(int a, int b) { return a + b == 3 && is("main.c:30: ct_plain") ? CT_OK : CT_ERR_IO; }
const void *ct_array(const int64_t dims[], int64_t rows[2][3]) { return dims && rows ? site : 0; }
ct_status ct_pointer(int (*fn)(int, void *), void *context)
{
    return fn(1, context) == 2 && is("main.c:30: ct_pointer") ? CT_OK : CT_ERR_IO;
}
int ct_takes(int (*rows)[3], ct_tensor *const *tensors) { return rows[0][0] + !tensors; }
void ct_nothing(const ct_tensor *t) { if (t || !is("main.c:30: ct_nothing")) site = 0, (void)*site; }
unsigned long *ct_spread(ct_thing *const *things, unsigned long n) { return things && n ? &n : 0; }
ct_thing *ct_new(ct_thing options) { static ct_thing t; t = options; return &t; }
ct_status ct_variadic(const char *format, ...) { return format && !site ? CT_OK : CT_ERR_IO; }
int ct_number(int a) { return a; }
#include "sites.h"
#line 30
static int twice(int x, void *context) { return ct_plain(x, 2) == CT_OK && !context ? 2 * x : 0; }
int main(void)
{
    ct_status (*function)(int, int) = ct_plain;
    int rows[1][3] = { { 4 } };
#line 30
    if (ct_plain(ct_takes(rows, 0) - 4 - (int)ct_plain(1, 2), 2) || site || function(1, 2) != CT_ERR_IO) return 1;
    if (strcmp((const char *)ct_array((int64_t[]){ 1, 2 }, (int64_t[2][3]){ { 0 } }), "main.c:31: ct_array")) return 2;
#line 30
    if (ct_pointer(twice, 0) || site) return 3;
    if (ct_spread(0, 1) || ct_new((ct_thing){ .rows = 7 })->rows != 7 || ct_variadic("x")) return 4;
#line 30
    ct_nothing(0);
    site = "outer";
#line 30
    return ct_number(0) || ct_inlined(0) || ct_plain(1, 2) || !is("outer") ? 5 : 0;
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
ct_status ct_unnamed(int);
ct_status ct_unnamed(int a, ct_thing *);
ct_status ct_unnamed(const ct_thing);
ct_status ct_no_prototype();
END

#!/bin/sh
# SPDX-License-Identifier: MIT
# reference.sh - each public function has a comment by the rule of docs/doxygen_filter.awk, except
# for those in tests/undocumented.txt. That list may only shrink. A comment must state who owns the
# result and which errors are raised (tests/contracts.py). docs/pytorch_names.md has each function of
# ops, modules and optimisers.
#     reference.sh         compares
#     reference.sh list    prints the functions without a comment

. "$(dirname "$0")/lib.sh"

AWK=${AWK-awk}
make_tmp
[ -n "$public_headers" ] || fail "run this by make check: public_headers is not set"
(cd "$srcdir" && $AWK -v check=1 -f docs/doxygen_filter.awk $public_headers) >"$tmp/all"
sed -n 's/^bare //p' "$tmp/all" | sort >"$tmp/bare"
if [ "$1" = list ]; then
    cat "$tmp/bare"
    exit 0
fi

# The filter finds the same functions as m4/sites.awk.
(cd "$srcdir" && $AWK -v names=1 -f m4/sites.awk $public_headers) | sort >"$tmp/names"
sed 's/.* //' "$tmp/all" | sort | diff "$tmp/names" - >"$tmp/diff" ||
    fail "the functions are not those of m4/sites.awk: $(cat "$tmp/diff")"

say "$(wc -l <"$tmp/bare") of $(wc -l <"$tmp/all") functions have no comment"
sort "$srcdir/tests/undocumented.txt" >"$tmp/known"
new=$(comm -23 "$tmp/bare" "$tmp/known" | tr '\n' ' ')
[ -z "$new" ] || fail "write a comment for: $new"
gone=$(comm -13 "$tmp/bare" "$tmp/known" | tr '\n' ' ')
[ -z "$gone" ] || fail "remove from tests/undocumented.txt: $gone"

# docs/pytorch_names.md names each function of autograd, nn and optim, and none that is not there. A build
# that leaves headers out is not compared.
compare_names()
{
    (cd "$srcdir" && $AWK -v names=1 -f m4/sites.awk $(printf '%s\n' $public_headers |
        grep -E '^(autograd|nn|optim)/')) | sort >"$tmp/wanted"
    [ "$(wc -l <"$tmp/wanted")" -gt 100 ] || fail "only $(wc -l <"$tmp/wanted") functions were found"
    grep -o '`ct_[a-z0-9_]*' "$srcdir/docs/pytorch_names.md" | tr -d '\`' | sort -u >"$tmp/named"
    lacks=$(comm -23 "$tmp/wanted" "$tmp/named" | tr '\n' ' ')
    [ -z "$lacks" ] || fail "docs/pytorch_names.md lacks: $lacks"
    gone=$(comm -13 "$tmp/names" "$tmp/named" | while read -r name; do
        (cd "$srcdir" && grep -qw "$name" $public_headers) || printf '%s ' "$name"  # types and ct_data
    done)
    [ -z "$gone" ] || fail "docs/pytorch_names.md names what is not there: $gone"
}
case " $(echo $public_headers) " in *" optim/optimizer.h "*) compare_names ;; esac

# The comments state ownership and errors. Python is optional.
python=${PYTHON:-python3}
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then
    (cd "$srcdir" && $AWK -v prototypes=1 -f m4/sites.awk $public_headers) >"$tmp/prototypes"
    (cd "$srcdir" && "$python" tests/contracts.py $public_headers) <"$tmp/prototypes" ||
        fail "these comments must say more"
    printf '/* a.h - a */\n/* Makes a. */\nct_a *ct_a_new(void);\nct_status ct_b(void);\n' >"$tmp/a.h"
    printf 'ct_a *\tct_a_new\tvoid\nct_status\tct_b\tvoid\n' |
        "$python" "$srcdir/tests/contracts.py" "$tmp/a.h" >"$tmp/out"
    [ "$(grep -c '?$' "$tmp/out")" = 2 ] || fail "contracts.py misses a function: $(cat "$tmp/out")"
fi

# Tests the filter: it keeps all lines, and changes only comments of declarations.
cat >"$tmp/in.h" <<'END'
/* sample.h - a sample.
 * More of it. */
#ifndef SAMPLE_H
#ifdef __cplusplus
extern "C" {
#endif
#define CT_ONE 1 /* one */
/* A remark. */

/* ---- things ---- */

/* A thing:
 *
 *     if (a<b)
 *
 *         b();
 *
 * It has a field. */
typedef struct ct_thing {
    int a; /* the field,
            * with two lines */
    /* Optional. */
    void (*b)(int x);
} ct_thing;
ct_thing *ct_thing_new(int a,
                       int b);

typedef struct ct_hidden ct_hidden; /* opaque */
int ct_bare(void);
int ct_beside(ct_thing *t); /* beside <unk> */
/* Above:
 *     <a> */
int ct_above(void);
int ct_shared(void); /* both */
/* ---- others ---- */
typedef struct ct_bare2_options {
    int b;
} ct_bare2_options;
int ct_bare2(void);
#ifdef __cplusplus
}
#endif
#endif
END
cat >"$tmp/want.h" <<'END'
/** @file sample.h @brief A sample.
 * More of it. */
#ifndef SAMPLE_H
#ifdef __cplusplus
extern "C" {
#endif
#define CT_ONE 1 /**< one */
/* A remark. */

/** @name things */ /** @{ */

/** A thing:
 * @code{.c}
 *     if (a<b)
 *
 *         b(); @endcode
 *
 * It has a field. */
typedef struct ct_thing {
    int a; /**< the field,
            * with two lines */
    /** Optional. */
    void (*b)(int x);
} ct_thing;
/** @copydoc ct_thing */ ct_thing *ct_thing_new(int a,
                       int b);

typedef struct ct_hidden{} ct_hidden; /**< opaque */
int ct_bare(void);
int ct_beside(ct_thing *t); /**< beside \<unk> */
/** Above: @code{.c}
 *     <a> @endcode */
int ct_above(void);
/** @copydoc ct_above */ int ct_shared(void); /**< both */
/** @} */ /** @name others */ /** @{ */
/** Options of @ref ct_bare2. */ typedef struct ct_bare2_options {
    int b;
} ct_bare2_options;
int ct_bare2(void);
#ifdef __cplusplus
}
#endif
#endif /** @} */
END
$AWK -f "$srcdir/docs/doxygen_filter.awk" "$tmp/in.h" >"$tmp/out.h"
diff "$tmp/want.h" "$tmp/out.h" || fail "the filter gives something else"
[ "$($AWK -v check=1 -f "$srcdir/docs/doxygen_filter.awk" "$tmp/in.h" | sed -n 's/^bare //p' | tr '\n' ' ')" = \
    "ct_bare ct_bare2 " ] || fail "other functions are bare"

#!/bin/sh
# SPDX-License-Identifier: MIT
# cplusplus.sh - the public headers and their macros compile without a warning and run in
# each standard of C and C++ that the installed compilers know: shapes, lists of tensors, an op, a
# module and a wrong call.

LC_ALL=C
export LC_ALL
srcdir=${srcdir-.}
here=$(pwd)
case $srcdir in /*) ;; *) srcdir=$here/$srcdir ;; esac

tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

cat >"$tmp/program.c" <<'END'
#include <cotangent.h>
#include <stdio.h>
#include <string.h>

static const ct_shape shapes[] = { CT_SHAPE_INIT(2, 3), CT_SHAPE_INIT(6) };

#define CHECK(condition)                                                                           \
    do                                                                                             \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            return 1;                                                                              \
        }                                                                                          \
    while (0)

/* An op: y = 3 x. */
static void triple_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], 3));
}

static ct_tensor *triple(ct_tensor *x)
{
    static ct_op op;
    ct_tensor *y;

    op.name = "triple";
    op.inputs = op.outputs = 1;
    op.backward = triple_backward;
    if (!x)
        ct_raise(CT_ERR_ARGUMENT, "triple", "x is %s, not a tensor", "NULL");
    y = ct_detach(ct_mul_scalar(ct_detach(x), 3));
    return ct_record(&op, CT_TENSORS(x), CT_TENSORS(y), NULL, 0) ? y : NULL;
}

/* A module that multiplies by a parameter. */
static ct_tensor *scale_forward(void *self, ct_tensor *x)
{
    return ct_mul(x, ct_param_value(*(ct_param **)self));
}

static int run(void)
{
    ct_scope s = ct_scope_begin();
    ct_params_options none = { 0, CT_F32, CT_CPU };
    ct_params *params = ct_params_new(none);
    ct_param *scale = ct_params_add(params, "scale", CT_SHAPE(3), ct_init_constant(2));
    ct_module *module = ct_nn_module(params, &scale, scale_forward);
    size_t rows = 2;
    int columns = 3;
    ct_tensor *a = ct_ones(CT_SHAPE((int64_t)rows, columns), CT_F32, CT_CPU);
    ct_tensor *b = ct_zeros(shapes[0], CT_F32, CT_CPU), *c, *loss;
    char place[64];

    c = CT_CAT(0, a, CT_CAT(-2, b, ct_add(a, b)));
    CHECK(ct_size(c, 0) == 6 && ct_size(c, 1) == 3 && ct_rank(CT_STACK(0, a, b)) == 3);
    CHECK(shapes[1].rank == 1 && shapes[1].dim[0] == 6 && ct_numel(ct_reshape(a, shapes[1])) == 6);
    CHECK(ct_rank(ct_zeros(CT_SCALAR, CT_F32, CT_CPU)) == 0);
    loss = ct_sum(triple(ct_forward(module, a)));
    CHECK(ct_item(loss) == 36 && ct_backward(loss) == CT_OK);
    CHECK(ct_item(ct_sum(ct_tensor_grad(ct_param_value(scale)))) == 18);
    CHECK(ct_scope_end(s) == CT_OK);

    ct_error_set_handler(NULL, NULL);
    s = ct_scope_begin();
    a = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    snprintf(place, sizeof place, ":%d: ct_cat: ", __LINE__ + 1);
    CHECK(!CT_CAT(0, a, ct_ones(CT_SHAPE(2, 2), CT_F32, CT_CPU)));
    CHECK(strstr(ct_error_message(), place));
    ct_error_clear();
    triple(NULL);
    CHECK(strstr(ct_error_message(), ": triple: x is NULL, not a tensor"));
    ct_error_clear();
    CHECK(ct_scope_end(s) == CT_OK || ct_ok());
    ct_params_free(params);
    return 0;
}

int main(void)
{
    return run();
}
END
cp "$tmp/program.c" "$tmp/program.cc"
echo '#include <cotangent.h>
ct_tensor *f(ct_tensor *x) { return ct_add(x); }' >"$tmp/wrong.c"

if [ ! -f .libs/libcotangent.a ] && [ ! -f .libs/libcotangent.so ]; then
    echo "cplusplus.sh: there is no library here"
    exit 99
fi

count=0
try()       # COMPILER STANDARD SOURCE: skipped where the compiler does not know the standard
{
    echo 'int main(void) { return 0; }' >"$tmp/empty.${3##*.}"
    # shellcheck disable=SC2086 # CFLAGS are several words
    $1 -std="$2" -o "$tmp/empty" "$tmp/empty.${3##*.}" >/dev/null 2>&1 || return 0
    # A program that links the static library needs only the libraries that it depends on.
    # shellcheck disable=SC2086
    $1 $CFLAGS -std="$2" -Wall -Wextra -pedantic-errors -Werror -Iinclude -I"$srcdir" \
        -c -o "$tmp/program.o" "$tmp/$3" || { echo "cplusplus.sh: $1 -std=$2 refuses the program"; exit 1; }
    # shellcheck disable=SC2086
    ./libtool --quiet --tag=CC --mode=link $CC $CFLAGS -o "$tmp/program" "$tmp/program.o" libcotangent.la \
        -lm || { echo "cplusplus.sh: $1 -std=$2: the program does not link"; exit 1; }
    "$tmp/program" || { echo "cplusplus.sh: $1 -std=$2: the program fails"; exit 1; }
    count=$((count + 1))
}

found=
for compiler in ${CXX-c++} g++ clang++; do
    case " $found " in *" $compiler "*) continue ;; esac
    command -v "${compiler%% *}" >/dev/null 2>&1 || continue
    found="$found $compiler"
    for standard in c++11 c++14 c++17 c++20 c++23 c++2b; do
        try "$compiler" "$standard" program.cc
    done
done
[ -n "$found" ] || echo "cplusplus.sh: there is no C++ compiler here; only C is tried"
for compiler in ${CC#ccache } gcc clang; do
    command -v "${compiler%% *}" >/dev/null 2>&1 || continue
    for standard in c11 c17 c23 c2x; do
        try "$compiler" "$standard" program.c
    done
    # A call with too few arguments names the function.
    "$compiler" -fsyntax-only -Iinclude -I"$srcdir" "$tmp/wrong.c" >"$tmp/out" 2>&1 &&
        { echo "cplusplus.sh: $compiler accepts ct_add(x)"; exit 1; }
    for text in 'too few arguments' 'wrong.c:2:' ct_add; do
        grep -q "$text" "$tmp/out" && continue
        echo "cplusplus.sh: $compiler does not tell what is wrong with ct_add(x):"
        cat "$tmp/out"
        exit 1
    done
done
echo "cplusplus.sh: $count builds"
[ "$count" -gt 0 ]

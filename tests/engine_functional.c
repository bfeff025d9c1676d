/* SPDX-License-Identifier: MIT */
/* engine_functional.c - vector-Jacobian and Hessian-vector products, Jacobians, Hessians. */
#include <cotangent.h>

#include "tests/test_engine.h"

/* Returns x^3, element by element. */
static ct_tensor *cubes(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_mul(ct_square(in[0]), in[0]);
}

/* Returns the sum of x^2 y, for vectors. */
static ct_tensor *mixed(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return ct_sum(ct_mul(ct_square(in[0]), in[1]));
}

static ct_tensor *constant(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)in;
    return context;
}

static ct_tensor *identity(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)context;
    return in[0];
}

static ct_tensor *silent(int count, ct_tensor *const *in, void *context)
{
    (void)count, (void)in, (void)context;
    return NULL;
}

START_TEST(products)
{
    ct_scope s = ct_scope_begin(), inner;
    ct_function cube = { cubes, NULL }, two = { mixed, NULL }, same = { identity, NULL };
    ct_tensor *x = LEAF(1, 2, -1), *y = VECTOR(3, 4, 5), *v = VECTOR(1, 10, 100), *in[2] = { x, y };
    ct_tensor *out, *g[2], *vs[2] = { v, v };

    ck_assert(ct_vjp(&cube, 1, &x, v, &out, g) == CT_OK);
    EXPECT(out, 1, 8, -1);
    EXPECT(g[0], 3, 120, 300);
    ck_assert(!ct_tensor_requires_grad(g[0]) && !ct_tensor_requires_grad(out));
    ck_assert(ct_tensor_grad(x) == NULL);
    ck_assert(ct_vjp(&two, 2, in, NULL, NULL, g) == CT_OK);
    EXPECT(g[0], 6, 16, -10);
    EXPECT(g[1], 1, 4, 1);
    ck_assert(ct_vjp(&same, 1, &x, v, NULL, g) == CT_OK);
    EXPECT(g[0], 1, 10, 100);
    ck_assert(ct_hvp(&two, 2, in, vs, &out, g) == CT_OK);
    EXPECT(out, 24);
    EXPECT(g[0], 2 * 3 + 2 * 1, 80 + 40, 1000 - 200);
    EXPECT(g[1], 2, 40, -200);
    inner = ct_scope_begin_inference();
    ck_assert(ct_vjp(&cube, 1, &x, v, NULL, g) == CT_OK);
    EXPECT(g[0], 3, 120, 300);
    ck_assert(ct_scope_end(inner) == CT_OK);
    end_scope(s);
}
END_TEST

START_TEST(matrices)
{
    ct_scope s = ct_scope_begin();
    ct_function cube = { cubes, NULL }, two = { mixed, NULL };
    ct_tensor *x = VECTOR(1, 2), *y = VECTOR(3, 4), *in[2] = { x, y }, *j[2], *h[4];
    ct_function fixed = { constant, ct_sum(y) };
    bool was = ct_set_grad_enabled(false); /* ct_jacobian must switch recording on while it calls
                                            * the function */

    ck_assert(ct_jacobian(&cube, 1, &x, j) == CT_OK);
    ck_assert(ct_rank(j[0]) == 2);
    EXPECT(j[0], 3, 0, 0, 12);
    ck_assert(ct_jacobian(&two, 2, in, j) == CT_OK);
    ck_assert(ct_rank(j[0]) == 1);
    EXPECT(j[0], 6, 16);
    EXPECT(j[1], 1, 4);
    ck_assert(ct_hessian(&two, 2, in, h) == CT_OK);
    EXPECT(h[0], 6, 0, 0, 8);
    EXPECT(h[1], 2, 0, 0, 4);
    EXPECT(h[2], 2, 0, 0, 4);
    EXPECT(h[3], 0, 0, 0, 0);
    ck_assert(ct_hessian(&fixed, 1, &x, h) == CT_OK);
    EXPECT(h[0], 0, 0, 0, 0);
    ck_assert(ct_jacobian(&fixed, 1, &x, j) == CT_OK);
    EXPECT(j[0], 0, 0);
    x = ct_zeros(CT_SHAPE(0, 2), CT_F64, DEVICE);
    ck_assert(ct_jacobian(&cube, 1, &x, j) == CT_OK);
    ck_assert(ct_rank(j[0]) == 4 && ct_numel(j[0]) == 0);
    ct_set_grad_enabled(was);
    end_scope(s);
}
END_TEST

START_TEST(functional_misuse)
{
    ct_scope s = ct_scope_begin();
    ct_function cube = { cubes, NULL }, none = { silent, NULL }, empty = { NULL, NULL };
    ct_tensor *x = VECTOR(1, 2), *v = VECTOR(1, 2, 3), *g[1] = { x };
    ct_tensor *large = ct_zeros(CT_SHAPE(1, 1, 1, 1, 1), CT_F64, DEVICE);
    ct_tensor *i = ct_zeros(CT_SHAPE(2), CT_I64, DEVICE);

    ck_assert(ct_vjp(&cube, 1, &x, NULL, NULL, g) != CT_OK && !g[0]);
    expect_error(CT_ERR_SHAPE, "ct_vjp", "one element");
    ck_assert(ct_vjp(&cube, 1, &x, v, NULL, g) != CT_OK);
    expect_error(CT_ERR_SHAPE, "ct_vjp", "v f64[3]");
    ck_assert(ct_hvp(&cube, 1, &x, &v, NULL, g) != CT_OK);
    expect_error(CT_ERR_SHAPE, "ct_hvp", "v f64[3]");
    ck_assert(ct_hessian(&cube, 1, &x, g) != CT_OK);
    expect_error(CT_ERR_SHAPE, "ct_hessian", "one element");
    ck_assert(ct_jacobian(&cube, 1, &large, g) != CT_OK);
    expect_error(CT_ERR_SHAPE, "ct_jacobian", "axes");
    ck_assert(ct_jacobian(&cube, 1, &i, g) != CT_OK);
    expect_error(CT_ERR_DTYPE, "ct_jacobian", "f32 or f64");
    ck_assert(ct_jacobian(&cube, 17, &x, g) != CT_OK);
    expect_error(CT_ERR_ARGUMENT, "ct_jacobian", "count is 17");
    ck_assert(ct_jacobian(&none, 1, &x, g) != CT_OK);
    expect_error(CT_ERR_ARGUMENT, "ct_jacobian", "raised no error");
    ck_assert(ct_jacobian(&empty, 1, &x, g) != CT_OK);
    expect_error(CT_ERR_ARGUMENT, "ct_jacobian", "call is NULL");
    leave(s);
}
END_TEST

void engine_functional_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "functional");

    tcase_add_test(tc, products);
    tcase_add_test(tc, matrices);
    tcase_add_test(tc, functional_misuse);
}

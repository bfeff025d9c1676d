/* SPDX-License-Identifier: MIT */
/* functional.c - derivatives of functions, from backward passes.
 *
 *     vjp       one pass from v
 *     jacobian  a pass from each element of the output, which gives one row
 *     hvp       the gradient of <gradient, v>, with a gradient that has history
 *     hessian   the Jacobian of the gradient
 * Everything runs in an inner scope. References keep the results when it ends. */
#include "autograd/internal.h"

#include <cotangent/autograd/functional.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/views.h>

enum { FUNCTIONAL_MOST = 16 };

/* One evaluation of a function, in an inner scope. */
typedef struct functional_run {
    const char *me;
    int count;
    ct_tensor *x[FUNCTIONAL_MOST]; /* leaves */
    ct_tensor *y;
    ct_scope scope;
} functional_run;

static void functional_clear(int count, ct_tensor **results)
{
    int i;

    for (i = 0; results && i < count; i++)
        results[i] = NULL;
}

static bool functional_check(const char *me, const ct_function *f, int count,
                             ct_tensor *const *inputs)
{
    int i;

    if (!cti_given(me, "f", f) || !cti_given(me, "f->call", (const void *)f->call))
        return false;
    if (count < 1 || count > FUNCTIONAL_MOST) {
        ct_raise(CT_ERR_ARGUMENT, me, "count is %d; it must be in 1..%d", count, FUNCTIONAL_MOST);
        return false;
    }
    if (!cti_usable_all(me, "inputs", count, inputs))
        return false;
    for (i = 0; i < count; i++)
        if (!cti_want_float(me, "an input", inputs[i]))
            return false;
    return ct_ok();
}

/* Opens the scope, makes the leaves and calls the function. False with an error; the scope is open
 * also after an error. */
static bool functional_begin(functional_run *r, const ct_function *f, ct_tensor *const *inputs)
{
    int i;

    r->scope = cti_scope_push();
    ct_set_grad_enabled(true);
    for (i = 0; i < r->count; i++) {
        r->x[i] = ct_set_requires_grad(ct_detach(inputs[i]), true);
        if (!r->x[i])
            return false;
    }
    r->y = f->call(r->count, r->x, f->context);
    if (!r->y) {
        ct_raise(CT_ERR_ARGUMENT, r->me, "the function failed but raised no error");
        return false;
    }
    return cti_usable_as(r->me, "the function's result", r->y) &&
           cti_want_float(r->me, "the function's result", r->y);
}

static bool functional_is_scalar(const functional_run *r)
{
    if (r->y->numel == 1)
        return true;
    ct_raise(CT_ERR_SHAPE, r->me, "the function's result %s must have one element",
             cti_describe(r->y).s);
    return false;
}

/* Ends the scope. The count results become handles of the caller's scope, without history; NULL
 * after an error. */
static ct_status functional_end(const functional_run *r, int count, ct_tensor **results)
{
    bool good = ct_ok();
    int i;

    for (i = 0; i < count && good; i++)
        if (results[i])
            cti_ref(results[i]);
    cti_scope_pop(r->scope);
    for (i = 0; i < count; i++) {
        ct_tensor *t = results[i];

        if (!t || !good) {
            results[i] = NULL;
            continue;
        }
        results[i] = cti_view(r->me, t, t->shape, t->stride, t->offset);
        cti_unref(t);
    }
    if (!ct_ok())
        functional_clear(count, results);
    return ct_error();
}

/* Computes the gradients of <y, v>; zeros for an input on which y does not depend. */
static bool functional_gradients(functional_run *r, ct_tensor *y, ct_tensor *v, bool create_graph,
                                 ct_tensor **grads)
{
    int i;

    if (ct_tensor_requires_grad(y))
        return ct_grad(1, &y, r->count, r->x, &v, create_graph, grads) == CT_OK;
    for (i = 0; i < r->count; i++)
        if (!(grads[i] = ct_zeros_like(r->x[i])))
            return false;
    return true;
}

/* ---- products ---- */

/* True if v has the shape, dtype and device of t; otherwise an error, in which t is called
 * `name`. */
static bool functional_fits(const functional_run *r, const char *name, const ct_tensor *t,
                            const ct_tensor *v)
{
    if (!cti_same_dtype(r->me, name, t, "v", v) || !cti_same_device(r->me, name, t, "v", v))
        return false;
    if (cti_same_shape(&t->shape, &v->shape))
        return true;
    ct_raise(CT_ERR_SHAPE, r->me, "v %s must have the shape of %s %s", cti_describe(v).s, name,
             cti_describe(t).s);
    return false;
}

/* Ends the scope and moves the results to the enclosing one: output, unless it is NULL, and count
 * others. */
static ct_status functional_end_with(functional_run *r, ct_tensor **output, ct_tensor **results)
{
    ct_tensor *all[FUNCTIONAL_MOST + 1];
    ct_status status;
    int i;

    all[0] = ct_ok() ? r->y : NULL;
    for (i = 0; i < r->count; i++)
        all[i + 1] = results[i];
    status = functional_end(r, r->count + 1, all);
    if (output)
        *output = all[0];
    for (i = 0; i < r->count; i++)
        results[i] = all[i + 1];
    return status;
}

ct_status ct_vjp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *v,
                 ct_tensor **output, ct_tensor **grads)
{
    functional_run r = { .me = "ct_vjp", .count = count };

    functional_clear(1, output);
    if (!functional_check(r.me, f, count, inputs) || !cti_given(r.me, "grads", grads) ||
        !cti_optional_as(r.me, "v", v))
        return ct_error();
    functional_clear(count, grads);
    if (functional_begin(&r, f, inputs) &&
        (v ? functional_fits(&r, "the function's result", r.y, v) : functional_is_scalar(&r)))
        functional_gradients(&r, r.y, v, false, grads);
    return functional_end_with(&r, output, grads);
}

/* Computes the gradients of the sum over i of <g[i], v[i]>. */
static bool functional_second(functional_run *r, ct_tensor *const *g, ct_tensor *const *v,
                              ct_tensor **products)
{
    ct_tensor *have[FUNCTIONAL_MOST], *weight[FUNCTIONAL_MOST];
    int i, n = 0;

    for (i = 0; i < r->count; i++)
        if (ct_tensor_requires_grad(g[i])) {
            have[n] = g[i];
            weight[n++] = v[i];
        }
    if (n)
        return ct_grad(n, have, r->count, r->x, weight, false, products) == CT_OK;
    for (i = 0; i < r->count; i++)
        if (!(products[i] = ct_zeros_like(r->x[i])))
            return false;
    return true;
}

ct_status ct_hvp(const ct_function *f, int count, ct_tensor *const *inputs, ct_tensor *const *v,
                 ct_tensor **output, ct_tensor **products)
{
    functional_run r = { .me = "ct_hvp", .count = count };
    ct_tensor *g[FUNCTIONAL_MOST];
    int i;

    functional_clear(1, output);
    if (!functional_check(r.me, f, count, inputs) || !cti_given(r.me, "products", products) ||
        !cti_usable_all(r.me, "v", count, v))
        return ct_error();
    functional_clear(count, products);
    for (i = 0; i < count; i++)
        if (!functional_fits(&r, "the input", inputs[i], v[i]))
            return ct_error();
    if (functional_begin(&r, f, inputs) && functional_is_scalar(&r) &&
        functional_gradients(&r, r.y, NULL, true, g))
        functional_second(&r, g, v, products);
    return functional_end_with(&r, output, products);
}

/* ---- matrices ---- */

/* Returns zeros with the axes of y and then those of x; NULL with an error if these are too many
 * axes. */
static ct_tensor *functional_room(const functional_run *r, const ct_tensor *y, const ct_tensor *x)
{
    ct_shape shape = y->shape;
    int i;

    if (y->shape.rank + x->shape.rank > CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, r->me, "the derivative of %s by %s would have more than %d axes",
                 cti_describe(y).s, cti_describe(x).s, CT_MAX_RANK);
        return NULL;
    }
    for (i = 0; i < x->shape.rank; i++)
        shape.dim[shape.rank++] = x->shape.dim[i];
    return ct_zeros(shape, x->dtype, x->device);
}

/* Computes the derivatives of element k of y by all inputs, and writes them to row k of each matrix
 * of rows, (y's elements, x's elements). */
static bool functional_row(functional_run *r, ct_tensor *y, int64_t k, ct_tensor *const *rows)
{
    ct_tensor *v = ct_zeros_like(y), *flat = v ? ct_reshape(v, CT_SHAPE(y->numel)) : NULL;
    ct_tensor *g[FUNCTIONAL_MOST];
    int i;

    if (!flat || ct_fill(ct_select(flat, 0, k), 1) != CT_OK ||
        !functional_gradients(r, y, v, false, g))
        return false;
    for (i = 0; i < r->count; i++)
        if (ct_copy_into(ct_select(rows[i], 0, k), ct_reshape(g[i], CT_SHAPE(g[i]->numel))) !=
            CT_OK)
            return false;
    return true;
}

/* Computes the derivatives of all elements of y by all inputs. */
static bool functional_rows(functional_run *r, ct_tensor *y, ct_tensor **jacobians)
{
    ct_tensor *rows[FUNCTIONAL_MOST];
    int64_t k;
    int i;

    for (i = 0; i < r->count; i++) {
        jacobians[i] = functional_room(r, y, r->x[i]);
        rows[i] =
            jacobians[i] ? ct_reshape(jacobians[i], CT_SHAPE(y->numel, r->x[i]->numel)) : NULL;
        if (!rows[i])
            return false;
    }
    for (k = 0; k < y->numel && ct_tensor_requires_grad(y); k++) {
        ct_scope s = cti_scope_push();
        bool good = functional_row(r, y, k, rows);

        cti_scope_pop(s);
        if (!good)
            return false;
    }
    return true;
}

ct_status ct_jacobian(const ct_function *f, int count, ct_tensor *const *inputs,
                      ct_tensor **jacobians)
{
    functional_run r = { .me = "ct_jacobian", .count = count };

    if (!functional_check(r.me, f, count, inputs) || !cti_given(r.me, "jacobians", jacobians))
        return ct_error();
    functional_clear(count, jacobians);
    if (functional_begin(&r, f, inputs))
        functional_rows(&r, r.y, jacobians);
    return functional_end(&r, count, jacobians);
}

ct_status ct_hessian(const ct_function *f, int count, ct_tensor *const *inputs,
                     ct_tensor **hessians)
{
    functional_run r = { .me = "ct_hessian", .count = count };
    ct_tensor *g[FUNCTIONAL_MOST];
    bool good;
    int i;

    if (!functional_check(r.me, f, count, inputs) || !cti_given(r.me, "hessians", hessians))
        return ct_error();
    functional_clear(count * count, hessians);
    good = functional_begin(&r, f, inputs) && functional_is_scalar(&r) &&
           functional_gradients(&r, r.y, NULL, true, g);
    for (i = 0; i < count && good; i++)
        good = functional_rows(&r, g[i], hessians + i * count);
    return functional_end(&r, count * count, hessians);
}

/* gradcheck.c - derivatives against central differences:
 *     d f / d x_i = (f(x + eps e_i) - f(x - eps e_i)) / (2 eps) + O(eps^2) */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/gradcheck.h>
#include <cotangent/autograd/ops/reduce.h>

#include <math.h>

#define MOST 16

/* What is differentiated: s(inputs) = sum f(inputs) w. */
typedef struct weighted {
    ct_gradcheck_function f;
    void *context;
    ct_generator draw; /* w starts here each time */
} weighted;

static ct_tensor *weighted_sum(const weighted *w, int count, ct_tensor *const *inputs)
{
    ct_generator g = w->draw;
    ct_tensor *y = w->f(count, inputs, w->context);

    if (!y)
        return NULL;
    return ct_sum(
        ct_mul(y, ct_randn(ct_tensor_shape(y), ct_tensor_dtype(y), ct_tensor_device(y), &g)));
}

static bool check_arguments(const char *me, ct_gradcheck_function f, int count,
                            ct_tensor *const *inputs, const ct_generator *g)
{
    int i;

    if (!f || !g) {
        ct_raise(CT_ERR_ARGUMENT, me, "the function or the generator is NULL");
        return false;
    }
    if (count < 1 || count > MOST) {
        ct_raise(CT_ERR_ARGUMENT, me, "%d inputs: 1 to %d are checked", count, MOST);
        return false;
    }
    if (!cti_usable_all(me, "inputs", count, inputs))
        return false;
    for (i = 0; i < count; i++) {
        if (inputs[i]->requires_grad && (inputs[i]->dtype != CT_F64 || !inputs[i]->contiguous)) {
            ct_raise(CT_ERR_DTYPE, me, "input %d %s must be contiguous f64", i,
                     cti_describe(inputs[i]).s);
            return false;
        }
    }
    return true;
}

/* s with element at of input x moved by delta; recording is on, since f may need it. */
static double moved(const weighted *w, int count, ct_tensor *const *inputs, ct_tensor *x,
                    int64_t at, double delta)
{
    char *place = cti_ptr(x) + at * (int64_t)sizeof(double);
    ct_scope s = ct_scope_begin();
    double was, there, out;

    if (!cti_to_host(x->device, &was, place, sizeof was))
        was = NAN;
    there = was + delta;
    cti_backend_of(x->device)->upload(place, &there, sizeof there);
    out = ct_item(weighted_sum(w, count, inputs));
    cti_backend_of(x->device)->upload(place, &was, sizeof was);
    cti_scope_pop(s);
    return out;
}

static double element(const ct_tensor *contiguous, int64_t at)
{
    double v;

    return cti_to_host(contiguous->device, &v, cti_ptr(contiguous) + at * (int64_t)sizeof v,
                       sizeof v)
               ? v
               : NAN;
}

/* The worst entry so far. */
typedef struct worst {
    double excess, numeric, analytic;
    int input;
    int64_t at;
} worst;

static bool compare(const weighted *w, int count, ct_tensor *const *inputs, ct_tensor **grads,
                    double eps, double tolerance, worst *bad)
{
    int i;
    int64_t k;

    for (i = 0; i < count; i++) {
        double largest = 1;
        ct_tensor *c;

        if (!inputs[i]->requires_grad)
            continue;
        c = cti_contiguous(grads[i]);
        if (!c)
            return false;
        for (k = 0; k < c->numel; k++)
            largest = fmax(largest, fabs(element(c, k)));
        for (k = 0; k < c->numel; k++) {
            double a = element(c, k);
            double n = (moved(w, count, inputs, inputs[i], k, eps) -
                        moved(w, count, inputs, inputs[i], k, -eps)) /
                       (2 * eps);
            double excess = fabs(n - a) / largest - tolerance;

            if (!(excess <= bad->excess) && !isnan(bad->excess)) /* a NaN is the worst */
                *bad = (worst){ excess, n, a, i, k };
        }
    }
    return true;
}

/* The gradients of s with respect to the inputs that require one. */
static bool gradients(const weighted *w, int count, ct_tensor *const *inputs, bool create_graph,
                      ct_tensor **grads)
{
    ct_tensor *want[MOST], *got[MOST], *s = weighted_sum(w, count, inputs);
    int i, n = 0;

    for (i = 0; i < count; i++)
        if (inputs[i]->requires_grad)
            want[n++] = inputs[i];
    if (!s)
        return false;
    if (!s->requires_grad) /* no input reaches it: a derivative of 0, which is compared too */
        for (i = 0; i < n; i++)
            got[i] = ct_zeros(want[i]->shape, CT_F64, want[i]->device);
    else
        ct_grad(1, &s, n, want, NULL, create_graph, got);
    if (!ct_ok())
        return false;
    for (i = count - 1; i >= 0; i--)
        grads[i] = inputs[i]->requires_grad ? got[--n] : NULL;
    return true;
}

static bool run(const char *me, const weighted *w, int count, ct_tensor *const *inputs, double eps,
                double tolerance)
{
    worst bad = { 0, 0, 0, 0, 0 };
    ct_tensor *grads[MOST];
    bool good, was;
    ct_scope s;

    eps = eps > 0 ? eps : 1e-6;
    tolerance = tolerance > 0 ? tolerance : 1e-6;
    s = ct_scope_begin();
    was = ct_set_grad_enabled(true);
    good = gradients(w, count, inputs, false, grads) &&
           compare(w, count, inputs, grads, eps, tolerance, &bad) && ct_ok();
    ct_set_grad_enabled(was);
    cti_scope_pop(s);
    if (good && !(bad.excess <= 0)) {
        ct_raise(CT_ERR_NUMERIC, me, "input %d, element %lld: numeric %.12g, analytic %.12g",
                 bad.input, (long long)bad.at, isnan(bad.numeric) ? NAN : bad.numeric,
                 isnan(bad.analytic) ? NAN : bad.analytic);
        return false;
    }
    return good;
}

bool ct_gradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                  ct_generator *g, double eps, double tolerance)
{
    weighted w = { f, context, { 0, 0, 0 } };
    bool good;

    if (!ct_ok() || !check_arguments("ct_gradcheck", f, count, inputs, g))
        return false;
    w.draw = *g;
    good = run("ct_gradcheck", &w, count, inputs, eps, tolerance);
    ct_random_u32(g); /* the next check draws other weights */
    return good;
}

/* The first derivatives, flattened into a sum with fixed weights, as a function again. */
static ct_tensor *first_derivatives(int count, ct_tensor *const *inputs, void *context)
{
    const weighted *w = context;
    ct_generator g = ct_generator_stream(w->draw, "second");
    ct_tensor *grads[MOST], *total = NULL;
    int i;

    if (!gradients(w, count, inputs, true, grads))
        return NULL;
    for (i = 0; i < count; i++) {
        ct_tensor *part;

        if (!grads[i])
            continue;
        part = ct_sum(ct_mul(grads[i], ct_randn(grads[i]->shape, CT_F64, grads[i]->device, &g)));
        total = total ? ct_add(total, part) : part;
    }
    return total;
}

bool ct_gradgradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                      ct_generator *g, double eps, double tolerance)
{
    weighted first = { f, context, { 0, 0, 0 } };
    weighted second = { first_derivatives, &first, { 0, 0, 0 } };
    bool good;

    if (!ct_ok() || !check_arguments("ct_gradgradcheck", f, count, inputs, g))
        return false;
    first.draw = *g;
    second.draw = ct_generator_stream(*g, "outer");
    good = run("ct_gradgradcheck", &second, count, inputs, eps, tolerance);
    ct_random_u32(g);
    return good;
}

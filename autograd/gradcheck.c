/* SPDX-License-Identifier: MIT */
/* gradcheck.c - compares derivatives with central differences:
 *     d f / d x_i = (f(x + eps e_i) - f(x - eps e_i)) / (2 eps) + O(eps^2)
 *
 * f may return any shape. It is reduced to the scalar s = sum f(inputs) w, with random weights w,
 * so that one backward pass checks a random combination of all rows of the Jacobian. The same code
 * checks second derivatives, with the first derivatives of s in place of f. */
#include "autograd/internal.h"

#include <cotangent/autograd/gradcheck.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>

#include <math.h>

#define GRADCHECK_MOST_INPUTS 16

/* The scalar function s. */
typedef struct gradcheck_sum {
    ct_gradcheck_function f;
    void *context;
    /* a copy from which w is drawn in each call, so that w is always the same */
    ct_generator weights;
} gradcheck_sum;

/* One check. */
typedef struct gradcheck {
    const char *function; /* the public name, for errors */
    gradcheck_sum s;
    int count;
    ct_tensor *const *inputs;
    double eps, tolerance;
} gradcheck;

/* The element with the largest difference so far. */
typedef struct gradcheck_worst {
    double excess; /* the difference divided by the tolerance; NaN counts as the largest */
    double numeric, analytic;
    int input;
    int64_t at;
} gradcheck_worst;

static ct_tensor *gradcheck_call(const gradcheck_sum *s, int count, ct_tensor *const *inputs)
{
    ct_generator g = s->weights;
    ct_tensor *y = s->f(count, inputs, s->context);

    if (!y)
        return NULL;
    return ct_sum(
        ct_mul(y, ct_randn(ct_tensor_shape(y), ct_tensor_dtype(y), ct_tensor_device(y), &g)));
}

static bool gradcheck_check_arguments(const char *me, ct_gradcheck_function f, int count,
                                      ct_tensor *const *inputs, const ct_generator *g)
{
    int i;

    if (!cti_given(me, "f", (const void *)f) || !cti_given(me, "g", g))
        return false;
    if (count < 1 || count > GRADCHECK_MOST_INPUTS) {
        ct_raise(CT_ERR_ARGUMENT, me, "inputs_count is %d; it must be in 1..%d", count,
                 GRADCHECK_MOST_INPUTS);
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

/* Returns s with element `at` of input x changed by delta. Recording is on, because f may call
 * ct_grad, as gradcheck_first_derivatives does. */
static double gradcheck_moved(const gradcheck *c, ct_tensor *x, int64_t at, double delta)
{
    char *place = cti_data(x) + at * (int64_t)sizeof(double);
    ct_scope s = ct_scope_begin();
    double was, there, out;

    if (!cti_to_host(x->device, &was, place, sizeof was))
        was = NAN;
    there = was + delta;
    cti_backend_of(x->device)->upload(place, &there, sizeof there);
    out = ct_item(gradcheck_call(&c->s, c->count, c->inputs));
    cti_backend_of(x->device)->upload(place, &was, sizeof was);
    cti_scope_pop(s);
    return out;
}

static double gradcheck_element(const ct_tensor *contiguous, int64_t at)
{
    double v;

    return cti_to_host(contiguous->device, &v, cti_data(contiguous) + at * (int64_t)sizeof v,
                       sizeof v)
               ? v
               : NAN;
}

/* Compares the gradient of input number `input` with central differences, element by element. */
static bool gradcheck_compare(const gradcheck *c, int input, const ct_tensor *grad,
                              gradcheck_worst *worst)
{
    ct_tensor *x = c->inputs[input], *g = cti_contiguous(grad);
    double largest = 1;
    int64_t k;

    if (!g)
        return false;
    for (k = 0; k < g->numel; k++)
        largest = fmax(largest, fabs(gradcheck_element(g, k)));
    for (k = 0; k < g->numel; k++) {
        double a = gradcheck_element(g, k);
        double n =
            (gradcheck_moved(c, x, k, c->eps) - gradcheck_moved(c, x, k, -c->eps)) / (2 * c->eps);
        double excess = fabs(n - a) / largest - c->tolerance;

        if (!(excess <= worst->excess) && !isnan(worst->excess))
            *worst = (gradcheck_worst){ excess, n, a, input, k };
    }
    return true;
}

/* Computes the gradients of s with respect to the inputs that require one; NULL for the others. */
static bool gradcheck_gradients(const gradcheck_sum *sum, int count, ct_tensor *const *inputs,
                                bool create_graph, ct_tensor **grads)
{
    ct_tensor *want[GRADCHECK_MOST_INPUTS], *got[GRADCHECK_MOST_INPUTS],
        *s = gradcheck_call(sum, count, inputs);
    int i, n = 0;

    for (i = 0; i < count; i++)
        if (inputs[i]->requires_grad)
            want[n++] = inputs[i];
    if (!s)
        return false;
    if (!s->requires_grad) /* s does not depend on the inputs: compare with a derivative of 0 */
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

static bool gradcheck_run(const gradcheck *c)
{
    gradcheck_worst worst = { 0, 0, 0, 0, 0 };
    ct_tensor *grads[GRADCHECK_MOST_INPUTS];
    ct_scope s = ct_scope_begin();
    bool was = ct_set_grad_enabled(true), good;
    int i;

    good = gradcheck_gradients(&c->s, c->count, c->inputs, false, grads);
    for (i = 0; i < c->count && good; i++)
        if (grads[i])
            good = gradcheck_compare(c, i, grads[i], &worst);
    good = good && ct_ok();
    ct_set_grad_enabled(was);
    cti_scope_pop(s);
    if (good && !(worst.excess <= 0)) {
        ct_raise(CT_ERR_NUMERIC, c->function,
                 "the derivatives by input %d, element %lld differ: numeric %.12g, analytic %.12g",
                 worst.input, (long long)worst.at, isnan(worst.numeric) ? NAN : worst.numeric,
                 isnan(worst.analytic) ? NAN : worst.analytic); /* prints "nan" without a sign */
        return false;
    }
    return good;
}

static gradcheck gradcheck_new(const char *function, int count, ct_tensor *const *inputs,
                               double eps, double tolerance)
{
    return (gradcheck){ .function = function,
                        .count = count,
                        .inputs = inputs,
                        .eps = eps > 0 ? eps : 1e-6,
                        .tolerance = tolerance > 0 ? tolerance : 1e-6 };
}

bool ct_gradcheck(ct_gradcheck_function f, int count, ct_tensor *const *inputs, void *context,
                  ct_generator *g, double eps, double tolerance)
{
    gradcheck c = gradcheck_new("ct_gradcheck", count, inputs, eps, tolerance);
    bool good;

    if (!ct_ok() || !gradcheck_check_arguments(c.function, f, count, inputs, g))
        return false;
    c.s = (gradcheck_sum){ f, context, *g };
    good = gradcheck_run(&c);
    ct_random_u32(g); /* advances g, so that the next check draws other weights */
    return good;
}

/* The function for second derivatives: the first derivatives of a gradcheck_sum, reduced to a
 * scalar with fixed weights. */
static ct_tensor *gradcheck_first_derivatives(int count, ct_tensor *const *inputs, void *context)
{
    const gradcheck_sum *sum = context;
    ct_generator g = ct_generator_stream(sum->weights, "second");
    ct_tensor *grads[GRADCHECK_MOST_INPUTS], *total = NULL;
    int i;

    if (!gradcheck_gradients(sum, count, inputs, true, grads))
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
    gradcheck c = gradcheck_new("ct_gradgradcheck", count, inputs, eps, tolerance);
    gradcheck_sum first;
    bool good;

    if (!ct_ok() || !gradcheck_check_arguments(c.function, f, count, inputs, g))
        return false;
    first = (gradcheck_sum){ f, context, *g };
    c.s = (gradcheck_sum){ gradcheck_first_derivatives, &first, ct_generator_stream(*g, "outer") };
    good = gradcheck_run(&c);
    ct_random_u32(g);
    return good;
}

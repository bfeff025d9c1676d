/* SPDX-License-Identifier: MIT */
/* random.c - generators, draws of single numbers, and tensors of random numbers.
 *
 * Philox itself is in tensor/philox.h, which the kernels of every device share. */
#include "tensor/internal.h"

#include "tensor/philox.h"

#include <cotangent/tensor/random.h>

#include <math.h>

void ct_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    if (cti_given("ct_philox", "out", out))
        cti_philox(seed, stream, block, out);
}

ct_generator ct_generator_from_seed(uint64_t seed)
{
    return (ct_generator){ seed, 0, 0 };
}

ct_generator ct_generator_stream(ct_generator g, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u ^ g.stream;

    if (!cti_given("ct_generator_stream", "name", name))
        return g;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return (ct_generator){ g.seed, h, 0 };
}

/* A function that will run again (activation checkpointing) must draw only from the generator that
 * is reset for its second run. Raises an error for any other generator. */
static void random_check_draw(const ct_generator *g)
{
    const cti_draws *d;

    for (d = cti_thread()->draws; d; d = d->outer)
        if (d->g != g) {
            ct_raise(
                CT_ERR_ARGUMENT, d->function,
                "the function of ct_activation_checkpoint draws from a generator that is not its "
                "argument g; pass that generator as g");
            return;
        }
}

/* Returns the next word of g, which is not NULL. */
static uint32_t random_u32(ct_generator *g)
{
    uint32_t w[4];

    random_check_draw(g);
    cti_philox(g->seed, g->stream, g->position / 4, w);
    return w[g->position++ % 4];
}

uint32_t ct_random_u32(ct_generator *g)
{
    return cti_given("ct_random_u32", "g", g) ? random_u32(g) : 0;
}

static uint64_t random_u64(ct_generator *g)
{
    uint64_t high = random_u32(g);

    return high << 32 | random_u32(g);
}

uint64_t ct_random_below(ct_generator *g, uint64_t n)
{
    uint64_t limit, r;

    if (!cti_given("ct_random_below", "g", g) || n == 0)
        return 0;
    /* the greatest multiple of n; a number at or above it is drawn again */
    limit = UINT64_MAX - UINT64_MAX % n;
    do
        r = random_u64(g);
    while (r >= limit);
    return r % n;
}

double ct_random_uniform(ct_generator *g)
{
    uint32_t high;

    if (!cti_given("ct_random_uniform", "g", g))
        return 0;
    high = random_u32(g);
    return cti_uniform_of_words(high, random_u32(g));
}

void ct_shuffle(int64_t *order, int64_t n, ct_generator *g)
{
    int64_t i;

    if (!cti_given_array("ct_shuffle", "order", n, order) || !cti_given("ct_shuffle", "g", g))
        return;
    for (i = n > 0 ? n - 1 : 0; i > 0; i--) {
        int64_t j = (int64_t)ct_random_below(g, (uint64_t)i + 1);
        int64_t swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
}

cti_position cti_generator_take(ct_generator *g, uint64_t words, ct_device device)
{
    uint64_t block = cti_next_block(g);
    cti_position from = { g->seed, g->stream, block, NULL };

    random_check_draw(g);
    cti_capture_draws(g, device, &from);
    g->position = (block + (words + 3) / 4) * 4;
    return from;
}

static ct_status random_fill(const char *function, ct_tensor *t, double a, double b,
                             ct_generator *g, bool normal)
{
    const cti_backend *be;
    ct_scope s;
    ct_tensor *c;
    cti_draw_args args;

    if (!cti_usable(function, t) || !cti_given(function, "g", g))
        return ct_error();
    if (normal && !(isfinite(a) && isfinite(b) && b >= 0))
        return ct_raise(CT_ERR_ARGUMENT, function,
                        "mean is %g and std is %g; both must be finite and std at least 0", a, b);
    if (!normal && !(isfinite(a) && isfinite(b - a) && a <= b))
        return ct_raise(CT_ERR_ARGUMENT, function,
                        "low is %g and high is %g; both must be finite and low at most high", a, b);
    if (!cti_want_float(function, "t", t) || !cti_may_write(function, t))
        return ct_error();
    s = cti_scope_push();
    c = t->contiguous ? t : cti_new(function, t->shape, t->dtype, t->device);
    if (c) {
        be = cti_backend_of(t->device);
        args =
            (cti_draw_args){ .out = cti_data(c), .dtype = t->dtype, .n = t->numel, .a = a, .b = b };
        args.from =
            cti_generator_take(g, (uint64_t)t->numel * (t->dtype == CT_F64 ? 2 : 1), t->device);
        (normal ? be->normal : be->uniform)(&args);
        if (c != t)
            cti_copy(t, c);
        cti_mark_written(t);
    }
    cti_scope_pop(s);
    return c ? CT_OK : ct_error();
}

ct_status ct_uniform_into(ct_tensor *t, double low, double high, ct_generator *g)
{
    return random_fill("ct_uniform_into", t, low, high, g, false);
}

ct_status ct_normal_into(ct_tensor *t, double mean, double std, ct_generator *g)
{
    return random_fill("ct_normal_into", t, mean, std, g, true);
}

ct_tensor *ct_rand(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g)
{
    ct_tensor *t = cti_new("ct_rand", shape, dtype, device);

    return t && random_fill("ct_rand", t, 0, 1, g, false) == CT_OK ? t : NULL;
}

ct_tensor *ct_randn(ct_shape shape, ct_dtype dtype, ct_device device, ct_generator *g)
{
    ct_tensor *t = cti_new("ct_randn", shape, dtype, device);

    return t && random_fill("ct_randn", t, 0, 1, g, true) == CT_OK ? t : NULL;
}

ct_tensor *ct_randint(int64_t low, int64_t high, ct_shape shape, ct_dtype dtype, ct_device device,
                      ct_generator *g)
{
    static const char *const me = "ct_randint";
    ct_tensor *t;

    if (!cti_given(me, "g", g))
        return NULL;
    t = cti_new(me, shape, dtype, device);
    if (!t || !cti_want_index(me, "the result", t))
        return NULL;
    if (low >= high || (dtype == CT_I32 && (low < INT32_MIN || high - 1 > INT32_MAX))) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "low is %lld and high is %lld; low must be below high, and %s must hold both ends",
                 (long long)low, (long long)high, ct_dtype_name(dtype));
        return NULL;
    }
    cti_backend_of(t->device)->randint(
        &(cti_randint_args){ .out = cti_data(t),
                             .dtype = dtype,
                             .n = t->numel,
                             .low = low,
                             .range = (uint64_t)high - (uint64_t)low,
                             .from = cti_generator_take(g, (uint64_t)t->numel * 2, t->device) });
    return t;
}

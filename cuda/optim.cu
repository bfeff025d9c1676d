/* SPDX-License-Identifier: MIT */
/* optim.cu - norms and updates of all parameters of a set at once.
 *
 * Segments are passed to kernels as arguments, up to MOST at a time, so nothing is uploaded. They
 * are cut into chunks, one for each block, by shape alone, so results do not depend on the
 * schedule. The rules are those of tensor/cpu/loops_optim.h. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#define MOST 24    /* the most segments of a launch, because kernels take 4 KiB of arguments */
#define CHUNK 4096 /* the elements of a chunk */

struct table {
    int count;
    int64_t chunks;
    int64_t first[MOST]; /* the number of each segment's first chunk */
    int number[MOST];    /* the number of the first segment among all */
    cti_segment segment[MOST];
};

/* The segment of a chunk. */
__device__ inline int segment_of(const table &t, int64_t chunk)
{
    int i = t.count - 1;

    while (t.first[i] > chunk)
        i--;
    return i;
}

/* The range of a chunk that this thread computes: from *i to *end, in steps of the block's
 * threads. */
__device__ inline void elements_of(const table &t, int segment, int64_t chunk, int64_t *i,
                                   int64_t *end)
{
    int64_t start = (chunk - t.first[segment]) * CHUNK, n = t.segment[segment].n;

    *i = start + threadIdx.x;
    *end = start + CHUNK < n ? start + CHUNK : n;
}

/* Makes a table of up to MOST segments of dtype, from number *at on, and skips empty ones. Sets *at
 * to the number of the next segment. */
static table next_table(ct_dtype dtype, const cti_segment *segments, int count, int *at)
{
    table t = {};

    for (; *at < count && t.count < MOST; ++*at) {
        const cti_segment *s = &segments[*at];

        if (s->n == 0 || s->dtype != dtype)
            continue;
        t.first[t.count] = t.chunks;
        t.number[t.count] = *at;
        t.segment[t.count++] = *s;
        t.chunks += (s->n + CHUNK - 1) / CHUNK;
    }
    return t;
}

/* ---- the sum of squares of all gradients ---- */

struct sum_of_two {
    static __device__ double combine(double a, double b)
    {
        return a + b;
    }
};

/* Elements are multiplied by LARGE if the sum of their squares overflows, and the norm by its
 * inverse. */
#define LARGE 0x1p-600

/* partial (chunks). Zeros if overflowed is not NULL and *overflowed is finite. */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    chunk_squares(table t, double *partial, const double *overflowed)
{
    CU_SHARED(double, lane, [CU_BLOCK]);
    int64_t chunk, i, end;
    double factor = overflowed ? LARGE : 1;

    if (overflowed && !isinf(*overflowed)) {
        for (chunk = blockIdx.x; chunk < t.chunks; chunk += gridDim.x)
            if (threadIdx.x == 0)
                partial[chunk] = 0;
        return;
    }
    for (chunk = blockIdx.x; chunk < t.chunks; chunk += gridDim.x) {
        int k = segment_of(t, chunk);
        const T *g = static_cast<const T *>(t.segment[k].grad);
        double total = 0;

        for (elements_of(t, k, chunk, &i, &end); i < end; i += CU_BLOCK) {
            double v = static_cast<double>(g[i]) * factor;

            total += v * v;
        }
        lane[threadIdx.x] = total;
        cu_combine_lanes<sum_of_two>(lane, CU_BLOCK);
        if (threadIdx.x == 0)
            partial[chunk] = lane[0];
        __syncthreads();
    }
}

/* Returns the number of chunks. */
template <typename T>
static int64_t start_squares(ct_dtype dtype, const cti_segment *segments, int count,
                             double *partial, const double *overflowed)
{
    int64_t chunks = 0;
    int at = 0;

    while (at < count) {
        table t = next_table(dtype, segments, count, &at);

        cu_run("norm_squared", chunk_squares<T>, cu_blocks(t.chunks, 1), CU_BLOCK, t,
               partial + chunks, overflowed);
        chunks += t.chunks;
    }
    return chunks;
}

static int64_t chunks_of(const cti_segment *segments, int count)
{
    int64_t chunks = 0;
    int i;

    for (i = 0; i < count; i++)
        chunks += (segments[i].n + CHUNK - 1) / CHUNK;
    return chunks;
}

/* The sum of the squares, or of the squares of multiples if overflowed is not NULL. */
static void start_sum(const cti_segment *segments, int count, double *out, const double *overflowed)
{
    int64_t chunks = chunks_of(segments, count), f32;
    double *partial =
        static_cast<double *>(cu_scratch((size_t)chunks * sizeof *partial, "norm_squared"));

    if (!partial)
        return;
    f32 = start_squares<float>(CT_F32, segments, count, partial, overflowed);
    start_squares<double>(CT_F64, segments, count, partial + f32, overflowed);
    cti_reduce_args sum = { CTI_SUM, CT_F64, 1, chunks, 1, partial, out };
    cu_reduce(&sum);
    cu_scratch_free(partial);
}

void cu_norm_squared(const cti_segment *segments, int count, double *out)
{
    start_sum(segments, count, out, NULL);
}

/* ---- clipping ---- */

/* On entry total[0] is the square of the norm; on return, the factor for the gradients. If total[0]
 * is infinite and large is true, total[1] is the square of LARGE times the norm. */
__global__ void __launch_bounds__(32)
    find_scale(double *total, bool large, double max_norm, double *norm, unsigned long long *fault,
               uint32_t ticket)
{
    double length = large && isinf(total[0]) ? sqrt(total[1]) / LARGE : sqrt(total[0]);

    if (cu_thread() != 0)
        return;
    if (norm)
        *norm = length;
    if (!isfinite(length))
        cu_fault(fault, ticket, 0);
    *total = length > max_norm ? max_norm / length : 1;
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    scale_gradients(table t, const double *scale, const unsigned long long *fault)
{
    int64_t chunk, i, end;

    if (*fault != CU_NO_FAULT || *scale == 1)
        return;
    for (chunk = blockIdx.x; chunk < t.chunks; chunk += gridDim.x) {
        int k = segment_of(t, chunk);
        T *g = static_cast<T *>(const_cast<void *>(t.segment[k].grad));

        for (elements_of(t, k, chunk, &i, &end); i < end; i += CU_BLOCK)
            g[i] *= static_cast<T>(*scale);
    }
}

template <typename T>
static void start_scaling(ct_dtype dtype, const cti_segment *segments, int count,
                          const double *scale)
{
    int at = 0;

    while (at < count) {
        table t = next_table(dtype, segments, count, &at);

        cu_run("clip_norm", scale_gradients<T>, cu_blocks(t.chunks, 1), CU_BLOCK, t, scale,
               cu_fault_word());
    }
}

/* True if the sum of squares may overflow a double. */
static bool may_overflow(const cti_segment *segments, int count)
{
    int i;

    for (i = 0; i < count; i++)
        if (segments[i].dtype == CT_F64 && segments[i].n)
            return true;
    return false;
}

ct_status cu_clip_norm(const cti_clip_norm_args *a, cti_fault *fault)
{
    static const char *const slot = "clip_norm";
    bool large = may_overflow(a->segments, a->count);
    double *total = static_cast<double *>(cu_scratch((large ? 2 : 1) * sizeof *total, slot));

    if (!total)
        return CT_OK;
    cu_norm_squared(a->segments, a->count, total);
    if (large)
        start_sum(a->segments, a->count, total + 1, total);
    cu_run(slot, find_scale, 1, 1, total, large, a->max_norm, a->norm, cu_fault_word(),
           fault->ticket);
    start_scaling<float>(CT_F32, a->segments, a->count, total);
    start_scaling<double>(CT_F64, a->segments, a->count, total);
    cu_scratch_free(total);
    return CT_OK;
}

/* ---- updates: one element of a segment each ---- */

/* cti_rates in the element type. Kernels multiply by 1 / root instead of dividing. */
template <typename T> struct rates {
    T lr, weight_decay, shrink, root;
    bool first;
};

/* State k of element i. */
template <typename T> __device__ inline T *state(const cti_segment &s, int k, int64_t i)
{
    return static_cast<T *>(s.state[k]) + i;
}

template <typename T> __device__ inline T *value(const cti_segment &s, int64_t i)
{
    return static_cast<T *>(s.value) + i;
}

template <typename T>
__device__ inline T gradient(const cti_update &u, const cti_segment &s, const rates<T> &r,
                             int64_t i)
{
    return static_cast<T>(u.scale) * static_cast<const T *>(s.grad)[i] +
           r.weight_decay * *value<T>(s, i);
}

struct sgd {
    template <typename T>
    static __device__ void step(const cti_update &u, const cti_segment &s, const rates<T> &r,
                                int64_t i)
    {
        T g = gradient<T>(u, s, r, i), lr = r.lr, mu = static_cast<T>(u.momentum);
        T share = static_cast<T>(r.first ? 1 : 1 - u.dampening), d = g;

        if (s.state[0]) {
            T *m = state<T>(s, 0, i), next = mu * *m + share * g;

            *m = next;
            d = u.nesterov ? g + mu * next : next;
        }
        *value<T>(s, i) -= lr * d;
    }
};

struct adam {
    template <typename T>
    static __device__ void step(const cti_update &u, const cti_segment &s, const rates<T> &r,
                                int64_t i)
    {
        T g = gradient<T>(u, s, r, i), *m = state<T>(s, 0, i), *v = state<T>(s, 1, i);
        T mean = *m + static_cast<T>(1 - u.beta1) * (g - *m);
        T square = static_cast<T>(u.beta2) * *v + static_cast<T>(1 - u.beta2) * g * g;
        T top = square, *w = value<T>(s, i);

        *m = mean;
        *v = square;
        if (s.state[2]) {
            T *most = state<T>(s, 2, i);

            top = *most > square ? *most : square;
            *most = top;
        }
        *w = r.shrink * *w - r.lr * (mean / (sqrt(top) * r.root + static_cast<T>(u.eps)));
    }
};

struct rmsprop {
    template <typename T>
    static __device__ void step(const cti_update &u, const cti_segment &s, const rates<T> &r,
                                int64_t i)
    {
        T g = gradient<T>(u, s, r, i), *v = state<T>(s, 0, i), b2 = static_cast<T>(1 - u.beta2);
        T square = static_cast<T>(u.beta2) * *v + b2 * g * g, variance = square, d;

        *v = square;
        if (s.state[2]) {
            T *a = state<T>(s, 2, i), mean = *a + b2 * (g - *a);

            *a = mean;
            variance = square - mean * mean; /* rounding may have made it negative */
            variance = variance < 0 ? T(0) : variance;
        }
        d = g / (sqrt(variance) + static_cast<T>(u.eps));
        if (s.state[1]) {
            T *b = state<T>(s, 1, i);

            d = static_cast<T>(u.momentum) * *b + d;
            *b = d;
        }
        *value<T>(s, i) -= r.lr * d;
    }
};

struct adagrad {
    template <typename T>
    static __device__ void step(const cti_update &u, const cti_segment &s, const rates<T> &r,
                                int64_t i)
    {
        T g = gradient<T>(u, s, r, i), *v = state<T>(s, 0, i), square = *v + g * g;

        *v = square;
        *value<T>(s, i) -= r.lr * (g / (sqrt(square) + static_cast<T>(u.eps)));
    }
};

/* The rates of segment k: those on the device if there are any, otherwise its own. */
template <typename T>
__device__ inline rates<T> rates_of(const table &t, int k, const cti_rates *there)
{
    const cti_segment &s = t.segment[k];

    if (there) {
        const cti_rates &r = there[t.number[k]];

        return { static_cast<T>(r.lr), static_cast<T>(r.weight_decay), static_cast<T>(r.shrink),
                 static_cast<T>(1 / r.root), r.first != 0 };
    }
    return { static_cast<T>(s.lr), static_cast<T>(s.weight_decay), static_cast<T>(s.shrink),
             static_cast<T>(s.root), s.first };
}

template <typename Rule, typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    update(cti_update u, table t, const unsigned long long *fault)
{
    int64_t chunk, i, end;

    if (*fault != CU_NO_FAULT)
        return;
    for (chunk = blockIdx.x; chunk < t.chunks; chunk += gridDim.x) {
        int k = segment_of(t, chunk);
        const rates<T> r = rates_of<T>(t, k, u.rates);

        for (elements_of(t, k, chunk, &i, &end); i < end; i += CU_BLOCK)
            Rule::template step<T>(u, t.segment[k], r, i);
    }
}

template <typename T>
static void start_updates(ct_dtype dtype, const cti_update *u, const cti_segment *segments,
                          int count)
{
    static void (*const kernels[CTI_RULES])(cti_update, table, const unsigned long long *) = {
#define RULE_KERNEL(NAME, name) update<name, T>,
        CTI_UPDATE_RULES(RULE_KERNEL)
#undef RULE_KERNEL
    };
    int at = 0, i;

    while (at < count) {
        table t = next_table(dtype, segments, count, &at);

        for (i = 0; i < t.count; i++)
            /* the reciprocal, because kernels multiply */
            t.segment[i].root = 1 / t.segment[i].root;
        cu_run("update", kernels[u->rule], cu_blocks(t.chunks, 1), CU_BLOCK, *u, t,
               cu_fault_word());
    }
}

void cu_update(const cti_update *u, const cti_segment *segments, int count)
{
    start_updates<float>(CT_F32, u, segments, count);
    start_updates<double>(CT_F64, u, segments, count);
}

/* SPDX-License-Identifier: MIT */
/* reduce.cu - in (outer, n, inner) -> out (outer, inner), in one pass or two.
 *
 * A block has `lanes` lanes for each of CU_BLOCK / lanes outputs; each lane takes every lanes-th
 * element, and the lanes' results are combined in order. If there are too few blocks for a device,
 * n is cut into parts, and a second pass combines the results of the parts. Everything depends on
 * shapes alone, so results do not depend on the schedule. */
#include "cuda/cuda.h"
#include "cuda/device.h"

/* ---- reductions: load makes an Acc from an element and its position, combine merges two, finish
 * makes the result ---- */

template <typename T> struct wide { /* sums of f32 are double; those of integers wrap */
    typedef double type;
};
template <> struct wide<int32_t> {
    typedef uint32_t type;
};
template <> struct wide<int64_t> {
    typedef uint64_t type;
};

template <typename T> struct sum {
    typedef T In;
    typedef T Out;
    typedef typename wide<T>::type Acc;

    static __device__ Acc start()
    {
        return 0;
    }
    static __device__ Acc load(T v, int64_t)
    {
        return static_cast<Acc>(v);
    }
    static __device__ Acc combine(Acc a, Acc b)
    {
        return a + b;
    }
    static __device__ T finish(Acc a)
    {
        return static_cast<T>(a);
    }
};

template <typename T> struct squares : sum<T> {
    typedef typename wide<T>::type Acc;

    static __device__ Acc load(T v, int64_t)
    {
        return static_cast<Acc>(v) * static_cast<Acc>(v);
    }
};

template <typename T> struct product : sum<T> {
    typedef typename wide<T>::type Acc;

    static __device__ Acc start()
    {
        return 1;
    }
    static __device__ Acc combine(Acc a, Acc b)
    {
        return a * b;
    }
};

struct some {
    typedef uint8_t In;
    typedef uint8_t Out;
    typedef uint8_t Acc;

    static __device__ Acc start()
    {
        return 0;
    }
    static __device__ Acc load(uint8_t v, int64_t)
    {
        return v != 0;
    }
    static __device__ Acc combine(Acc a, Acc b)
    {
        return a | b;
    }
    static __device__ uint8_t finish(Acc a)
    {
        return a;
    }
};

struct every : some {
    static __device__ Acc start()
    {
        return 1;
    }
    static __device__ Acc combine(Acc a, Acc b)
    {
        return a & b;
    }
};

/* A candidate and its position; -1 stands for no candidate. */
template <typename T> struct candidate {
    T v;
    int64_t at;
};

/* The greatest or the least element; of equal ones, the first. A NaN comes before all numbers. */
template <typename T, bool greatest> struct extreme {
    typedef T In;
    typedef T Out;
    typedef candidate<T> Acc;

    static __device__ bool beats(T a, T b)
    {
        return greatest ? cu_after(a, b) : a < b || (a != a && b == b);
    }
    static __device__ Acc start()
    {
        return { T(0), -1 };
    }
    static __device__ Acc load(T v, int64_t at)
    {
        return { v, at };
    }
    static __device__ Acc combine(Acc a, Acc b)
    {
        if (b.at < 0 || a.at < 0)
            return b.at < 0 ? a : b;
        if (beats(a.v, b.v) || beats(b.v, a.v))
            return beats(a.v, b.v) ? a : b;
        return a.at < b.at ? a : b;
    }
    static __device__ T finish(Acc a)
    {
        return a.v;
    }
};

template <typename T, bool greatest> struct position : extreme<T, greatest> {
    typedef int64_t Out;

    static __device__ int64_t finish(candidate<T> a)
    {
        return a.at < 0 ? 0 : a.at;
    }
};

/* R for the second pass, which combines partial results. */
template <typename R> struct again : R {
    typedef typename R::Acc In;

    static __device__ typename R::Acc load(typename R::Acc v, int64_t)
    {
        return v;
    }
};

/* R for the first of two passes, whose output is the partial results. */
template <typename R> struct partial : R {
    typedef typename R::Acc Out;

    static __device__ typename R::Acc finish(typename R::Acc a)
    {
        return a;
    }
};

/* ---- the kernel ---- */

struct plan {
    int64_t outer, n, inner;
    int64_t length;
    int parts, lanes; /* n is cut into parts of this length; the last one may be shorter */
};

template <typename R>
__global__ void __launch_bounds__(CU_BLOCK)
    reduce(plan p, const typename R::In *in, typename R::Out *out)
{
    typedef typename R::Acc Acc;
    CU_SHARED(Acc, value, [CU_BLOCK]);
    int columns = CU_BLOCK / p.lanes, tid = threadIdx.x;
    int lane = p.inner == 1 ? tid % p.lanes
                            /* an order in which neighbouring threads read neighbouring elements */
                            : tid / columns;
    int column = p.inner == 1 ? tid / p.lanes : tid % columns;
    int part = blockIdx.x % p.parts;
    int64_t outputs = p.outer * p.inner, group = blockIdx.x / p.parts;
    int64_t first = part * p.length, end = first + p.length < p.n ? first + p.length : p.n;

    for (; group * columns < outputs; group += gridDim.x / p.parts) {
        int64_t at = group * columns + column, o = at, i = cu_split(&o, p.inner), j;
        Acc acc = R::start();

        if (at < outputs)
            for (j = first + lane; j < end; j += p.lanes)
                acc = R::combine(acc, R::load(in[(o * p.n + j) * p.inner + i], j));
        if (p.lanes > 1) {
            value[column * p.lanes + lane] = acc;
            cu_combine_lanes<R>(value, p.lanes);
            acc = value[column * p.lanes];
            __syncthreads(); /* before the values of the next group are written */
        }
        if (lane == 0 && at < outputs)
            out[(o * p.parts + part) * p.inner + i] = R::finish(acc);
    }
}

/* ---- the choice ---- */

#define ELEMENTS 16       /* the least number of elements for a lane, before more lanes are used */
#define ENOUGH_BLOCKS 512 /* the least number of elements for a lane, before n is cut into parts */

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t plan_groups(const plan *p)
{
    return divide_up(p->outer * p->inner, CU_BLOCK / p->lanes);
}

static plan plan_of(int64_t outer, int64_t n, int64_t inner)
{
    plan p = { outer, n, inner, n, 1, 1 };
    int most = CU_BLOCK;

    while (most > 8 && CU_BLOCK / most < inner) /* up to 32 neighbouring columns */
        most /= 2;
    while (p.lanes < most && p.lanes * ELEMENTS < n)
        p.lanes *= 2;
    return p;
}

static void plan_cut(plan *p)
{
    int64_t blocks = divide_up(ENOUGH_BLOCKS, plan_groups(p));
    int64_t rounds = divide_up(p->n, (int64_t)p->lanes * ELEMENTS);

    p->parts = rounds < 1 ? 1 : (int)(rounds < blocks ? rounds : blocks);
    p->length = divide_up(p->n, p->parts);
}

template <typename R> static void reduce_pass(const plan *p, const void *in, void *out)
{
    int64_t most = CU_MOST_BLOCKS / p->parts + 1, groups = plan_groups(p);

    cu_run("reduce", reduce<R>, (groups < most ? groups : most) * p->parts, CU_BLOCK, *p,
           static_cast<const typename R::In *>(in), static_cast<typename R::Out *>(out));
}

template <typename R> static void reduce_start(const cti_reduce_args *a)
{
    plan p = plan_of(a->outer, a->n, a->inner), second;
    void *partials;

    plan_cut(&p);
    if (p.parts == 1) {
        reduce_pass<R>(&p, a->in, a->out);
        return;
    }
    partials =
        cu_scratch((size_t)(a->outer * p.parts * a->inner) * sizeof(typename R::Acc), "reduce");
    if (!partials)
        return;
    second = plan_of(a->outer, p.parts, a->inner);
    reduce_pass<partial<R>>(&p, a->in, partials);
    reduce_pass<again<R>>(&second, partials, a->out);
    cu_scratch_free(partials);
}

/* The reduction of elements of type T. */
template <typename T> static void reduce_numbers(const cti_reduce_args *a)
{
    switch (a->op) {
    case CTI_SUM:
        reduce_start<sum<T>>(a);
        break;
    case CTI_SUM_SQUARES:
        reduce_start<squares<T>>(a);
        break;
    case CTI_PROD:
        reduce_start<product<T>>(a);
        break;
    case CTI_MAX:
        reduce_start<extreme<T, true>>(a);
        break;
    case CTI_MIN:
        reduce_start<extreme<T, false>>(a);
        break;
    case CTI_ARGMAX:
        reduce_start<position<T, true>>(a);
        break;
    case CTI_ARGMIN:
        reduce_start<position<T, false>>(a);
        break;
    case CTI_ANY:
    case CTI_ALL:
        break;
    }
}

static void reduce_bools(const cti_reduce_args *a)
{
    if (a->op == CTI_ANY)
        reduce_start<some>(a);
    else if (a->op == CTI_ALL)
        reduce_start<every>(a);
}

void cu_reduce(const cti_reduce_args *a)
{
    if (a->outer == 0 || a->inner == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        reduce_numbers<float>(a);
        break;
    case CT_F64:
        reduce_numbers<double>(a);
        break;
    case CT_I32:
        reduce_numbers<int32_t>(a);
        break;
    case CT_I64:
        reduce_numbers<int64_t>(a);
        break;
    case CT_BOOL:
        reduce_bools(a);
        break;
    case CT_BF16: /* bf16 is only stored, never computed with */
        break;
    }
}

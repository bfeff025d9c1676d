/* reduce.cu - in (outer, n, inner) -> out (outer, inner), in one pass or two.
 *
 * A block has `lanes` lanes for each of CU_BLOCK / lanes outputs; each lane takes every lanes-th
 * element, and the lanes' results are combined in order. Where that is too little work for a
 * device, n is cut into parts, and a second pass combines theirs. All by shape alone: results do
 * not depend on the schedule. */
#include "cuda/cuda.h"
#include "cuda/device.h"

/* ---- what is reduced: Acc of an element and its position; Acc of two; the result ---- */

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

/* A candidate and its position, -1 for none. */
template <typename T> struct candidate {
    T v;
    int64_t at;
};

/* The greatest or the least, the first of equals; a NaN beats all numbers. */
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

/* The second pass of R: its partial results again. */
template <typename R> struct again : R {
    typedef typename R::Acc In;

    static __device__ typename R::Acc load(typename R::Acc v, int64_t)
    {
        return v;
    }
};

/* The first of two passes: partial results are the output. */
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
    int parts, lanes; /* n is cut into parts of length, the last one shorter */
};

template <typename R>
__global__ void __launch_bounds__(CU_BLOCK)
    reduce(plan p, const typename R::In *in, typename R::Out *out)
{
    typedef typename R::Acc Acc;
    CU_SHARED(Acc, value, [CU_BLOCK]);
    int columns = CU_BLOCK / p.lanes, tid = threadIdx.x;
    int lane = p.inner == 1 ? tid % p.lanes : tid / columns; /* so that neighbours are neighbours */
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
            __syncthreads(); /* before the next group's are written */
        }
        if (lane == 0 && at < outputs)
            out[(o * p.parts + part) * p.inner + i] = R::finish(acc);
    }
}

/* ---- the choice ---- */

#define ELEMENTS 16       /* at least, of a lane, before there are more */
#define ENOUGH_BLOCKS 512 /* before n is cut into parts */

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t groups_of(const plan *p)
{
    return ceiling(p->outer * p->inner, CU_BLOCK / p->lanes);
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

static void cut(plan *p)
{
    int64_t blocks = ceiling(ENOUGH_BLOCKS, groups_of(p));
    int64_t rounds = ceiling(p->n, (int64_t)p->lanes * ELEMENTS);

    p->parts = rounds < 1 ? 1 : (int)(rounds < blocks ? rounds : blocks);
    p->length = ceiling(p->n, p->parts);
}

template <typename R> static void start_pass(const plan *p, const void *in, void *out)
{
    int64_t most = CU_MOST_BLOCKS / p->parts + 1, groups = groups_of(p);

    cu_run("reduce", reduce<R>, (groups < most ? groups : most) * p->parts, CU_BLOCK, *p,
           static_cast<const typename R::In *>(in), static_cast<typename R::Out *>(out));
}

template <typename R>
static void start(int64_t outer, int64_t n, int64_t inner, const void *in, void *out)
{
    plan p = plan_of(outer, n, inner), second;
    void *partials;

    cut(&p);
    if (p.parts == 1) {
        start_pass<R>(&p, in, out);
        return;
    }
    partials = cu_scratch((size_t)(outer * p.parts * inner) * sizeof(typename R::Acc), "reduce");
    if (!partials)
        return;
    second = plan_of(outer, p.parts, inner);
    start_pass<partial<R>>(&p, in, partials);
    start_pass<again<R>>(&second, partials, out);
    cu_scratch_free(partials);
}

template <typename T>
static void start_numbers(cti_reduce_op op, int64_t outer, int64_t n, int64_t inner, const void *in,
                          void *out)
{
    switch (op) {
    case CTI_SUM:
        start<sum<T>>(outer, n, inner, in, out);
        break;
    case CTI_PROD:
        start<product<T>>(outer, n, inner, in, out);
        break;
    case CTI_MAX:
        start<extreme<T, true>>(outer, n, inner, in, out);
        break;
    case CTI_MIN:
        start<extreme<T, false>>(outer, n, inner, in, out);
        break;
    case CTI_ARGMAX:
        start<position<T, true>>(outer, n, inner, in, out);
        break;
    case CTI_ARGMIN:
        start<position<T, false>>(outer, n, inner, in, out);
        break;
    default:
        break;
    }
}

void cu_reduce(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
               const void *in, void *out)
{
    if (outer == 0 || inner == 0)
        return;
    if (op == CTI_ANY)
        start<some>(outer, n, inner, in, out);
    else if (op == CTI_ALL)
        start<every>(outer, n, inner, in, out);
    else if (dtype == CT_F32)
        start_numbers<float>(op, outer, n, inner, in, out);
    else if (dtype == CT_F64)
        start_numbers<double>(op, outer, n, inner, in, out);
    else if (dtype == CT_I32)
        start_numbers<int32_t>(op, outer, n, inner, in, out);
    else
        start_numbers<int64_t>(op, outer, n, inner, in, out);
}

/* SPDX-License-Identifier: MIT */
/* copy.cu - copies and conversions between all dtypes; fills and ranges. */
#include "cuda/cuda.h"
#include "cuda/strided.h"

/* ---- one element as another type; tensor/convert.h has the rules ---- */

struct bf16 {
    uint16_t bits;
};

struct boolean {
    uint8_t is;
};

/* The C++ type of a dtype's elements. bf16 and bool have separate types, so that converted<> can
 * distinguish them from integers. */
template <ct_dtype dtype> struct element {
};
template <> struct element<CT_F32> {
    typedef float type;
};
template <> struct element<CT_F64> {
    typedef double type;
};
template <> struct element<CT_I32> {
    typedef int32_t type;
};
template <> struct element<CT_I64> {
    typedef int64_t type;
};
template <> struct element<CT_BOOL> {
    typedef boolean type;
};
template <> struct element<CT_BF16> {
    typedef bf16 type;
};

template <typename T> struct converted {
}; /* T converted<T>::of(v), for v of any element type */

template <> struct converted<float> {
    template <typename S> static __device__ float of(S v)
    {
        return static_cast<float>(v);
    }
    static __device__ float of(bf16 v)
    {
        return cti_float_of_bf16(v.bits);
    }
    static __device__ float of(boolean v)
    {
        return v.is;
    }
};

template <> struct converted<double> {
    template <typename S> static __device__ double of(S v)
    {
        return static_cast<double>(v);
    }
    static __device__ double of(bf16 v)
    {
        return cti_float_of_bf16(v.bits);
    }
    static __device__ double of(boolean v)
    {
        return v.is;
    }
};

template <> struct converted<int32_t> {
    static __device__ int32_t of(double v)
    {
        return cti_i32_of(v);
    }
    static __device__ int32_t of(float v)
    {
        return cti_i32_of(v);
    }
    static __device__ int32_t of(int64_t v)
    {
        return cti_i32_of_i64(v);
    }
    static __device__ int32_t of(bf16 v)
    {
        return cti_i32_of(cti_float_of_bf16(v.bits));
    }
    static __device__ int32_t of(boolean v)
    {
        return v.is;
    }
};

template <> struct converted<int64_t> {
    static __device__ int64_t of(double v)
    {
        return cti_i64_of(v);
    }
    static __device__ int64_t of(float v)
    {
        return cti_i64_of(v);
    }
    static __device__ int64_t of(int32_t v)
    {
        return v;
    }
    static __device__ int64_t of(bf16 v)
    {
        return cti_i64_of(cti_float_of_bf16(v.bits));
    }
    static __device__ int64_t of(boolean v)
    {
        return v.is;
    }
};

template <> struct converted<bf16> {
    static __device__ bf16 of(float v)
    {
        return { cti_bf16_of(v) };
    }
    static __device__ bf16 of(double v)
    {
        return { cti_bf16_of_double(v) };
    }
    static __device__ bf16 of(int32_t v)
    {
        return { cti_bf16_of_double(v) };
    }
    static __device__ bf16 of(int64_t v)
    {
        return { cti_bf16_of_i64(v) };
    }
    static __device__ bf16 of(boolean v)
    {
        return { cti_bf16_of(v.is) };
    }
};

template <> struct converted<boolean> {
    template <typename S> static __device__ boolean of(S v)
    {
        return { v != 0 };
    }
    static __device__ boolean of(bf16 v)
    {
        return { (v.bits & 0x7fff) != 0 };
    }
};

/* Copies the bytes without conversion. */
template <typename T> struct same {
    static __device__ T of(T v)
    {
        return v;
    }
};

/* ---- kernels: D from S by C ---- */

/* For contiguous arrays (step 1) or a single element that repeats (step 0); V elements at a
 * time. */
template <typename C, typename D, typename S, int V>
__global__ void __launch_bounds__(CU_BLOCK)
    copy_packed(int64_t n, D *out, const S *in, int64_t step)
{
    int64_t packs = n / V, i;
    int k;

    for (i = cu_thread(); i < packs; i += cu_threads()) {
        cu_pack<S, V> x = cu_load_pack<V>(in, step, i);
        cu_pack<D, V> y;

        for (k = 0; k < V; k++)
            y.v[k] = C::of(x.v[k]);
        reinterpret_cast<cu_pack<D, V> *>(out)[i] = y;
    }
    i = packs * V + cu_thread();
    if (i < n)
        out[i] = C::of(in[i * step]);
}

template <typename C, typename D, typename S>
__global__ void __launch_bounds__(CU_BLOCK) copy_strided(cu_walk<2> w, D *out, const S *in)
{
    int64_t i, at[2];

    for (i = cu_thread(); i < w.count; i += cu_threads()) {
        cu_walk_at(w, i, at);
        out[at[0]] = C::of(in[at[1]]);
    }
}

/* out (batch, n, m) is the transpose of in (batch, m, n). A tile goes through shared memory, so
 * that both reads and writes run along rows. */
#define TILE 32
#define TILE_ROWS 8

struct transposition {
    int64_t batch, m, n;
    int64_t in_row, out_row;   /* the distance from row to row */
    int64_t in_step, out_step; /* the distance from matrix to matrix */
};

template <typename T>
__global__ void __launch_bounds__(TILE *TILE_ROWS)
    copy_transposed(transposition t, T *out, const T *in)
{
    CU_SHARED(T, tile, [TILE][TILE + 1]);
    int64_t down = (t.m + TILE - 1) / TILE, across = (t.n + TILE - 1) / TILE, block;
    int x = threadIdx.x % TILE, y = threadIdx.x / TILE, k;

    for (block = blockIdx.x; block < t.batch * down * across; block += gridDim.x) {
        int64_t at = block, column = cu_split(&at, across) * TILE, row = cu_split(&at, down) * TILE;
        const T *from = in + at * t.in_step;
        T *to = out + at * t.out_step;

        for (k = y; k < TILE; k += TILE_ROWS)
            if (row + k < t.m && column + x < t.n)
                tile[k][x] = from[(row + k) * t.in_row + column + x];
        __syncthreads();
        for (k = y; k < TILE; k += TILE_ROWS)
            if (column + k < t.n && row + x < t.m)
                to[(column + k) * t.out_row + row + x] = tile[x][k];
        __syncthreads();
    }
}

/* ---- the choice ---- */

struct copy_call {
    cu_walk<2> w;
    void *out;
    const void *in;
};

/* True if w transposes one matrix or several: the elements of out are adjacent along the last axis,
 * those of in along the last but one. */
static bool is_transposition(const cu_walk<2> *w, transposition *t)
{
    int r = w->rank;

    if (r < 2 || r > 3 || w->step[0][r - 1] != 1 || w->step[1][r - 2] != 1 ||
        w->dim[r - 1] < TILE / 2 || w->dim[r - 2] < TILE / 2)
        return false;
    t->batch = r == 3 ? w->dim[0] : 1;
    t->m = w->dim[r - 1];
    t->n = w->dim[r - 2];
    t->in_row = w->step[1][r - 1];
    t->out_row = w->step[0][r - 2];
    t->in_step = r == 3 ? w->step[1][0] : 0;
    t->out_step = r == 3 ? w->step[0][0] : 0;
    return true;
}

template <typename C, typename D, typename S> static void copy_start(const copy_call *c)
{
    const int pack = 16 / (sizeof(D) > sizeof(S) ? sizeof(D) : sizeof(S));
    const cu_walk<2> *w = &c->w;
    int64_t step = w->step[1][0];
    D *out = static_cast<D *>(c->out);
    const S *in = static_cast<const S *>(c->in);

    if (w->rank == 1 && w->step[0][0] == 1 && cu_aligned(out, sizeof(D) * pack) &&
        (step == 0 || (step == 1 && cu_aligned(in, sizeof(S) * pack))))
        cu_run("copy", copy_packed<C, D, S, pack>,
               cu_blocks((w->count + pack - 1) / pack, CU_BLOCK), CU_BLOCK, w->count, out, in,
               step);
    else
        cu_run("copy", copy_strided<C, D, S>, cu_blocks(w->count, CU_BLOCK), CU_BLOCK, *w, out, in);
}

/* Copies within one dtype. */
template <typename T> static void copy_move(const copy_call *c)
{
    transposition t;

    if (!is_transposition(&c->w, &t)) {
        copy_start<same<T>, T, T>(c);
        return;
    }
    cu_run("copy", copy_transposed<T>,
           cu_blocks(t.batch * ((t.m + TILE - 1) / TILE) * ((t.n + TILE - 1) / TILE), 1),
           TILE * TILE_ROWS, t, static_cast<T *>(c->out), static_cast<const T *>(c->in));
}

static void copy_bytes(const copy_call *c, size_t size)
{
    if (size == 1)
        copy_move<uint8_t>(c);
    else if (size == 2)
        copy_move<uint16_t>(c);
    else if (size == 4)
        copy_move<uint32_t>(c);
    else
        copy_move<uint64_t>(c);
}

/* Converts to D from another dtype. */
template <typename D> static void copy_to(const copy_call *c, ct_dtype from)
{
    switch (from) {
#define COPY_FROM(name, ...)                                                                       \
    case CT_##name:                                                                                \
        if constexpr (!std::is_same<D, element<CT_##name>::type>::value)                           \
            copy_start<converted<D>, D, element<CT_##name>::type>(c);                              \
        break;
        CTI_DTYPES(COPY_FROM)
#undef COPY_FROM
    }
}

static copy_call copy_call_of(int rank, const int64_t *dim, const cti_array *dst,
                              const cti_array *src)
{
    copy_call c = {};
    int i;

    c.out = dst->data;
    c.in = src->data;
    c.w.rank = rank;
    for (i = 0; i < rank; i++) {
        c.w.dim[i] = dim[i];
        c.w.step[0][i] = dst->stride[i];
        c.w.step[1][i] = src->stride[i];
    }
    cu_walk_simplify(&c.w);
    return c;
}

void cu_copy(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    copy_call c = copy_call_of(rank, dim, dst, src);

    if (c.w.count == 0)
        return;
    if (dst->dtype == src->dtype) {
        copy_bytes(&c, cu_size_of(dst->dtype));
        return;
    }
    switch (dst->dtype) {
#define COPY_TO(name, ...)                                                                         \
    case CT_##name:                                                                                \
        copy_to<element<CT_##name>::type>(&c, src->dtype);                                         \
        break;
        CTI_DTYPES(COPY_TO)
#undef COPY_TO
    }
}

/* ---- carry: a copy within one dtype that does nothing while a fault is recorded ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    carry_strided(cu_walk<2> w, T *out, const T *in, const unsigned long long *fault)
{
    int64_t i, at[2];

    if (*fault != CU_NO_FAULT)
        return;
    for (i = cu_thread(); i < w.count; i += cu_threads()) {
        cu_walk_at(w, i, at);
        out[at[0]] = in[at[1]];
    }
}

template <typename T> static void carry_start(const copy_call *c)
{
    cu_run("carry", carry_strided<T>, cu_blocks(c->w.count, CU_BLOCK), CU_BLOCK, c->w,
           static_cast<T *>(c->out), static_cast<const T *>(c->in), cu_fault_word());
}

void cu_carry(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    copy_call c = copy_call_of(rank, dim, dst, src);
    size_t size = cu_size_of(dst->dtype);

    if (c.w.count == 0)
        return;
    if (size == 1)
        carry_start<uint8_t>(&c);
    else if (size == 2)
        carry_start<uint16_t>(&c);
    else if (size == 4)
        carry_start<uint32_t>(&c);
    else
        carry_start<uint64_t>(&c);
}

/* ---- fills ---- */

/* p[i] = start + i step */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) fill_range(int64_t n, T *p, double start, double step)
{
    int64_t i;

    for (i = cu_thread(); i < n; i += cu_threads())
        p[i] = converted<T>::of(step == 0 ? start
                                          : CTI_ADD(start, CTI_MUL(static_cast<double>(i), step)));
}

static void fill_start(const char *slot, const cti_arange_args *a)
{
    switch (a->dtype) {
#define FILL(name, ...)                                                                            \
    case CT_##name:                                                                                \
        cu_run(slot, fill_range<element<CT_##name>::type>, cu_blocks(a->n, CU_BLOCK), CU_BLOCK,    \
               a->n, static_cast<element<CT_##name>::type *>(a->out), a->start, a->step);          \
        break;
        CTI_DTYPES(FILL)
#undef FILL
    }
}

void cu_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    cti_arange_args a = { data, dtype, n, value, 0 };

    fill_start("fill", &a);
}

void cu_arange(const cti_arange_args *a)
{
    fill_start("arange", a);
}

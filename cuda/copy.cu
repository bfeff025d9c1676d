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

template <typename T> struct convert {
}; /* to T, from anything */

template <> struct convert<float> {
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

template <> struct convert<double> {
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

template <> struct convert<int32_t> {
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

template <> struct convert<int64_t> {
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

template <> struct convert<bf16> {
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

template <> struct convert<boolean> {
    template <typename S> static __device__ boolean of(S v)
    {
        return { v != 0 };
    }
    static __device__ boolean of(bf16 v)
    {
        return { (v.bits & 0x7fff) != 0 };
    }
};

/* The same bytes. */
template <typename T> struct move {
    static __device__ T of(T v)
    {
        return v;
    }
};

/* ---- kernels: D from S by C ---- */

/* Contiguous, or one element everywhere (step 0); V elements at a time. */
template <typename C, typename D, typename S, int V>
__global__ void __launch_bounds__(CU_BLOCK) packed(int64_t n, D *out, const S *in, int64_t step)
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
__global__ void __launch_bounds__(CU_BLOCK) strided(cu_walk<2> w, D *out, const S *in)
{
    int64_t i, at[2];

    for (i = cu_thread(); i < w.count; i += cu_threads()) {
        cu_walk_at(w, i, at);
        out[at[0]] = C::of(in[at[1]]);
    }
}

/* out (batch, n, m) <- in (batch, m, n), which are transposes of each other: a tile goes through
 * shared memory, so that both sides move along rows. step: of in's rows, of out's, of matrices. */
#define TILE 32
#define TILE_ROWS 8

struct transposition {
    int64_t batch, m, n, in_row, out_row, in_step, out_step;
};

template <typename T>
__global__ void __launch_bounds__(TILE *TILE_ROWS) transposed(transposition t, T *out, const T *in)
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

/* A matrix, or a row of matrices, whose last axis is out's, and whose last but one is in's. */
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

template <typename C, typename D, typename S> static bool start(const copy_call *c)
{
    const int pack = 16 / (sizeof(D) > sizeof(S) ? sizeof(D) : sizeof(S));
    const cu_walk<2> *w = &c->w;
    int64_t step = w->step[1][0];
    D *out = static_cast<D *>(c->out);
    const S *in = static_cast<const S *>(c->in);

    if (w->rank == 1 && w->step[0][0] == 1 && cu_aligned(out, sizeof(D) * pack) &&
        (step == 0 || (step == 1 && cu_aligned(in, sizeof(S) * pack))))
        cu_run("copy", packed<C, D, S, pack>, cu_blocks((w->count + pack - 1) / pack, CU_BLOCK),
               CU_BLOCK, w->count, out, in, step);
    else
        cu_run("copy", strided<C, D, S>, cu_blocks(w->count, CU_BLOCK), CU_BLOCK, *w, out, in);
    return true;
}

/* The same dtype: elements of size bytes. */
template <typename T> static bool start_move(const copy_call *c)
{
    transposition t;

    if (!is_transposition(&c->w, &t))
        return start<move<T>, T, T>(c);
    cu_run("copy", transposed<T>,
           cu_blocks(t.batch * ((t.m + TILE - 1) / TILE) * ((t.n + TILE - 1) / TILE), 1),
           TILE * TILE_ROWS, t, static_cast<T *>(c->out), static_cast<const T *>(c->in));
    return true;
}

template <typename D, typename S> static bool start_convert(const copy_call *c)
{
    return start<convert<D>, D, S>(c);
}

static bool start_same(const copy_call *c, size_t size)
{
    return size == 1   ? start_move<uint8_t>(c)
           : size == 2 ? start_move<uint16_t>(c)
           : size == 4 ? start_move<uint32_t>(c)
                       : start_move<uint64_t>(c);
}

/* To D, from another dtype. */
template <typename D> static bool start_to(const copy_call *c, ct_dtype from)
{
    switch (from) {
    case CT_F32:
        if constexpr (!std::is_same<D, float>::value)
            return start_convert<D, float>(c);
        break;
    case CT_F64:
        if constexpr (!std::is_same<D, double>::value)
            return start_convert<D, double>(c);
        break;
    case CT_I32:
        if constexpr (!std::is_same<D, int32_t>::value)
            return start_convert<D, int32_t>(c);
        break;
    case CT_I64:
        if constexpr (!std::is_same<D, int64_t>::value)
            return start_convert<D, int64_t>(c);
        break;
    case CT_BOOL:
        if constexpr (!std::is_same<D, boolean>::value)
            return start_convert<D, boolean>(c);
        break;
    case CT_BF16:
        if constexpr (!std::is_same<D, bf16>::value)
            return start_convert<D, bf16>(c);
        break;
    }
    return false;
}

static copy_call call_of(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
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
    copy_call c = call_of(rank, dim, dst, src);

    if (c.w.count == 0)
        return;
    if (dst->dtype == src->dtype)
        start_same(&c, cu_size_of(dst->dtype));
    else if (dst->dtype == CT_F32)
        start_to<float>(&c, src->dtype);
    else if (dst->dtype == CT_F64)
        start_to<double>(&c, src->dtype);
    else if (dst->dtype == CT_I32)
        start_to<int32_t>(&c, src->dtype);
    else if (dst->dtype == CT_I64)
        start_to<int64_t>(&c, src->dtype);
    else if (dst->dtype == CT_BOOL)
        start_to<boolean>(&c, src->dtype);
    else
        start_to<bf16>(&c, src->dtype);
}

/* ---- carry: a copy of the same dtype, of nothing while a fault stands ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    carried(cu_walk<2> w, T *out, const T *in, const unsigned long long *fault)
{
    int64_t i, at[2];

    if (*fault != CU_NO_FAULT)
        return;
    for (i = cu_thread(); i < w.count; i += cu_threads()) {
        cu_walk_at(w, i, at);
        out[at[0]] = in[at[1]];
    }
}

template <typename T> static void start_carry(const copy_call *c)
{
    cu_run("carry", carried<T>, cu_blocks(c->w.count, CU_BLOCK), CU_BLOCK, c->w,
           static_cast<T *>(c->out), static_cast<const T *>(c->in), cu_fault_word());
}

void cu_carry(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src)
{
    copy_call c = call_of(rank, dim, dst, src);
    size_t size = cu_size_of(dst->dtype);

    if (c.w.count == 0)
        return;
    if (size == 1)
        start_carry<uint8_t>(&c);
    else if (size == 2)
        start_carry<uint16_t>(&c);
    else if (size == 4)
        start_carry<uint32_t>(&c);
    else
        start_carry<uint64_t>(&c);
}

/* ---- fills ---- */

/* p[i] = start + i step */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) range(int64_t n, T *p, double start, double step)
{
    int64_t i;

    for (i = cu_thread(); i < n; i += cu_threads())
        p[i] = convert<T>::of(step == 0 ? start
                                        : CTI_ADD(start, CTI_MUL(static_cast<double>(i), step)));
}

static void start_range(const char *slot, void *data, ct_dtype dtype, int64_t n, double start,
                        double step)
{
    int64_t blocks = cu_blocks(n, CU_BLOCK);

    switch (dtype) {
    case CT_F32:
        cu_run(slot, range<float>, blocks, CU_BLOCK, n, static_cast<float *>(data), start, step);
        break;
    case CT_F64:
        cu_run(slot, range<double>, blocks, CU_BLOCK, n, static_cast<double *>(data), start, step);
        break;
    case CT_I32:
        cu_run(slot, range<int32_t>, blocks, CU_BLOCK, n, static_cast<int32_t *>(data), start,
               step);
        break;
    case CT_I64:
        cu_run(slot, range<int64_t>, blocks, CU_BLOCK, n, static_cast<int64_t *>(data), start,
               step);
        break;
    case CT_BOOL:
        cu_run(slot, range<boolean>, blocks, CU_BLOCK, n, static_cast<boolean *>(data), start,
               step);
        break;
    case CT_BF16:
        cu_run(slot, range<bf16>, blocks, CU_BLOCK, n, static_cast<bf16 *>(data), start, step);
        break;
    }
}

void cu_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    start_range("fill", data, dtype, n, value, 0);
}

void cu_arange(void *data, ct_dtype dtype, int64_t n, double start, double step)
{
    start_range("arange", data, dtype, n, start, step);
}

/* SPDX-License-Identifier: MIT */
/* sort.cu - the positions of the first k elements of each row of n in sorted order; stable.
 *
 * Tiles are sorted first. Then pairs of runs are merged, and at most k elements of each run are
 * kept. One thread for each element finds its position in the merged run by a binary search in the
 * other run, so no thread waits for another. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#define TILE 32

struct rows {
    int64_t count, n;
    bool descending;
};

/* True if p comes before q in sorted order, if q came first. A NaN is the greatest. */
template <typename T> __device__ inline bool sorts_before(bool descending, T p, T q)
{
    return descending ? cu_after(p, q) : cu_after(q, p);
}

/* The runs of a row. Run r covers up to `span` elements from r span on, of which at most `kept` are
 * kept; they are stored from r kept on. */
struct runs {
    int64_t span, kept;
    int64_t stride; /* the distance from row to row */
};

__device__ inline int64_t run_length(const runs &u, int64_t n, int64_t run)
{
    int64_t left = n - run * u.span;

    left = left < u.span ? left : u.span;
    return left < 0 ? 0 : left < u.kept ? left : u.kept;
}

/* Finds the place of each element within its tile of TILE elements. */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) sort_tiles(rows s, const T *in, runs to, int64_t *order)
{
    int64_t i;

    for (i = cu_thread(); i < s.count * s.n; i += cu_threads()) {
        int64_t row = i, at = cu_split(&row, s.n), first = at / TILE * TILE, j, place = 0;
        int64_t end = first + TILE < s.n ? first + TILE : s.n;
        const T *x = in + row * s.n;

        for (j = first; j < at; j++)
            place += !sorts_before(s.descending, x[at], x[j]);
        for (j = at + 1; j < end; j++)
            place += sorts_before(s.descending, x[j], x[at]);
        if (place < to.kept)
            order[row * to.stride + first / TILE * to.kept + place] = at;
    }
}

/* The number of elements of a sorted run that come before v. Equal elements of the left run come
 * first. */
template <typename T>
__device__ inline int64_t count_before(bool descending, const T *x, const int64_t *run,
                                       int64_t length, bool run_is_left, T v)
{
    int64_t low = 0, high = length;

    while (low < high) {
        int64_t middle = (low + high) / 2;
        T w = x[run[middle]];
        bool stands =
            run_is_left ? !sorts_before(descending, v, w) : sorts_before(descending, w, v);

        if (stands)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Merges the runs 2 r and 2 r + 1 into run r. */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    sort_merge_runs(rows s, const T *in, runs from, const int64_t *order, runs to, int64_t *merged)
{
    int64_t per_row = (s.n + from.span - 1) / from.span * from.kept, i;

    for (i = cu_thread(); i < s.count * per_row; i += cu_threads()) {
        int64_t row = i, at = cu_split(&row, per_row), run = at, place = cu_split(&run, from.kept);
        int64_t other = run ^ 1;
        const int64_t *mine = order + row * from.stride;
        const T *x = in + row * s.n;

        if (place >= run_length(from, s.n, run))
            continue;
        at = mine[run * from.kept + place];
        place += count_before(s.descending, x, mine + other * from.kept,
                              run_length(from, s.n, other), other < run, x[at]);
        if (place < to.kept)
            merged[row * to.stride + run / 2 * to.kept + place] = at;
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* scratch has two halves of (rows, n). The last pass writes to order. */
template <typename T> static void sort_start(const cti_sort_args *a)
{
    const T *in = static_cast<const T *>(a->in);
    rows s = { a->rows, a->n, a->descending };
    int64_t *half[2] = { a->scratch, a->scratch + s.count * s.n }, *at;
    runs now = { TILE, least(TILE, a->k), s.n <= TILE ? a->k : s.n }, next;
    int pass;

    at = s.n <= TILE ? a->order : half[0];
    cu_run("sort", sort_tiles<T>, cu_blocks(s.count * s.n, CU_BLOCK), CU_BLOCK, s, in, now, at);
    for (pass = 1; now.span < s.n; pass++) {
        int64_t runs_left = (s.n + now.span - 1) / now.span, *to = half[pass % 2];

        next = { now.span * 2, least(now.span * 2, a->k), s.n };
        if (next.span >= s.n) {
            next.stride = a->k;
            to = a->order;
        }
        cu_run("sort", sort_merge_runs<T>, cu_blocks(s.count * runs_left * now.kept, CU_BLOCK),
               CU_BLOCK, s, in, now, at, next, to);
        now = next;
        at = to;
    }
}

void cu_sort(const cti_sort_args *a)
{
    if (a->k == 0 || a->rows == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        sort_start<float>(a);
        break;
    case CT_F64:
        sort_start<double>(a);
        break;
    case CT_I32:
        sort_start<int32_t>(a);
        break;
    case CT_I64:
        sort_start<int64_t>(a);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

/* ---- searching in sorted rows: a thread for each value ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) searchsorted(cti_searchsorted_args a)
{
    int64_t i;

    for (i = cu_thread(); i < a.rows * a.m; i += cu_threads()) {
        const T *row = static_cast<const T *>(a.sorted) + i / a.m * a.n;
        T v = static_cast<const T *>(a.values)[i];
        int64_t low = 0, high = a.n;

        while (low < high) {
            int64_t middle = low + (high - low) / 2;

            if (a.right ? row[middle] > v : row[middle] >= v)
                high = middle;
            else
                low = middle + 1;
        }
        a.out[i] = low;
    }
}

template <typename T> static void searchsorted_start(const cti_searchsorted_args *a)
{
    cu_run("searchsorted", searchsorted<T>, cu_blocks(a->rows * a->m, CU_BLOCK), CU_BLOCK, *a);
}

void cu_searchsorted(const cti_searchsorted_args *a)
{
    if (a->rows == 0 || a->m == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        searchsorted_start<float>(a);
        break;
    case CT_F64:
        searchsorted_start<double>(a);
        break;
    case CT_I32:
        searchsorted_start<int32_t>(a);
        break;
    case CT_I64:
        searchsorted_start<int64_t>(a);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

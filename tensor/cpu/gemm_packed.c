/* SPDX-License-Identifier: MIT */
/* gemm_packed.c - products A B by small kernels, which LIBXSMM compiles for each size if it can.
 *
 * B (k, n) is cut into chunks of rows and panels of columns. A panel has the width of a kernel; the
 * last one may be narrower, or padded with zeros to whole vectors:
 *
 *              width   width   last
 *            +-------+-------+-----+
 *     chunk  |   0   |   1   |  2  |        memory: 0 1 2 3 4 5, each row-major and without gaps
 *            +-------+-------+-----+
 *     rest   |   3   |   4   |  5  |        part[rest?][last?] is the kernel for a block
 *            +-------+-------+-----+
 *
 * So a kernel reads a panel from front to back. In B itself, rows that are a power of two bytes apart
 * fall into the same sets of the caches and evict each other. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/blas.h"
#include "tensor/parallel.h"
#include "tensor/system.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef CT_HAVE_LIBXSMM
#include <libxsmm.h>
#endif

#define MOST_FLOPS (128 * 1024 * 1024) /* the most multiplications of a compiled kernel */

/* ---- tests whether code may be generated at run time ---- */

/* the most bytes that one kernel and the stack of its compilation need */
#define CODE_ROOM ((size_t)1 << 20)
#define CODE_START ((size_t)32 << 20) /* the most bytes of LIBXSMM's registry */

static bool code_allowed;

static void code_probe(void)
{
    code_allowed = cti_may_map_code(CODE_ROOM);
}

bool cti_may_generate_code(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, code_probe);
    return code_allowed;
}

/* ---- one small product ---- */

#ifdef CT_HAVE_LIBXSMM

/* LIBXSMM crashes if it cannot map memory. So this code checks that there is room before LIBXSMM
 * starts and before it compiles a kernel. Compiled kernels are kept in a table of this file, whose
 * keys hold everything on which a kernel depends, so finding one needs no memory. */
typedef struct code_key {
    int dtype, m, n, k, lda, ldb, ldc, flags, accumulate;
} code_key;

typedef void code_kernel(void);

/* A compiled kernel. It never changes once it is in the table, so that it is found without a lock. */
typedef struct code_kept {
    code_key key;
    code_kernel *kernel;
    struct code_kept *older;
} code_kept;

#define CODE_KERNELS 1024 /* a power of two */

static struct {
    pthread_once_t once;
    bool started;
    pthread_mutex_t lock;
    _Atomic(struct code_kept *) kept[CODE_KERNELS]; /* the newest of each place */
} code = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

/* LIBXSMM compiles for the instructions of the processor, which may exceed those of the code path
 * in use, so it is limited to these. It puts OMP_PROC_BIND into the environment, as a string in its
 * own memory. The variable is removed, because it would pin the threads of other libraries and of
 * child processes, and because the string would be gone when a plug-in that contains this library
 * is unloaded. */
static void code_start(void)
{
    bool bound = getenv("OMP_PROC_BIND") != NULL;

    if (!cti_may_map(CODE_START))
        return;
    if (cti_cpu_path_get()->vector_bytes < 64)
        libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    libxsmm_init();
    if (!bound)
        unsetenv("OMP_PROC_BIND");
    code.started = true;
}

static bool code_may_compile(void)
{
    if (cti_cpu_path_get() == &cti_cpu_path_base || ct_portable() || !cti_may_generate_code())
        return false;
    pthread_once(&code.once, code_start);
    return code.started;
}

const char *cti_libxsmm_name(bool *in_use)
{
    bool used = code_may_compile();

    if (in_use)
        *in_use = used;
    if (used)
        return CT_LIBXSMM_VERSION;
    if (cti_cpu_path_get() == &cti_cpu_path_base)
        return CT_LIBXSMM_VERSION ", off: not used on the code path base";
    if (!cti_may_generate_code())
        return CT_LIBXSMM_VERSION ", off: code may not be generated at run time here";
    return CT_LIBXSMM_VERSION ", off: there was not enough memory to start it";
}

static _Atomic(struct code_kept *) *code_place(const code_key *key)
{
    const unsigned char *bytes = (const unsigned char *)key;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &code.kept[(hash ^ hash >> 16) % CODE_KERNELS];
}

static code_kernel *code_compile(const code_key *key)
{
    const double one = 1, beta = key->accumulate;
    const float one_f32 = 1, beta_f32 = (float)beta;

    if (!cti_may_map_code(CODE_ROOM))
        return NULL;
    if (key->dtype == CT_F64)
        return (code_kernel *)libxsmm_dmmdispatch(key->m, key->n, key->k, &key->lda, &key->ldb,
                                                  &key->ldc, &one, &beta, &key->flags, NULL);
    return (code_kernel *)libxsmm_smmdispatch(key->m, key->n, key->k, &key->lda, &key->ldb,
                                              &key->ldc, &one_f32, &beta_f32, &key->flags, NULL);
}

/* Returns the kernel of a key; NULL if there is none yet. */
static const code_kept *code_find(const code_key *key)
{
    const code_kept *k = atomic_load_explicit(code_place(key), memory_order_acquire);

    while (k && memcmp(&k->key, key, sizeof *key) != 0)
        k = k->older;
    return k;
}

/* Compiles a kernel, unless another thread has just done so. NULL if it cannot be compiled. */
static code_kernel *code_add(const code_key *key)
{
    _Atomic(code_kept *) *place = code_place(key);
    const code_kept *found;
    code_kept *new;
    code_kernel *kernel;

    pthread_mutex_lock(&code.lock);
    found = code_find(key);
    kernel = found ? found->kernel : code_compile(key);
    new = kernel && !found ? malloc(sizeof *new)
                           : NULL; /* kept as long as LIBXSMM keeps the kernel */
    if (new) {
        *new = (code_kept){ *key, kernel, atomic_load_explicit(place, memory_order_relaxed) };
        atomic_store_explicit(place, new, memory_order_release);
    }
    pthread_mutex_unlock(&code.lock);
    return kernel;
}

/* LIBXSMM is column-major: C^T = B^T A^T. */
static void small_gemm_compile(cti_small_gemm *g)
{
    const int flags = g->trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : 0;
    const code_key key = {
        g->dtype, g->n, g->m, g->k, g->ldb, g->lda, g->ldc, flags, g->accumulate
    };
    const code_kept *at;

    if (!code_may_compile() || (int64_t)g->m * g->n * g->k > MOST_FLOPS)
        return;
    at = code_find(&key);
    g->kernel = at ? at->kernel : code_add(&key);
}

static bool small_gemm_compiled(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    if (!g->kernel)
        return false;
    if (g->dtype == CT_F64)
        ((libxsmm_dmmfunction)g->kernel)(b, a, c);
    else
        ((libxsmm_smmfunction)g->kernel)(b, a, c);
    return true;
}

#else

static bool code_may_compile(void)
{
    return false;
}

const char *cti_libxsmm_name(bool *in_use)
{
    if (in_use)
        *in_use = false;
    return "none";
}

static void small_gemm_compile(cti_small_gemm *g)
{
    (void)g;
}

static bool small_gemm_compiled(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    (void)g, (void)a, (void)b, (void)c;
    return false;
}

#endif

bool cti_small_gemm_init(cti_small_gemm *g)
{
    g->kernel = NULL;
    if (g->m > 0 && g->n > 0 && g->k > 0)
        small_gemm_compile(g);
    return g->kernel != NULL;
}

void cti_small_gemm_run(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    const cti_gemm plain = { .dtype = g->dtype,
                             .m = g->m,
                             .n = g->n,
                             .k = g->k,
                             .alpha = 1,
                             .beta = g->accumulate ? 1 : 0,
                             .trans_a = g->trans_a,
                             .lda = g->lda,
                             .ldb = g->ldb,
                             .ldc = g->ldc };

    if (!small_gemm_compiled(g, a, b, c))
        cti_multiply(&plain, plain.m, a, b, c);
}

/* ---- B in panels ---- */

#define MOST_WIDTH 256 /* the most bytes of a panel */

/* The width of four vectors: four vectors by several rows of C fill the registers. */
static int64_t panel_width(ct_dtype dtype)
{
    return 4 * cti_cpu_path_get()->vector_bytes / (int64_t)ct_dtype_size(dtype);
}

cti_packed cti_packed_layout(ct_dtype dtype, int64_t k, int64_t n, int64_t chunk)
{
    cti_packed p = { .dtype = dtype, .k = k, .n = n, .width = n, .chunk = k, .last = n };

    if (!code_may_compile())
        return p;
    if (panel_width(dtype) < n)
        p.width = panel_width(dtype);
    if (p.width && n % p.width)
        p.last = n % p.width;
    else
        p.last = p.width;
    if (chunk < k)
        p.chunk = chunk;
    return p;
}

void cti_packed_pad(cti_packed *p)
{
    int64_t vector = panel_width(p->dtype) / 4;

    if (code_may_compile() && p->chunk == p->k)
        p->last = (p->last + vector - 1) / vector * vector;
}

/* The columns of the last panel without its padding. */
static int64_t packed_columns_left(const cti_packed *p)
{
    return p->width && p->n % p->width ? p->n % p->width : p->width;
}

int64_t cti_packed_columns(const cti_packed *p)
{
    return p->n - packed_columns_left(p) + p->last;
}

/* Packs (k, n) as (k, width), with zeros beyond n. Rows of a B^T are read 64 bytes at a time. */
#define PACK(name, type)                                                                           \
    static void name(type *to, int64_t width, const type *b, int64_t k, int64_t n, int64_t ldb,    \
                     bool trans)                                                                   \
    {                                                                                              \
        const int64_t step = 64 / (int64_t)sizeof(type);                                           \
        int64_t at, j, i, end;                                                                     \
        if (width > n)                                                                             \
            memset(to, 0, (size_t)(k * width) * sizeof(type));                                     \
        if (!trans) {                                                                              \
            for (i = 0; i < k; i++)                                                                \
                memcpy(to + i * width, b + i * ldb, (size_t)n * sizeof(type));                     \
            return;                                                                                \
        }                                                                                          \
        for (at = 0; at < k; at += step) {                                                         \
            end = at + step < k ? at + step : k;                                                   \
            for (j = 0; j < n; j++)                                                                \
                for (i = at; i < end; i++)                                                         \
                    to[i * width + j] = b[j * ldb + i];                                            \
        }                                                                                          \
    }
PACK(pack_f32, float)
PACK(pack_f64, double)

void cti_pack(cti_packed *p, bool trans, const void *b, int64_t ldb, void *room)
{
    int64_t size = (int64_t)ct_dtype_size(p->dtype), k, n;
    char *to = room;

    for (k = 0; k < p->k; k += p->chunk)
        for (n = 0; n < p->n; n += p->width) {
            int64_t rows = p->k - k < p->chunk ? p->k - k : p->chunk;
            int64_t left = p->n - n < p->width ? p->n - n : p->width;
            int64_t width = p->n - n <= p->width ? p->last : p->width;
            const char *from = (const char *)b + (trans ? n * ldb + k : k * ldb + n) * size;

            if (p->dtype == CT_F64)
                pack_f64((double *)to, width, (const double *)from, rows, left, ldb, trans);
            else
                pack_f32((float *)to, width, (const float *)from, rows, left, ldb, trans);
            to += rows * width * size;
        }
    p->data = room;
}

/* ---- A times a packed B ---- */

/* True if the last panel has padding. Its product is then computed in a separate buffer, because
 * the padding is not part of C. */
static bool packed_is_padded(const cti_packed *b)
{
    return b->last != packed_columns_left(b);
}

void cti_product_init(cti_product *p)
{
    const cti_packed *b = p->b;
    int64_t k[2] = { b->chunk, b->chunk ? b->k % b->chunk : 0 };
    int64_t n[2] = { b->width, b->last };
    int i, j;

    /* Rows of A whose distance is a multiple of a page evict each other from the cache, so they are
     * first copied to neighbouring memory. */
    p->gather = p->trans_a && p->m <= CTI_PRODUCT_ROWS && b->chunk <= CTI_PRODUCT_CHUNK &&
                p->lda * (int64_t)ct_dtype_size(b->dtype) % 4096 == 0 && code_may_compile();
    for (i = 0; i < 2; i++)
        for (j = 0; j < 2; j++) {
            bool aside = j && packed_is_padded(b);

            p->part[i][j] = (cti_small_gemm){ .dtype = b->dtype,
                                              .m = (int)p->m,
                                              .n = (int)n[j],
                                              .k = (int)k[i],
                                              .lda = (int)(p->gather ? p->m : p->lda),
                                              .ldb = (int)n[j],
                                              .ldc = (int)(aside ? n[j] : p->ldc),
                                              .trans_a = p->trans_a,
                                              .accumulate = !aside && (p->accumulate || p->bias ||
                                                                       b->chunk < b->k) };
            if (p->m && n[j] && k[i])
                cti_small_gemm_init(&p->part[i][j]);
        }
}

/* Copies rows of A^T (k, m), which are lda apart, one after another. Rows a multiple of a page
 * apart fall into the same sets of the caches and evict each other. */
static const char *product_gather_rows(const cti_product *p, const char *a, int64_t k, char *room)
{
    int64_t size = (int64_t)ct_dtype_size(p->b->dtype), i;

    for (i = 0; i < k; i++)
        memcpy(room + i * p->m * size, a + i * p->lda * size, (size_t)(p->m * size));
    return room;
}

/* Sets C, except a padded last panel, to the bias. Without a bias, sets it to zeros if the products
 * of several chunks are added. */
static void product_start(const cti_product *p, const cti_row_loops *loops, void *c)
{
    const cti_packed *b = p->b;

    if (p->bias || (!p->accumulate && b->chunk < b->k))
        loops->start_rows(p->m, packed_is_padded(b) ? b->n - packed_columns_left(b) : b->n, p->bias,
                          c, p->ldc);
}

/* Computes the product of a padded last panel in a buffer of whole vectors. */
static void product_last_panel(const cti_product *p, const cti_row_loops *loops, const void *rows,
                               const void *panel, char *c)
{
    const cti_packed *b = p->b;
    int64_t size = (int64_t)ct_dtype_size(b->dtype), left = packed_columns_left(b), n = b->n - left;
    double room[CTI_PRODUCT_ROWS * MOST_WIDTH / sizeof(double)];

    cti_small_gemm_run(&p->part[0][1], rows, panel, room);
    loops->add_bias(p->m, left, room, b->last, p->bias ? (const char *)p->bias + n * size : NULL,
                    c + n * size, p->ldc);
}

void cti_product_run(const cti_product *p, const void *a, void *c)
{
    const cti_packed *b = p->b;
    const cti_row_loops *loops = cti_cpu_rows_of(b->dtype);
    int64_t size = (int64_t)ct_dtype_size(b->dtype), k, n;
    const char *panel = b->data;
    char room[CTI_PRODUCT_ROWS * CTI_PRODUCT_CHUNK * sizeof(double)];

    product_start(p, loops, c);
    for (k = 0; k < b->k; k += b->chunk) {
        const char *rows = (const char *)a + k * (p->trans_a ? p->lda : 1) * size;
        int tail = b->k - k < b->chunk;

        if (p->gather)
            rows = product_gather_rows(p, rows, tail ? b->k - k : b->chunk, room);
        for (n = 0; n < b->n; n += b->width) {
            bool last = b->n - n <= b->width;
            const cti_small_gemm *g = &p->part[tail][last];

            if (last && packed_is_padded(b))
                product_last_panel(p, loops, rows, panel, c);
            else
                cti_small_gemm_run(g, rows, panel, (char *)c + n * size);
            panel += (int64_t)g->k * g->n * size;
        }
    }
}

/* ---- a large product: rows of C in tiles ---- */

#define MOST_SMALL 1024 /* the greatest n and k (or m) with which B stays in the cache */
#define FEW_COLUMNS 256 /* the most columns of an unpacked B, if A has fewer rows than a tile */
#ifdef CT_HAVE_BLAS
/* with fewer rows, packing a B^T takes longer than BLAS's product */
#define FEW_ROWS CTI_PRODUCT_ROWS
#else
#define FEW_ROWS 4
#endif

typedef struct tiled {
    const cti_gemm *g;
    cti_product tile, last; /* the products of CTI_PRODUCT_ROWS rows and of the rest */
} tiled;

static bool packed_fits_int(const cti_gemm *g)
{
    return g->k <= INT_MAX && g->lda <= INT_MAX && g->ldb <= INT_MAX && g->ldc <= INT_MAX;
}

static bool packed_fits(const cti_gemm *g)
{
    return code_may_compile() && packed_fits_int(g) && g->batch == 1 && g->alpha == 1 &&
           (g->beta == 0 || g->beta == 1) && g->n <= MOST_SMALL &&
           (g->trans_a ? g->m : g->k) <= MOST_SMALL;
}

static void tiled_piece(void *context, int64_t piece)
{
    const tiled *t = context;
    const cti_gemm *g = t->g;
    int64_t size = (int64_t)ct_dtype_size(g->dtype), row = piece * CTI_PRODUCT_ROWS;

    cti_product_run(g->m - row < CTI_PRODUCT_ROWS ? &t->last : &t->tile,
                    (const char *)g->a + row * (g->trans_a ? 1 : g->lda) * size,
                    (char *)g->c + row * g->ldc * size);
}

/* Computes a product of few rows without packing B. False if B is too wide for that. */
static bool packed_few_rows(const cti_gemm *g)
{
    cti_small_gemm s = { .dtype = g->dtype,
                         .m = (int)g->m,
                         .n = (int)g->n,
                         .k = (int)g->k,
                         .lda = (int)g->lda,
                         .ldb = (int)g->ldb,
                         .ldc = (int)g->ldc,
                         .trans_a = g->trans_a,
                         .accumulate = g->beta == 1 || g->bias };

    if (g->trans_b || g->n > FEW_COLUMNS || !cti_small_gemm_init(&s))
        return false;
    if (g->bias)
        cti_start_from_bias(g, g->m, g->c);
    cti_small_gemm_run(&s, g->a, g->b, g->c);
    return true;
}

bool cti_gemm_packed(const cti_gemm *g)
{
    bool accumulate = g->beta == 1;
    ct_storage *room = NULL;
    cti_packed b;
    tiled t = { .g = g };

    if (!packed_fits(g))
        return false;
    if (g->m < CTI_PRODUCT_ROWS && g->k <= CTI_PRODUCT_CHUNK)
        return packed_few_rows(g);
    if (g->trans_b && g->m < FEW_ROWS)
        return false;
    b = cti_packed_layout(g->dtype, g->k, g->n, g->trans_a ? CTI_PRODUCT_CHUNK : g->k);
    if (!accumulate)
        cti_packed_pad(&b);
    if (b.width == b.n && b.last == b.n && g->ldb == g->n && !g->trans_b) {
        b.data = g->b; /* B is one panel */
    } else {
        room = cti_storage_try(CT_CPU,
                               (size_t)(g->k * cti_packed_columns(&b)) * ct_dtype_size(g->dtype));
        if (!room)
            return false;
        cti_pack(&b, g->trans_b, g->b, g->ldb, room->data);
    }
    t.tile = (cti_product){ .b = &b,
                            .m = g->m < CTI_PRODUCT_ROWS ? 0 : CTI_PRODUCT_ROWS,
                            .lda = g->lda,
                            .ldc = g->ldc,
                            .bias = g->bias,
                            .trans_a = g->trans_a,
                            .accumulate = accumulate };
    t.last = t.tile;
    t.last.m = g->m % CTI_PRODUCT_ROWS;
    cti_product_init(&t.tile);
    cti_product_init(&t.last);
    cti_parallel((g->m + CTI_PRODUCT_ROWS - 1) / CTI_PRODUCT_ROWS, tiled_piece, &t);
    if (room)
        cti_storage_unref(room);
    return true;
}

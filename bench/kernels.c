/* SPDX-License-Identifier: MIT */
/* kernels.c - the machine's limits, and single ops measured against them. */
#include <config.h>

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/bench.h"

#ifdef CT_HAVE_BLAS
#include <cblas.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

extern char **environ;

/* ---- the peak of fused multiply-adds ---- */

#define CHAINS 12 /* independent chains; two units with a latency of 5 need 10 */
#define TURNS 100000

#if defined(__x86_64__)

__attribute__((target("avx512f"))) static float chains_avx512(void)
{
    const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1);
    __m512 v[CHAINS], all = _mm512_setzero_ps();
    int i, j;

    for (j = 0; j < CHAINS; j++)
        v[j] = _mm512_set1_ps((float)j);
    for (i = 0; i < TURNS; i++) {
#pragma GCC unroll 12
        for (j = 0; j < CHAINS; j++)
            v[j] = _mm512_fmadd_ps(v[j], a, b);
    }
    for (j = 0; j < CHAINS; j++)
        all = _mm512_add_ps(all, v[j]);
    return _mm_cvtss_f32(_mm512_castps512_ps128(all));
}

__attribute__((target("avx2,fma"))) static float chains_avx2(void)
{
    const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1);
    __m256 v[CHAINS], all = _mm256_setzero_ps();
    int i, j;

    for (j = 0; j < CHAINS; j++)
        v[j] = _mm256_set1_ps((float)j);
    for (i = 0; i < TURNS; i++) {
#pragma GCC unroll 12
        for (j = 0; j < CHAINS; j++)
            v[j] = _mm256_fmadd_ps(v[j], a, b);
    }
    for (j = 0; j < CHAINS; j++)
        all = _mm256_add_ps(all, v[j]);
    return _mm_cvtss_f32(_mm256_castps256_ps128(all));
}

#endif

typedef float four __attribute__((vector_size(16)));

static float chains_base(void)
{
    const four a = { 0.5f, 0.5f, 0.5f, 0.5f }, b = { 1, 1, 1, 1 };
    four v[CHAINS] = { { 0 } }, all = { 0 };
    int i, j;

    for (i = 0; i < TURNS; i++) {
#pragma GCC unroll 12
        for (j = 0; j < CHAINS; j++)
            v[j] = v[j] * a + b;
    }
    for (j = 0; j < CHAINS; j++)
        all += v[j];
    return all[0];
}

double peak(double seconds, const char **name)
{
    float (*chains)(void) = chains_base;
    volatile float sink;
    double flops = 2.0 * CHAINS * TURNS * 4, best = 0, start, spent, end = now() + seconds;

    *name = "base";
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        *name = "avx512", chains = chains_avx512, flops *= 4;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        *name = "avx2", chains = chains_avx2, flops *= 2;
#endif
    do {
        start = now();
        sink = chains();
        spent = now() - start;
        if (flops / spent > best)
            best = flops / spent;
    } while (now() < end);
    (void)sink;
    return best * 1e-9;
}

/* ---- start-up ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Returns the median time of a process, from its start to its end, that makes a model and runs a
 * layer. */
double start_up(const char *program)
{
    char *argv[] = { (char *)program, (char *)"nothing", NULL };
    double spent[15];
    int i, status;
    pid_t child;

    for (i = 0; i < 15; i++) {
        double start = now();

        if (posix_spawn(&child, program, NULL, NULL, argv, environ) != 0 ||
            waitpid(child, &status, 0) != child || status != 0)
            return 0;
        spent[i] = (now() - start) * 1e3;
    }
    qsort(spent, 15, sizeof *spent, by_size);
    return spent[7];
}

/* ---- single ops: measured in turn with the other implementation; the best result of each counts
 * ---- */

double bandwidth(double seconds)
{
    const int64_t n = 8 << 20; /* 32 MiB: larger than the caches of a core */
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(n), CT_F32, CT_CPU), *y = ct_ones(CT_SHAPE(n), CT_F32, CT_CPU);
    float *from = malloc((size_t)n * 4), *to = malloc((size_t)n * 4);
    double copy = 0, add = 0, start, rate, end = now() + seconds;

    memset(from, 1, (size_t)n * 4);
    memset(to, 1, (size_t)n * 4);
    do {
        ct_scope turn = ct_scope_begin();

        start = now();
        memcpy(to, from, (size_t)n * 4);
        from[0] = to[n - 1]; /* uses the result, so that the copy is not removed */
        rate = 8.0 * (double)n / (now() - start);
        copy = rate > copy ? rate : copy;
        start = now();
        ct_add(x, y);
        rate = 12.0 * (double)n / (now() - start);
        add = rate > add ? rate : add;
        (void)!ct_scope_end(turn);
    } while (now() < end);
    free(from);
    free(to);
    (void)!ct_scope_end(s);
    return add / copy;
}

double linear_share(double seconds)
{
#ifdef CT_HAVE_BLAS
    const int rows = 1120, size = 256;
    ct_params *p = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *l =
        ct_nn_linear(p, "l", (ct_nn_linear_options){ .in_features = size, .out_features = size });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(rows, size), CT_F32, CT_CPU);
    float *a = calloc((size_t)(2 * rows + size) * (size_t)size, sizeof *a);
    float *b = a + rows * size, *c = b + size * size;
    double ours = 1e9, theirs = 1e9, start, spent, end = now() + seconds;

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    openblas_set_num_threads(1);
#endif
    do {
        ct_scope turn = ct_scope_begin();

        start = now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, size, size, 1, a, size, b, size,
                    0, c, size);
        spent = now() - start;
        theirs = spent < theirs ? spent : theirs;
        start = now();
        ct_forward(l, x);
        spent = now() - start;
        ours = spent < ours ? spent : ours;
        (void)!ct_scope_end(turn);
    } while (now() < end);
    (void)!ct_scope_end(s);
    free(a);
    ct_params_free(p);
    return theirs / ours;
#else
    return 0 * seconds;
#endif
}

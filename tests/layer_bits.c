/* SPDX-License-Identifier: MIT */
/* layer_bits.c - prints a digest of each result of recurrent layers. layer_bits.sh compiles it with the
 * kernels of one code path, and without the rest of the library, for several processors. */
#include "tensor/cpu/cpu.h"
#include "tensor/parallel.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the functions of the library that the kernels use ---- */

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)

static const cti_cpu_path bits_path = { .micro = &PASTE(cti_micro_, CT_CPU_PATH) };

const cti_cpu_path *cti_cpu_path_best(void)
{
    return &bits_path;
}

const cti_cpu_path *cti_cpu_path_get(void)
{
    return &bits_path;
}

const cti_bf16_path *cti_bf16_path_best(void)
{
    return NULL;
}

const cti_bf16_path *cti_bf16_path_get(void)
{
    return NULL;
}

bool ct_portable(void)
{
    return false;
}

int ct_num_threads(void)
{
    return 2;
}

void cti_parallel(int64_t pieces, void (*piece)(void *context, int64_t number), void *context)
{
    for (int64_t i = 0; i < pieces; i++)
        piece(context, i);
}

void cti_parallel_steps(const cti_shared_steps *s)
{
    for (int64_t step = 0; step < s->steps; step++)
        for (int64_t block = 0; block < s->blocks; block++)
            s->run(s->context, step, block);
}

ct_storage *cti_storage_try(ct_device device, size_t bytes)
{
    ct_storage *s = calloc(1, sizeof *s);

    (void)device;
    if (s)
        s->data = malloc(bytes + 1);
    return s;
}

void cti_storage_unref(ct_storage *s)
{
    free(s->data);
    free(s);
}

/* ---- layers ---- */

enum { STEPS = 4, INPUT = 9, INPUTS = 10, OUTPUTS = 9 };

static uint32_t bits_random;

/* Fills n floats with multiples of 2^-12 in [-scale, scale). */
static float *bits_fill(int64_t n, float scale)
{
    float *p = malloc((size_t)n * sizeof *p + 1);

    for (int64_t i = 0; p && i < n; i++) {
        bits_random = bits_random * 1664525u + 1013904223u;
        p[i] = ((float)(bits_random >> 19) / 4096.0f - 1.0f) * scale;
    }
    return p;
}

/* FNV-1a */
static unsigned long bits_digest(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return hash;
}

/* Runs a layer whose arrays are filled, and prints the digests of its results. */
static int bits_run(cti_layer *l, float *const *out, const int64_t *size)
{
    l->gates = malloc((size_t)cti_layer_gates(l) * sizeof(float) + 1);
    if (!l->gates || cti_cpu_layer(l) != CT_OK || cti_cpu_layer_backward(l) != CT_OK) {
        fprintf(stderr, "no kernels for the layer, or no memory\n");
        return 1;
    }
    printf("%d %lld %lld %d %s:", (int)l->kind, (long long)l->hidden, (long long)l->batch,
           l->reverse, l->x ? "dense" : "one-hot");
    for (int i = 0; i < OUTPUTS; i++)
        printf(" %08lx", bits_digest(out[i], (size_t)size[i] * sizeof(float)));
    printf("\n");
    free(l->gates);
    return 0;
}

/* The weights of odd cases are so large that gates saturate. */
static int bits_case(cti_cell_kind kind, int64_t hidden, int64_t batch, int form)
{
    const int64_t wide = cti_gates_of(kind) * hidden, rows = STEPS * batch, state = batch * hidden;
    const int64_t ins[INPUTS] = { wide * INPUT, wide * hidden, wide,          wide,  rows * INPUT,
                                  state,        state,         rows * hidden, state, state };
    const int64_t outs[OUTPUTS] = { (STEPS + 1) * state,
                                    (STEPS + 1) * state,
                                    rows * INPUT,
                                    wide * INPUT,
                                    wide * hidden,
                                    wide,
                                    wide,
                                    state,
                                    state };
    const float scale = form % 2 ? 40.0f : 0.5f;
    float *in[INPUTS], *out[OUTPUTS];
    int64_t *index = malloc((size_t)rows * sizeof *index);
    int failed, i;
    cti_layer l = { .kind = kind, .reverse = form / 2 % 2, .steps = STEPS, .batch = batch };

    for (i = 0; i < INPUTS; i++)
        in[i] = bits_fill(ins[i], i < 4 ? scale : 1.0f);
    for (i = 0; i < OUTPUTS; i++)
        out[i] = calloc((size_t)outs[i] + 1, sizeof(float));
    for (i = 0; i < rows; i++)
        index[i] = (int64_t)i * i % INPUT;
    l.input = INPUT;
    l.hidden = hidden;
    l.w_ih = in[0], l.w_hh = in[1], l.b_ih = in[2], l.b_hh = in[3];
    l.dy = in[7], l.dh_last = in[8], l.dc_last = in[9];
    l.x = form / 4 ? NULL : in[4];
    l.index = form / 4 ? index : NULL;
    l.index_dtype = CT_I64;
    l.h = out[0], l.c = out[1];
    for (i = 0; i < state; i++) {
        out[0][(l.reverse ? STEPS : 0) * state + i] = in[5][i];
        out[1][(l.reverse ? STEPS : 0) * state + i] = in[6][i];
    }
    l.dx = l.x ? out[2] : NULL;
    l.dw_ih = out[3], l.dw_hh = out[4], l.db_ih = out[5], l.db_hh = out[6];
    l.dh0 = out[7];
    l.dc0 = kind == CTI_CELL_LSTM ? out[8] : NULL;
    failed = bits_run(&l, out, outs);
    for (i = 0; i < INPUTS; i++)
        free(in[i]);
    for (i = 0; i < OUTPUTS; i++)
        free(out[i]);
    free(index);
    return failed;
}

int main(void)
{
    static const int64_t hidden[] = { 1, 7, 16, 17, 28, 72, 100 }, batch[] = { 1, 2, 7, 33 };
    int failed = 0;

    for (int kind = CTI_CELL_TANH; kind <= CTI_CELL_GRU; kind++)
        for (int i = 0; i < 7; i++)
            for (int j = 0; j < 4; j++)
                failed |= bits_case((cti_cell_kind)kind, hidden[i], batch[j], (i * 4 + j) % 8);
    return failed;
}

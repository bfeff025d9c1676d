/* SPDX-License-Identifier: MIT */
/* recurrent.h - the weights and inputs of the recurrent layer that bench/recurrent.c and
 * bench/peers/onednn.cpp time.
 *
 * Both programs make the same weights and inputs from these functions, and write their results in
 * the same order and layout (PyTorch's), so that bench/recurrent.sh can compare them element by
 * element:
 *
 *     y (T, B, H), h_n (B, H), LSTM: c_n (B, H), dx (T, B, I), dw_ih (G H, I), dw_hh (G H, H),
 *     db_hh (G H) */
#ifndef COTANGENT_BENCH_RECURRENT_H
#define COTANGENT_BENCH_RECURRENT_H

#include <math.h>
#include <stdint.h>

enum { LAYER_STEPS = 35, LAYER_BATCH = 32, LAYER_INPUT = 28 };

enum { LAYER_X, LAYER_DY, LAYER_W_IH, LAYER_W_HH, LAYER_B_IH, LAYER_B_HH };

/* Element i of an array, in -1/2 .. 1/2. */
static inline float layer_number(int array, int64_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)array * 40503u;

    h = (h ^ (h >> 15)) * 2246822519u;
    h = (h ^ (h >> 13)) * 3266489917u;
    h ^= h >> 16;
    return (float)(h >> 8) / 16777216.0f - 0.5f;
}

/* The factor of the numbers of an array. */
static inline float layer_scale(int array, int64_t hidden)
{
    if (array == LAYER_X)
        return 2.0f;
    return array == LAYER_DY ? 0.1f : 2.0f / sqrtf((float)hidden);
}

static inline void layer_fill(float *out, int64_t n, int array, int64_t hidden)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = layer_number(array, i) * layer_scale(array, hidden);
}

/* The floating-point operations of the products of a step. Each forward product has two products
 * in the backward pass. They include the gradients of x and of the initial state. */
static inline double layer_flops(int gates, int64_t hidden)
{
    double rows = (double)LAYER_STEPS * LAYER_BATCH;

    return 3 * 2 * rows * gates * (double)hidden * (double)(hidden + LAYER_INPUT);
}

#endif

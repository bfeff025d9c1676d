/* SPDX-License-Identifier: MIT */
/* scaling.c - training of the classic RNN with one size changed at a time. */
#include <stdio.h>

#include "bench/bench.h"

static void line(const char *what, int64_t value, const sizes *s, double seconds)
{
    const char *vectors;
    double most = peak(0.1, &vectors), rate = train(s, ct_nn_rnn, seconds);
    double gflops = rate * flops_of(s, 1) * 1e-9;

    printf("%-8s %6lld %12.0f tokens/s %8.1f GFLOP/s %4.0f %% of one thread's peak\n", what,
           (long long)value, rate, gflops, 100 * gflops / most);
    fflush(stdout);
}

#define VALUES(field, ...)                                                                         \
    do {                                                                                           \
        static const int values[] = { __VA_ARGS__ };                                               \
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {                              \
            sizes s = classic;                                                                     \
            s.field = values[i];                                                                   \
            line(#field, values[i], &s, seconds);                                                  \
        }                                                                                          \
    } while (0)

void scaling(double seconds)
{
    int threads;

    VALUES(hidden, 32, 64, 128, 256, 512, 1024, 2048);
    VALUES(batch, 1, 8, 32, 128, 512);
    VALUES(steps, 1, 8, 35, 140);
    VALUES(layers, 1, 2, 4);
    for (threads = 1; threads <= 2; threads++)
        if (ct_set_num_threads(threads) == CT_OK)
            line("threads", threads, &classic, seconds);
}

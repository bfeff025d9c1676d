/* SPDX-License-Identifier: MIT */
/* running_sums.h - a draw from weights by their running sums, on the CPU. (internal)
 *
 * cuda/random.cu adds in the same order, so that both draw the same. */
#ifndef COTANGENT_TENSOR_RUNNING_SUMS_H
#define COTANGENT_TENSOR_RUNNING_SUMS_H

#include "tensor/backend.h"

#include <float.h>
#include <stdbool.h>
#include <stdint.h>

/* Replaces the weights w (n) by their running sums, in chains of CTI_CHAIN. False if a weight is
 * negative or NaN, or their sum is 0 or not finite. */
static inline bool cti_running_sums(double *w, int64_t n)
{
    double before = 0, sum;
    bool good = true;
    int64_t i, end;

    for (i = 0; i < n;) {
        end = i + CTI_CHAIN < n ? i + CTI_CHAIN : n;
        for (sum = 0; i < end; i++) {
            good = good && w[i] >= 0;
            sum += w[i];
            w[i] = before + sum;
        }
        before += sum;
    }
    return good && before > 0 && before <= DBL_MAX;
}

/* The first position whose running sum is above u of the total. Where u times a subnormal total is
 * rounded to the total, it is the first whose running sum is the total. A weight of 0 leaves the
 * running sum as it was, so its position is never the first. */
static inline int64_t cti_running_search(const double *sum, int64_t n, double u)
{
    double total = sum[n - 1], most = u * total;
    int64_t low = 0, high = n - 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (sum[middle] > most || sum[middle] >= total)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

#endif

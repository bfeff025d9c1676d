/* SPDX-License-Identifier: MIT */
/* order.c - the order of an epoch's rows: unchanged, shuffled, or drawn by weights; then sorted by
 * length within buckets. */
#include "tensor/internal.h"

#include "data/internal.h"

#include <stdlib.h>

/* Draws each row with replacement. Multiplies a uniform number by the sum of all weights, and takes
 * the first sample whose running sum is above the product. */
static void order_draw(ct_loader *l, ct_generator *g)
{
    int64_t count = l->data->count;

    for (int64_t r = 0; r < l->rows; r++) {
        double x = ct_random_uniform(g) * l->sums[count - 1];
        int64_t low = 0, high = count - 1; /* search for the first sample whose running sum is above
                                            * x */

        while (low < high) {
            int64_t middle = low + (high - low) / 2;

            if (l->sums[middle] > x)
                high = middle;
            else
                low = middle + 1;
        }
        l->order[r] = low;
    }
}

static int order_compare(const void *a, const void *b)
{
    const cti_lengthy *x = a, *y = b;

    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Returns the sum of the lengths of all sequences of a sample; -1 with an error. */
static int64_t order_length(const ct_dataset *d, int64_t sample)
{
    int64_t sum = 0;

    for (int k = 0; k < d->field_count; k++) {
        int64_t n = cti_field_is_sequence(&d->field[k]) ? cti_dataset_length(d, sample, k) : 0;

        if (n < 0)
            return -1;
        sum += n;
    }
    return sum;
}

/* Sorts rows first to first + count - 1 by length; rows of equal length keep their order. */
static bool order_sort(ct_loader *l, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        cti_lengthy *at = &l->sorted[i];

        *at = (cti_lengthy){ order_length(l->data, l->order[first + i]), i, l->order[first + i] };
        if (at->length < 0)
            return false;
    }
    qsort(l->sorted, (size_t)count, sizeof *l->sorted, order_compare);
    for (int64_t i = 0; i < count; i++)
        l->order[first + i] = l->sorted[i].sample;
    return true;
}

/* Sorts each bucket of l->bucket batches and, with shuffle, shuffles the batches. An incomplete
 * batch stays the last one. */
static bool order_buckets(ct_loader *l, ct_generator *g)
{
    int64_t whole = l->rows / l->batch, size = l->rows;

    if (l->bucket <= whole)
        size = l->bucket * l->batch;
    for (int64_t first = 0; first < l->rows; first += size)
        if (!order_sort(l, first, size < l->rows - first ? size : l->rows - first))
            return false;
    for (int64_t k = 0; k < l->batches; k++)
        l->blocks[k] = k;
    if (l->shuffle || l->sums)
        ct_shuffle(l->blocks, whole, g);
    return true;
}

bool cti_loader_order(ct_loader *l, ct_generator *g)
{
    if (!l->order)
        return true;
    for (int64_t i = 0; i < l->rows; i++)
        l->order[i] = i;
    if (l->sums)
        order_draw(l, g);
    else if (l->shuffle)
        ct_shuffle(l->order, l->rows, g);
    return !l->blocks || order_buckets(l, g);
}

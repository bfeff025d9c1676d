/* SPDX-License-Identifier: MIT */
/* program_tables.c - replaces products with one-hot vectors by rows of a table.
 *
 * The product of the one-hot vector of token v with a weight W is column v of W plus the bias.
 * If there are few tokens, all these products are computed once, by the same kernel, so that the
 * bits are equal. */
#include "tensor/program.h"

#include "tensor/hooks.h"

#include <string.h>

#define MOST_TOKENS 128 /* making the table takes tokens^2 times outputs multiplications */

static const cti_reference *tables_reference(const cti_call *c, size_t member)
{
    for (int i = 0; i < c->references; i++)
        if (c->reference[i].member == member)
            return &c->reference[i];
    return NULL;
}

/* True if c multiplies the one-hot vector at the beginning of a region by a parameter. */
static bool tables_fits(const cti_call *c, int region, int64_t tokens)
{
    const cti_gemm *g = &c->args.gemm;
    const cti_reference *a, *b, *bias;

    if (c->slot != CTI_CALL_gemm)
        return false;
    a = tables_reference(c, offsetof(cti_gemm, a));
    b = tables_reference(c, offsetof(cti_gemm, b));
    bias = tables_reference(c, offsetof(cti_gemm, bias));
    return a && b && a->region == region && a->at == 0 && b->region >= CTI_EXTERNAL &&
           b->region != region && (!bias || bias->region >= CTI_EXTERNAL) && g->m == 1 &&
           g->batch == 1 && g->k == tokens && g->beta == 0 && !g->trans_a && g->trans_b;
}

/* True if a call after c writes the region. */
static bool tables_is_written_later(const cti_program *p, const cti_call *c, int region)
{
    while (++c < p->calls + p->call_count)
        for (int k = 0; k < c->references; k++)
            if ((c->reference[k].how & CTI_WRITES) && c->reference[k].region == region)
                return true;
    return false;
}

/* True if all other calls that use the vector of one_hot are such products, and its index keeps its
 * value until then. */
static bool tables_are_possible(const cti_program *p, const cti_call *one_hot)
{
    const cti_one_hot_args *o = &one_hot->args.one_hot;
    const cti_reference *out = tables_reference(one_hot, offsetof(cti_one_hot_args, out));
    const cti_reference *index = tables_reference(one_hot, offsetof(cti_one_hot_args, index));

    if (o->count != 1 || o->width > MOST_TOKENS || !out || !index || out->at != 0 ||
        p->buffers[out->region].fixed || index->region >= CTI_EXTERNAL ||
        tables_is_written_later(p, one_hot, index->region))
        return false;
    for (size_t i = 0; i < p->call_count; i++)
        for (int k = 0; &p->calls[i] != one_hot && k < p->calls[i].references; k++)
            if (p->calls[i].reference[k].region == out->region &&
                !tables_fits(&p->calls[i], out->region, o->width))
                return false;
    return true;
}

/* Computes the products of all one-hot vectors, (tokens, outputs), which the program owns.
 * Returns NULL with an error. */
static char *tables_compute(cti_program *p, const cti_call *c)
{
    const size_t size = ct_dtype_size(c->args.gemm.dtype);
    cti_gemm g = c->args.gemm;
    const size_t row = (size_t)g.n * size;
    char *table = cti_calloc((size_t)g.k, row + 1), *one = cti_calloc((size_t)g.k, size);

    if (!table || !one ||
        !cti_grow(p->me, (void **)&p->constants, &p->constant_room, p->constant_count,
                  sizeof *p->constants)) {
        cti_out_of_memory(p->me, (size_t)g.k * row);
        cti_release(table);
        cti_release(one);
        return NULL;
    }
    p->constants[p->constant_count++] = table;
    g.a = one;
    for (int64_t v = 0; v < g.k; v++) {
        const float f32 = 1;
        const double f64 = 1;

        memset(one, 0, (size_t)g.k * size);
        memcpy(one + (size_t)v * size, g.dtype == CT_F64 ? (const void *)&f64 : &f32, size);
        g.c = table + (size_t)v * row;
        cti_cpu_backend.gemm(&g);
    }
    cti_release(one);
    return table;
}

/* Replaces the product c by a look-up. */
static void tables_replace(cti_program *p, cti_call *c, const cti_call *one_hot)
{
    const cti_reference *index = tables_reference(one_hot, offsetof(cti_one_hot_args, index));
    const cti_reference *out = tables_reference(c, offsetof(cti_gemm, c));
    const cti_gemm g = c->args.gemm;
    cti_call new = { .slot = CTI_CALL_gather_rows, .site = c->site, .references = 2 };
    const char *table = out ? tables_compute(p, c) : NULL;

    if (!table)
        return;
    new.args.gather_rows = (cti_gather_rows_args){ .dtype = g.dtype,
                                                   .index_dtype = one_hot->args.one_hot.index_dtype,
                                                   .count = 1,
                                                   .width = g.n,
                                                   .rows = g.k,
                                                   .src = table,
                                                   .index = one_hot->args.one_hot.index,
                                                   .out = g.c };
    new.reference[0] = *index;
    new.reference[0].member = offsetof(cti_gather_rows_args, index);
    new.reference[1] = *out;
    new.reference[1].member = offsetof(cti_gather_rows_args, out);
    if (p->buffers[index->region].last < (int)(c - p->calls))
        p->buffers[index->region].last = (int)(c - p->calls);
    *c = new;
}

void cti_program_make_tables(cti_program *p)
{
    for (size_t i = 0; i < p->call_count && ct_ok(); i++) {
        const cti_call one_hot = p->calls[i];
        int region;

        if (one_hot.slot != CTI_CALL_one_hot || !tables_are_possible(p, &p->calls[i]))
            continue;
        region = tables_reference(&one_hot, offsetof(cti_one_hot_args, out))->region;
        for (size_t k = i + 1; k < p->call_count && ct_ok(); k++)
            if (tables_fits(&p->calls[k], region, one_hot.args.one_hot.width))
                tables_replace(p, &p->calls[k], &one_hot);
        /* no call needs the vector now, and a look-up checks its index */
        p->calls[i] = (cti_call){ .slot = CTI_CALL_fill, .args.fill = { .n = 0 } };
        p->buffers[region].first = p->buffers[region].last = -1;
    }
}

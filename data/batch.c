/* SPDX-License-Identifier: MIT */
/* batch.c - fields by name, and padding. */
#include "tensor/internal.h"

#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/data/batch.h>

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <string.h>

ct_tensor *ct_batch_get(const ct_batch *b, const char *name)
{
    static const char *const me = "ct_batch_get";
    cti_line there = { .n = 0 };

    if (!cti_given(me, "b", b) || !cti_given(me, "name", name))
        return NULL;
    for (int i = 0; i < b->field_count && b->names && b->fields; i++) {
        if (strcmp(b->names[i], name) == 0)
            return cti_usable_as(me, b->names[i], b->fields[i]) ? b->fields[i] : NULL;
        cti_line_add(&there, "%s%s", i ? ", " : "", b->names[i]);
    }
    if (!cti_optional_as(me, "b->x", b->x) || !cti_optional_as(me, "b->y", b->y))
        return NULL;
    if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, me, "the batch has no field %s; it has %s", cti_quote(name).s,
                 there.n ? there.s : "no named fields");
    return NULL;
}

/* ---- padding ---- */

/* Checks that row k agrees with row 0, and updates *longest. */
static bool pad_check(const char *function, ct_tensor *const *rows, int k, int64_t *longest)
{
    const ct_tensor *a = rows[0], *b = rows[k];
    ct_shape first = a->shape, other = b->shape;

    if (!cti_same_dtype(function, "rows[0]", a, "rows[k]", b) ||
        !cti_same_device(function, "rows[0]", a, "rows[k]", b))
        return false;
    if (b->shape.rank >= 1) {
        first.dim[0] = other.dim[0];
        *longest = other.dim[0] > *longest ? other.dim[0] : *longest;
    }
    if (b->shape.rank < 1 || !cti_same_shape(&first, &other)) {
        ct_raise(CT_ERR_SHAPE, function,
                 "rows[0] %s and rows[%d] %s must be (L, ...) and differ in L alone",
                 cti_describe(a).s, k, cti_describe(b).s);
        return false;
    }
    return true;
}

/* Pads each row at the end of its first axis, and stacks the rows. */
static ct_tensor *pad_stack(int count, ct_tensor *const *rows, double pad, int64_t longest)
{
    ct_tensor **padded = cti_scope_alloc("ct_pad_sequence", (size_t)count * sizeof(ct_tensor *));
    int64_t sizes[2 * CT_MAX_RANK] = { 0 };
    int rank = rows[0]->shape.rank;

    if (!padded)
        return NULL;
    for (int k = 0; k < count; k++) {
        sizes[2 * rank - 1] = longest - rows[k]->shape.dim[0];
        padded[k] = sizes[2 * rank - 1] ? ct_pad(rows[k], 2 * rank, sizes, pad) : rows[k];
        if (!padded[k])
            return NULL;
    }
    return ct_stack(count, padded, 0);
}

ct_tensor *ct_pad_sequence(int count, ct_tensor *const *rows, double pad, ct_tensor **lengths)
{
    static const char *const me = "ct_pad_sequence";
    int64_t longest = 0;

    if (lengths)
        *lengths = NULL;
    if (!cti_at_least(me, "count", count, 1) || !cti_usable_all(me, "rows", count, rows))
        return NULL;
    for (int k = 0; k < count; k++)
        if (!pad_check(me, rows, k, &longest))
            return NULL;
    if (lengths) {
        int32_t *n = cti_scope_alloc(me, (size_t)count * sizeof *n);

        for (int k = 0; k < count && n; k++)
            n[k] = (int32_t)rows[k]->shape.dim[0];
        *lengths = n ? ct_from_data(n, CT_SHAPE(count), CT_I32, CT_CPU) : NULL;
        if (!*lengths)
            return NULL;
    }
    return pad_stack(count, rows, pad, longest);
}

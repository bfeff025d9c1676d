/* cases_loss.c - rows for nn/loss.h. */
#include "tests/cases.h"

#include <cotangent.h>

/* logits (..., C) and targets (...); i[0]: reduction, i[1]: an index is ignored, i[2]: which;
 * p[0]: smoothing. A mean needs a target that counts. */
static void draw_cross_entropy(op_draw *d)
{
    ct_shape logits, targets;

    d->i[0] = op_below(d, 3);
    d->zero &= d->i[0] != CT_MEAN;
    logits = op_shape(d, 1, 4);
    logits.dim[logits.rank - 1] += logits.dim[logits.rank - 1] == 0;
    targets = ct_shape_of(logits.rank - 1, logits.dim);
    op_uniform(d, logits, -2, 2);
    op_index(d, targets, logits.dim[logits.rank - 1]);
    d->i[1] = d->i[0] != CT_MEAN && op_chance(d, 0.5);
    d->i[2] = op_below(d, logits.dim[logits.rank - 1]);
    d->p[0] = op_chance(d, 0.5) ? op_between(d, 0, 1) : 0;
}

static ct_tensor *call_cross_entropy(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_cross_entropy(in[0], in[1]);
}

static ct_tensor *call_cross_entropy_with(ct_tensor *const *in, const op_draw *d)
{
    ct_cross_entropy_options o = { .reduction = (ct_reduction)d->i[0], .label_smoothing = d->p[0],
                                   .has_ignore_index = d->i[1] != 0, .ignore_index = d->i[2] };

    return ct_cross_entropy_with(in[0], in[1], o);
}

const op_row loss_rows[] = {
    { "ct_cross_entropy", draw_cross_entropy, .call = call_cross_entropy },
    { "ct_cross_entropy_with", draw_cross_entropy, .call = call_cross_entropy_with },
    { 0 },
};

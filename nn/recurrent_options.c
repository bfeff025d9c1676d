/* SPDX-License-Identifier: MIT */
/* recurrent_options.c - the checks of a recurrent module's options. */
#include "nn/cell.h"

#include "tensor/internal.h"

bool cti_recurrent_in_range(const char *me, const char *name, int64_t value, int64_t most)
{
    if (value >= 0 && value <= most)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "%s is %lld; it must be in 0..%lld", name, (long long)value,
             (long long)most);
    return false;
}

static bool recurrent_options_check(const char *me, const ct_nn_recurrent_options *o)
{
    if (!cti_at_least(me, "hidden_size", o->hidden_size, 1) ||
        !cti_at_least(me, "input_size", o->input_size, 0) ||
        !cti_recurrent_in_range(me, "hidden_size", o->hidden_size, CTI_MOST_SIZE) ||
        !cti_recurrent_in_range(me, "input_size", o->input_size, CTI_MOST_SIZE) ||
        !cti_recurrent_in_range(me, "num_layers", o->num_layers, CTI_MOST_LAYERS) ||
        !cti_recurrent_in_range(me, "dialect", (int)o->dialect, CT_DIALECT_FLAX) ||
        !cti_is_probability(me, "dropout", o->dropout) ||
        !cti_is_probability(me, "recurrent_dropout", o->recurrent_dropout))
        return false;
    if (o->reverse && o->bidirectional)
        ct_raise(CT_ERR_ARGUMENT, me, "reverse and bidirectional are both set; only one may be");
    return ct_ok();
}

/* Refuses options of layers and directions for a single cell. */
static bool recurrent_options_check_alone(const char *me, const ct_nn_recurrent_options *o)
{
    const struct {
        bool is_set;
        const char *name;
    } options[] = { { o->num_layers > 1, "num_layers" },
                    { o->bidirectional, "bidirectional" },
                    { o->reverse, "reverse" },
                    { o->batch_first, "batch_first" },
                    { o->dropout != 0, "dropout" } };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].is_set) {
            ct_raise(CT_ERR_ARGUMENT, me, "%s is set; a single cell does not take it",
                     options[i].name);
            return false;
        }
    return true;
}

bool cti_recurrent_check_options(const char *me, const ct_nn_recurrent_options *o, bool alone)
{
    return recurrent_options_check(me, o) && (!alone || recurrent_options_check_alone(me, o));
}

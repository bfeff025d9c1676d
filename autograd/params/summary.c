/* SPDX-License-Identifier: MIT */
/* summary.c - functions over all entries of a set: printing, removing gradients. */
#include "autograd/internal.h"

#include <cotangent/autograd/params/params.h>

#include <stdio.h>
#include <string.h>

static const char *summary_note(const ct_param *p)
{
    if (ct_param_is_lazy(p))
        return "  (known after the first forward)";
    if (cti_param_is_buffer(p))
        return "  (buffer)";
    if (cti_param_real(p) != p)
        return "  (tied)";
    return ct_param_is_trained(p) ? "" : "  (frozen)";
}

void ct_params_print(const ct_params *set, FILE *out)
{
    static const char *const me = "ct_params_print";
    int i, width = (int)strlen("total");

    if (!cti_given(me, "set", set) || !cti_given(me, "out", out))
        return;
    for (i = 0; i < ct_params_count(set); i++) {
        int n = (int)strlen(ct_param_name(ct_params_at(set, i)));

        width = n > width ? n : width;
    }
    for (i = 0; i < ct_params_count(set); i++) {
        ct_param *p = ct_params_at(set, i);
        ct_shape shape = ct_param_shape(p);
        int64_t numel = ct_param_is_lazy(p) ? 0 : ct_numel(cti_param_own(p));

        fprintf(out, "%-*s  %-14s %10lld%s\n", width, ct_param_name(p), cti_shape_text(&shape).s,
                (long long)numel, summary_note(p));
    }
    fprintf(out, "%-*s  %-14s %10lld\n", width, "total", "", (long long)ct_params_numel(set));
}

void ct_params_zero_grad(ct_params *set)
{
    int i;

    if (!cti_given("ct_params_zero_grad", "set", set))
        return;
    for (i = 0; i < ct_params_count(set); i++)
        if (!ct_param_is_lazy(ct_params_at(set, i)))
            ct_tensor_zero_grad(cti_param_own(ct_params_at(set, i)));
}

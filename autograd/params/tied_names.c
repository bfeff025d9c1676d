/* SPDX-License-Identifier: MIT */
/* tied_names.c - chooses the name that represents a tied value in a set or in a part of a set. */
#include "autograd/internal.h"

#include <string.h>

bool cti_params_stands(const ct_params *set, int i)
{
    const ct_param *p = ct_params_at(set, i), *real = cti_param_real(p);
    const char *prefix = cti_params_prefix(set);
    int j = 0;

    if (real == p || strncmp(ct_param_name(real), prefix, strlen(prefix)) == 0)
        return real == p;
    while (cti_param_real(ct_params_at(set, j)) != real)
        j++;
    return j == i;
}

bool cti_params_trains(const ct_params *set, int i)
{
    return ct_param_is_trained(cti_param_real(ct_params_at(set, i))) && cti_params_stands(set, i);
}

int64_t ct_params_numel(const ct_params *set)
{
    int count = ct_params_count(set);
    int64_t n = 0;

    for (int i = 0; i < count; i++)
        if (cti_params_trains(set, i) && !ct_param_is_lazy(ct_params_at(set, i)))
            n += ct_numel(cti_param_own(ct_params_at(set, i)));
    return n;
}

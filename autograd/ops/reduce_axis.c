/* reduce_axis.c - the reductions over a list of axes, for one axis. */
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/reduce_axis.h>
#include <cotangent/autograd/ops/statistics.h>

ct_tensor *ct_sum_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_sum_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_mean_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_mean_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_prod_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_prod_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_amax_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_amax_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_amin_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_amin_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_logsumexp_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_logsumexp_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_any_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_any_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_all_axis(ct_tensor *x, int axis, bool keepdim)
{
    return ct_all_axes(x, 1, &axis, keepdim);
}

ct_tensor *ct_var_axis(ct_tensor *x, int axis, double correction, bool keepdim)
{
    return ct_var_axes(x, 1, &axis, correction, keepdim);
}

ct_tensor *ct_std_axis(ct_tensor *x, int axis, double correction, bool keepdim)
{
    return ct_std_axes(x, 1, &axis, correction, keepdim);
}

ct_tensor *ct_norm_axis(ct_tensor *x, double p, int axis, bool keepdim)
{
    return ct_norm_axes(x, p, 1, &axis, keepdim);
}

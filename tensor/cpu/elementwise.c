/* SPDX-License-Identifier: MIT */
/* elementwise.c - elementwise ops over any strides. The loops are in kernels.c, made from
 * tensor/formulas.h. */
#include "tensor/cpu/strided.h"

#include "tensor/convert.h"
#include "tensor/parallel.h"

#include <math.h>

typedef struct elementwise_job {
    cti_walk w; /* array 0 is out */
    const cti_ew *e;
    cti_loop loop;
    double param[2];
    int64_t size[4]; /* bytes of an element of each array */
} elementwise_job;

static void elementwise_piece(void *context, int64_t piece)
{
    const elementwise_job *j = context;
    int64_t unit = piece * j->w.per_piece, end = cti_walk_end(&j->w, piece), step[4] = { 0 };
    int last = j->w.rank - 1, arrays = j->e->inputs + 1, k;
    char *p[4] = { 0 };
    cti_unit u;

    for (k = 0; k < arrays; k++)
        step[k] = j->w.step[k][last] / j->size[k];
    cti_walk_begin(&j->w, arrays, unit, &u);
    for (; unit < end; unit++) {
        for (k = 0; k < arrays; k++)
            p[k] = (k ? (char *)j->e->in[k - 1] : (char *)j->e->out) + u.offset[k];
        j->loop(u.n, p[0], step[0], p[1], step[1], p[2], step[2], p[3], step[3], j->param);
        cti_walk_next(&j->w, arrays, &u);
    }
}

/* The ops whose result is bool. */
static const bool gives_bool[CTI_EW_COUNT] = {
#define GIVES_BOOL(name, expr) [CTI_EW_##name] = true,
#define COMPARE GIVES_BOOL
#define TEST GIVES_BOOL
#define LOGIC GIVES_BOOL
#include "tensor/formulas.h"
#undef GIVES_BOOL
};

/* Returns the special loop for q x^p if p is one of the common exponents, else NULL. The special
 * loops compute x^p before they multiply by q. If q is far from 1, the power may overflow or
 * underflow although the product does not; the general loops handle this. */
static cti_loop elementwise_power(const cti_cpu_path *path, ct_dtype dtype, double p, double q)
{
    static const double exponents[] = {
#define CTI_POWER(name, exponent, formula) exponent,
        CTI_POWERS
#undef CTI_POWER
    };
    const cti_loop *loops = dtype == CT_F64 ? path->power_f64 : path->power_f32;
    int i;

    if (fabs(p) > 0.5 && !(fabs(q) >= 1 && fabs(q) <= 16))
        return NULL;
    for (i = 0; i < CTI_POWER_COUNT; i++)
        if (exponents[i] == p)
            return loops[i];
    return NULL;
}

/* Returns the loop of op for a dtype; NULL if the op does not support the dtype. Converts param to
 * the form that the loop needs. */
static cti_loop elementwise_loop(cti_ew_op op, ct_dtype dtype, double *param)
{
    const cti_cpu_path *path = cti_cpu_path_get();
    cti_loop power = NULL;

    if (op == CTI_EW_pow_scalar)
        param[1] = 1;
    if (op == CTI_EW_pow_scalar || op == CTI_EW_scaled_pow)
        power = elementwise_power(path, dtype, param[0], param[1]);
    if (power)
        return power;
    switch (dtype) {
    case CT_F32:
        return op == CTI_EW_remainder      ? path->remainder_f32
               : op == CTI_EW_floor_divide ? path->floor_divide_f32
                                           : path->f32[op];
    case CT_F64:
        return path->f64[op];
    case CT_I32:
        return path->i32[op];
    case CT_I64:
        return path->i64[op];
    case CT_BOOL:
        return path->b8[op];
    case CT_BF16:
        return op == CTI_EW_where ? path->where16 : NULL;
    }
    return NULL;
}

/* True if the elements are adjacent and few enough for one piece. */
static bool is_one_run(const cti_ew *e)
{
    int k;

    if (e->rank != 1 || e->dim[0] > CTI_CPU_PIECE || e->out_stride[0] != 1)
        return false;
    for (k = 0; k < e->inputs; k++)
        if (e->in_stride[k][0] != 1)
            return false;
    return true;
}

void cti_cpu_elementwise(const cti_ew *e)
{
    elementwise_job j;
    int64_t size = (int64_t)ct_dtype_size(e->dtype);
    int arrays = e->inputs + 1, i, k;

    for (i = 0; i < 2; i++)
        j.param[i] = cti_as_element(e->param[i], e->dtype);
    j.loop = elementwise_loop(e->op, e->dtype, j.param);
    if (is_one_run(e)) {
        j.loop(e->dim[0], e->out, 1, e->in[0], 1, e->inputs > 1 ? e->in[1] : NULL, 1,
               e->inputs > 2 ? e->in[2] : NULL, 1, j.param);
        return;
    }
    j.e = e;
    j.w.rank = e->rank;
    j.size[0] = gives_bool[e->op] ? 1 : size;
    for (k = 1; k < arrays; k++)
        j.size[k] = e->op == CTI_EW_where && k == 1 ? 1 : size;
    for (i = 0; i < e->rank; i++) {
        j.w.dim[i] = e->dim[i];
        for (k = 0; k < arrays; k++)
            j.w.step[k][i] = (k ? e->in_stride[k - 1][i] : e->out_stride[i]) * j.size[k];
    }
    cti_parallel(cti_walk_cut(&j.w, arrays), elementwise_piece, &j);
}

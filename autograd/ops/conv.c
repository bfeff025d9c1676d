/* SPDX-License-Identifier: MIT */
/* conv.c - convolutions and their transposes.
 *
 * A convolution y of x and w is linear in x and in w. For a tensor e of y's shape, the sum of e y
 * is therefore linear in each of e, x and w, and its derivative by one of the three is a product of
 * the other two:
 *     OUTPUT  y = conv(x, w)      INPUT  x = transposed conv(y, w)      WEIGHT  w = correlation(x, y)
 * So the derivatives of each of these products are the other two, to any order. The gradient of the
 * bias is the sum over images and positions. Devices may have a kernel for the products; without
 * one, they are composed of unfold, fold and matrix products, for some images at a time. */
#include "autograd/ops/conv_internal.h"

#include <cotangent/autograd/ops/conv.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

/* ---- the derivative ---- */

typedef struct conv_attributes {
    const char *me; /* the function that errors name */
    cti_conv c;     /* its pointers are NULL */
    bool has_bias;
} conv_attributes;

/* Names the two operands from which a part is computed, in the order of the node's inputs. */
static void conv_inputs(cti_conv_part part, cti_conv_part *input)
{
    input[0] = part == CTI_CONV_INPUT ? CTI_CONV_OUTPUT : CTI_CONV_INPUT;
    input[1] = part == CTI_CONV_WEIGHT ? CTI_CONV_OUTPUT : CTI_CONV_WEIGHT;
}

static void conv_grad(ct_node *n, ct_tensor *const *dout)
{
    const conv_attributes *a = ct_node_attributes(n);
    cti_conv_part input[2];
    ct_tensor *role[3] = { NULL };
    const int axes[] = { 0, 2, 3 };
    int i;

    conv_inputs(a->c.part, input);
    role[a->c.part] = dout[0];
    for (i = 0; i < 2; i++) {
        role[input[i]] = ct_node_input(n, i);
        if (!role[input[i]])
            return;
    }
    for (i = 0; i < 2; i++) {
        cti_conv c = a->c;

        c.part = input[i];
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, cti_conv_part_of(a->me, &c, role, NULL));
    }
    if (a->has_bias && ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_sum_axes(dout[0], 3, axes, false));
}

static const ct_op conv_op = { .name = "ct_conv2d",
                               .inputs = -1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS,
                               .backward = CTI_TRAINING(conv_grad) };

/* ---- composed of other ops ---- */

#define CONV_COLUMNS                                                                               \
    (16 * 1024 * 1024) /* about the number of elements that are unfolded at a
                                         * time */

static int64_t conv_windows(const cti_conv *c)
{
    return c->result[0] * c->result[1];
}

static int64_t conv_depth(const cti_conv *c)
{
    return c->in * c->kernel[0] * c->kernel[1];
}

/* Returns the unfolded images of x, (images, groups, depth, windows). */
static ct_tensor *conv_columns(const char *me, const cti_conv *c, ct_tensor *x)
{
    ct_tensor *columns = cti_unfold(me, c, x);

    return columns ? ct_reshape(columns, CT_SHAPE(x->shape.dim[0], c->groups, conv_depth(c),
                                                  conv_windows(c)))
                   : NULL;
}

/* Returns y as (images, groups, out, windows). */
static ct_tensor *conv_result_rows(const cti_conv *c, ct_tensor *y)
{
    return ct_reshape(y, CT_SHAPE(y->shape.dim[0], c->groups, c->out, conv_windows(c)));
}

/* Computes one part for some images. */
static ct_tensor *conv_composed_part(const char *me, const cti_conv *c, ct_tensor *const *in)
{
    ct_tensor *x = in[CTI_CONV_INPUT], *y = in[CTI_CONV_OUTPUT], *w = in[CTI_CONV_WEIGHT], *columns;

    w = w ? ct_reshape(w, CT_SHAPE(c->groups, c->out, conv_depth(c))) : NULL;
    if (c->part == CTI_CONV_OUTPUT)
        return ct_reshape(
            ct_matmul(w, conv_columns(me, c, x)),
            CT_SHAPE(x->shape.dim[0], c->groups * c->out, c->result[0], c->result[1]));
    if (c->part == CTI_CONV_INPUT) {
        columns = ct_matmul(ct_transpose(w, -1, -2), conv_result_rows(c, y));
        columns = ct_reshape(columns, CT_SHAPE(y->shape.dim[0], c->groups * c->in, c->kernel[0],
                                               c->kernel[1], c->result[0], c->result[1]));
        return columns ? cti_fold(me, c, columns) : NULL;
    }
    columns = ct_transpose(conv_columns(me, c, x), -1, -2);
    return ct_reshape(ct_sum_axis(ct_matmul(conv_result_rows(c, y), columns), 0, false),
                      CT_SHAPE(c->groups * c->out, c->in, c->kernel[0], c->kernel[1]));
}

/* Computes the part for some images at a time, and writes it to out. */
static bool conv_compose(const char *me, const cti_conv *c, ct_tensor *const *in, ct_tensor *out)
{
    int64_t per_image = c->groups * conv_depth(c) * conv_windows(c), first, some;
    bool weight = c->part == CTI_CONV_WEIGHT, done;
    ct_tensor *zero;

    zero = weight ? cti_filled(me, out->shape, 0, out->dtype, out->device) : out;
    some = per_image < CONV_COLUMNS ? CONV_COLUMNS / (per_image ? per_image : 1) : 1;
    done = zero != NULL;
    if (weight && done)
        cti_copy(out, zero);
    for (first = 0; done && first < c->images; first += some) {
        int64_t images = c->images - first < some ? c->images - first : some;
        ct_scope s = cti_scope_push();
        ct_tensor *role[3], *part, *to;
        int i;

        for (i = 0; i < 3; i++)
            role[i] = in[i] && i != CTI_CONV_WEIGHT ? ct_narrow(in[i], 0, first, images) : in[i];
        part = conv_composed_part(me, c, role);
        part = weight && part ? ct_add(out, part) : part;
        to = weight ? out : ct_narrow(out, 0, first, images);
        done = part && to;
        if (done)
            cti_copy(to, part);
        cti_scope_pop(s);
    }
    return done;
}

/* ---- the op ---- */

static ct_shape conv_shape(const cti_conv *c)
{
    if (c->part == CTI_CONV_OUTPUT)
        return CT_SHAPE(c->images, c->groups * c->out, c->result[0], c->result[1]);
    if (c->part == CTI_CONV_INPUT)
        return CT_SHAPE(c->images, c->groups * c->in, c->size[0], c->size[1]);
    return CT_SHAPE(c->groups * c->out, c->in, c->kernel[0], c->kernel[1]);
}

/* Runs the kernel, or the composed product if the device has none. all holds y, x and w,
 * contiguous; the result is one of them. */
static bool conv_run(const char *me, const cti_conv *c, ct_tensor *const *all, ct_tensor *bias)
{
    ct_tensor *out = all[c->part];
    cti_conv args = *c;
    bool was, done;

    args.dtype = out->dtype;
    args.y = cti_data(all[CTI_CONV_OUTPUT]);
    args.x = cti_data(all[CTI_CONV_INPUT]);
    args.w = cti_data(all[CTI_CONV_WEIGHT]);
    args.bias = bias ? cti_data(bias) : NULL;
    if (cti_backend_of(out->device)->conv(&args) == CT_OK)
        return true;
    was = ct_set_grad_enabled(false);
    done = conv_compose(me, c, all, out);
    if (done && bias) {
        ct_tensor *sum = ct_add(out, ct_reshape(bias, CT_SHAPE(bias->numel, 1, 1)));

        done = sum != NULL;
        if (done)
            cti_copy(out, sum);
    }
    ct_set_grad_enabled(was);
    return done;
}

ct_tensor *cti_conv_part_of(const char *me, const cti_conv *c, ct_tensor *const *in,
                            ct_tensor *bias)
{
    conv_attributes a = { me, *c, bias != NULL };
    ct_tensor *all[3] = { NULL }, *use[3] = { NULL }, *dense = NULL, *y;
    cti_conv_part input[2];
    int i;

    conv_inputs(c->part, input);
    for (i = 0; i < 2; i++) {
        use[i] = in[input[i]];
        all[input[i]] = use[i] ? cti_contiguous(use[i]) : NULL;
        if (!all[input[i]])
            return NULL;
    }
    use[2] = bias;
    if (bias && !(dense = cti_contiguous(bias)))
        return NULL;
    y = all[c->part] = cti_new(me, conv_shape(c), use[0]->dtype, use[0]->device);
    if (!y || !conv_run(me, c, all, dense))
        return NULL;
    return cti_record_n_with(&conv_op, bias ? 3 : 2, use, y, &a, sizeof a);
}

/* ---- checks ---- */

/* The public function that is called. */
typedef struct conv_call {
    const char *me;
    int axes; /* 1 for sequences, 2 for images */
    bool transposed;
} conv_call;

static bool conv_check_ranks(const conv_call *k, const ct_tensor *x, const ct_tensor *w)
{
    int rank = k->axes + 2;

    if (x->shape.rank == rank && w->shape.rank == rank)
        return true;
    ct_raise(CT_ERR_SHAPE, k->me, "x %s and weight %s must have rank %d: x %s", cti_describe(x).s,
             cti_describe(w).s, rank, k->axes == 1 ? "(N, C, L)" : "(N, C, H, W)");
    return false;
}

/* Checks the channels. Axis 0 of the weight has the output channels, or the input channels if
 * transposed; axis 1 has the other channels of one group. */
static bool conv_check_channels(const conv_call *k, const ct_tensor *x, const ct_tensor *w,
                                const ct_tensor *b, int64_t groups)
{
    int64_t channels = x->shape.dim[1], whole = w->shape.dim[0], part = w->shape.dim[1];
    int64_t out = k->transposed ? part : whole;

    if (channels % groups || whole % groups) {
        ct_raise(CT_ERR_ARGUMENT, k->me,
                 "groups is %lld; it must divide the channels of x %s and axis 0 of weight %s",
                 (long long)groups, cti_describe(x).s, cti_describe(w).s);
        return false;
    }
    if (k->transposed ? channels != whole : channels / groups != part) {
        ct_raise(CT_ERR_SHAPE, k->me,
                 "x %s has %lld channels in %lld groups; axis %d of weight %s must be %lld",
                 cti_describe(x).s, (long long)channels, (long long)groups, k->transposed ? 0 : 1,
                 cti_describe(w).s, (long long)(k->transposed ? channels : channels / groups));
        return false;
    }
    if (k->transposed && groups > INT64_MAX / (part ? part : 1)) {
        ct_raise(CT_ERR_SHAPE, k->me, "the sizes overflow: %lld groups of %lld channels",
                 (long long)groups, (long long)part);
        return false;
    }
    out *= k->transposed ? groups : 1;
    if (b && (b->shape.rank != 1 || b->shape.dim[0] != out)) {
        ct_raise(CT_ERR_SHAPE, k->me, "bias %s must be [%lld]: an element for each result channel",
                 cti_describe(b).s, (long long)out);
        return false;
    }
    return true;
}

/* Checks and computes the sizes and channels of a call. The ranks of x and w have been checked. */
static bool conv_geometry(const conv_call *k, const ct_tensor *x, const ct_tensor *w,
                          const ct_conv_options *o, cti_conv *c)
{
    int64_t kernel[2], more[2] = { 0 }, *sized = k->transposed ? c->result : c->size;
    int i, last = k->axes + 1;

    for (i = 0; i < 2; i++) {
        bool there = k->axes == 2 || i == 1;

        kernel[i] = there ? w->shape.dim[last - 1 + i] : 1;
        sized[i] = there ? x->shape.dim[last - 1 + i] : 1;
        more[i] = !there                                         ? 0
                  : k->axes == 1 || (i && !o->output_padding[1]) ? o->output_padding[0]
                                                                 : o->output_padding[i];
        more[i] = more[i] == CT_NO_PADDING ? 0 : more[i];
        if (!cti_at_least(k->me, "a size of the kernel", kernel[i], 1) ||
            !cti_at_least(k->me, "output_padding", more[i], 0))
            return false;
    }
    if (!cti_window_read(k->me,
                         &(cti_window_options){ kernel + (k->axes == 1), o->stride, o->padding,
                                                o->dilation, k->axes },
                         c))
        return false;
    for (i = 0; i < 2; i++)
        if (more[i] && (!k->transposed || (more[i] >= c->stride[i] && more[i] >= c->dilation[i]))) {
            ct_raise(
                CT_ERR_ARGUMENT, k->me,
                k->transposed
                    ? "output_padding is %lld; it must be below the stride or the dilation"
                    : "output_padding is %lld; it must be 0, except in transposed convolutions",
                (long long)more[i]);
            return false;
        }
    c->images = x->shape.dim[0];
    c->out = w->shape.dim[0] / c->groups;
    c->in = w->shape.dim[1];
    return k->transposed ? cti_window_size(k->me, x, more, c)
                         : cti_window_result(k->me, x, false, c);
}

static ct_tensor *conv_call_run(const conv_call *k, ct_tensor *x, ct_tensor *w, ct_tensor *b,
                                const ct_conv_options *o)
{
    const char *me = k->me;
    cti_conv c = { .part = k->transposed ? CTI_CONV_INPUT : CTI_CONV_OUTPUT,
                   .groups = o->groups ? o->groups : 1 };
    ct_tensor *role[3] = { NULL }, *y;

    if (!cti_usable(me, x) || !cti_usable_as(me, "weight", w) || !cti_optional_as(me, "bias", b) ||
        !cti_want_float(me, "x", x) || !cti_same_dtype(me, "x", x, "weight", w) ||
        !cti_same_device(me, "x", x, "weight", w) ||
        (b &&
         (!cti_same_dtype(me, "x", x, "bias", b) || !cti_same_device(me, "x", x, "bias", b))) ||
        !conv_check_ranks(k, x, w) || !cti_at_least(me, "groups", c.groups, 1) ||
        !conv_check_channels(k, x, w, b, c.groups) || !conv_geometry(k, x, w, o, &c))
        return NULL;
    x = k->axes == 1 ? ct_unsqueeze(x, 2) : x;
    role[CTI_CONV_WEIGHT] = k->axes == 1 ? ct_unsqueeze(w, 2) : w;
    role[k->transposed ? CTI_CONV_OUTPUT : CTI_CONV_INPUT] = x;
    y = cti_conv_part_of(me, &c, role, b);
    return k->axes == 1 && y ? ct_squeeze(y, 2) : y;
}

ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options o)
{
    return conv_call_run(&(conv_call){ "ct_conv2d", 2, false }, x, weight, bias, &o);
}

ct_tensor *ct_conv1d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options o)
{
    return conv_call_run(&(conv_call){ "ct_conv1d", 1, false }, x, weight, bias, &o);
}

ct_tensor *ct_conv_transpose2d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options o)
{
    return conv_call_run(&(conv_call){ "ct_conv_transpose2d", 2, true }, x, weight, bias, &o);
}

ct_tensor *ct_conv_transpose1d(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, ct_conv_options o)
{
    return conv_call_run(&(conv_call){ "ct_conv_transpose1d", 1, true }, x, weight, bias, &o);
}

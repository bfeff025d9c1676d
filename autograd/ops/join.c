/* SPDX-License-Identifier: MIT */
/* join.c - joining tensors, and splitting one.
 *
 *     cat:    y is the parts one after another along an axis;  dpart[i] = d's range of that part
 *     stack:  y is the parts along a new axis;                 dpart[i] = d's slice number i
 *     split:  views of consecutive ranges;                     the derivative is ct_narrow's */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>

#include <string.h>

/* ---- cat and stack ---- */

/* Attributes of cat, an array of int64_t: the axis, then the length of each part along it. */
enum { CAT_AXIS, CAT_LENGTHS };

/* Up to this many parts, the attributes are built on the stack. */
#define CAT_FEW_PARTS 256

static void cat_grad(ct_node *n, ct_tensor *const *dout)
{
    const int64_t *attributes = ct_node_attributes(n), *length = attributes + CAT_LENGTHS;
    int axis = (int)attributes[CAT_AXIS], i;
    int64_t start = 0;

    for (i = 0; i < ct_node_input_count(n); i++) {
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, ct_narrow(dout[0], axis, start, length[i]));
        start += length[i];
    }
}

static const ct_op cat_op = {
    .name = "ct_cat", .inputs = -1, .outputs = 1, .backward = CTI_TRAINING(cat_grad)
};

static void stack_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    int i;

    for (i = 0; i < ct_node_input_count(n); i++)
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, ct_select(dout[0], *axis, i));
}

static const ct_op stack_op = {
    .name = "ct_stack", .inputs = -1, .outputs = 1, .backward = CTI_TRAINING(stack_grad)
};

/* True if part i can be joined with part 0: the same dtype, device and sizes, except along axis
 * (-1: no exception). */
static bool join_fits(const char *function, const ct_tensor *first, const ct_tensor *t, int i,
                      int axis)
{
    ct_shape shape = t->shape;

    if (axis >= 0 && axis < shape.rank)
        shape.dim[axis] = first->shape.dim[axis];
    if (!cti_same_shape(&first->shape, &shape)) {
        if (axis >= 0)
            ct_raise(CT_ERR_SHAPE, function, "part 0 %s and part %d %s differ outside axis %d",
                     cti_describe(first).s, i, cti_describe(t).s, axis);
        else
            ct_raise(CT_ERR_SHAPE, function, "part 0 %s and part %d %s must have one shape",
                     cti_describe(first).s, i, cti_describe(t).s);
        return false;
    }
    if (first->dtype != t->dtype || first->device != t->device) {
        ct_raise(first->dtype != t->dtype ? CT_ERR_DTYPE : CT_ERR_DEVICE, function,
                 "part 0 %s and part %d %s must have one dtype and device", cti_describe(first).s,
                 i, cti_describe(t).s);
        return false;
    }
    return true;
}

static bool join_check(const char *function, int count, ct_tensor *const *parts, int axis)
{
    int i;

    if (count < 1 || count > 65536) {
        ct_raise(CT_ERR_ARGUMENT, function, "count is %d; it must be in 1..65536", count);
        return false;
    }
    if (!cti_usable_all(function, "parts", count, parts))
        return false;
    for (i = 0; i < count; i++)
        if (!join_fits(function, parts[0], parts[i], i, axis))
            return false;
    return true;
}

/* Copies src into y from position `at` of an axis on. If drop is true, src lacks that axis, as in a
 * stack. */
static bool join_copy(const char *function, ct_tensor *y, int axis, int64_t at,
                      const ct_tensor *src, bool drop)
{
    int64_t stride[CT_MAX_RANK], offset = src->numel ? at * y->stride[axis] : 0;
    int i, rank = 0;
    ct_tensor *window;
    ct_scope s;

    for (i = 0; i < y->shape.rank; i++)
        if (i != axis || !drop)
            stride[rank++] = y->stride[i];
    s = cti_scope_push();
    window = cti_view(function, y, src->shape, stride, y->offset + offset);
    if (window)
        cti_copy(window, src);
    cti_scope_pop(s);
    return window != NULL;
}

/* Writes the parts' lengths along axis; returns their sum, or -1 with an error if it overflows. */
static int64_t cat_lengths(int count, ct_tensor *const *parts, int axis, int64_t *length)
{
    int64_t sum = 0;
    int i;

    for (i = 0; i < count; i++) {
        length[i] = parts[i]->shape.dim[axis];
        if (length[i] > INT64_MAX - sum) {
            ct_raise(CT_ERR_SHAPE, "ct_cat",
                     "the parts are too long: the sum of their sizes overflows");
            return -1;
        }
        sum += length[i];
    }
    return sum;
}

ct_tensor *ct_cat(int count, ct_tensor *const *parts, int axis)
{
    int64_t few[CAT_LENGTHS + CAT_FEW_PARTS], *attributes = few, *length, start = 0;
    ct_tensor *y;
    ct_shape shape;
    int i;

    if (count > 0 &&
        (!cti_given("ct_cat", "parts", parts) || !cti_usable_as("ct_cat", "parts[0]", parts[0])))
        return NULL;
    axis = count > 0 ? cti_axis("ct_cat", parts[0], axis) : 0;
    if (axis < 0 || !join_check("ct_cat", count, parts, axis))
        return NULL;
    if (count > CAT_FEW_PARTS)
        attributes = cti_scope_alloc("ct_cat", (CAT_LENGTHS + (size_t)count) * sizeof *attributes);
    if (!attributes)
        return NULL;
    attributes[CAT_AXIS] = axis;
    length = attributes + CAT_LENGTHS;
    shape = parts[0]->shape;
    shape.dim[axis] = cat_lengths(count, parts, axis, length);
    if (shape.dim[axis] < 0)
        return NULL;
    y = cti_new("ct_cat", shape, parts[0]->dtype, parts[0]->device);
    for (i = 0; y && i < count; start += length[i], i++)
        if (!join_copy("ct_cat", y, axis, start, parts[i], false))
            return NULL;
    return cti_record_n_with(&cat_op, count, parts, y, attributes,
                             (CAT_LENGTHS + (size_t)count) * sizeof *attributes);
}

ct_tensor *ct_stack(int count, ct_tensor *const *parts, int axis)
{
    ct_shape shape;
    ct_tensor *y;
    int i, rank;

    if (!cti_given_array("ct_stack", "parts", count, parts) ||
        !join_check("ct_stack", count, parts, -1))
        return NULL;
    rank = parts[0]->shape.rank;
    if (rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_stack", "part 0 %s has rank %d already, the highest that exists",
                 cti_describe(parts[0]).s, CT_MAX_RANK);
        return NULL;
    }
    if (axis < -rank - 1 || axis > rank) {
        ct_raise(CT_ERR_SHAPE, "ct_stack", "cannot insert an axis at %d into part 0 %s", axis,
                 cti_describe(parts[0]).s);
        return NULL;
    }
    axis = axis < 0 ? axis + rank + 1 : axis;
    shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i <= rank; i++)
        shape.dim[shape.rank++] = i == axis ? count : parts[0]->shape.dim[i < axis ? i : i - 1];
    y = cti_new("ct_stack", shape, parts[0]->dtype, parts[0]->device);
    if (!y)
        return NULL;
    for (i = 0; i < count; i++)
        if (!join_copy("ct_stack", y, axis, i, parts[i], true))
            return NULL;
    return cti_record_n_with(&stack_op, count, parts, y, &axis, sizeof axis);
}

/* ---- split ---- */

/* True if the sizes (NULL: equal sizes) add up to the axis. */
static bool join_sizes_fit(const ct_tensor *x, int count, const int64_t *sizes, int axis)
{
    int64_t left = x->shape.dim[axis];
    int i;

    for (i = 0; sizes && i < count; i++) {
        if (sizes[i] < 0 || sizes[i] > left)
            break;
        left -= sizes[i];
    }
    if (sizes ? i == count && left == 0 : left % count == 0)
        return true;
    ct_raise(CT_ERR_SHAPE, "ct_split", "axis %d of x %s cannot be split into %d %s", axis,
             cti_describe(x).s, count, sizes ? "parts of the given sizes" : "equal parts");
    return false;
}

ct_status ct_split(ct_tensor *x, int count, const int64_t *sizes, int axis, ct_tensor **parts)
{
    static const char *const me = "ct_split";
    int64_t at = 0;
    int i;

    if (!cti_given(me, "parts", parts))
        return ct_error();
    if (count < 1)
        return ct_raise(CT_ERR_ARGUMENT, me, "count is %d; it must be at least 1", count);
    memset(parts, 0, (size_t)count * sizeof *parts);
    if (!cti_usable(me, x))
        return ct_error();
    axis = cti_axis(me, x, axis);
    if (axis < 0 || !join_sizes_fit(x, count, sizes, axis))
        return ct_error();
    for (i = 0; i < count; i++) {
        int64_t size = sizes ? sizes[i] : x->shape.dim[axis] / count;

        parts[i] = ct_narrow(x, axis, at, size);
        if (!parts[i]) {
            memset(parts, 0, (size_t)count * sizeof *parts);
            return ct_error();
        }
        at += size;
    }
    return CT_OK;
}

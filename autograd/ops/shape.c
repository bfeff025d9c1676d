/* shape.c - views and copies that rearrange elements. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>

/* A view of x recorded under op, or NULL. */
static ct_tensor *view_op(const char *function, const ct_op *op, ct_tensor *x, ct_shape shape,
                          const int64_t *stride, int64_t offset, const void *attributes,
                          size_t bytes)
{
    ct_tensor *y = cti_view(function, x, shape, stride, offset);

    return y && ct_record(op, 1, &x, 1, &y, attributes, bytes) ? y : NULL;
}

/* ---- reshape ---- */

static void reshape_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_reshape(dout[0], ct_node_input_shape(n, 0)));
}

static const ct_op reshape_op = {
    .name = "ct_reshape", .inputs = 1, .outputs = 1, .backward = reshape_grad
};

/* Puts the size that is -1 in its place; false with an error if the counts differ. */
static bool settle_shape(const char *function, const ct_tensor *x, ct_shape *shape)
{
    ct_shape asked = *shape;
    int64_t known = 1;
    int i, open = -1;

    for (i = 0; i < shape->rank && i < CT_MAX_RANK; i++)
        if (shape->dim[i] == -1 && open < 0)
            open = i;
        else if (known >= 0 && shape->dim[i] >= 0 &&
                 (shape->dim[i] == 0 || known <= INT64_MAX / shape->dim[i]))
            known *= shape->dim[i];
        else
            known = -1; /* and stays so */
    if (open >= 0 && known > 0 && x->numel % known == 0)
        shape->dim[open] = x->numel / known;
    if (shape->rank < 0 || shape->rank > CT_MAX_RANK || known < 0 || (open >= 0 && known == 0) ||
        (open < 0 ? known != x->numel : x->numel % known != 0)) {
        ct_raise(CT_ERR_SHAPE, function, "x %s cannot have the shape %s", cti_describe(x).s,
                 cti_shape_text(&asked).s);
        return false;
    }
    return true;
}

/* Strides that show x under shape without a copy; false if there are none. x's axes are runs of
 * adjacent ones, those of size 1 left out; each new axis must divide what is left of a run. */
static bool reshape_strides(const ct_tensor *x, const ct_shape *shape, int64_t *stride)
{
    int64_t size[CT_MAX_RANK], run_step[CT_MAX_RANK], left = 1, step = 1;
    int runs = 0, r = 0, k;

    if (x->numel == 0 || x->contiguous) {
        cti_row_major(shape, stride);
        return true;
    }
    for (k = x->shape.rank - 1; k >= 0; k--) {
        if (x->shape.dim[k] == 1)
            continue;
        if (runs && x->stride[k] == run_step[runs - 1] * size[runs - 1]) {
            size[runs - 1] *= x->shape.dim[k];
        } else {
            size[runs] = x->shape.dim[k];
            run_step[runs++] = x->stride[k];
        }
    }
    for (k = shape->rank - 1; k >= 0; k--) {
        if (left == 1 && shape->dim[k] != 1) {
            left = size[r];
            step = run_step[r++];
        }
        if (left % shape->dim[k] != 0)
            return false;
        stride[k] = step;
        step *= shape->dim[k];
        left /= shape->dim[k];
    }
    return true;
}

static ct_tensor *reshape(const char *function, ct_tensor *x, ct_shape shape)
{
    int64_t stride[CT_MAX_RANK];
    ct_tensor *y;

    if (!cti_usable(function, x) || !settle_shape(function, x, &shape))
        return NULL;
    if (reshape_strides(x, &shape, stride))
        return view_op(function, &reshape_op, x, shape, stride, x->offset, NULL, 0);
    y = cti_contiguous(x);
    if (!y)
        return NULL;
    cti_row_major(&shape, stride);
    y = cti_view(function, y, shape, stride, y->offset);
    return y && ct_record(&reshape_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape)
{
    return reshape("ct_reshape", x, shape);
}

ct_tensor *ct_flatten(ct_tensor *x, int start, int end)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int i;

    if (!cti_usable("ct_flatten", x))
        return NULL;
    if (x->shape.rank == 0)
        return reshape("ct_flatten", x, CT_SHAPE(1));
    start = cti_axis("ct_flatten", x, start);
    end = start < 0 ? -1 : cti_axis("ct_flatten", x, end);
    if (end < 0)
        return NULL;
    if (start > end) {
        ct_raise(CT_ERR_SHAPE, "ct_flatten", "start %d comes after end %d in x %s", start, end,
                 cti_describe(x).s);
        return NULL;
    }
    for (i = 0; i < x->shape.rank; i++)
        if (i <= start || i > end)
            shape.dim[shape.rank++] = x->shape.dim[i];
        else
            shape.dim[shape.rank - 1] *= x->shape.dim[i];
    return reshape("ct_flatten", x, shape);
}

ct_tensor *ct_squeeze(ct_tensor *x, int axis)
{
    ct_shape shape;
    int i;

    if (!cti_usable("ct_squeeze", x))
        return NULL;
    axis = cti_axis("ct_squeeze", x, axis);
    if (axis < 0)
        return NULL;
    if (x->shape.dim[axis] != 1) {
        ct_raise(CT_ERR_SHAPE, "ct_squeeze", "axis %d of x %s has not size 1", axis,
                 cti_describe(x).s);
        return NULL;
    }
    shape = ct_shape_from_sizes(0, NULL);
    for (i = 0; i < x->shape.rank; i++)
        if (i != axis)
            shape.dim[shape.rank++] = x->shape.dim[i];
    return reshape("ct_squeeze", x, shape);
}

ct_tensor *ct_unsqueeze(ct_tensor *x, int axis)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int i, rank;

    if (!cti_usable("ct_unsqueeze", x))
        return NULL;
    rank = x->shape.rank;
    if (axis < -rank - 1 || axis > rank || rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_unsqueeze", "axis %d is no place for an axis of x %s", axis,
                 cti_describe(x).s);
        return NULL;
    }
    axis = axis < 0 ? axis + rank + 1 : axis;
    for (i = 0; i <= rank; i++)
        shape.dim[shape.rank++] = i == axis ? 1 : x->shape.dim[i < axis ? i : i - 1];
    return reshape("ct_unsqueeze", x, shape);
}

/* ---- permute ---- */

typedef struct axes {
    int at[CT_MAX_RANK];
} axes;

static ct_tensor *permute(const char *function, ct_tensor *x, axes order);

static void permute_grad(ct_node *n, ct_tensor *const *dout)
{
    const axes *order = ct_node_attributes(n);
    axes inverse;
    int i;

    for (i = 0; i < ct_node_input_shape(n, 0).rank; i++)
        inverse.at[order->at[i]] = i;
    ct_node_add_grad(n, 0, permute("ct_permute", dout[0], inverse));
}

static const ct_op permute_op = {
    .name = "ct_permute", .inputs = 1, .outputs = 1, .backward = permute_grad
};

static ct_tensor *permute(const char *function, ct_tensor *x, axes order)
{
    ct_shape shape = x->shape;
    int64_t stride[CT_MAX_RANK];
    int i;

    for (i = 0; i < shape.rank; i++) {
        shape.dim[i] = x->shape.dim[order.at[i]];
        stride[i] = x->stride[order.at[i]];
    }
    return view_op(function, &permute_op, x, shape, stride, x->offset, &order, sizeof order);
}

ct_tensor *ct_permute(ct_tensor *x, int count, const int *list)
{
    axes order = { { 0 } };
    int i, seen = 0;

    if (!cti_usable("ct_permute", x))
        return NULL;
    if (count != x->shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_permute", "%d axes for x %s", count, cti_describe(x).s);
        return NULL;
    }
    for (i = 0; i < count; i++) {
        order.at[i] = cti_axis("ct_permute", x, list[i]);
        if (order.at[i] < 0)
            return NULL;
        if (seen & 1 << order.at[i]) {
            ct_raise(CT_ERR_SHAPE, "ct_permute", "axis %d of x %s is listed twice", list[i],
                     cti_describe(x).s);
            return NULL;
        }
        seen |= 1 << order.at[i];
    }
    return permute("ct_permute", x, order);
}

ct_tensor *ct_transpose(ct_tensor *x, int a, int b)
{
    axes order;
    int i;

    if (!cti_usable("ct_transpose", x))
        return NULL;
    a = cti_axis("ct_transpose", x, a);
    b = a < 0 ? -1 : cti_axis("ct_transpose", x, b);
    if (b < 0)
        return NULL;
    for (i = 0; i < CT_MAX_RANK; i++)
        order.at[i] = i == a ? b : i == b ? a : i;
    return permute("ct_transpose", x, order);
}

/* ---- expand ---- */

static void expand_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_sum_to_shape(dout[0], ct_node_input_shape(n, 0)));
}

static const ct_op expand_op = {
    .name = "ct_expand", .inputs = 1, .outputs = 1, .backward = expand_grad
};

ct_tensor *ct_expand(ct_tensor *x, ct_shape shape)
{
    int64_t stride[CT_MAX_RANK];
    int lead, i;

    if (!cti_usable("ct_expand", x))
        return NULL;
    lead = shape.rank - x->shape.rank;
    for (i = 0; i < shape.rank && lead >= 0 && shape.rank <= CT_MAX_RANK; i++) {
        int64_t have = i < lead ? 1 : x->shape.dim[i - lead];

        if (shape.dim[i] == -1 && i >= lead)
            shape.dim[i] = have;
        if (have != 1 && have != shape.dim[i])
            break;
        stride[i] = have == 1 ? 0 : x->stride[i - lead];
    }
    if (lead < 0 || i < shape.rank) {
        ct_raise(CT_ERR_SHAPE, "ct_expand", "x %s does not expand to %s", cti_describe(x).s,
                 cti_shape_text(&shape).s);
        return NULL;
    }
    if (cti_shape_check("ct_expand", &shape, x->dtype) < 0)
        return NULL;
    return view_op("ct_expand", &expand_op, x, shape, stride, x->offset, NULL, 0);
}

/* ---- slices: the gradient is added into the same window of the input's ---- */

typedef struct range {
    int axis;
    bool drop; /* the axis goes (select) */
    int64_t start, step, length;
} range;

/* What a slice of an array with this shape and these strides shows. */
static cti_window window_of(const ct_shape *shape, const int64_t *stride, const range *r)
{
    cti_window w;
    int i;

    w.shape = ct_shape_from_sizes(0, NULL);
    w.offset = r->length ? r->start * stride[r->axis] : 0;
    for (i = 0; i < shape->rank; i++) {
        if (i == r->axis && r->drop)
            continue;
        w.stride[w.shape.rank] = i == r->axis ? stride[i] * r->step : stride[i];
        w.shape.dim[w.shape.rank++] = i == r->axis ? r->length : shape->dim[i];
    }
    return w;
}

static cti_window gradient_window(const ct_shape *shape, const range *r)
{
    int64_t stride[CT_MAX_RANK];

    cti_row_major(shape, stride);
    return window_of(shape, stride, r);
}

static ct_tensor *slice(const char *function, ct_tensor *x, range r);

/* zeros of the shape in the attributes, but for d in the window; its derivative is the slice */
typedef struct scatter {
    range r;
    ct_shape shape;
} scatter;

static void slice_backward_grad(ct_node *n, ct_tensor *const *dout)
{
    const scatter *s = ct_node_attributes(n);

    ct_node_add_grad(n, 0, slice("ct_slice", dout[0], s->r));
}

static const ct_op slice_backward_op = {
    .name = "ct_slice_backward", .inputs = 1, .outputs = 1, .backward = slice_backward_grad
};

static ct_tensor *slice_backward(ct_node *n, ct_tensor *d)
{
    scatter s = { *(const range *)ct_node_attributes(n), ct_node_input_shape(n, 0) };
    cti_window w = gradient_window(&s.shape, &s.r);
    ct_tensor *y, *part;

    y = ct_zeros(s.shape, d->dtype, d->device);
    part = y ? cti_view("ct_slice_backward", y, w.shape, w.stride, w.offset) : NULL;
    if (!part)
        return NULL;
    cti_copy(part, d);
    return ct_record(&slice_backward_op, 1, &d, 1, &y, &s, sizeof s) ? y : NULL;
}

static void slice_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_shape shape = ct_node_input_shape(n, 0);
    cti_window w = gradient_window(&shape, ct_node_attributes(n));

    cti_add_grad_window(n, 0, &w, dout[0], slice_backward);
}

static const ct_op slice_op = {
    .name = "ct_slice", .inputs = 1, .outputs = 1, .backward = slice_grad
};

static ct_tensor *slice(const char *function, ct_tensor *x, range r)
{
    cti_window w = window_of(&x->shape, x->stride, &r);

    return view_op(function, &slice_op, x, w.shape, w.stride, x->offset + w.offset, &r, sizeof r);
}

static int64_t clamp_position(int64_t p, int64_t size)
{
    p = p < 0 ? p + size : p;
    return p < 0 ? 0 : p > size ? size : p;
}

ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t end, int64_t step)
{
    int64_t length;

    if (!cti_usable("ct_slice", x))
        return NULL;
    axis = cti_axis("ct_slice", x, axis);
    if (axis < 0)
        return NULL;
    if (step < 1) {
        ct_raise(CT_ERR_ARGUMENT, "ct_slice", "step %lld is below 1", (long long)step);
        return NULL;
    }
    start = clamp_position(start, x->shape.dim[axis]);
    end = clamp_position(end, x->shape.dim[axis]);
    length = end > start ? (end - start - 1) / step + 1 : 0;
    return slice("ct_slice", x, (range){ axis, false, start, step, length });
}

/* length elements from start on; both within the axis */
static ct_tensor *part(const char *function, ct_tensor *x, int axis, int64_t start, int64_t length,
                       bool drop)
{
    int64_t first;

    if (!cti_usable(function, x))
        return NULL;
    axis = cti_axis(function, x, axis);
    if (axis < 0)
        return NULL;
    first = start < 0 ? start + x->shape.dim[axis] : start;
    if (first < 0 || length < 0 || first > x->shape.dim[axis] - length) {
        if (drop)
            ct_raise(CT_ERR_INDEX, function, "index %lld is outside axis %d of x %s",
                     (long long)start, axis, cti_describe(x).s);
        else
            ct_raise(CT_ERR_INDEX, function, "start %lld, length %lld is outside axis %d of x %s",
                     (long long)start, (long long)length, axis, cti_describe(x).s);
        return NULL;
    }
    return slice(function, x, (range){ axis, drop, first, 1, length });
}

ct_tensor *ct_narrow(ct_tensor *x, int axis, int64_t start, int64_t length)
{
    return part("ct_narrow", x, axis, start, length, false);
}

ct_tensor *ct_select(ct_tensor *x, int axis, int64_t index)
{
    return part("ct_select", x, axis, index, 1, true);
}

/* ---- copies ---- */

static void clone_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0]);
}

static const ct_op clone_op = {
    .name = "ct_clone", .inputs = 1, .outputs = 1, .backward = clone_grad
};

ct_tensor *ct_clone(ct_tensor *x)
{
    ct_tensor *y;

    if (!cti_usable("ct_clone", x))
        return NULL;
    y = cti_new("ct_clone", x->shape, x->dtype, x->device);
    if (!y)
        return NULL;
    cti_copy(y, x);
    return ct_record(&clone_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

ct_tensor *ct_contiguous(ct_tensor *x)
{
    if (!cti_usable("ct_contiguous", x))
        return NULL;
    return x->contiguous ? x : ct_clone(x);
}

static void cast_grad(ct_node *n, ct_tensor *const *dout)
{
    const ct_dtype *from = ct_node_attributes(n);

    ct_node_add_grad(n, 0, ct_cast(dout[0], *from));
}

static const ct_op cast_op = {
    .name = "ct_cast", .inputs = 1, .outputs = 1, .backward = cast_grad
};

ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype)
{
    ct_tensor *y;

    if (!cti_usable("ct_cast", x))
        return NULL;
    if (dtype == x->dtype)
        return x;
    y = cti_new("ct_cast", x->shape, dtype, x->device);
    if (!y)
        return NULL;
    cti_copy(y, x);
    if (!cti_is_float(dtype))
        return y;
    return ct_record(&cast_op, 1, &x, 1, &y, &x->dtype, sizeof x->dtype) ? y : NULL;
}

/* ---- cat and stack ---- */

static void cat_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    const int64_t *length = (const int64_t *)ct_node_attributes(n) + 1;
    int64_t at = 0;
    int i;

    for (i = 0; i < ct_node_input_count(n); i++) {
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, ct_narrow(dout[0], *axis, at, length[i]));
        at += length[i];
    }
}

static const ct_op cat_op = { .name = "ct_cat", .inputs = -1, .outputs = 1, .backward = cat_grad };

static void stack_grad(ct_node *n, ct_tensor *const *dout)
{
    const int *axis = ct_node_attributes(n);
    int i;

    for (i = 0; i < ct_node_input_count(n); i++)
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, ct_select(dout[0], *axis, i));
}

static const ct_op stack_op = {
    .name = "ct_stack", .inputs = -1, .outputs = 1, .backward = stack_grad
};

/* Whether part i fits beside part 0: all sizes but those along axis (-1: all). */
static bool fits(const char *function, const ct_tensor *first, const ct_tensor *t, int i, int axis)
{
    ct_shape shape = t->shape;

    if (axis >= 0 && axis < shape.rank)
        shape.dim[axis] = first->shape.dim[axis];
    if (!cti_same_shape(&first->shape, &shape)) {
        ct_raise(CT_ERR_SHAPE, function, "part 0 %s and part %d %s do not fit",
                 cti_describe(first).s, i, cti_describe(t).s);
        return false;
    }
    if (first->dtype != t->dtype || first->device != t->device) {
        ct_raise(first->dtype != t->dtype ? CT_ERR_DTYPE : CT_ERR_DEVICE, function,
                 "part 0 %s and part %d %s differ", cti_describe(first).s, i, cti_describe(t).s);
        return false;
    }
    return true;
}

static bool check_parts(const char *function, int count, ct_tensor *const *parts, int axis)
{
    int i;

    if (count < 1 || count > 65536) {
        ct_raise(CT_ERR_ARGUMENT, function, "%d parts", count);
        return false;
    }
    if (!cti_usable_all(function, "parts", count, parts))
        return false;
    for (i = 0; i < count; i++)
        if (!fits(function, parts[0], parts[i], i, axis))
            return false;
    return true;
}

/* Copies src into y at position at of an axis; src may lack that axis. */
static bool put(const char *function, ct_tensor *y, int axis, int64_t at, const ct_tensor *src,
                int64_t length, bool drop)
{
    range r = { axis, drop, at, 1, length };
    cti_window w = window_of(&y->shape, y->stride, &r);
    ct_scope s = cti_scope_push();
    ct_tensor *v = cti_view(function, y, w.shape, w.stride, w.offset);

    if (v)
        cti_copy(v, src);
    cti_scope_pop(s);
    return v != NULL;
}

ct_tensor *ct_cat(int count, ct_tensor *const *parts, int axis)
{
    struct {
        int axis;
        int64_t length[256];
    } few;
    void *attributes;
    ct_tensor *y;
    ct_shape shape;
    int64_t at = 0, *length;
    size_t bytes;
    int i;

    if (count > 0 && !cti_usable_as("ct_cat", "parts[0]", parts[0]))
        return NULL;
    axis = count > 0 ? cti_axis("ct_cat", parts[0], axis) : 0;
    if (axis < 0 || !check_parts("ct_cat", count, parts, axis))
        return NULL;
    bytes = ((size_t)count + 1) * sizeof(int64_t);
    attributes = count <= 256 ? &few : cti_scope_alloc("ct_cat", bytes);
    if (!attributes)
        return NULL;
    length = (int64_t *)attributes + 1;
    *(int *)attributes = axis;
    shape = parts[0]->shape;
    shape.dim[axis] = 0;
    for (i = 0; i < count; i++) {
        length[i] = parts[i]->shape.dim[axis];
        if (length[i] > INT64_MAX - shape.dim[axis]) {
            ct_raise(CT_ERR_SHAPE, "ct_cat", "the parts are too long together");
            return NULL;
        }
        shape.dim[axis] += length[i];
    }
    y = cti_new("ct_cat", shape, parts[0]->dtype, parts[0]->device);
    if (!y)
        return NULL;
    for (i = 0; i < count; at += length[i], i++)
        if (!put("ct_cat", y, axis, at, parts[i], length[i], false))
            return NULL;
    return ct_record(&cat_op, count, parts, 1, &y, attributes, bytes) ? y : NULL;
}

ct_tensor *ct_stack(int count, ct_tensor *const *parts, int axis)
{
    ct_shape shape;
    ct_tensor *y;
    int i, rank;

    if (!check_parts("ct_stack", count, parts, -1))
        return NULL;
    rank = parts[0]->shape.rank;
    if (axis < -rank - 1 || axis > rank || rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, "ct_stack", "axis %d is no place for an axis of %s", axis,
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
        if (!put("ct_stack", y, axis, i, parts[i], 1, true))
            return NULL;
    return ct_record(&stack_op, count, parts, 1, &y, &axis, sizeof axis) ? y : NULL;
}

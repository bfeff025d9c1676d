/* SPDX-License-Identifier: MIT */
/* einsum.c - sums of products, with axes that are named by letters.
 *
 * Operands are multiplied in pairs. An axis of a pair is of one of four kinds: in both and kept
 * (batch), in both and summed (inner), only in the first (left), or only in the second (right). The
 * operands are permuted to (batch, left, inner) and (batch, inner, right) and reshaped, so that
 * their product is a batched product of matrices. All these steps are ops with derivatives. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/einsum.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

#include <string.h>

/* A label is a letter (0..51) or an axis of "..." (52..59). The axes of "..." are counted from the
 * last one, which has the same label in all operands. */
enum { LETTERS = 52, LABELS = LETTERS + CT_MAX_RANK, MOST_OPERANDS = 32 };

typedef uint64_t einsum_set; /* a set of labels, as bits */

/* A tensor and the labels of its axes. */
typedef struct einsum_term {
    ct_tensor *t;
    int rank;
    int label[CT_MAX_RANK];
} einsum_term;

typedef struct einsum_call {
    const char *equation;
    int count, ellipsis; /* the number of operands; the most axes that "..." has in one of them */
    einsum_term in[MOST_OPERANDS], out;
    einsum_set once, twice; /* the labels that occur in the operands, and those that occur more than
                             * once */
    int64_t size[LABELS];
} einsum_call;

static const char *const einsum_name = "ct_einsum";

static einsum_set einsum_bit(int label)
{
    return (einsum_set)1 << label;
}

static einsum_set einsum_labels(const einsum_term *x)
{
    einsum_set set = 0;
    int i;

    for (i = 0; i < x->rank; i++)
        set |= einsum_bit(x->label[i]);
    return set;
}

/* ---- reading the equation ---- */

static int einsum_letter(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

static bool einsum_raise(const einsum_call *c, const char *why)
{
    ct_raise(CT_ERR_ARGUMENT, einsum_name, "equation \"%.200s\" %s", c->equation, why);
    return false;
}

/* The labels of a term in the order of the text. */
typedef struct einsum_text {
    int count, label[CT_MAX_RANK];
    int dots; /* the number of labels before "..."; -1 if the term does not have it */
} einsum_text;

/* Reads a term up to a comma, "->" or the end; *at moves there. */
static bool einsum_read(const einsum_call *c, const char **at, einsum_text *text)
{
    const char *p = *at;

    text->count = 0;
    text->dots = -1;
    for (; *p && *p != ',' && *p != '-'; p++) {
        if (*p == ' ')
            continue;
        if (strncmp(p, "...", 3) == 0 && text->dots < 0) {
            text->dots = text->count;
            p += 2;
        } else if (einsum_letter(*p) < 0) {
            return einsum_raise(c, "may have only letters, commas, spaces, \"...\" and \"->\"");
        } else if (text->count == CT_MAX_RANK) {
            return einsum_raise(c, "has a term of more than 8 letters");
        } else {
            text->label[text->count++] = einsum_letter(*p);
        }
    }
    *at = p;
    return true;
}

/* Puts the labels in the order of the axes; extra is the number of axes that "..." stands for. */
static void einsum_place(const einsum_text *text, int extra, einsum_term *x)
{
    int before = text->dots < 0 ? text->count : text->dots, i;

    x->rank = 0;
    for (i = 0; i < before; i++)
        x->label[x->rank++] = text->label[i];
    for (i = 0; text->dots >= 0 && i < extra; i++)
        x->label[x->rank++] = LABELS - extra + i;
    for (i = before; i < text->count; i++)
        x->label[x->rank++] = text->label[i];
}

/* Stores the sizes of an operand's axes; false with an error if an axis has another size than an
 * earlier one with the same label. */
static bool einsum_sizes(einsum_call *c, const einsum_term *x, int operand)
{
    int i;

    for (i = 0; i < x->rank; i++) {
        int64_t n = x->t->shape.dim[i], *size = &c->size[x->label[i]];
        einsum_set bit = einsum_bit(x->label[i]);

        if ((c->once & bit) && *size != n && *size != 1 && n != 1) {
            ct_raise(CT_ERR_SHAPE, einsum_name,
                     "equation \"%.200s\": axis %d of operand %d %s must have size %lld",
                     c->equation, i, operand, cti_describe(x->t).s, (long long)*size);
            return false;
        }
        *size = (c->once & bit) && n == 1 ? *size : n;
        c->twice |= c->once & bit;
        c->once |= bit;
    }
    return true;
}

static bool einsum_read_operand(einsum_call *c, const char **at, int operand)
{
    einsum_term *x = &c->in[operand];
    einsum_text text;
    int extra;

    if (!einsum_read(c, at, &text))
        return false;
    extra = x->t->shape.rank - text.count;
    if (extra < 0 || (extra > 0 && text.dots < 0)) {
        ct_raise(CT_ERR_SHAPE, einsum_name, "equation \"%.200s\" has %d letters for operand %d %s",
                 c->equation, text.count, operand, cti_describe(x->t).s);
        return false;
    }
    c->ellipsis = extra > c->ellipsis ? extra : c->ellipsis;
    einsum_place(&text, extra, x);
    return einsum_sizes(c, x, operand);
}

/* Chooses the labels of the result for an equation without "->". */
static bool einsum_implied(einsum_call *c)
{
    einsum_text text = { .dots = 0 };
    int label;

    for (label = 0; label < LETTERS; label++) {
        if (!(c->once & ~c->twice & einsum_bit(label)))
            continue;
        if (text.count + c->ellipsis == CT_MAX_RANK)
            return einsum_raise(c, "has a result of more than 8 axes");
        text.label[text.count++] = label;
    }
    einsum_place(&text, c->ellipsis, &c->out);
    return true;
}

static bool einsum_read_result(einsum_call *c, const char *at)
{
    einsum_set seen = 0;
    einsum_text text;
    int i;

    if (!einsum_read(c, &at, &text))
        return false;
    if (*at)
        return einsum_raise(c, "has text after the result");
    if (text.dots >= 0 && text.count + c->ellipsis > CT_MAX_RANK)
        return einsum_raise(c, "has a result of more than 8 axes");
    for (i = 0; i < text.count; seen |= einsum_bit(text.label[i]), i++) {
        if (seen & einsum_bit(text.label[i]))
            return einsum_raise(c, "has a letter twice in the result");
        if (!(c->once & einsum_bit(text.label[i])))
            return einsum_raise(c, "has a letter in the result that is not in an operand");
    }
    einsum_place(&text, c->ellipsis, &c->out);
    return true;
}

static bool einsum_parse(einsum_call *c)
{
    const char *at = c->equation;
    int i;

    for (i = 0; i < c->count; i++) {
        if (!einsum_read_operand(c, &at, i))
            return false;
        if (i + 1 < c->count && *at++ != ',')
            return einsum_raise(c, "has fewer terms than operands");
    }
    if (!*at)
        return einsum_implied(c);
    if (strncmp(at, "->", 2) != 0)
        return einsum_raise(c, *at == ',' ? "has more terms than operands"
                                          : "has a \"-\" without \">\"");
    return einsum_read_result(c, at + 2);
}

/* ---- terms ---- */

/* Returns the axis of x with a label; -1 if x does not have the label. */
static int einsum_find(const einsum_term *x, int label)
{
    int i;

    for (i = 0; i < x->rank && x->label[i] != label; i++)
        ;
    return i < x->rank ? i : -1;
}

/* Takes the diagonal of axes with the same label. */
static bool einsum_diagonals(einsum_term *x)
{
    int i, k;

    for (i = 0; i < x->rank; i++)
        for (k = i + 1; k < x->rank; k++) {
            int label = x->label[i];

            if (x->label[k] != label)
                continue;
            x->t = ct_diagonal(x->t, 0, i, k);
            if (!x->t)
                return false;
            memmove(x->label + k, x->label + k + 1, (size_t)(x->rank - k - 1) * sizeof *x->label);
            memmove(x->label + i, x->label + i + 1, (size_t)(x->rank - i - 2) * sizeof *x->label);
            x->rank--;
            x->label[x->rank - 1] = label; /* the diagonal is the last axis */
            i = -1;                        /* start again from the first axis */
            break;
        }
    return true;
}

/* Sums over the axes whose label is not in keep. */
static bool einsum_sum(einsum_term *x, einsum_set keep)
{
    int axes[CT_MAX_RANK], count = 0, rank = 0, i;

    for (i = 0; i < x->rank; i++)
        if (keep & einsum_bit(x->label[i]))
            x->label[rank++] = x->label[i];
        else
            axes[count++] = i;
    x->rank = rank;
    if (count)
        x->t = ct_sum_axes(x->t, count, axes, false);
    return x->t != NULL;
}

/* Appends to order the axes of x whose label is in set, in the order in which `like` has the
 * labels. Returns the product of their sizes. */
static int64_t einsum_take(const einsum_call *c, const einsum_term *x, const einsum_term *like,
                           einsum_set set, int *order)
{
    int64_t n = 1;
    int i, count = 0;

    while (order[count] >= 0)
        count++;
    for (i = 0; i < like->rank; i++)
        if (set & einsum_bit(like->label[i])) {
            order[count++] = einsum_find(x, like->label[i]);
            n *= c->size[like->label[i]];
        }
    order[count] = -1;
    return n;
}

/* Returns x permuted to order, broadcast to the sizes of its labels, and reshaped to a batch of
 * matrices. */
static ct_tensor *einsum_matrices(const einsum_call *c, const einsum_term *x, const int *order,
                                  ct_shape shape)
{
    ct_tensor *t = ct_permute(x->t, x->rank, order);
    ct_shape full;
    int i;

    if (!t)
        return NULL;
    full = t->shape;
    for (i = 0; i < x->rank; i++)
        full.dim[i] = c->size[x->label[order[i]]];
    return ct_reshape(ct_expand(t, full), shape);
}

/* Appends labels of the product, and their sizes. */
static void einsum_append(const einsum_call *c, einsum_term *y, ct_shape *shape,
                          const einsum_term *from, einsum_set set)
{
    int i;

    for (i = 0; i < from->rank; i++)
        if (set & einsum_bit(from->label[i])) {
            y->label[y->rank++] = from->label[i];
            shape->dim[shape->rank++] = c->size[from->label[i]];
        }
}

static int einsum_count(einsum_set set)
{
    int n = 0;

    for (; set; set &= set - 1)
        n++;
    return n;
}

/* Computes the product *y of a and b, with the labels in keep; *y may be a. */
static bool einsum_multiply(const einsum_call *c, einsum_term a, einsum_term b, einsum_set keep,
                            einsum_term *y)
{
    int a_order[CT_MAX_RANK + 1] = { -1 }, b_order[CT_MAX_RANK + 1] = { -1 };
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    einsum_set in_a, in_b, both;
    int64_t batch, left, inner, right;
    ct_tensor *l, *r;

    if (!einsum_sum(&a, keep | einsum_labels(&b)) || !einsum_sum(&b, keep | einsum_labels(&a)))
        return false;
    in_a = einsum_labels(&a);
    in_b = einsum_labels(&b);
    both = in_a & in_b;
    if (einsum_count((in_a | in_b) & (keep | ~both)) > CT_MAX_RANK)
        return einsum_raise(c, "needs an intermediate result of more than 8 axes");
    batch = einsum_take(c, &a, &a, both & keep, a_order);
    left = einsum_take(c, &a, &a, in_a & ~both, a_order);
    inner = einsum_take(c, &a, &a, both & ~keep, a_order);
    einsum_take(c, &b, &a, both & keep, b_order);
    einsum_take(c, &b, &a, both & ~keep, b_order);
    right = einsum_take(c, &b, &b, in_b & ~both, b_order);
    l = einsum_matrices(c, &a, a_order, CT_SHAPE(batch, left, inner));
    r = l ? einsum_matrices(c, &b, b_order, CT_SHAPE(batch, inner, right)) : NULL;
    y->rank = 0;
    einsum_append(c, y, &shape, &a, both & keep);
    einsum_append(c, y, &shape, &a, in_a & ~both);
    einsum_append(c, y, &shape, &b, in_b & ~both);
    y->t = r ? ct_reshape(ct_matmul(l, r), shape) : NULL;
    return y->t != NULL;
}

/* Returns x with the axes of the result, in their order and with their sizes. */
static ct_tensor *einsum_result(const einsum_call *c, einsum_term x)
{
    einsum_set keep = einsum_labels(&c->out);
    int order[CT_MAX_RANK], i;

    if (!einsum_sum(&x, keep))
        return NULL;
    for (i = 0; i < c->out.rank; i++)
        order[i] = einsum_find(&x, c->out.label[i]);
    return ct_permute(x.t, x.rank, order);
}

static bool einsum_check(int count, ct_tensor *const *operands)
{
    const char *me = einsum_name;
    int i;

    for (i = 0; i < count; i++)
        if (!cti_usable_as(me, "operand", operands[i]) ||
            !cti_want_float(me, "operand", operands[i]) ||
            !cti_same_dtype(me, "operand 0", operands[0], "operand", operands[i]) ||
            !cti_same_device(me, "operand 0", operands[0], "operand", operands[i]))
            return false;
    return true;
}

ct_tensor *ct_einsum(const char *equation, int count, ct_tensor *const *operands)
{
    einsum_call c = { .equation = equation, .count = count };
    einsum_set later;
    einsum_term x;
    int i, k;

    if (!cti_given(einsum_name, "equation", equation) ||
        !cti_given_array(einsum_name, "operands", count, operands))
        return NULL;
    if (count < 1 || count > MOST_OPERANDS) {
        ct_raise(CT_ERR_ARGUMENT, einsum_name, "count is %d; it must be in 1..%d", count,
                 MOST_OPERANDS);
        return NULL;
    }
    if (!einsum_check(count, operands))
        return NULL;
    for (i = 0; i < count; i++)
        c.in[i].t = operands[i];
    if (!einsum_parse(&c))
        return NULL;
    for (i = 0; i < count; i++)
        if (!einsum_diagonals(&c.in[i]))
            return NULL;
    x = c.in[0];
    for (i = 1; i < count; i++) {
        later = einsum_labels(&c.out);
        for (k = i + 1; k < count; k++)
            later |= einsum_labels(&c.in[k]);
        if (!einsum_multiply(&c, x, c.in[i], later, &x))
            return NULL;
    }
    return einsum_result(&c, x);
}

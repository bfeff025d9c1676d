/* SPDX-License-Identifier: MIT */
/* cases.h - one record for each op, which feeds every suite: derivatives, second order, strided
 * inputs, zero sizes, devices. A new op adds a row to a table, not a file of copies.
 *
 * A row draws a call: the shapes and values of its inputs and its options, from a generator, within
 * the limits of the draw. A draw requests a form (broadcast, strided, a zero size, the same tensor
 * twice), which a row uses if its op supports it. Values stay 1e-3 away from kinks and ties.
 *
 *     static void draw_narrow(op_draw *d)
 *     {
 *         ct_shape s = op_shape(d, 1, 5);
 *
 *         op_uniform(d, s, -2, 2);
 *         d->i[0] = op_below(d, s.rank);                         // the axis
 *         d->i[1] = op_below(d, s.dim[d->i[0]] + 1);             // the length
 *     }
 *     static ct_tensor *call_narrow(ct_tensor *const *in, const op_draw *d)
 *     {
 *         return ct_narrow(in[0], (int)d->i[0], 0, d->i[1]);
 *     }
 *     const op_row shape_rows[] = { { "ct_narrow", draw_narrow, .call = call_narrow }, { 0 } };
 *
 * A family of ops has its table in tests/cases_FAMILY.c, declared below and listed in cases.c. */
#ifndef TESTS_CASES_H
#define TESTS_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#define OP_INPUTS 6
#define OP_KINKS 4

/* How an input's values are drawn. */
typedef enum op_values {
    OP_UNIFORM,  /* f64 in [low, high), 1e-3 away from each kink */
    OP_DISTINCT, /* f64 in about -2..2; any two of one call differ by at least 0.01, so there are no
                  * ties */
    OP_INDEX,    /* i64 or i32 in 0..high-1 */
    OP_BOOL
} op_values;

typedef struct op_input {
    ct_shape shape;
    op_values values;
    ct_dtype dtype;
    double low, high, kink[OP_KINKS];
    int kinks;
    bool constant; /* the input requires no gradient */
    bool unused;   /* the call does not pass the input */
    int same_as;   /* the number of an input that is the same tensor, or -1 */
} op_input;

/* One call that was drawn. */
typedef struct op_draw {
    ct_generator g; /* the source of random numbers */
    int64_t most;   /* the most elements of an input */
    bool broadcast; /* requested form: sizes that differ by broadcasting */
    bool strided;   /* requested: inputs with gaps of NaN (or of a bad index), and such an output
                     * gradient */
    bool zero;      /* requested: a size of 0 */
    bool huge;      /* requested, with zero: the other sizes are huge */
    bool same;      /* requested: one tensor for two inputs */
    int count;
    op_input in[OP_INPUTS];
    int64_t i[8]; /* options that only this row knows, for its call */
    double p[8];
} op_draw;

typedef struct op_row {
    const char *name; /* the name of the public function */
    void (*draw)(op_draw *d);
    /* the call; or the function itself, if it takes one tensor or two */
    ct_tensor *(*call)(ct_tensor *const *in, const op_draw *d);
    ct_tensor *(*one)(ct_tensor *x);
    ct_tensor *(*two)(ct_tensor *a, ct_tensor *b);
    int optional; /* the number of the first input that may be NULL; 0: none may be NULL */
    /* opt-outs: the reason why a check is not made for the op; NULL: it is made. tests/opt_outs.txt
     * lists all opt-outs. */
    const char *no_gradient; /* gradients and second order are not checked */
    const char *no_second;   /* second order is not checked */
} op_row;

/* The tables; a row without a name ends each table, and NULL ends the list. */
extern const op_row *const op_tables[];

extern const op_row elementwise_rows[];
extern const op_row compare_rows[];
extern const op_row views_rows[];
extern const op_row copy_rows[];
extern const op_row create_rows[];
extern const op_row join_rows[];
extern const op_row rearrange_rows[];
extern const op_row reduce_rows[];
extern const op_row matmul_rows[];
extern const op_row index_rows[];
extern const op_row sort_rows[];
extern const op_row random_rows[];
extern const op_row loss_rows[];
extern const op_row conv_rows[];
extern const op_row normalise_rows[];
extern const op_row attention_rows[];

/* ---- for draw functions ---- */

/* Returns a number in 0..n-1; 0 for n < 1. */
int64_t op_below(op_draw *d, int64_t n);
double op_between(op_draw *d, double low, double high);
bool op_chance(op_draw *d, double p);

/* Returns a shape of rank low..high with at most d->most elements, and with a size of 0 if that is
 * requested. */
ct_shape op_shape(op_draw *d, int low, int high);

/* Like op_shape, with at most a share of those elements, for a draw that enlarges sizes
 * afterwards. */
ct_shape op_shape_share(op_draw *d, int low, int high, int share);

/* Returns a shape that broadcasts to shape: some leading axes are dropped and some sizes are 1.
 * Returns shape itself if broadcasting is not requested. */
ct_shape op_narrower(op_draw *d, ct_shape shape);

/* Add an input and return it, so that the caller can set more members. */
op_input *op_uniform(op_draw *d, ct_shape shape, double low, double high);
op_input *op_distinct(op_draw *d, ct_shape shape);
op_input *op_index(op_draw *d, ct_shape shape, int64_t n);
op_input *op_bool(op_draw *d, ct_shape shape);
void op_kink(op_input *in, double at);

/* Common draws: one input of any shape in -2..2 (or in 0.2..2); two inputs that broadcast, either
 * of which may be the narrower one, or which may be one tensor. */
void op_draw_any(op_draw *d);
void op_draw_positive(op_draw *d);
void op_draw_two(op_draw *d);
void op_draw_two_distinct(op_draw *d);

/* ---- for suites ---- */

/* Draws call number `number` of a row, always the same one, whose inputs have at most `most`
 * elements. */
op_draw op_draw_call(const op_row *row, int number, int64_t most);

/* Like op_draw_call, with inputs that have a size of 0 and another size that is huge, if the row
 * supports such inputs. */
op_draw op_draw_huge(const op_row *row, int number);

/* Makes the inputs as contiguous tensors of the innermost scope. All are leaves that require a
 * gradient, except integers, bools and constants. in[k] is in[j] if both are the same tensor in the
 * draw. */
void op_make_inputs(const op_draw *d, ct_tensor **in);

/* Returns the op's result. If strided is requested, the op gets strided copies of the inputs, with
 * history, and its result goes through an identity whose backward returns a strided gradient. */
ct_tensor *op_call(const op_row *row, const op_draw *d, ct_tensor *const *in);

/* Returns a copy of x, with its history, in a buffer whose other elements are NaN (for integers a
 * bad index, for bools true). */
ct_tensor *op_strided(ct_tensor *x, ct_generator *g);

/* "ct_add #3: f64[2,3] f64[3] strided": Returns a description for messages, in a buffer that the
 * next call reuses. */
const char *op_describe(const op_row *row, int number, const op_draw *d);

#endif

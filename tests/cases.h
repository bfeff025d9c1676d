/* cases.h - one record for each op, which feeds every suite: derivatives, second order, strided
 * inputs, zero sizes, devices. A new op adds a row to a table, not a file of copies.
 *
 * A row draws a call: the shapes and values of its inputs and its options, from a generator, within
 * the limits of the draw. A draw asks for a form (broadcast, strided, a zero size, the same tensor
 * twice); a row follows as far as the op has it. Values stay 1e-3 away from kinks and ties.
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
    OP_DISTINCT, /* f64, no two in one call nearer than 0.01, in -2..2 or so: no ties */
    OP_INDEX,    /* i64 or i32 in 0..high-1 */
    OP_BOOL
} op_values;

typedef struct op_input {
    ct_shape shape;
    op_values values;
    ct_dtype dtype;
    double low, high, kink[OP_KINKS];
    int kinks;
    bool constant; /* requires no gradient */
    bool unused;   /* the call leaves it out */
    int same_as;   /* the input whose tensor it is, or -1 */
} op_input;

/* One call, drawn. */
typedef struct op_draw {
    ct_generator g; /* what draws */
    int64_t most;   /* elements an input at most */
    bool broadcast; /* asked for: sizes that differ by broadcasting, */
    bool strided;   /* inputs with gaps of NaN (or of a bad index), and such an output gradient, */
    bool zero;      /* a size that is 0, */
    bool huge;      /* with zero: the other sizes huge, */
    bool same;      /* one tensor for two inputs */
    int count;
    op_input in[OP_INPUTS];
    int64_t i[8]; /* the row's own options, for its call */
    double p[8];
} op_draw;

typedef struct op_row {
    const char *name; /* of the public function */
    void (*draw)(op_draw *d);
    /* the call; or the function itself, if it takes one tensor or two */
    ct_tensor *(*call)(ct_tensor *const *in, const op_draw *d);
    ct_tensor *(*one)(ct_tensor *x);
    ct_tensor *(*two)(ct_tensor *a, ct_tensor *b);
    int optional; /* inputs from this one on may be NULL; 0: none may */
    /* opt-outs: why a check does not hold for the op; NULL where it does. tests/opt_outs.txt lists
     * all of them. */
    const char *no_gradient; /* none is checked, nor what follows */
    const char *no_second;   /* no second order */
} op_row;

/* The tables, each ended by a row without a name, ended by NULL. */
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

/* 0..n-1; 0 for n < 1 */
int64_t op_below(op_draw *d, int64_t n);
double op_between(op_draw *d, double low, double high);
bool op_chance(op_draw *d, double p);

/* A shape of rank low..high with at most d->most elements; with a size of 0 if the draw asks. */
ct_shape op_shape(op_draw *d, int low, int high);

/* The same with a share of those elements at most: for a draw that makes sizes larger after it. */
ct_shape op_shape_share(op_draw *d, int low, int high, int share);

/* One that broadcasts to shape: leading axes left out, sizes made 1; shape if the draw asks for
 * none. */
ct_shape op_narrower(op_draw *d, ct_shape shape);

/* Add an input. Each returns it, so that more can be set. */
op_input *op_uniform(op_draw *d, ct_shape shape, double low, double high);
op_input *op_distinct(op_draw *d, ct_shape shape);
op_input *op_index(op_draw *d, ct_shape shape, int64_t n);
op_input *op_bool(op_draw *d, ct_shape shape);
void op_kink(op_input *in, double at);

/* Usual draws: one input of any shape in -2..2 (in 0.2..2); two that broadcast, either of which
 * may be the narrower one, or are one tensor. */
void op_draw_any(op_draw *d);
void op_draw_positive(op_draw *d);
void op_draw_two(op_draw *d);
void op_draw_two_distinct(op_draw *d);

/* ---- for suites ---- */

/* Call number number of a row, always the same, with inputs of at most most elements. */
op_draw op_draw_call(const op_row *row, int number, int64_t most);

/* The same with inputs that have no elements, but a huge size beside a size of 0, as far as the row
 * has such inputs. */
op_draw op_draw_huge(const op_row *row, int number);

/* The inputs, contiguous tensors of the innermost scope: leaves that require a gradient, but for
 * integers, bools and constants. in[k] is in[j] where the draw says so. */
void op_make_inputs(const op_draw *d, ct_tensor **in);

/* The op's result; if the draw asks, of strided copies of the inputs, with their history, and
 * through an identity that hands a strided gradient back. */
ct_tensor *op_call(const op_row *row, const op_draw *d, ct_tensor *const *in);

/* A copy of x, with its history, in a buffer whose other elements are NaN (a bad index, true). */
ct_tensor *op_strided(ct_tensor *x, ct_generator *g);

/* "ct_add #3: f64[2,3] f64[3] strided": for messages; in a buffer that the next call reuses. */
const char *op_describe(const op_row *row, int number, const op_draw *d);

#endif

/* SPDX-License-Identifier: MIT */
/* kernels_stack.c - stacked recurrent layers at the same time: they have the bits of one layer after the
 * other. */
#include "tests/harness.h"

#include <string.h>

#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/config.h>

#include "tests/test_kernels.h"

enum { STACK_KINDS = CTI_CELL_GRU + 1 };

/* What a case stacks. */
typedef struct stack_case {
    cti_cell_kind kind;
    int layers;
    int64_t hidden, batch;
    bool one_hot, reverse, bf16;
} stack_case;

static const int stack_layers[] = { 2, 3, CTI_MOST_STACKED };
static const int64_t stack_hidden[] = { 1, 16, 17, 80 };
static const int64_t stack_batch[] = { 1, 2, 7, 33 };

static void stack_make(const stack_case *c, layer_numbers *n)
{
    int i;

    for (i = 0; i < c->layers; i++) {
        layer_numbers_make_with(&n[i], c->kind, i ? c->hidden : LAYER_INPUT, c->hidden, c->batch);
        n[i].l.bf16 = c->bf16;
        n[i].w_hh[0] = (float)i / 8; /* the layers have different weights */
        n[i].b_ih[0] = (float)i;
    }
}

static void stack_unmake(const stack_case *c, layer_numbers *n)
{
    int i;

    for (i = 0; i < c->layers; i++)
        layer_numbers_unmake(&n[i]);
}

/* Fills in the calls of all layers: x of a layer are the states of the layer below, and dy is dx of the
 * layer above. Layers differ in what is needed of them. */
static void stack_call(const stack_case *c, layer_numbers *n)
{
    int64_t state = c->reverse ? 0 : c->batch * c->hidden;
    int i;

    for (i = 0; i < c->layers; i++) {
        layer_numbers_call(&n[i], i == 0 && c->one_hot, c->reverse);
        n[i].l.no_dh0 = i % 3 == 1;
        if (i % 3 == 2)
            n[i].l.dw_ih = n[i].l.dw_hh = NULL;
        if (i > 0) {
            n[i].l.x = n[i - 1].out[0] + state;
            n[i - 1].l.dy = n[i].l.dx;
            n[i - 1].l.dh_last = i % 2 ? NULL : n[i - 1].dh_last;
        }
    }
}

/* Runs the layers one after the other. Returns false if this processor has no such kernels. */
static bool stack_run_each(const stack_case *c, layer_numbers *n)
{
    int i;

    stack_call(c, n);
    for (i = 0; i < c->layers; i++)
        if (cti_cpu_layer(&n[i].l) != CT_OK)
            return false;
    for (i = c->layers - 1; i >= 0; i--)
        ck_assert(cti_cpu_layer_backward(&n[i].l) == CT_OK);
    return true;
}

static void stack_run(const stack_case *c, layer_numbers *n)
{
    int i;

    stack_call(c, n);
    for (i = 1; i < c->layers; i++) {
        n[i].l.stacked = true;
        n[i - 1].l.next = &n[i].l;
    }
    ck_assert(cti_cpu_layer(&n[0].l) == CT_OK);
    ck_assert(cti_cpu_layer_backward(&n[0].l) == CT_OK);
}

/* dh0 of a layer that does not need it is working memory. */
static void stack_compare(const stack_case *c, const layer_numbers *a, const layer_numbers *b)
{
    int i;

    for (i = 0; i < c->layers; i++) {
        if (a[i].l.no_dh0)
            memcpy(b[i].out[7], a[i].out[7], (size_t)a[i].size[7] * sizeof(float));
        expect_layer_numbers(&a[i], &b[i], "in a stack");
    }
}

static void expect_stack(const stack_case *c)
{
    static const int threads[] = { 1, 2, 3, 5, 16 };
    static layer_numbers a[CTI_MOST_STACKED], b[CTI_MOST_STACKED];
    const int usual = ct_num_threads();
    size_t i;

    stack_make(c, a);
    stack_make(c, b);
    ck_assert(ct_set_num_threads(1) == CT_OK);
    if (stack_run_each(c, a))
        for (i = 0; i < LENGTH(threads); i++) {
            ck_assert(ct_set_num_threads(threads[i]) == CT_OK);
            stack_run(c, b);
            stack_compare(c, a, b);
        }
    else
        ck_assert(c->bf16 ? !cti_bf16_path_get() : !cti_micro_of(cti_cpu_path_get()));
    stack_unmake(c, a);
    stack_unmake(c, b);
    ck_assert(ct_set_num_threads(usual) == CT_OK);
}

START_TEST(stack_bits)
{
    const int size = _i / STACK_KINDS;
    stack_case c = { .kind = (cti_cell_kind)(_i % STACK_KINDS),
                     .hidden = stack_hidden[size / (int)LENGTH(stack_batch)],
                     .batch = stack_batch[size % (int)LENGTH(stack_batch)] };
    int form = _i + size;
    size_t i;

    for (i = 0; i < LENGTH(stack_layers); i++, form++) {
        c.layers = stack_layers[i];
        c.one_hot = form % 2;
        c.reverse = form / 2 % 2;
        c.bf16 = false;
        expect_stack(&c);
        c.bf16 = true;
        expect_stack(&c);
    }
}
END_TEST

/* A step of these layers is long enough for threads to share it. */
START_TEST(stack_wide)
{
    stack_case c = { .kind = (cti_cell_kind)_i, .layers = 3, .hidden = 144, .batch = 7 };

    expect_stack(&c);
    c.reverse = c.bf16 = true;
    expect_stack(&c);
}
END_TEST

/* A call has at most CTI_MOST_STACKED layers. */
START_TEST(stack_many)
{
    static layer_numbers n[CTI_MOST_STACKED + 1];
    stack_case c = {
        .kind = CTI_CELL_GRU, .layers = CTI_MOST_STACKED + 1, .hidden = 7, .batch = 3
    };
    int i;

    stack_make(&c, n);
    stack_call(&c, n);
    for (i = 1; i < c.layers; i++) {
        n[i].l.stacked = true;
        n[i - 1].l.next = &n[i].l;
    }
    ck_assert(cti_cpu_layer(&n[0].l) == CT_ERR_MEMORY);
    ck_assert(cti_cpu_layer_backward(&n[0].l) == CT_ERR_MEMORY);
    stack_unmake(&c, n);
}
END_TEST

void kernels_stack_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "stack");

    tcase_add_loop_test(tc, stack_bits, 0,
                        (int)(STACK_KINDS * LENGTH(stack_hidden) * LENGTH(stack_batch)));
    tcase_add_loop_test(tc, stack_wide, 0, STACK_KINDS);
    tcase_add_test(tc, stack_many);
}

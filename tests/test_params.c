/* SPDX-License-Identifier: MIT */
/* test_params.c - parameter sets: names, parts, open sizes, freezing, initial values. */
#include "tests/harness.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cotangent.h>

#include "tests/test_params.h"

static ct_tensor *value(ct_params *set, const char *name)
{
    return ct_param_value(ct_params_get(set, name));
}

static bool same_values(ct_tensor *a, ct_tensor *b)
{
    double *v = values_of(a), *w = values_of(b);
    bool same = ct_numel(a) == ct_numel(b) && memcmp(v, w, (size_t)ct_numel(a) * sizeof *v) == 0;

    free(v);
    free(w);
    return same;
}

/* ---- names and parts ---- */

START_TEST(names_and_parts)
{
    ct_init zero = ct_init_constant(0), two = ct_init_constant(2);
    ct_params *set = new_params(0, CT_F32), *a = ct_params_sub(set, "a"),
              *ab = ct_params_sub(a, "b");
    ct_param *w = ct_params_add(a, "w", CT_SHAPE(2, 3), zero);
    ct_param *v = ct_params_add(ab, "v", CT_SHAPE(4), two);
    ct_param *other = ct_params_add(set, "aw", CT_SCALAR, zero);
    ct_param *buffer = ct_params_add_buffer(set, "count", CT_SHAPE(5), zero);

    ck_assert_str_eq(ct_param_name(w), "a.w");
    ck_assert_str_eq(ct_param_name(v), "a.b.v");
    ck_assert(ct_params_sub(set, "a") == a && ct_params_sub(set, "a.b") == ab);
    ck_assert_int_eq(ct_params_count(set), 4);
    ck_assert_int_eq(ct_params_count(a), 2);
    ck_assert_int_eq(ct_params_count(ab), 1);
    ck_assert(ct_params_at(a, 0) == w && ct_params_at(a, 1) == v && ct_params_at(a, 2) == NULL);
    ck_assert(ct_params_at(set, 2) == other && ct_params_at(set, -1) == NULL);
    ck_assert(ct_params_get(set, "a.b.v") == v && ct_params_get(ab, "v") == v);
    ck_assert(ct_params_get(set, "v") == NULL && ct_params_get(set, NULL) == NULL);
    ck_assert(ct_param_is_trained(w) && !ct_param_is_trained(buffer));
    ck_assert_int_eq(ct_params_numel(set), 11);
    ck_assert_int_eq(ct_params_numel(a), 10);
    ck_assert(ct_tensor_requires_grad(ct_param_value(v)) &&
              !ct_tensor_requires_grad(ct_param_value(buffer)));
    ck_assert(ct_param_value(v) == ct_param_value(v));
    expect_values("v", ct_param_value(v), (double[]){ 2, 2, 2, 2 }, 4, 0);
    ct_params_free(a); /* does nothing for a part */
    ck_assert_int_eq(ct_params_count(set), 4);
    ct_params_free(set);
}
END_TEST

/* A part lists the entries under its prefix in order, whether they were added before or after it
 * was made, and through whichever part. */
START_TEST(a_part_lists_its_entries)
{
    static const struct {
        const char *part, *name;
    } added[] = { { "x", "a" }, { "", "x.y.b" }, { "", "xy" }, { "x.y", "c" }, { "x", "y.d" } };
    static const char *const under_xy[] = { "x.y.b", "x.y.c", "x.y.d" };
    ct_init zero = ct_init_constant(0);
    ct_params *set = new_params(0, CT_F32), *early = ct_params_sub(set, "x.y"), *late;
    int k;

    for (k = 0; k < 5; k++) {
        ct_params *part = added[k].part[0] ? ct_params_sub(set, added[k].part) : set;

        ck_assert(ct_params_add(part, added[k].name, CT_SHAPE(2), zero) != NULL);
    }
    late = ct_params_sub(ct_params_sub(set, "x"), "y");
    ck_assert(early == late && ct_params_count(ct_params_sub(set, "xy")) == 0);
    ck_assert_int_eq(ct_params_count(set), 5);
    ck_assert_int_eq(ct_params_count(ct_params_sub(set, "x")), 4);
    ck_assert_int_eq(ct_params_count(early), 3);
    for (k = 0; k < 3; k++)
        ck_assert_str_eq(ct_param_name(ct_params_at(early, k)), under_xy[k]);
    ck_assert(ct_params_get(early, "d") == ct_params_at(set, 4) && !ct_params_get(early, "a"));
    ck_assert_int_eq(ct_params_freeze(early, "*", true), 3);
    ck_assert_int_eq(ct_params_numel(set), 4);
    ct_params_free(set);
}
END_TEST

START_TEST(misuse)
{
    ct_init zero = ct_init_constant(0);
    ct_params *set = new_params(0, CT_F32), *part = ct_params_sub(set, "rnn");
    ct_param *open = ct_params_add(part, "w", CT_SHAPE(3, -1), zero);

    ck_assert(ct_params_add(set, "rnn.w", CT_SHAPE(1), zero) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "rnn.w");
    ck_assert(ct_params_add_buffer(part, "w", CT_SHAPE(1), zero) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_add_buffer", "rnn.w");
    ck_assert(ct_params_add(set, "", CT_SHAPE(1), zero) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "\"\"");
    ck_assert(ct_params_add(set, NULL, CT_SHAPE(1), zero) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "name is NULL");
    ck_assert(ct_params_sub(set, ".a") == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_sub", "\".a\"");
    ck_assert(ct_params_sub(set, "a.") == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_sub", "\"a.\"");
    ck_assert(ct_params_add(set, "b", CT_SHAPE(2, -2), zero) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_params_add", "[2,-2]");
    ck_assert(ct_params_add(part, "b", CT_SHAPE(2), (ct_init){ .fill = NULL }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "init");
    ck_assert(ct_param_value(open) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_param_value", "[3,-1]");
    ck_assert(ct_param_materialize(open, CT_SHAPE(4, 2)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_param_materialize", "rnn.w ... [4,2]");
    ck_assert(ct_param_materialize(open, CT_SHAPE(3, 2, 1)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_param_materialize", "rnn.w ... [3,2,1]");
    ck_assert(ct_param_materialize(open, CT_SHAPE(3, 2)) == CT_OK);
    ck_assert(ct_param_materialize(open, CT_SHAPE(3, 2)) == CT_OK);
    ck_assert(ct_param_materialize(open, CT_SHAPE(3, 5)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_param_materialize", "rnn.w ... [3,5]");
    ck_assert(ct_param_materialize(NULL, CT_SHAPE(1)) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_param_materialize", "p is NULL");
    ck_assert_int_eq(ct_params_count(set), 1);
    ct_params_free(set);

    ck_assert(ct_params_new((ct_params_options){ .dtype = CT_I32 }) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_params_new", "dtype is i32");
    ck_assert(ct_params_new((ct_params_options){ .device = 77 }) == NULL);
    expect_error(CT_ERR_DEVICE, "ct_params_new", "device 77");

    EXPECT_NO_VALUE(ct_params_sub(NULL, "a"));
    EXPECT_NO_VALUE(ct_params_add(NULL, "a", CT_SCALAR, zero));
    ck_assert(ct_params_count(NULL) == 0 && ct_params_at(NULL, 0) == NULL);
    EXPECT_NO_VALUE(ct_param_value(NULL));
    ck_assert(ct_params_freeze(NULL, "*", true) == 0);
    expect_error(CT_ERR_ARGUMENT, "ct_params_freeze", "set is NULL");
    ct_params_free(NULL);
    ct_params_zero_grad(NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_params_zero_grad", "set is NULL");
}
END_TEST

START_TEST(summary)
{
    ct_init zero = ct_init_constant(0);
    ct_params *set = new_params(0, CT_F32);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    ct_params_add(set, "rnn.weight", CT_SHAPE(20, 30), zero);
    ct_params_add(set, "b", CT_SHAPE(-1), zero);
    ct_params_add(set, "frozen", CT_SHAPE(7), zero);
    ct_params_add_buffer(set, "seen", CT_SCALAR, zero);
    ct_params_freeze(set, "frozen", true);
    ct_params_print(set, out);
    fclose(out);
    ck_assert_str_eq(text,
                     "rnn.weight  [20,30]               600\n"
                     "b           [-1]                    0  (known after the first forward)\n"
                     "frozen      [7]                     7  (frozen)\n"
                     "seen        []                      1  (buffer)\n"
                     "total                             600\n");
    free(text);
    ct_params_free(set);
}
END_TEST

/* The set frees what it owns, last added first, before it frees its parameters. */
static char freed[8];

static ct_params *freeing;

static void note_free(void *object)
{
    ck_assert(ct_params_get(freeing, "w") != NULL && value(freeing, "w") != NULL);
    strcat(freed, object);
}

START_TEST(owned_objects)
{
    static char a[] = "a", b[] = "b", c[] = "c";

    freeing = new_params(0, CT_F32);
    freed[0] = '\0';
    ct_params_add(freeing, "w", CT_SHAPE(2), ct_init_constant(1));
    ck_assert(ct_params_own(freeing, a, note_free) == CT_OK);
    ck_assert(ct_params_own(ct_params_sub(freeing, "part"), b, note_free) == CT_OK);
    ck_assert(ct_params_own(freeing, c, note_free) == CT_OK);
    ct_params_free(freeing);
    ck_assert_str_eq(freed, "cba");
}
END_TEST

static void count_free(void *object)
{
    ++*(int *)object;
}

/* Functions that read a set or a parameter accept NULL. */
START_TEST(of_no_set)
{
    ct_params *set = new_params(0, CT_F32);
    int frees = 0;

    ck_assert(ct_params_dtype(NULL) == CT_F32 && ct_params_device(NULL) == CT_CPU);
    ck_assert(ct_params_seed(NULL) == 0 && ct_params_numel(NULL) == 0);
    ck_assert(!ct_params_get(NULL, "w") && !ct_params_generator(NULL));
    ck_assert(!ct_params_is_training(NULL) && ct_params_is_training(set));
    ct_params_train(NULL, true);
    expect_error(CT_ERR_ARGUMENT, "ct_params_train", "set is NULL");
    ck_assert_str_eq(ct_param_name(NULL), "");
    ck_assert(ct_param_shape(NULL).rank == 0);
    ck_assert(ct_param_is_lazy(NULL) && !ct_param_is_trained(NULL));
    expect_ok();
    ct_param_set_init(NULL, ct_init_constant(1));
    expect_error(CT_ERR_ARGUMENT, "ct_param_set_init", "p is NULL");
    ck_assert(!ct_params_add_buffer(NULL, "w", CT_SCALAR, ct_init_constant(1)));
    expect_error(CT_ERR_ARGUMENT, "ct_params_add_buffer", "set is NULL");
    ct_params_print(NULL, stdout);
    expect_error(CT_ERR_ARGUMENT, "ct_params_print", "set is NULL");
    ck_assert(ct_params_own(NULL, &frees, count_free) == CT_ERR_ARGUMENT && frees == 1);
    expect_error(CT_ERR_ARGUMENT, "ct_params_own", "set is NULL");
    ck_assert(ct_params_tie(NULL, "a", "b") == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_tie", "set is NULL");
    ck_assert(ct_params_init(NULL, ct_init_constant(1), 1) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_init", "set is NULL");
    ck_assert(ct_params_to(NULL, CT_CPU) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_to", "set is NULL");
    ck_assert(ct_params_to(ct_params_sub(set, "a"), CT_CPU) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_to", "moved");
    ck_assert(ct_params_to(set, 77) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_params_to", "device 77");
    ct_raise(CT_ERR_NUMERIC, "before", "it"); /* the first error stays recorded */
    ck_assert(ct_params_tie(NULL, "a", "b") == CT_ERR_NUMERIC);
    ck_assert(ct_param_materialize(NULL, CT_SCALAR) == CT_ERR_NUMERIC);
    ck_assert(ct_params_init(set, ct_init_constant(1), 1) == CT_ERR_NUMERIC);
    ck_assert(ct_params_to(set, DEVICE) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "before", "it");
    ct_params_free(set);
}
END_TEST

/* Two shapes and their common shape; rank -1 if they do not agree. */
START_TEST(tied_shapes)
{
    static const struct {
        ct_shape a, b, both;
    } cases[] = {
        { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } },
        { { 1, { 4 } }, { 1, { 4 } }, { 1, { 4 } } },
        { { 1, { -1 } }, { 1, { -1 } }, { 1, { -1 } } },
        { { 1, { -1 } }, { 1, { 4 } }, { 1, { 4 } } },
        { { 1, { 4 } }, { 1, { -1 } }, { 1, { 4 } } },
        { { 2, { 2, -1 } }, { 2, { -1, 3 } }, { 2, { 2, 3 } } },
        { { 3, { -1, 5, -1 } }, { 3, { 4, -1, -1 } }, { 3, { 4, 5, -1 } } },
        { { 1, { 4 } }, { 1, { 5 } }, { -1, { 0 } } },
        { { 1, { 4 } }, { 2, { 4, 1 } }, { -1, { 0 } } },
        { { 2, { 4, 1 } }, { 1, { 4 } }, { -1, { 0 } } },
        { { 2, { -1, 2 } }, { 2, { 5, 3 } }, { -1, { 0 } } },
        { { 2, { 1, -1 } }, { 2, { 2, -1 } }, { -1, { 0 } } },
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ct_shape *both = &cases[i].both;
        ct_params *set = new_params(0, CT_F32);
        ct_param *a = ct_params_add(set, "a", cases[i].a, ct_init_constant(1));
        ct_param *b = ct_params_add(set, "b", cases[i].b, ct_init_constant(2));
        ct_param *buffer = ct_params_add_buffer(set, "c", CT_SHAPE(4), ct_init_constant(2));
        ct_shape of_a, of_b;

        ck_assert(ct_params_tie(set, "a", "b") == (both->rank < 0 ? CT_ERR_SHAPE : CT_OK));
        ct_error_clear();
        of_a = ct_param_shape(a);
        of_b = ct_param_shape(b);
        if (both->rank < 0) { /* they stay the same */
            both = &cases[i].a;
            ck_assert(memcmp(&of_b, &cases[i].b, sizeof of_b) == 0);
            ck_assert(ct_param_is_trained(b));
        } else {
            ck_assert(memcmp(&of_b, both, sizeof of_b) == 0 && !ct_param_is_trained(b));
        }
        ck_assert(memcmp(&of_a, both, sizeof of_a) == 0);
        ck_assert(ct_params_tie(set, "a", "c") == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_params_tie", "no parameter c");
        ck_assert(ct_params_tie(set, "c", "a") == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_params_tie", "no parameter c");
        ck_assert_int_eq(ct_params_freeze(set, "*", false), 3);
        ck_assert(!ct_tensor_requires_grad(ct_param_value(buffer)));
        ct_params_free(set);
    }
}
END_TEST

/* ---- initial values ---- */

static void add_modules(ct_params *set, bool turned)
{
    const ct_nn_linear_options linear = { .in_features = 8, .out_features = 3 };
    const ct_nn_rnn_options rnn = { .input_size = 5, .hidden_size = 8, .num_layers = 2 };

    if (turned)
        ct_nn_linear(set, "linear", linear);
    ct_nn_rnn(set, "rnn", rnn);
    if (!turned)
        ct_nn_linear(set, "linear", linear);
}

START_TEST(order_changes_no_number)
{
    ct_params *one = new_params(3, CT_F32), *turned = new_params(3, CT_F32),
              *other = new_params(4, CT_F32);
    int i;

    add_modules(one, false);
    add_modules(turned, true);
    add_modules(other, false);
    ck_assert_int_eq(ct_params_count(one), 10);
    for (i = 0; i < ct_params_count(one); i++) {
        const char *name = ct_param_name(ct_params_at(one, i));

        ck_assert_msg(same_values(value(one, name), value(turned, name)), "%s differs", name);
        ck_assert_msg(!same_values(value(one, name), value(other, name)), "seed: %s is equal",
                      name);
    }
    ck_assert(!same_values(value(one, "rnn.bias_ih_l0"), value(one, "rnn.bias_hh_l0")));
    ck_assert(!same_values(value(one, "rnn.weight_hh_l0"), value(one, "rnn.weight_hh_l1")));
    ct_params_free(one);
    ct_params_free(turned);
    ct_params_free(other);
}
END_TEST

START_TEST(initialisers)
{
    ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE, .dtype = CT_F64 });
    double *v, mean = 0, square = 0;
    int i, n = 20000;

    ct_params_add(set, "c", CT_SHAPE(3), ct_init_constant(-1.5));
    ct_params_add(set, "n", CT_SHAPE(n), ct_init_normal(2, 0.5));
    ct_params_add(set, "u", CT_SHAPE(n), ct_init_uniform(1, 3));
    expect_values("constant", value(set, "c"), (double[]){ -1.5, -1.5, -1.5 }, 3, 0);
    v = values_of(value(set, "n"));
    for (i = 0; i < n; i++) {
        mean += v[i] / n;
        square += (v[i] - 2) * (v[i] - 2) / n;
    }
    free(v);
    expect_close("mean of normals", mean, 2, 0.02);
    expect_close("variance of normals", square, 0.25, 0.01);
    v = values_of(value(set, "u"));
    for (mean = 0, i = 0; i < n; i++) {
        mean += v[i] / n;
        ck_assert(v[i] >= 1 && v[i] < 3);
    }
    free(v);
    expect_close("mean of uniforms", mean, 2, 0.02);
    ct_params_free(set);
}
END_TEST

/* ---- open sizes set by several threads ---- */

#define THREADS 8

typedef struct race {
    ct_module *linear;
    ct_param *weight, *slow;
    pthread_barrier_t start;
    ct_tensor *seen[THREADS];
    double sum[THREADS];
} race;

typedef struct runner {
    race *race;
    int at;
} runner;

/* Is slow, so that all threads arrive while one fills. */
static atomic_int fills;

static ct_status fill_slowly(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    const struct timespec a_while = { 0, 2000000 };

    (void)init;
    (void)g;
    fills++;
    nanosleep(&a_while, NULL);
    return ct_fill(t, 1);
}

static void *first_forward(void *context)
{
    const runner *me = context;
    race *r = me->race;
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 16), CT_F32, DEVICE), *y;

    pthread_barrier_wait(&r->start);
    y = ct_forward(r->linear, x);
    r->sum[me->at] = ct_item(ct_sum(y));
    r->seen[me->at] = ct_param_value(r->weight);
    ct_param_materialize(r->slow, CT_SHAPE(3));
    if (ct_scope_end(s) != CT_OK)
        r->sum[me->at] = -1e9;
    return NULL;
}

START_TEST(settled_once)
{
    int repeat, i, repeats = harness_count(20, 500);

    for (repeat = 0; repeat < repeats; repeat++) {
        ct_params *set = new_params(9, CT_F32);
        race r = { .linear = ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 4 }),
                   .weight = ct_params_get(set, "l.weight") };
        pthread_t thread[THREADS];
        runner runners[THREADS];

        fills = 0;
        r.slow = ct_params_add(set, "slow", CT_SHAPE(-1), (ct_init){ .fill = fill_slowly });
        pthread_barrier_init(&r.start, NULL, THREADS);
        for (i = 0; i < THREADS; i++) {
            runners[i] = (runner){ &r, i };
            ck_assert(pthread_create(&thread[i], NULL, first_forward, &runners[i]) == 0);
        }
        for (i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        for (i = 0; i < THREADS; i++) {
            ck_assert(r.seen[i] && r.seen[i] == r.seen[0]);
            ck_assert_msg(r.sum[i] == r.sum[0] && r.sum[i] > -1e8, "thread %d: %g, not %g", i,
                          r.sum[i], r.sum[0]);
        }
        ck_assert_int_eq(fills, 1);
        pthread_barrier_destroy(&r.start);
        ct_params_free(set);
    }
}
END_TEST

/* ---- freezing ---- */

/* loss = sum of all values of a.w, a.b and c */
static void backward_of_all(ct_params *set)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *sum = ct_add(ct_sum(value(set, "a.w")), ct_sum(value(set, "a.b")));

    ct_backward(ct_add(sum, ct_sum(value(set, "c"))));
    ck_assert(ct_scope_end(s) == CT_OK);
}

static bool has_grad(ct_params *set, const char *name)
{
    ct_scope s = ct_scope_begin();
    bool has = ct_tensor_grad(value(set, name)) != NULL;

    ck_assert(ct_scope_end(s) == CT_OK);
    return has;
}

START_TEST(freezing)
{
    ct_init one = ct_init_constant(1);
    ct_params *set = new_params(0, CT_F32), *a = ct_params_sub(set, "a");
    ct_optimizer *sgd = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_param *late;
    double norm;

    ct_params_add(a, "w", CT_SHAPE(4), one);
    late = ct_params_add(a, "b", CT_SHAPE(-1), one);
    ct_params_add(set, "c", CT_SHAPE(9), one);
    ck_assert_int_eq(ct_params_freeze(set, "a.*", true), 2);
    ck_assert_int_eq(ct_params_freeze(set, "b*", true), 0);
    ck_assert_int_eq(ct_params_freeze(set, NULL, true), 0);
    expect_error(CT_ERR_ARGUMENT, "ct_params_freeze", "pattern is NULL");
    ck_assert(ct_param_materialize(late, CT_SHAPE(2)) == CT_OK); /* frozen before its size was
                                                                  * known */
    ck_assert_int_eq(ct_params_numel(set), 9);
    backward_of_all(set);
    ck_assert(!has_grad(set, "a.w") && !has_grad(set, "a.b") && has_grad(set, "c"));
    ck_assert(ct_clip_grad_norm(set, 1000, &norm) == CT_OK);
    expect_close("norm", norm, 3, 0);
    ck_assert(ct_optimizer_step(sgd) == CT_OK);
    expect_values("a.w", value(set, "a.w"), (double[]){ 1, 1, 1, 1 }, 4, 0);
    expect_values("c", value(set, "c"), (double[9]){ 0 }, 9, 0);

    ck_assert_int_eq(ct_params_freeze(a, "w", false), 1);
    backward_of_all(set);
    ck_assert(has_grad(set, "a.w") && !has_grad(set, "a.b"));
    ck_assert(ct_clip_grad_norm(a, 1, &norm) == CT_OK); /* only of the part */
    expect_close("norm", norm, 2, 0);
    ck_assert_int_eq(ct_params_freeze(set, "*", true), 3);
    ck_assert(!has_grad(set, "a.w") && !has_grad(set, "c")); /* frozen parameters have none */
    ck_assert_int_eq(ct_params_freeze(set, "*", false), 3);
    backward_of_all(set);
    ct_params_zero_grad(a);
    ck_assert(!has_grad(set, "a.w") && !has_grad(set, "a.b") && has_grad(set, "c"));
    ct_params_zero_grad(set);
    ck_assert(!has_grad(set, "c"));
    ct_optimizer_free(sgd);
    ct_params_free(set);
}
END_TEST

/* ---- out of memory ---- */

/* The initialiser of a parameter may be replaced before its shape is known and before
 * ct_params_init, not later. */
START_TEST(initialisers_of_later)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = new_params(5, CT_F32), *part = ct_params_sub(set, "part");
    ct_param *a = ct_params_add(part, "a", CT_SHAPE(-1), ct_init_constant(1));
    ct_param *b = ct_params_add(set, "b", CT_SHAPE(-1), ct_init_constant(2));
    ct_param *c = ct_params_add(set, "c", CT_SHAPE(2), ct_init_constant(3));

    ck_assert(ct_params_seed(set) == 5 && ct_params_seed(part) == 5 && ct_params_seed(NULL) == 0);
    ct_param_set_init(a, ct_init_constant(7));
    ct_param_set_init(a, (ct_init){ .fill = NULL });
    ct_param_set_init(c, ct_init_constant(7)); /* it has a value */
    ck_assert(ct_params_init(part, ct_init_constant(8), 6) == CT_OK);
    ck_assert_uint_eq(ct_params_seed(set), 5);
    ct_param_set_init(a, ct_init_constant(9)); /* too late */
    ct_param_set_init(b, ct_init_constant(9));
    ck_assert(ct_param_materialize(a, CT_SHAPE(2)) == CT_OK &&
              ct_param_materialize(b, CT_SHAPE(2)) == CT_OK);
    expect_values("a", ct_param_value(a), (double[]){ 8, 8 }, 2, 0);
    expect_values("b", ct_param_value(b), (double[]){ 9, 9 }, 2, 0);
    expect_values("c", ct_param_value(c), (double[]){ 3, 3 }, 2, 0);
    /* each parameter with its initialiser */
    ck_assert(ct_params_init(set, (ct_init){ .fill = NULL }, 7) == CT_OK);
    ck_assert_uint_eq(ct_params_seed(set), 7);
    expect_values("a", ct_param_value(a), (double[]){ 7, 7 }, 2, 0);
    expect_values("b", ct_param_value(b), (double[]){ 9, 9 }, 2, 0);
    expect_values("c", ct_param_value(c), (double[]){ 3, 3 }, 2, 0);
    ck_assert(ct_params_init(part, ct_init_normal(NAN, 1), 7) == CT_ERR_ARGUMENT);
    ct_error_clear();
    expect_values("a", ct_param_value(a), (double[]){ 7, 7 }, 2, 0);
    ck_assert(ct_params_init(NULL, ct_init_constant(1), 7) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_init", "set is NULL");

    ck_assert(ct_params_is_training(set) && ct_params_is_training(part));
    ct_params_train(part, false);
    ck_assert(!ct_params_is_training(set) && !ct_params_is_training(part));
    ct_params_train(set, true);
    ck_assert(ct_params_is_training(part));
    ct_params_free(set);
    ck_assert(ct_scope_end(s) == ct_error());
}
END_TEST

/* Two tied names are frozen if either was frozen before, whichever of them had the value. */
START_TEST(tied_and_frozen)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = new_params(5, CT_F32);
    ct_param *a =
        ct_params_add(set, "a", _i & 2 ? CT_SHAPE(-1, 3) : CT_SHAPE(2, 3), ct_init_constant(1));
    ct_param *b = ct_params_add(set, "b", CT_SHAPE(2, -1), ct_init_constant(2));
    ct_param *c = ct_params_add(set, "c", CT_SHAPE(2, 3), ct_init_constant(3));

    ct_params_freeze(set, _i & 1 ? "a" : "b", true);
    ck_assert(ct_params_tie(set, "a", "b") == CT_OK && ct_params_tie(set, "a", "b") == CT_OK);
    ck_assert(ct_param_shape(b).dim[1] == 3 && ct_param_shape(a).dim[0] == 2);
    ck_assert(ct_param_is_lazy(a) == !!(_i & 2));
    ck_assert(!ct_param_is_trained(a) && !ct_param_is_trained(b) && ct_param_is_trained(c));
    ck_assert(ct_params_tie(set, "a", "c") == CT_OK);
    ck_assert(!ct_param_is_lazy(a) && ct_param_value(a) == ct_param_value(b) &&
              ct_param_value(b) == ct_param_value(c));
    ck_assert(ct_item(ct_select(ct_select(ct_param_value(b), 0, 1), 0, 2)) == (_i & 2 ? 3 : 1));
    ck_assert(!ct_tensor_requires_grad(ct_param_value(a)));
    ck_assert_int_eq(ct_params_numel(set), 0);
    ct_params_freeze(set, "*", false);
    ck_assert(ct_tensor_requires_grad(ct_param_value(c)));
    ck_assert_int_eq(ct_params_numel(set), 6);
    ck_assert(ct_backward(ct_sum(ct_mul(ct_param_value(b), ct_param_value(c)))) == CT_OK);
    ck_assert(ct_tensor_grad(ct_param_value(a)) != NULL);
    ct_params_free(set);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("params");
    TCase *tc = harness_case(suite, "sets");

    tcase_add_test(tc, names_and_parts);
    tcase_add_test(tc, a_part_lists_its_entries);
    tcase_add_test(tc, misuse);
    tcase_add_test(tc, summary);
    tcase_add_test(tc, owned_objects);
    tcase_add_test(tc, of_no_set);
    tcase_add_test(tc, tied_shapes);
    tcase_add_test(tc, order_changes_no_number);
    tcase_add_test(tc, initialisers);
    tcase_add_test(tc, settled_once);
    tcase_add_test(tc, freezing);
    tcase_add_test(tc, initialisers_of_later);
    tcase_add_loop_test(tc, tied_and_frozen, 0, 4);
    params_memory_cases(suite);
    return harness_run(suite);
}

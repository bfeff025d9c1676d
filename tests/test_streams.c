/* SPDX-License-Identifier: MIT */
/* test_streams.c - parameters and tensors through readers, writers and mapped files. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/internal.h"
#include "tests/files.h"
#include "tests/harness.h"

static ct_params *set_new(uint64_t seed, bool lazy)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = seed });

    ck_assert(
        ct_nn_linear(set, "l",
                     (ct_nn_linear_options){ .out_features = 3, .in_features = lazy ? 0 : 2 }) &&
        ct_nn_linear(set, "m", (ct_nn_linear_options){ .out_features = 2, .in_features = 3 }));
    return set;
}

static bool same_values(ct_params *a, ct_params *b)
{
    for (int i = 0; i < ct_params_count(a); i++) {
        ct_tensor *x = ct_param_value(ct_params_at(a, i)), *y = ct_param_value(ct_params_at(b, i));

        if (!cti_same_shape(&x->shape, &y->shape) ||
            memcmp(ct_data(x), ct_data(y), (size_t)x->numel * sizeof(float)) != 0)
            return false;
    }
    return true;
}

/* Saves a set to a file in memory. */
static ct_memory_buffer saved(ct_params *set)
{
    ct_memory_buffer b = { 0 };

    ck_assert_int_eq(ct_params_save_to(set, ct_memory_writer(&b)), CT_OK);
    return b;
}

static ct_status load(ct_params *set, const void *bytes, size_t size)
{
    return ct_params_load_from(set, ct_memory_reader(bytes, size), (ct_load_options){ 0 });
}

/* ---- memory ---- */

START_TEST(memory_holds_the_file)
{
    ct_params *a = set_new(1, false), *b = set_new(2, false), *c = set_new(3, true);
    ct_memory_buffer m = saved(a);
    ct_scope s = ct_scope_begin();
    ct_safetensors *f;
    size_t size;
    char *file;

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    file = read_bytes("x", &size);
    ck_assert(size == m.size && memcmp(file, m.bytes, size) == 0);
    free(file);
    ck_assert(!same_values(a, b) && load(b, m.bytes, m.size) == CT_OK && same_values(a, b));
    ck_assert(load(c, m.bytes, m.size) == CT_OK && same_values(a, c));
    f = ct_safetensors_open_memory(m.bytes, m.size);
    ck_assert_int_eq(ct_safetensors_count(f), 4);
    ck_assert(ct_safetensors_get(f, "l.bias", DEVICE) != NULL);
    ct_safetensors_close(f);
    ct_memory_buffer_clear(&m);
    ck_assert(!m.bytes && !m.size);
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(c);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(damaged_memory)
{
    ct_params *a = set_new(1, false), *b = set_new(2, false), *same = set_new(2, false);
    ct_memory_buffer m = saved(a);

    for (size_t n = 0; n < m.size; n++) {
        unsigned char *part = malloc(n ? n : 1); /* so that a sanitiser finds reads after the end */

        memcpy(part, m.bytes, n);
        ck_assert_int_eq(load(b, part, n), CT_ERR_FORMAT);
        expect_error(CT_ERR_FORMAT, "ct_params_load_from", "memory");
        free(part);
    }
    for (size_t n = 0; n < m.size; n++) {
        m.bytes[n] ^= 4;
        ck_assert_int_eq(load(b, m.bytes, m.size), CT_ERR_FORMAT);
        ct_error_clear();
        m.bytes[n] ^= 4;
    }
    ck_assert(same_values(b, same));
    ct_memory_buffer_clear(&m);
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(same);
}
END_TEST

/* ---- the caller's tables of functions ---- */

typedef struct faulty {
    int calls, fails_at;
    bool silent; /* the function returns an error without raising it */
    ct_memory_buffer *memory;
} faulty;

static ct_status faulty_status(faulty *f)
{
    if (f->calls++ != f->fails_at)
        return CT_OK;
    return f->silent ? CT_ERR_NUMERIC : ct_raise(CT_ERR_IO, "faulty", "the line is cut");
}

static ct_status faulty_write(void *self, const void *bytes, size_t size)
{
    ck_assert(bytes && size > 0);
    return faulty_status(self);
}

static ct_status faulty_read(void *self, uint64_t offset, void *buffer, size_t size)
{
    const faulty *f = self;

    ck_assert(size > 0 && offset + size <= f->memory->size);
    memcpy(buffer, f->memory->bytes + offset, size);
    return faulty_status(self);
}

/* Makes call number k of the table fail: the table's error is reported, and the set stays
 * unchanged. */
static bool faulty_call(ct_params *a, ct_params *b, ct_memory_buffer *m, faulty f)
{
    ct_status written = ct_params_save_to(a, (ct_writer){ faulty_write, &f }), read;
    bool reached = f.calls > f.fails_at;

    if (reached)
        expect_error(CT_ERR_IO, f.silent ? "ct_params_save_to" : "faulty",
                     f.silent ? "write returned CT_ERR_NUMERIC without" : "line is cut");
    ck_assert((written == CT_OK) == !reached);
    f.calls = 0;
    f.memory = m;
    read = ct_params_load_from(b, (ct_reader){ faulty_read, &f, m->size, "wire" },
                               (ct_load_options){ 0 });
    if (f.calls <= f.fails_at) {
        ck_assert(read == CT_OK && same_values(a, b));
        return reached;
    }
    expect_error(CT_ERR_IO, f.silent ? "ct_params_load_from" : "faulty",
                 f.silent ? "read returned CT_ERR_NUMERIC without" : "line is cut");
    ck_assert(read != CT_OK && !same_values(a, b));
    return true;
}

START_TEST(tables_that_fail)
{
    ct_params *a = set_new(1, false), *b = set_new(2, false);
    ct_memory_buffer m = saved(a);
    int k = 0;

    while (faulty_call(a, b, &m, (faulty){ .fails_at = k, .silent = k % 2 }))
        k++;
    ck_assert_int_gt(k, 4);
    ct_memory_buffer_clear(&m);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

START_TEST(bad_tables)
{
    ct_params *a = set_new(1, false), *lazy = set_new(1, true);
    ct_memory_buffer m = { 0 };

    REFUSED(CT_ERR_ARGUMENT, "ct_params_save_to", "write of the writer is NULL",
            ck_assert(ct_params_save_to(a, (ct_writer){ NULL, NULL }) != CT_OK));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_load_from", "read of the reader is NULL",
            ck_assert(ct_params_load_from(a, (ct_reader){ .size = 9 }, (ct_load_options){ 0 }) !=
                      CT_OK));
    REFUSED(CT_ERR_ARGUMENT, "ct_safetensors_open_memory", "bytes is NULL",
            ck_assert(!ct_safetensors_open_memory(NULL, 9)));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_save_to", "buffer is NULL",
            ck_assert(ct_params_save_to(a, ct_memory_writer(NULL)) != CT_OK));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_load_from", "bytes is NULL",
            ck_assert(ct_params_load_from(a, ct_memory_reader(NULL, 100), (ct_load_options){ 0 }) !=
                      CT_OK));
    REFUSED(CT_ERR_SHAPE, "ct_params_save_to", "l.weight",
            ck_assert(ct_params_save_to(lazy, ct_memory_writer(&m)) != CT_OK));
    ck_assert(m.size == 0 && !m.bytes);
    ct_params_free(a);
    ct_params_free(lazy);
}
END_TEST

/* ---- mapped files ---- */

START_TEST(mapped_tensors_lie_in_the_file)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_arange(0, 1000, 1, CT_F32, CT_CPU), *on, *t, *b, *again;
    const char *names[] = { "x", "on" };
    ct_safetensors *f, *g;

    on = ct_gt_scalar(x, 5);
    ck_assert_int_eq(ct_safetensors_write("x", 2, names, (ct_tensor *[]){ x, on }, NULL), CT_OK);
    f = ct_safetensors_open_mapped("x");
    t = ct_safetensors_get(f, "x", CT_CPU);
    again = ct_safetensors_get(f, "x", CT_CPU);
    b = ct_safetensors_get(f, "on", CT_CPU);
    ck_assert(ct_data(t) == ct_data(again) && t->storage->foreign && !b->storage->foreign);
    ct_safetensors_close(f);
    ck_assert(((const float *)ct_data(t))[999] == 999 && ct_fill(t, 5) == CT_OK);
    g = ct_safetensors_open("x");
    ck_assert(ct_item(ct_select(ct_safetensors_get(g, "x", CT_CPU), 0, 7)) == 7);
    ct_safetensors_close(g);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(mapped_parameters_train)
{
    ct_params *a = set_new(1, false), *c = set_new(3, true), *d = set_new(4, false);
    const ct_load_options map = { .map = true };
    ct_optimizer *o;
    ct_scope s;
    const float *before;

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    ck_assert(ct_params_load(c, "x", map) == CT_OK && ct_params_load(d, "x", map) == CT_OK);
    ck_assert(same_values(a, c) && same_values(a, d));
    ck_assert(ct_param_value(ct_params_get(c, "l.weight"))->storage->foreign &&
              !ct_param_value(ct_params_get(d, "l.weight"))->storage->foreign);
    before = ct_data(ct_param_value(ct_params_get(c, "l.weight")));
    o = ct_adam_new(c, (ct_adam_options){ .lr = .1 });
    s = ct_scope_begin();
    ck_assert_int_eq(
        ct_backward(ct_sum(ct_linear(ct_ones(CT_SHAPE(1, 2), CT_F32, CT_CPU),
                                     ct_param_value(ct_params_get(c, "l.weight")), NULL))),
        CT_OK);
    ck_assert_int_eq(ct_optimizer_step(o), CT_OK);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert(!same_values(a, c) && ct_params_load(d, "x", map) == CT_OK && same_values(a, d));
    ck_assert(before == ct_data(ct_param_value(ct_params_get(c, "l.weight"))));
    ct_optimizer_free(o);
    ct_params_free(a);
    ct_params_free(c);
    ct_params_free(d);
}
END_TEST

/* The digest is checked before a tensor is returned. */
START_TEST(mapped_damage)
{
    ct_params *a = set_new(1, false), *b = set_new(2, false);
    ct_memory_buffer m = saved(a);

    m.bytes[m.size - 1] ^= 1;
    write_bytes("x", m.bytes, m.size);
    ck_assert_int_eq(ct_params_load(b, "x", (ct_load_options){ .map = true }), CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_params_load", "payload is damaged");
    write_bytes("x", m.bytes, 0);
    ck_assert(ct_safetensors_open_mapped("x") == NULL);
    expect_error(CT_ERR_FORMAT, "ct_safetensors_open_mapped", "not a safetensors file");
    ck_assert(ct_safetensors_open_mapped("none") == NULL);
    expect_error(CT_ERR_IO, "ct_safetensors_open_mapped", "none");
    ct_memory_buffer_clear(&m);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* ---- memory that fails ---- */

START_TEST(failing_memory)
{
    ct_params *a = set_new(1, false);
    bool good = false;

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    for (int k = 1; !good; k++) {
        ct_memory_buffer m = { 0 };
        ct_params *lazy = set_new(2, true);

        fail_allocation(k);
        good = ct_params_save_to(a, ct_memory_writer(&m)) == CT_OK &&
               load(a, m.bytes, m.size) == CT_OK &&
               ct_params_load(lazy, "x", (ct_load_options){ .map = true }) == CT_OK;
        fail_nothing();
        if (!good)
            expect_out_of_memory();
        ck_assert(good || ct_param_is_lazy(ct_params_get(lazy, "l.weight")));
        ct_memory_buffer_clear(&m);
        ct_params_free(lazy);
        ck_assert_int_lt(k, 1000);
    }
    ct_params_free(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *c = harness_case(suite, "streams");

    tcase_add_checked_fixture(c, files_setup, files_teardown);
    tcase_add_test(c, memory_holds_the_file);
    tcase_add_test(c, damaged_memory);
    tcase_add_test(c, tables_that_fail);
    tcase_add_test(c, bad_tables);
    tcase_add_test(c, mapped_tensors_lie_in_the_file);
    tcase_add_test(c, mapped_parameters_train);
    tcase_add_test(c, mapped_damage);
    tcase_add_test(c, failing_memory);
    return harness_run(suite);
}

/* SPDX-License-Identifier: MIT */
/* dataset_formats.c - datasets of NPY and IDX files and of pairs of texts. */
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

#include "data/internal.h"
#include "tests/test_dataset.h"

#include "tests/files.h"

#ifdef CT_HAVE_ZLIB
#include <zlib.h>
#endif

/* ---- NPY ---- */

START_TEST(npy)
{
    static const char *const names[] = { "x", "y" }, *const paths[] = { "x.npy", "y.npy" };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_reshape(ct_arange(0, 60, 1, CT_F32, CT_CPU), CT_SHAPE(10, 3, 2));
    ct_tensor *y = ct_arange(0, 10, 1, CT_I64, CT_CPU);

    ck_assert(ct_npy_write(paths[0], x) == CT_OK && ct_npy_write(paths[1], y) == CT_OK);
    for (int mapped = 0; mapped < 2; mapped++) {
        ct_dataset *d = ct_dataset_npy_new(2, names, paths, mapped);
        ct_dataset *w = ct_dataset_windows_new(d, (ct_dataset_windows_options){ .steps = 2 });
        ct_batch b;
        char hex[65];

        ck_assert_int_eq(ct_dataset_count(d), 10);
        ck_assert(cti_dataset_digest(d, hex)); /* the same on every processor */
        ck_assert_str_eq(hex, "1ffc955712bd2f24dd1ca809e3e3afa2fdb1a01482fa9317752b4a3b4001fe91");
        ck_assert(ct_dataset_read(d, 4, 1, &b) == CT_OK);
        expect_values("x", b.x, (double[]){ 24, 25, 26, 27, 28, 29 }, 6, 0);
        expect_values("y", b.y, (double[]){ 4 }, 1, 0);
        ck_assert(ct_tensor_dtype(b.y) == CT_I64);
        ct_dataset_free(d);
        ck_assert(ct_dataset_read(w, 7, 1, &b) == CT_OK && ct_size(b.x, 1) == 2);
        expect_values("x", ct_select(b.x, 1, 1), (double[]){ 48, 49, 50, 51, 52, 53 }, 6, 0);
        ct_dataset_free(w);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Files of the other byte order, read and mapped. */
START_TEST(npy_big_endian)
{
    static const char *const names[] = { "x" }, *const paths[] = { "big.npy" };
    ct_scope s = ct_scope_begin();
    char *bytes;
    size_t size;

    ck_assert(ct_npy_write("little.npy", ct_arange(0, 6, 1, CT_I32, CT_CPU)) == CT_OK);
    bytes = read_bytes("little.npy", &size);
    memcpy(strstr(bytes + 10, "<i4"), ">i4", 3);
    for (int i = 0; i < 6; i++) {
        bytes[size - 24 + (size_t)i * 4] = 0;
        bytes[size - 24 + (size_t)i * 4 + 3] = (char)i;
    }
    write_bytes(paths[0], bytes, size);
    for (int mapped = 0; mapped < 2; mapped++) {
        ct_dataset *d = ct_dataset_npy_new(1, names, paths, mapped);
        ct_batch b;

        ck_assert_msg(d != NULL, "%s", ct_error_message());
        ck_assert(ct_dataset_read(d, 0, 6, &b) == CT_OK);
        expect_values("x", b.x, (double[]){ 0, 1, 2, 3, 4, 5 }, 6, 0);
        ct_dataset_free(d);
    }
    free(bytes);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(npy_bad)
{
    static const char *const names[] = { "x", "y" };
    ct_scope s = ct_scope_begin();
    size_t size;
    char *bytes, *order;

    ck_assert(ct_npy_write("x.npy", ct_zeros(CT_SHAPE(4, 2), CT_F32, CT_CPU)) == CT_OK);
    ck_assert(ct_npy_write("y.npy", ct_zeros(CT_SHAPE(5), CT_F32, CT_CPU)) == CT_OK);
    ck_assert(ct_npy_write("b.npy", ct_zeros(CT_SHAPE(4), CT_BOOL, CT_CPU)) == CT_OK);
    ck_assert(ct_npy_write("s.npy", ct_scalar(1, CT_F32)) == CT_OK);
    bytes = read_bytes("x.npy", &size);
    write_bytes("short.npy", bytes, size - 1);
    order = strstr(bytes + 10, "False");
    memcpy(order, "True ", 5);
    write_bytes("f.npy", bytes, size);
    free(bytes);
    for (int mapped = 0; mapped < 2; mapped++) {
        const struct {
            const char *paths[2];
            ct_status status;
            const char *word;
            bool mapped;
        } cases[] = {
            { { "x.npy", "y.npy" }, CT_ERR_SHAPE, "[4,2] ... [5]", false },
            { { "x.npy", "y.npy" }, CT_ERR_SHAPE, "y.npy: is f32[5]", true },
            { { "x.npy", "none.npy" }, CT_ERR_IO, "No such file", mapped },
            { { "x.npy", "short.npy" }, CT_ERR_FORMAT, "short.npy", mapped },
            { { "s.npy", "s.npy" }, CT_ERR_SHAPE, "f32[]", mapped },
            { { "x.npy", "f.npy" }, CT_ERR_FORMAT, "Fortran", true },
            { { "b.npy", "x.npy" }, CT_ERR_FORMAT, "bools", true },
        };

        for (int k = 0; k < LENGTH(cases); k++) {
            ck_assert(!ct_dataset_npy_new(2, names, cases[k].paths, cases[k].mapped));
            expect_error(cases[k].status, "ct_dataset_npy_new", cases[k].word);
        }
        ck_assert(!ct_dataset_npy_new(0, names, cases[0].paths, mapped));
        expect_error(CT_ERR_ARGUMENT, "ct_dataset_npy_new", "count is 0");
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- IDX ---- */

static const unsigned char images[] = { 0, 0, 8, 3,   0,  0, 0, 3,   0, 0, 0, 2, 0, 0,
                                        0, 2, 0, 255, 51, 0, 0, 102, 0, 0, 1, 2, 3, 4 };
static const unsigned char labels[] = { 0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 255 };

static void expect_digits(const char *x, const char *y)
{
    ct_scope s = ct_scope_begin();
    ct_dataset *d = ct_dataset_idx_new(x, y);
    ct_batch b;

    ck_assert_msg(d != NULL, "%s", ct_error_message());
    ck_assert(ct_dataset_read(d, 0, 2, &b) == CT_OK && ct_rank(b.x) == 3);
    expect_values("x", b.x, (double[]){ 0, 1, .2, 0, 0, .4, 0, 0 }, 8, 1e-7);
    ck_assert((b.y != NULL) == (y != NULL));
    if (y) {
        ck_assert(ct_dataset_read(d, 0, 0, &b) == CT_OK && ct_tensor_dtype(b.y) == CT_I32);
        expect_values("y", b.y, (double[]){ 7, 0, 255 }, 3, 0);
    }
    ct_dataset_free(d);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(idx)
{
    write_bytes("x", images, sizeof images);
    write_bytes("y", labels, sizeof labels);
    expect_digits("x", "y");
    expect_digits("x", NULL);
}
END_TEST

/* Every wrong length, and every damaged byte of the header, is refused. */
START_TEST(idx_bad)
{
    unsigned char bytes[sizeof images + 1] = { 0 };
    static const unsigned char huge[20] = { 0,   0,   8,   4,   255, 255, 255, 255, 255, 255,
                                            255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };

    memcpy(bytes, images, sizeof images);
    write_bytes("y", labels, sizeof labels);
    for (size_t n = 0; n <= sizeof images + 1; n++) {
        if (n == sizeof images)
            continue;
        write_bytes("x", bytes, n);
        ck_assert(!ct_dataset_idx_new("x", "y"));
        expect_error(CT_ERR_FORMAT, "ct_dataset_idx_new",
                     n < 4    ? "x: is not an IDX file"
                     : n < 16 ? "header is cut"
                              : "x: has ... header");
    }
    for (int k = 0; k < 16; k++) {
        bytes[k] ^= 1;
        write_bytes("x", bytes, sizeof images);
        ck_assert(!ct_dataset_idx_new("x", "y"));
        ck_assert(ct_error() == CT_ERR_FORMAT);
        ct_error_clear();
        bytes[k] ^= 1;
    }
    write_bytes("x", huge, sizeof huge);
    ck_assert(!ct_dataset_idx_new("x", NULL));
    expect_error(CT_ERR_FORMAT, "ct_dataset_idx_new", "header ... sizes");
    write_bytes("x", images, sizeof images);
    ck_assert(!ct_dataset_idx_new("x", "x"));
    expect_error(CT_ERR_SHAPE, "ct_dataset_idx_new", "[3,2,2] and labels");
    ck_assert(!ct_dataset_idx_new("none", NULL));
    expect_error(CT_ERR_IO, "ct_dataset_idx_new", "No such file");
}
END_TEST

START_TEST(idx_compressed)
{
#ifdef CT_HAVE_ZLIB
    gzFile f = gzopen("x.gz", "wb");
    size_t size;
    char *bytes;

    ck_assert(gzwrite(f, images, sizeof images) == sizeof images && gzclose(f) == Z_OK);
    expect_digits("x.gz", NULL);
    bytes = read_bytes("x.gz", &size);
    for (size_t n = 2; n < size; n += 5) {
        write_bytes("y.gz", bytes, n);
        ck_assert(!ct_dataset_idx_new("y.gz", NULL));
        expect_error(CT_ERR_FORMAT, "ct_dataset_idx_new", "damaged");
    }
    free(bytes);

    /* a small file that decompresses to 100 MB is refused before it fills the memory */
    bytes = calloc(1, 1000000);
    memcpy(bytes, images, sizeof images);
    f = gzopen("bomb.gz", "wb9");
    for (int k = 0; k < 100; k++)
        ck_assert(gzwrite(f, bytes + (k ? 100 : 0), 900000) == 900000);
    ck_assert(gzclose(f) == Z_OK);
    free(bytes);
    fail_allocation(0);
    ck_assert(!ct_dataset_idx_new("bomb.gz", NULL));
    expect_error(CT_ERR_FORMAT, "ct_dataset_idx_new", "damaged");
    ck_assert_uint_le(largest_seen, 1000000);
    fail_nothing();
#else
    write_bytes("x.gz", "\x1f\x8b\x08", 3);
    ck_assert(!ct_dataset_idx_new("x.gz", NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_idx_new", "no zlib");
#endif
}
END_TEST

/* ---- pairs of texts ---- */

static ct_vocab *words_of(const char *text, bool complete)
{
    static const char *const reserved[] = { "<pad>", "<eos>", "<bos>" };
    ct_vocab *v = ct_vocab_new(text, strlen(text),
                               (ct_vocab_options){ .order = CT_VOCAB_ORDER_FREQUENCY,
                                                   .reserved = reserved,
                                                   .reserved_count = complete ? 3 : 2,
                                                   .tokens = CT_TOKEN_KIND_WORD });

    ck_assert(v != NULL);
    return v;
}

START_TEST(parallel)
{
    static const char en[] = "go now\n\nwe all go now\r\n", fr[] = "va\n?\nnous allons";
    ct_text *src = ct_text_new_from_bytes(en, strlen(en), "en");
    ct_text *tgt = ct_text_new_from_bytes(fr, strlen(fr), "fr");
    ct_vocab *e = words_of(en, false), *f = words_of(fr, true);
    /* <unk> <pad> <eos> go now we all; <unk> <pad> <eos> <bos> va ? nous allons */
    ct_dataset *d = ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, f, 0 });
    ct_scope s = ct_scope_begin();
    ct_batch b;

    ck_assert_msg(d != NULL, "%s", ct_error_message());
    ck_assert(ct_dataset_read(d, 0, 0, &b) == CT_OK);
    expect_values("src", ct_batch_get(&b, "src"),
                  (double[]){ 3, 4, 2, 1, 1, 2, 1, 1, 1, 1, 5, 6, 3, 4, 2 }, 15, 0);
    expect_values("n", ct_batch_get(&b, "src_lengths"), (double[]){ 3, 1, 5 }, 3, 0);
    expect_values("tgt", ct_batch_get(&b, "tgt"), (double[]){ 3, 4, 2, 1, 3, 5, 2, 1, 3, 6, 7, 2 },
                  12, 0);
    ct_dataset_free(d);

    d = ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, f, 2 });
    ck_assert(ct_dataset_read(d, 2, 1, &b) == CT_OK);
    expect_values("src", ct_batch_get(&b, "src"), (double[]){ 5, 6, 2 }, 3, 0);
    ct_dataset_free(d);

    ck_assert(!ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, e, 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_parallel_new", "vocabulary of tgt has no <bos>");
    ck_assert(!ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, NULL, 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_parallel_new", "options.tgt is NULL");
    ck_assert(!ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, f, -1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_parallel_new", "max_tokens is -1");
    ct_text_free(tgt);
    tgt = ct_text_new_from_bytes("va\n", 3, "fr");
    ck_assert(!ct_dataset_parallel_new(src, tgt, (ct_dataset_parallel_options){ e, f, 0 }));
    expect_error(CT_ERR_SHAPE, "ct_dataset_parallel_new", "src has 3 lines and tgt has 1");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_text_free(src);
    ct_text_free(tgt);
    ct_vocab_free(e);
    ct_vocab_free(f);
}
END_TEST

/* ---- memory that fails ---- */

START_TEST(allocation_fails)
{
    static const char text[] = "a b\nc\n";
    ct_text *t = ct_text_new_from_bytes(text, strlen(text), "t");
    ct_vocab *v = words_of(text, true);
    int failed = 0;

    write_bytes("x", images, sizeof images);
    for (int k = 1; k < 12; k++)
        for (int kind = 0; kind < 2; kind++) {
            ct_dataset *d;

            fail_allocation(k);
            d = kind ? ct_dataset_idx_new("x", NULL)
                     : ct_dataset_parallel_new(t, t, (ct_dataset_parallel_options){ v, v, 0 });
            fail_nothing();
            ck_assert((d != NULL) == (ct_error() == CT_OK));
            failed += d == NULL;
            if (!d)
                expect_out_of_memory();
            ct_dataset_free(d);
        }
    ck_assert_int_ge(failed, 8);
    ct_text_free(t);
    ct_vocab_free(v);
}
END_TEST

void dataset_format_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "formats");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, npy);
    tcase_add_test(tc, npy_big_endian);
    tcase_add_test(tc, npy_bad);
    tcase_add_test(tc, idx);
    tcase_add_test(tc, idx_bad);
    tcase_add_test(tc, idx_compressed);
    tcase_add_test(tc, parallel);
    tcase_add_test(tc, allocation_fails);
}

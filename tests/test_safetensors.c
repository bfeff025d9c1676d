/* SPDX-License-Identifier: MIT */
/* test_safetensors.c - tests of files of named tensors: round trips, malformed files, failing
 * calls. */
#include "tensor/internal.h"
#include "tensor/byte_order.h"
#include "tensor/hooks.h"
#include "tensor/text.h"
#include "tests/files.h"
#include "tests/flips.h"
#include "tests/harness.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/safetensors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test_safetensors.h"

/* Returns a tensor of random bits, including NaN; for bool, of 0 and 1. */
static ct_tensor *random_bits(ct_generator *g, ct_shape shape, ct_dtype dtype)
{
    ct_tensor *t = ct_empty(shape, dtype, CT_CPU);
    size_t n = (size_t)ct_numel(t) * ct_dtype_size(dtype), i;
    uint8_t *b = ct_mutable_data(t);

    for (i = 0; i < n; i++)
        b[i] = (uint8_t)ct_random_below(g, dtype == CT_BOOL ? 2 : 256);
    return t;
}

/* ---- round trips ---- */

START_TEST(round_trip)
{
    static const char *const names[] = {
        "b.bool", "f32",        "empty",    "rank 0", "\xce\xb8 \"\\/\n\x7f", "i32", "f64", "bf16",
        "i64",    "transposed", "expanded", ""
    };
    static const ct_metadata metadata[] = { { "note", "\xe2\x88\x82 \"x\"" }, { "", "" }, { 0 } };
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *t[LENGTH(names)];
    ct_safetensors *f;
    int i;

    t[0] = random_bits(&g, CT_SHAPE(3), CT_BOOL);
    t[1] = random_bits(&g, CT_SHAPE(2, 3), CT_F32);
    t[2] = random_bits(&g, CT_SHAPE(3, 0, 2), CT_F64);
    t[3] = random_bits(&g, CT_SCALAR, CT_F32);
    t[4] = random_bits(&g, CT_SHAPE(1, 2, 1, 2, 1, 2, 1, 2), CT_F32);
    t[5] = random_bits(&g, CT_SHAPE(5), CT_I32);
    t[6] = random_bits(&g, CT_SHAPE(4), CT_F64);
    t[7] = random_bits(&g, CT_SHAPE(3), CT_BF16);
    t[8] = random_bits(&g, CT_SHAPE(2), CT_I64);
    t[9] = ct_transpose(t[1], 0, 1);
    t[10] = ct_expand(ct_reshape(t[5], CT_SHAPE(5, 1)), CT_SHAPE(5, 3));
    t[11] = ct_slice(t[6], 0, 1, 3, 1);
    ck_assert_int_eq(ct_safetensors_write("x", LENGTH(names), names, t, metadata), CT_OK);
    f = ct_safetensors_open("x");
    ck_assert_msg(f != NULL, "%s", ct_error_message());
    ck_assert_int_eq(ct_safetensors_count(f), LENGTH(names));
    for (i = 0; i < LENGTH(names); i++) {
        int at = ct_safetensors_find(f, names[i]);

        ck_assert_str_eq(ct_safetensors_name(f, at), names[i]);
        expect_same_bits(names[i], ct_safetensors_load(f, at, CT_CPU), t[i]);
        expect_same_bits(names[i], ct_safetensors_get(f, names[i], CT_CPU), t[i]);
    }
    ck_assert_str_eq(ct_safetensors_metadata(f, "note"), metadata[0].value);
    ck_assert_str_eq(ct_safetensors_metadata(f, ""), "");
    ck_assert_str_eq(ct_safetensors_metadata(f, "format"), "pt");
    ck_assert_uint_eq(strlen(ct_safetensors_metadata(f, "cotangent.header_sha256")), 64);
    ck_assert_uint_eq(strlen(ct_safetensors_metadata(f, "cotangent.payload_sha256")), 64);
    ck_assert_ptr_null(ct_safetensors_metadata(f, "Note"));
    ck_assert_str_eq(ct_safetensors_dtype(f, ct_safetensors_find(f, "bf16")), "BF16");
    ct_safetensors_close(f);
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* The file has the expected bytes: elements are aligned, and the header ends at a multiple of 8. */
START_TEST(bytes)
{
    static const char want[] =
        "\x48\x01\0\0\0\0\0\0"
        "{\"__metadata__\":{\"cotangent.header_sha256\":"
        "\"005eeb104e96e14df3f08965b9a0cc56326083ebbaf0993fad93e2b12a9ec220\","
        "\"cotangent.payload_sha256\":"
        "\"8b4ec41e62ac53001e1bb4d4fe791a083ae8466e9eb468004d185e4823545aff\",\"format\":\"pt\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[8,9]}}  "
        "\0\0\x80\x3f\0\0\0\x40\1";
    ct_scope s = ct_scope_begin();
    ct_tensor *t[] = { ct_ones(CT_SHAPE(1), CT_BOOL, CT_CPU), ct_arange(1, 3, 1, CT_F32, CT_CPU) };
    ct_safetensors *f;
    size_t size;
    char *got;

    ck_assert_int_eq(ct_safetensors_write("x", 2, (const char *const[]){ "b", "w" }, t, NULL),
                     CT_OK);
    got = read_bytes("x", &size);
    ck_assert_uint_eq(size, sizeof want - 1);
    ck_assert_int_eq(memcmp(got, want, size), 0);
    free(got);
    ck_assert_int_eq(ct_safetensors_write("x", 0, NULL, NULL, NULL), CT_OK);
    f = ct_safetensors_open("x");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(ct_safetensors_count(f), 0);
    ct_safetensors_close(f);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* The elements of all sizes have the same bytes in a file, on every processor: the digest is that of
 * little-endian numbers. There are more than a piece of the conversion holds. */
START_TEST(byte_order)
{
    static const struct {
        ct_dtype dtype;
        const char *payload;
    } cases[] = {
        { CT_F32, "2bb903b867699da29decf2d0cddee034ace1453c68d2a07e226c49ea83f590ea" },
        { CT_F64, "6dba1bca72a6e7ef368d4db509d8e2baab25a8087e0e416b6d860523cad18dd0" },
        { CT_I32, "64c3997bed3fd053526b8fc9e32019cef07cafd59f2de76eb48a3d94164c6ab8" },
        { CT_I64, "3b068ad93b497fa3f7a0b69998281a6b829de02a77f8a7d01d26b54a2267a7ae" },
        { CT_BF16, "52b2867383c1fee74b1c1dff3f1e6345e4961b3097b60b19dd0dec3781f486bb" },
    };
    uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    uint16_t two[] = { 0x0201, 0x0403 };
    char hex[65];
    int i;

    cti_swap_bytes(bytes, 1, 8);
    ck_assert_int_eq(memcmp(bytes, "\1\2\3\4\5\6\7\10", 8), 0);
    cti_swap_bytes(bytes, 2, 4);
    ck_assert_int_eq(memcmp(bytes, "\2\1\4\3\6\5\10\7", 8), 0);
    cti_swap_bytes(bytes, 4, 2);
    ck_assert_int_eq(memcmp(bytes, "\3\4\1\2\7\10\5\6", 8), 0);
    cti_swap_bytes(bytes, 8, 1);
    ck_assert_int_eq(memcmp(bytes, "\6\5\10\7\2\1\4\3", 8), 0);
    cti_sha256_elements(two, 2, 2, hex);
    ck_assert_str_eq(hex, "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a");
    for (i = 0; i < LENGTH(cases); i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = ct_cast(ct_arange(-3000, 3000, 1, CT_F64, CT_CPU), cases[i].dtype);
        ct_safetensors *f;

        ck_assert_int_eq(ct_safetensors_write("x", 1, (const char *const[]){ "t" }, &t, NULL),
                         CT_OK);
        f = ct_safetensors_open("x");
        ck_assert_str_eq(ct_safetensors_metadata(f, "cotangent.payload_sha256"), cases[i].payload);
        expect_same_bits(cases[i].payload, ct_safetensors_load(f, 0, CT_CPU), t);
        ct_safetensors_close(f);
        f = ct_safetensors_open_mapped("x");
        expect_same_bits(cases[i].payload, ct_safetensors_load(f, 0, CT_CPU), t);
        ct_safetensors_close(f);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
}
END_TEST

/* The committed file was written by the format's own library. It holds a tensor 0, 1, 2, ... (mod 2
 * for bool) for each dtype that both libraries have, and one of F16. */
START_TEST(peer)
{
    static const struct {
        const char *name;
        ct_dtype dtype;
        int rank, numel;
    } want[] = { { "f32", CT_F32, 2, 6 },        { "f64", CT_F64, 1, 3 },
                 { "i32", CT_I32, 1, 4 },        { "i64", CT_I64, 1, 2 },
                 { "bool", CT_BOOL, 1, 5 },      { "bf16", CT_BF16, 1, 3 },
                 { "empty", CT_F32, 2, 0 },      { "scalar", CT_F64, 0, 1 },
                 { "n\xc3\xa4me", CT_F32, 1, 1 } };
    ct_scope s = ct_scope_begin();
    ct_safetensors *f = ct_safetensors_open(harness_source("tests/torch/peer.safetensors"));
    int i, k;

    ck_assert_msg(f != NULL, "%s", ct_error_message());
    ck_assert_int_eq(ct_safetensors_count(f), LENGTH(want) + 1);
    ck_assert_str_eq(ct_safetensors_metadata(f, "format"), "pt");
    for (i = 0; i < LENGTH(want); i++) {
        ct_tensor *t = ct_safetensors_get(f, want[i].name, CT_CPU);

        ck_assert_msg(t != NULL, "%s: %s", want[i].name, ct_error_message());
        ck_assert_int_eq(ct_tensor_dtype(t), want[i].dtype);
        ck_assert_int_eq(ct_rank(t), want[i].rank);
        ck_assert_int_eq(ct_numel(t), want[i].numel);
        t = ct_reshape(t, CT_SHAPE(want[i].numel));
        for (k = 0; k < want[i].numel; k++)
            expect_close(want[i].name, ct_item(ct_slice(t, 0, k, k + 1, 1)),
                         want[i].dtype == CT_BOOL ? k % 2 : k, 0);
    }
    ck_assert_str_eq(ct_safetensors_dtype(f, ct_safetensors_find(f, "half")), "F16");
    ct_safetensors_close(f);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- malformed files ---- */

void write_header(const char *header, size_t length, size_t payload)
{
    char *bytes = calloc(1, 8 + length + payload);
    size_t i;

    for (i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)length >> 8 * i & 0xff);
    for (i = 0; i < length; i++)
        bytes[8 + i] = header[i] == '\'' ? '"' : header[i];
    write_bytes("x", bytes, 8 + length + payload);
    free(bytes);
}

/* Tensors of all dtypes of the format are listed; those of this library's dtypes are loaded. */
START_TEST(dtypes)
{
    static const struct {
        const char *name;
        int bits, dtype; /* dtype: of this library, or -1 */
    } kinds[] = {
        { "F32", 32, CT_F32 }, { "F64", 64, CT_F64 },    { "I32", 32, CT_I32 },
        { "I64", 64, CT_I64 }, { "BOOL", 8, CT_BOOL },   { "BF16", 16, CT_BF16 },
        { "F16", 16, -1 },     { "I16", 16, -1 },        { "I8", 8, -1 },
        { "U8", 8, -1 },       { "U16", 16, -1 },        { "U32", 32, -1 },
        { "U64", 64, -1 },     { "F8_E4M3", 8, -1 },     { "F8_E5M2", 8, -1 },
        { "F8_E8M0", 8, -1 },  { "F8_E4M3FNUZ", 8, -1 }, { "F8_E5M2FNUZ", 8, -1 },
        { "F6_E2M3", 6, -1 },  { "F6_E3M2", 6, -1 },     { "F4", 4, -1 },
        { "C64", 64, -1 },
    };
    ct_scope s = ct_scope_begin();
    char header[200];
    int i;

    for (i = 0; i < LENGTH(kinds); i++) {
        ct_safetensors *f;
        ct_tensor *t;

        snprintf(header, sizeof header, "{'a':{'dtype':'%s','shape':[8],'data_offsets':[0,%d]}}",
                 kinds[i].name, kinds[i].bits);
        write_header(header, strlen(header), (size_t)kinds[i].bits);
        f = ct_safetensors_open("x");
        ck_assert_msg(f != NULL, "%s: %s", kinds[i].name, ct_error_message());
        ck_assert_str_eq(ct_safetensors_dtype(f, 0), kinds[i].name);
        t = ct_safetensors_load(f, 0, CT_CPU);
        ck_assert_int_eq(t != NULL, kinds[i].dtype >= 0);
        if (t)
            ck_assert_int_eq(ct_tensor_dtype(t), kinds[i].dtype);
        else
            ck_assert_int_eq(ct_error(), CT_ERR_DTYPE);
        ct_error_clear();
        ct_safetensors_close(f);
    }
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A byte of a bool tensor that is neither 0 nor 1 is refused at any position. */
START_TEST(bad_bools)
{
    ct_scope s = ct_scope_begin();
    char header[100], word[100];
    ct_safetensors *f;
    char *bytes;
    size_t n;
    int at;

    for (at = 0; at < 5; at++) {
        snprintf(header, sizeof header, "{'a':{'dtype':'BOOL','shape':[5],'data_offsets':[0,5]}}");
        write_header(header, strlen(header), 5);
        bytes = read_bytes("x", &n);
        bytes[n - 5 + (size_t)at] = (char)(at % 2 ? 2 : 255);
        write_bytes("x", bytes, n);
        free(bytes);
        f = ct_safetensors_open("x");
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        snprintf(word, sizeof word, "offset %d ... bool is %d", 8 + (int)strlen(header) + at,
                 at % 2 ? 2 : 255);
        expect_error(CT_ERR_FORMAT, "ct_safetensors_load", word);
        ct_safetensors_close(f);
    }
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(bad_loads)
{
    static const char three[] = "{'half':{'dtype':'F16','shape':[1],'data_offsets':[0,2]},"
                                "'deep':{'dtype':'BOOL','shape':[1,1,1,1,1,1,1,1,1],"
                                "'data_offsets':[2,3]},"
                                "'bool':{'dtype':'BOOL','shape':[2],'data_offsets':[3,5]}}",
                      two[] = "{'a':{'dtype':'BOOL','shape':[2],'data_offsets':[0,2]}}";
    ct_scope s = ct_scope_begin();
    ct_safetensors *f;
    char *bytes;
    size_t n;
    int i;

    write_header(three, strlen(three), 5);
    f = ct_safetensors_open("x");
    ck_assert_msg(f != NULL, "%s", ct_error_message());
    for (i = -1; i < 4; i += 4) {
        ck_assert(ct_safetensors_name(f, i) == NULL && ct_safetensors_dtype(f, i) == NULL);
        ck_assert_int_eq(ct_safetensors_shape(f, i).rank, 0);
    }
    ck_assert_int_eq(ct_safetensors_shape(f, 1).rank, 9);
    ck_assert_int_eq(ct_safetensors_find(f, NULL), -1);
    ck_assert_ptr_null(ct_safetensors_metadata(f, NULL));
    ck_assert_ptr_null(ct_safetensors_get(f, "half", CT_CPU));
    expect_error(CT_ERR_DTYPE, "ct_safetensors_get", "dtype");
    ck_assert_ptr_null(ct_safetensors_load(f, ct_safetensors_find(f, "deep"), CT_CPU));
    expect_error(CT_ERR_SHAPE, "ct_safetensors_load", "rank 9");
    ck_assert_ptr_null(ct_safetensors_get(f, "none", CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_get", "tensor \"none\"");
    ck_assert_ptr_null(ct_safetensors_get(f, NULL, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_get", "name is NULL");
    ck_assert_ptr_null(ct_safetensors_load(f, 3, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load", "tensor 3");
    ck_assert_ptr_null(ct_safetensors_load(f, -1, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load", "tensor -1");
    ck_assert_ptr_null(ct_safetensors_get(f, "bool", 99));
    expect_error(CT_ERR_DEVICE, "ct_safetensors_get", "device 99");
    expect_values("bool", ct_safetensors_get(f, "bool", CT_CPU), (double[]){ 0, 0 }, 2, 0);
    ct_safetensors_close(f);

    for (n = 63; n < 65; n++) { /* none of the two bytes is left, then one */
        write_header(two, strlen(two), 2);
        f = ct_safetensors_open("x");
        ck_assert_int_eq(truncate("x", (off_t)n), 0); /* while the file is open */
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        expect_error(CT_ERR_FORMAT, "ct_safetensors_load",
                     n == 63 ? "offset 63 ... shorter" : "offset 64 ... shorter");
        ct_safetensors_close(f);
    }
    write_header(two, strlen(two), 2);
    bytes = read_bytes("x", &n);
    bytes[n - 1] = 2;
    write_bytes("x", bytes, n);
    free(bytes);
    f = ct_safetensors_open("x");
    ck_assert_msg(f != NULL, "%s", ct_error_message());
    ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
    expect_error(CT_ERR_FORMAT, "ct_safetensors_load", "bool");
    ct_safetensors_close(f);

    EXPECT_NO_VALUE(ct_safetensors_load(NULL, 0, CT_CPU));
    EXPECT_NO_VALUE(ct_safetensors_get(NULL, "a", CT_CPU));
    ck_assert_int_eq(ct_safetensors_count(NULL), 0);
    ck_assert_ptr_null(ct_safetensors_name(NULL, 0));
    ck_assert_ptr_null(ct_safetensors_dtype(NULL, 0));
    ck_assert_int_eq(ct_safetensors_find(NULL, "a"), -1);
    ck_assert_ptr_null(ct_safetensors_metadata(NULL, "a"));
    ct_safetensors_close(NULL);
    expect_ok();
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A change of any bit of the payload is found. */
START_TEST(damaged)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_arange(0, 200, 1, CT_F32, CT_CPU);
    ct_safetensors *f;
    size_t n, i;
    char *b;

    ck_assert_int_eq(ct_safetensors_write("x", 1, (const char *const[]){ "a" }, &t, NULL), CT_OK);
    b = read_bytes("x", &n);
    for (i = n - 800; i < n; i += 199) {
        b[i] ^= 4;
        write_bytes("x", b, n);
        b[i] ^= 4;
        f = ct_safetensors_open("x");
        ck_assert_ptr_nonnull(f);
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        expect_error(CT_ERR_FORMAT, "ct_safetensors_load", "damaged ... SHA-256");
        ct_safetensors_close(f);
    }
    free(b);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

static ct_status load_all(const char *path, void *context)
{
    ct_scope s = ct_scope_begin();
    ct_safetensors *f = ct_safetensors_open(path);

    (void)context;
    for (int i = 0; i < ct_safetensors_count(f); i++)
        ct_safetensors_load(f, i, CT_CPU);
    ct_safetensors_close(f);
    return ct_scope_end(s);
}

/* A change of any bit of the file is found. */
START_TEST(flipped_bits)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t[] = { ct_arange(0, 6, 1, CT_F32, CT_CPU), ct_ones(CT_SHAPE(2), CT_BOOL, CT_CPU) };
    static const ct_metadata metadata[] = { { "note", "a \\ \n \xc3\xa9" }, { "", "" }, { 0 } };

    ck_assert_int_eq(
        ct_safetensors_write("x", 2, (const char *const[]){ "a\"b", "c" }, t, metadata), CT_OK);
    expect_no_silent_flip((flips){ .path = "x", .last = SIZE_MAX, .load = load_all });
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ct_safetensors_open refuses a header with a changed bit. */
START_TEST(flipped_header)
{
    ct_safetensors *f;
    char *bytes;
    size_t n, i;

    ck_assert_int_eq(ct_safetensors_write("x", 0, NULL, NULL, NULL), CT_OK);
    bytes = read_bytes("x", &n);
    for (i = 0; i < 8 * n; i++) {
        bytes[i / 8] ^= (char)(1 << i % 8);
        write_bytes("y", bytes, n);
        bytes[i / 8] ^= (char)(1 << i % 8);
        f = ct_safetensors_open("y");
        ck_assert_msg(!f && ct_error() == CT_ERR_FORMAT, "bit %zu of byte %zu", i % 8, i / 8);
        ct_error_clear();
    }
    free(bytes);
}
END_TEST

/* The digest covers the whole payload and is computed once. */
START_TEST(verified_once)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_arange(0, 200, 1, CT_F32, CT_CPU);
    static const char *const names[] = { "a" };
    ct_safetensors *f;
    int first;

    ck_assert_int_eq(ct_safetensors_write("x", 1, names, &t, NULL), CT_OK);
    f = ct_safetensors_open("x");
    fail_file_call(0);
    expect_same_bits("a", ct_safetensors_load(f, 0, CT_CPU), t);
    first = files_seen;
    fail_file_call(0);
    expect_same_bits("a", ct_safetensors_load(f, 0, CT_CPU), t);
    ck_assert_int_eq(2 * files_seen, first);
    fail_nothing();
    ct_safetensors_close(f);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A payload of more than one piece is read completely, and a change in any piece is found. */
START_TEST(large_payload)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_arange(0, 140000, 1, CT_F32, CT_CPU);
    static const char *const names[] = { "a" };
    size_t n, at, from[] = { 0, 262143, 262144, 524287, 524288, 559999 }, i;
    ct_safetensors *f;
    char *b;

    ck_assert_int_eq(ct_safetensors_write("x", 1, names, &t, NULL), CT_OK);
    f = ct_safetensors_open("x");
    expect_same_bits("a", ct_safetensors_load(f, 0, CT_CPU), t);
    ct_safetensors_close(f);
    b = read_bytes("x", &n);
    for (i = 0; i < LENGTH(from); i++) {
        at = n - 560000 + from[i];
        b[at] ^= 1;
        write_bytes("x", b, n);
        b[at] ^= 1;
        f = ct_safetensors_open("x");
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        ck_assert_int_eq(ct_error(), CT_ERR_FORMAT);
        ct_error_clear();
        ct_safetensors_close(f);
    }
    free(b);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* The library's functions for memory keep their contracts. */
START_TEST(host_memory)
{
    char *p = cti_calloc(3, 5), *q;
    int i;

    for (i = 0; i < 15; i++) {
        ck_assert_int_eq(p[i], 0);
        p[i] = (char)(i + 1);
    }
    q = cti_realloc(p, 15, 40);
    for (i = 0; i < 15; i++)
        ck_assert_int_eq(q[i], i + 1);
    q = cti_realloc(q, 40, 4);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(q[i], i + 1);
    cti_release(q);
    q = cti_realloc(NULL, 0, 8);
    ck_assert_ptr_nonnull(q);
    cti_release(q);
    for (i = 0; i < 2; i++) {
        p = cti_calloc((size_t)i, (size_t)!i); /* zero bytes */
        ck_assert_ptr_nonnull(p);
        cti_release(p);
    }
    ck_assert_ptr_null(cti_calloc(SIZE_MAX / 2 + 1, 2));
    ck_assert_ptr_null(cti_calloc(SIZE_MAX / 8, 16));
    q = cti_strdup("four");
    ck_assert_str_eq(q, "four");
    cti_release(q);
    cti_release(NULL);
}
END_TEST

/* ---- failing calls ---- */

/* As RFC 3629 says, overlong forms, surrogates and code points above U+10FFFF are refused. */
START_TEST(utf8)
{
    static const struct {
        const char *text;
        bool good;
    } texts[] = {
        { "", true },
        { "a\xc3\xa9", true },
        { "\xdf\xbf~", true },
        { "\xc2\x80", true },
        { "\xc1\x80", false },
        { "\x80", false },
        { "\xff\x80", false },
        { "\xc3", false },
        { "\xc3(", false },
        { "\xe1\x80", false },
        { "\xe1\x80\xc0", false },
        { "\xe0\xa0\x80", true },
        { "\xe0\x9f\x80", false },
        { "\xed\x9f\xbf", true },
        { "\xed\xa0\x80", false },
        { "\xef\xbf\xbf", true },
        { "\xf0\x90\x80\x80", true },
        { "\xf0\x8f\x80\x80", false },
        { "\xf4\x8f\xbf\xbf", true },
        { "\xf4\x90\x80\x80", false },
        { "\xf5\x80\x80\x80", false },
        { "\xf1\x80\x80", false },
    };
    size_t i;

    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(cti_is_utf8(texts[i].text) == texts[i].good, "text %zu", i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tc = harness_case(suite, "safetensors");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, utf8);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, bytes);
    tcase_add_test(tc, byte_order);
    tcase_add_test(tc, peer);
    tcase_add_test(tc, dtypes);
    tcase_add_test(tc, bad_bools);
    tcase_add_test(tc, bad_loads);
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, flipped_bits);
    tcase_add_test(tc, flipped_header);
    tcase_add_test(tc, verified_once);
    tcase_add_test(tc, large_payload);
    tcase_add_test(tc, host_memory);
    safetensors_malformed_cases(suite);
    safetensors_write_cases(suite);
    safetensors_json_cases(suite);
    return harness_run(suite);
}

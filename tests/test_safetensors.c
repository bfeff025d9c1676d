/* test_safetensors.c - tests of files of named tensors: round trips, malformed files, failing
 * calls. */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tensor/read_file.h"

#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/autograd/ops/shape.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/safetensors.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

/* A tensor of random bits that are a value of dtype; any bits, a NaN's too, but for bool. */
static ct_tensor *random_bits(ct_generator *g, ct_shape shape, ct_dtype dtype)
{
    ct_tensor *t = ct_empty(shape, dtype, CT_CPU);
    size_t n = (size_t)ct_numel(t) * ct_dtype_size(dtype), i;
    uint8_t *b = ct_mutable_data(t);

    for (i = 0; i < n; i++)
        b[i] = (uint8_t)ct_random_below(g, dtype == CT_BOOL ? 2 : 256);
    return t;
}

static void expect_same_bits(const char *what, ct_tensor *a, ct_tensor *b)
{
    size_t n = (size_t)ct_numel(a) * ct_dtype_size(ct_tensor_dtype(a));
    char *x = malloc(n + 1), *y = malloc(n + 1);

    ck_assert_msg(a && b, "%s: %s", what, ct_error_message());
    ck_assert_msg(ct_tensor_dtype(a) == ct_tensor_dtype(b), "%s: dtypes", what);
    ck_assert_msg(cti_same_shape(&a->shape, &b->shape), "%s: shapes", what);
    ck_assert_int_eq(ct_to_host(a, x, n), CT_OK);
    ck_assert_int_eq(ct_to_host(b, y, n), CT_OK);
    ck_assert_msg(memcmp(x, y, n) == 0, "%s: values", what);
    free(x);
    free(y);
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
    ck_assert_uint_eq(strlen(ct_safetensors_metadata(f, "cotangent.payload_sha256")), 64);
    ck_assert_ptr_null(ct_safetensors_metadata(f, "Note"));
    ck_assert_str_eq(ct_safetensors_dtype(f, ct_safetensors_find(f, "bf16")), "BF16");
    ct_safetensors_close(f);
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* What is written, byte for byte: elements are aligned, the header ends at a multiple of 8. */
START_TEST(bytes)
{
    static const char want[] =
        "\xf0\0\0\0\0\0\0\0"
        "{\"__metadata__\":{\"cotangent.payload_sha256\":"
        "\"8b4ec41e62ac53001e1bb4d4fe791a083ae8466e9eb468004d185e4823545aff\",\"format\":\"pt\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[8,9]}}       "
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

/* The committed file holds, for each dtype that the format and this library share, a tensor 0, 1,
 * 2, ... (mod 2 for bool); and one of F16. */
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

/* Writes x: the header's length, the header (' stands for "), and a payload of zeros. */
static void write_file(const char *header, size_t length, size_t payload)
{
    char *bytes = calloc(1, 8 + length + payload);
    size_t i;

    for (i = 0; i < 8; i++)
        bytes[i] = (char)(length >> 8 * i & 0xff);
    for (i = 0; i < length; i++)
        bytes[8 + i] = header[i] == '\'' ? '"' : header[i];
    write_bytes("x", bytes, 8 + length + payload);
    free(bytes);
}

static void expect_refused(int row, ct_status status, const char *message)
{
    char want[600];

    snprintf(want, sizeof want, "ct_safetensors_open: x: %s", message);
    ck_assert_msg(ct_safetensors_open("x") == NULL, "row %d is accepted: %s", row, want);
    ck_assert_msg(ct_error() == status && strcmp(ct_error_message(), want) == 0,
                  "row %d: got %s \"%s\", expected \"%s\"", row, ct_status_name(ct_error()),
                  ct_error_message(), want);
    ct_error_clear();
}

static const struct {
    const char *header;
    size_t payload; /* bytes */
    const char *message;
} malformed[] = {
    { "", 0, "offset 8: the header does not begin with '{'" },
    { "[]", 0, "offset 8: the header does not begin with '{'" },
    { " {}", 0, "offset 8: the header does not begin with '{'" },
    { "a", 0, "offset 8: the header does not begin with '{'" },
    { "{", 0, "offset 9: the header is not JSON: string or '}' expected near end of file" },
    { "{}}", 0, "offset 11: the header is not JSON: end of file expected near '}'" },
    { "{} x", 0, "offset 12: the header is not JSON: end of file expected near 'x'" },
    { "{}\0", 0, "offset 11: the header is not JSON: end of file expected near end of file" },
    { "{'a'}", 0, "offset 13: the header is not JSON: ':' expected near '}'" },
    { "{'a':}", 0, "offset 14: the header is not JSON: unexpected token near '}'" },
    { "{'a':1,}", 0, "offset 16: the header is not JSON: string or '}' expected near '}'" },
    { "{'a' 1}", 0, "offset 14: the header is not JSON: ':' expected near '1'" },
    { "{'a:1}", 0, "offset 14: the header is not JSON: premature end of input near '\"a:1}'" },
    { "{\xff}", 0, "offset 9: the header is not JSON: unable to decode byte 0xff" },
    { "{'\xff':1}", 0, "offset 10: the header is not JSON: unable to decode byte 0xff near '\"'" },
    { "{'\xc0\xaf':1}", 0,
      "offset 10: the header is not JSON: unable to decode byte 0xc0 near '\"'" },
    { "{'\xed\xa0\x80':1}", 0,
      "offset 10: the header is not JSON: unable to decode byte 0xed near '\"'" },
    { "{'\\ud800':1}", 0,
      "offset 17: the header is not JSON: invalid Unicode '\\uD800' near '\"\\ud800\"'" },
    { "{'a\\u0000':1}", 0,
      "offset 18: the header is not JSON: NUL byte in object key not supported near '\""
      "a\\u0000\"'" },
    { "{'a\nb':1}", 0, "offset 11: the header is not JSON: unexpected newline near '\"a'" },
    { "{'\\x':1}", 0, "offset 12: the header is not JSON: invalid escape near '\"\\x'" },
    { "{'a':NaN}", 0, "offset 16: the header is not JSON: invalid token near 'NaN'" },
    { "{'a':-}", 0, "offset 14: the header is not JSON: invalid token near '-'" },
    { "{'a':01}", 0, "offset 14: the header is not JSON: invalid token near '0'" },
    { "{'a':1e999}", 0, "offset 18: the header is not JSON: real number overflow near '1e999'" },
    { "{'a':99999999999999999999}", 0,
      "offset 33: the header is not JSON: too big integer near '99999999999999999999'" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'a':{'dtype':'F32','shape'"
      ":[2],'data_offsets':[0,8]}}",
      8, "offset 65: the header is not JSON: duplicate object key near '\"a\"'" },
    { "{'a':{'dtype':'F32','dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 35: the header is not JSON: duplicate object key near '\"dtype\"'" },
    { "{'__metadata__':{'k':'1','k':'2'}}", 0,
      "offset 36: the header is not JSON: duplicate object key near '\"k\"'" },
    { "{'a':{'b':[[1]]}}", 0, "offset 19: the header is nested more than 3 deep" },
    { "{'a':[[[[[[", 0, "offset 15: the header is nested more than 3 deep" },
    { "{'a':{'b':{'c':{}}}}", 0, "offset 23: the header is nested more than 3 deep" },
    { "{'a':1}", 0, "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':null}", 0,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':[]}", 0, "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':'F32'}", 0,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{}}", 0, "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'dtype':'F32','shape':[2]}}", 8,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'dtype':'F32','data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8],'strides':[1]}}", 8,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'Dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": is not an object of dtype, shape and data_offsets" },
    { "{'a':{'dtype':'f32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its dtype \"f32\" is none" },
    { "{'a':{'dtype':'F31','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its dtype \"F31\" is none" },
    { "{'a':{'dtype':'','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its dtype \"\" is none" },
    { "{'a':{'dtype':32,'shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its dtype is no string" },
    { "{'a':{'dtype':null,'shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its dtype is no string" },
    { "{'a':{'dtype':'F32','shape':2,'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':'2','data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':{},'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':null,'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2.0],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[-2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':['2'],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[true],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2,null],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its shape is not a list of integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[9223372036854775808],'data_offsets':[0,8]}}", 8,
      "offset 56: the header is not JSON: too big integer near '9223372036854775808'" },
    { "{'a':{'dtype':'F32','shape':[-9223372036854775809],'data_offsets':[0,8]}}", 8,
      "offset 57: the header is not JSON: too big negative integer near '-9223372036854"
      "775809'" },
    { "{'a':{'dtype':'F32','shape':[9223372036854775807],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": F32[9223372036854775807] takes too many bytes, or no who"
      "le number of them" },
    { "{'a':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": F32[4294967296,4294967296] takes too many bytes, or no w"
      "hole number of them" },
    { "{'a':{'dtype':'F32','shape':[4294967296,4294967296,0],'data_offsets':[0,0]}}", 0,
      "offset 9: tensor \"a\": F32[4294967296,4294967296,0] takes too many bytes, or no"
      " whole number of them" },
    { "{'a':{'dtype':'F32','shape':[2305843009213693952],'data_offsets':[0,0]}}", 0,
      "offset 9: tensor \"a\": F32[2305843009213693952] takes too many bytes, or no who"
      "le number of them" },
    { "{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,1]}}", 1,
      "offset 9: tensor \"a\": F4[3] takes too many bytes, or no whole number of them" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are not two integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are not two integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':8}}", 8,
      "offset 9: tensor \"a\": its data_offsets are not two integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[-8,0]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are not two integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8.0]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are not two integers from 0 up" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[8,0]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [8,0], and F32[2] takes 8 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,7]}}", 7,
      "offset 9: tensor \"a\": its data_offsets are [0,7], and F32[2] takes 8 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,9]}}", 9,
      "offset 9: tensor \"a\": its data_offsets are [0,9], and F32[2] takes 8 bytes" },
    { "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,8], and F32[3] takes 12 bytes" },
    { "{'a':{'dtype':'F32','shape':[],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,8], and F32[] takes 4 bytes" },
    { "{'a':{'dtype':'F32','shape':[0],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,8], and F32[0] takes 0 bytes" },
    { "{'a':{'dtype':'F64','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,8], and F64[2] takes 16 bytes" },
    { "{'a':{'dtype':'BF16','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,8], and BF16[2] takes 4 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,9223372036854775807]}}", 8,
      "offset 9: tensor \"a\": its data_offsets are [0,9223372036854775807], and F32[2]"
      " takes 8 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 7,
      "offset 9: tensor \"a\": ends at 8 of the payload, which has 7 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 9,
      "offset 70: 1 bytes belong to no tensor" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 0,
      "offset 9: tensor \"a\": ends at 8 of the payload, which has 0 bytes" },
    { "{}", 1, "offset 10: 1 bytes belong to no tensor" },
    { "{'__metadata__':{}}", 3, "offset 27: 3 bytes belong to no tensor" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}", 12,
      "offset 9: tensor \"a\": begins at 4 of the payload, which leaves a gap from 0" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[1,9]}}", 9,
      "offset 9: tensor \"a\": begins at 1 of the payload, which leaves a gap from 0" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[4,8]}}",
      8, "offset 62: tensor \"b\": begins at 4 of the payload, within tensor \"a\"" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[0,4]}}",
      8, "offset 9: tensor \"a\": begins at 0 of the payload, within tensor \"b\"" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[2],'data_offsets':[0,8]}}",
      8, "offset 62: tensor \"b\": begins at 0 of the payload, within tensor \"a\"" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[12,16]}}",
      16, "offset 62: tensor \"b\": begins at 12 of the payload, which leaves a gap from 8" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[0],'data_offsets':[4,4]}}",
      8, "offset 62: tensor \"b\": begins at 4 of the payload, within tensor \"a\"" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[0],'data_offsets':[9,9]}}",
      8, "offset 62: tensor \"b\": begins at 9 of the payload, which leaves a gap from 8" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[8,12]}}",
      8, "offset 62: tensor \"b\": ends at 12 of the payload, which has 8 bytes" },
    { "{'__metadata__':1}", 0, "offset 9: __metadata__ is not an object" },
    { "{'__metadata__':null}", 0, "offset 9: __metadata__ is not an object" },
    { "{'__metadata__':'pt'}", 0, "offset 9: __metadata__ is not an object" },
    { "{'__metadata__':[]}", 0, "offset 9: __metadata__ is not an object" },
    { "{'__metadata__':{'k':1}}", 0, "offset 9: __metadata__: the value of \"k\" is no text" },
    { "{'__metadata__':{'k':null}}", 0, "offset 9: __metadata__: the value of \"k\" is no text" },
    { "{'__metadata__':{'k':{}}}", 0, "offset 9: __metadata__: the value of \"k\" is no text" },
    { "{'__metadata__':{'k':['a']}}", 0, "offset 9: __metadata__: the value of \"k\" is no text" },
    { "{'__metadata__':{'cotangent.payload_sha256':'e3b0'}}", 0,
      "offset 9: cotangent.payload_sha256 is not 64 digits of 0-9a-f" },
    { "{'__metadata__':{'cotangent.payload_sha256':'E3B0C44298FC1C149AFBF4C8996FB92427A"
      "E41E4649B934CA495991B7852B855'}}",
      0, "offset 9: cotangent.payload_sha256 is not 64 digits of 0-9a-f" },
    { "{'__metadata__':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9: __metadata__: the value of \"shape\" is no text" },
    { "{'line\\nbreak\\u001b[31m':1}", 0,
      "offset 9: tensor \"line?break?[31m\": is not an object of dtype, shape and data_"
      "offsets" },
    { "{'näme':1}", 0,
      "offset 9: tensor \"näme\": is not an object of dtype, shape and data_offsets" },
    { "{'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx':1}",
      0,
      "offset 9: tensor \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\": is not an object of dtype, shape a"
      "nd data_offsets" },
    { "{'a':{'shape':[2],'data_offsets':[0,8],'dtype':'F32'},'b':1}", 8,
      "offset 62: tensor \"b\": is not an object of dtype, shape and data_offsets" },
    { "{'b':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'\\u0061':1}", 8,
      "offset 62: tensor \"a\": is not an object of dtype, shape and data_offsets" },
};

#define HEADER_LENGTH(i)                                                                           \
    (strcmp(malformed[i].header, "{}") || malformed[i].payload ? strlen(malformed[i].header)       \
                                                               : 3) /* the row with a NUL */

START_TEST(malformed_headers)
{
    int i;

    for (i = 0; i < LENGTH(malformed); i++) {
        write_file(malformed[i].header, HEADER_LENGTH(i), malformed[i].payload);
        fail_allocation(0);
        expect_refused(i, CT_ERR_FORMAT, malformed[i].message);
        ck_assert_msg(largest_seen < 4096, "row %d asked for %zu bytes", i, largest_seen);
    }
}
END_TEST

START_TEST(malformed_starts)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        { "", 0, "offset 0: the file ends before its header's length (8 bytes)" },
        { "\2", 1, "offset 1: the file ends before its header's length (8 bytes)" },
        { "\2\0\0\0\0\0\0", 7, "offset 7: the file ends before its header's length (8 bytes)" },
        { "\2\0\0\0\0\0\0\0", 8, "offset 0: the header's length is 2, but 0 bytes follow" },
        { "\3\0\0\0\0\0\0\0{}", 10, "offset 0: the header's length is 3, but 2 bytes follow" },
        { "\0\0\0\0\0\0\0\0", 8, "offset 8: the header does not begin with '{'" },
        { "\0\0\0\0\0\0\0\0{}", 10, "offset 8: the header does not begin with '{'" },
        { "\1\xe1\xf5\5\0\0\0\0{}", 10,
          "offset 0: the header's length is 100000001, above 100000000" },
        { "\0\xe1\xf5\5\0\0\0\0{}", 10,
          "offset 0: the header's length is 100000000, but 2 bytes follow" },
        { "\2\0\0\0\0\0\0\x80{}", 10,
          "offset 0: the header's length is 9223372036854775810, above 100000000" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10,
          "offset 0: the header's length is 18446744073709551615, above 100000000" },
        { "\0\0\0\0\0\0\0\2{}", 10,
          "offset 0: the header's length is 144115188075855872, above 100000000" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_bytes("x", cases[i].bytes, cases[i].size);
        fail_allocation(0);
        expect_refused(i, CT_ERR_FORMAT, cases[i].message);
        ck_assert_uint_lt(largest_seen, 1024);
    }
    write_bytes("x", "\1\xe1\xf5\5\0\0\0\0{", 9); /* as long as it says: of holes */
    ck_assert_int_eq(truncate("x", 200000000), 0);
    expect_refused(-1, CT_ERR_FORMAT,
                   "offset 0: the header's length is 100000001, above 100000000");
    ck_assert_uint_lt(largest_seen, 1024);
}
END_TEST

/* Headers made to take memory, or depth, from a parser. */
START_TEST(bombs)
{
    size_t n = 3000000, i;
    char *h = malloc(n + 64);

    memset(h, '[', n);
    memcpy(h, "{'a':", 5);
    write_file(h, n, 0);
    expect_refused(0, CT_ERR_FORMAT, "offset 15: the header is nested more than 3 deep");

    for (i = 5; i < n; i += 5)
        memcpy(h + i, "{'a':", 5);
    write_file(h, n, 0);
    expect_refused(1, CT_ERR_FORMAT, "offset 23: the header is nested more than 3 deep");

    memset(h, ',', n);
    memcpy(h, "{'a':{'shape':[", 15);
    write_file(h, n, 0);
    expect_refused(2, CT_ERR_FORMAT, "offset 86: a list of more than 64 numbers");

    memset(h, ':', n);
    h[0] = '{';
    write_file(h, n, 0);
    expect_refused(3, CT_ERR_FORMAT, "offset 1000009: the header has more than 1000000 keys");

    memset(h, '\\', n); /* a string that does not end */
    memcpy(h, "{'", 2);
    write_file(h, n, 0);
    ck_assert_ptr_null(ct_safetensors_open("x"));
    ck_assert_int_eq(ct_error(), CT_ERR_FORMAT);
    ct_error_clear();
    free(h);
}
END_TEST

START_TEST(not_files)
{
    ck_assert_ptr_null(ct_safetensors_open(NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_open: path is NULL");
    ck_assert_ptr_null(ct_safetensors_open("none"));
    expect_error(CT_ERR_IO, "ct_safetensors_open: none: No such file or directory");
    ck_assert_ptr_null(ct_safetensors_open("."));
    expect_error(CT_ERR_IO, "ct_safetensors_open: .: is not a regular file");
    ck_assert_ptr_null(ct_safetensors_open("/dev/zero"));
    expect_error(CT_ERR_IO, "ct_safetensors_open: /dev/zero: is not a regular file");
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_ptr_null(ct_safetensors_open("fifo"));
    expect_error(CT_ERR_IO, "ct_safetensors_open: fifo: is not a regular file");
}
END_TEST

/* Well-formed, though odd: each is accepted. */
START_TEST(odd_files)
{
    static const struct {
        const char *header;
        size_t payload;
        int count;
    } cases[] = {
        { "{}", 0, 0 },
        { "{}      ", 0, 0 },
        { "{ 'a' :\n{'shape':[],\t'data_offsets':[0,4],'dtype':'I32'} }", 4, 1 },
        { "{'b':{'dtype':'U8','shape':[1],'data_offsets':[8,9]},"
          "'a':{'dtype':'F16','shape':[2,2],'data_offsets':[0,8]}}",
          9, 2 },
        { "{'z':{'dtype':'F32','shape':[0],'data_offsets':[4,4]},"
          "'y':{'dtype':'F32','shape':[0,9],'data_offsets':[0,0]},"
          "'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}",
          4, 3 },
        { "{'a':{'dtype':'F4','shape':[3,2],'data_offsets':[0,3]},'__metadata__':{'a':''}}", 3, 1 },
        { "{'a':{'dtype':'BOOL','shape':[1,1,1,1,1,1,1,1,1],'data_offsets':[0,1]}}", 1, 1 },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_safetensors *f;

        write_file(cases[i].header, strlen(cases[i].header), cases[i].payload);
        f = ct_safetensors_open("x");
        ck_assert_msg(f != NULL, "row %d: %s", i, ct_error_message());
        ck_assert_int_eq(ct_safetensors_count(f), cases[i].count);
        if (i == 4)
            ck_assert_str_eq(ct_safetensors_name(f, 2), "z"); /* the payload's order */
        ct_safetensors_close(f);
    }
}
END_TEST

/* The format's dtypes: each can be listed, and ours loaded. */
START_TEST(dtypes)
{
    static const struct {
        const char *name;
        int bits, dtype; /* or -1 */
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
        write_file(header, strlen(header), (size_t)kinds[i].bits);
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

/* A bool that is none, wherever it stands. */
START_TEST(bad_bools)
{
    ct_scope s = ct_scope_begin();
    char header[100], message[100];
    ct_safetensors *f;
    char *bytes;
    size_t n;
    int at;

    for (at = 0; at < 5; at++) {
        snprintf(header, sizeof header, "{'a':{'dtype':'BOOL','shape':[5],'data_offsets':[0,5]}}");
        write_file(header, strlen(header), 5);
        bytes = read_bytes("x", &n);
        bytes[n - 5 + (size_t)at] = (char)(at % 2 ? 2 : 255);
        write_bytes("x", bytes, n);
        free(bytes);
        f = ct_safetensors_open("x");
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        snprintf(message, sizeof message,
                 "ct_safetensors_load: x: offset %d: a bool is %d, neither 0 nor 1",
                 8 + (int)strlen(header) + at, at % 2 ? 2 : 255);
        expect_error(CT_ERR_FORMAT, message);
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

    write_file(three, strlen(three), 5);
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
    expect_error(CT_ERR_DTYPE, "ct_safetensors_get: x: tensor \"half\" has the dtype F16, which "
                               "there is not here");
    ck_assert_ptr_null(ct_safetensors_load(f, ct_safetensors_find(f, "deep"), CT_CPU));
    expect_error(CT_ERR_SHAPE, "ct_safetensors_load: x: tensor \"deep\" has the rank 9, above 8");
    ck_assert_ptr_null(ct_safetensors_get(f, "none", CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_get: x: there is no tensor \"none\"");
    ck_assert_ptr_null(ct_safetensors_get(f, NULL, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_get: x: there is no tensor NULL");
    ck_assert_ptr_null(ct_safetensors_load(f, 3, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load: x: there is no tensor 3 of 3");
    ck_assert_ptr_null(ct_safetensors_load(f, -1, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load: x: there is no tensor -1 of 3");
    ck_assert_ptr_null(ct_safetensors_get(f, "bool", 99));
    expect_error(CT_ERR_DEVICE, "ct_safetensors_get: there is no device 99");
    expect_values("bool", ct_safetensors_get(f, "bool", CT_CPU), (double[]){ 0, 0 }, 2, 0);
    ct_safetensors_close(f);

    for (n = 63; n < 65; n++) { /* of two bytes none is left, and one */
        write_file(two, strlen(two), 2);
        f = ct_safetensors_open("x");
        ck_assert_int_eq(truncate("x", (off_t)n), 0); /* while it is open */
        ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
        expect_error(CT_ERR_FORMAT,
                     n == 63 ? "ct_safetensors_load: x: offset 63: the file became shorter while "
                               "it was read"
                             : "ct_safetensors_load: x: offset 64: the file became shorter while "
                               "it was read");
        ct_safetensors_close(f);
    }
    write_file(two, strlen(two), 2);
    bytes = read_bytes("x", &n);
    bytes[n - 1] = 2;
    write_bytes("x", bytes, n);
    free(bytes);
    f = ct_safetensors_open("x");
    ck_assert_msg(f != NULL, "%s", ct_error_message());
    ck_assert_ptr_null(ct_safetensors_load(f, 0, CT_CPU));
    expect_error(CT_ERR_FORMAT, "ct_safetensors_load: x: offset 64: a bool is 2, neither 0 nor 1");
    ct_safetensors_close(f);

    ck_assert_ptr_null(ct_safetensors_load(NULL, 0, CT_CPU));
    ck_assert_ptr_null(ct_safetensors_get(NULL, "a", CT_CPU));
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

/* Each bit of the payload counts. */
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
        ck_assert_int_eq(ct_error(), CT_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(ct_error_message(), ": the payload's SHA-256 is "));
        ck_assert_ptr_nonnull(strstr(ct_error_message(), ": it is damaged"));
        ct_error_clear();
        ct_safetensors_close(f);
    }
    free(b);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* The digest is of the whole payload, and computed once. */
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

/* A payload of more than one piece is read whole, and each piece of it counts. */
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

/* What the library's own memory promises. */
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
        p = cti_calloc((size_t)i, (size_t)!i); /* of no bytes */
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

/* Mutations of good files: each is refused with one line, or what it holds can be read. */
START_TEST(mutations)
{
    static const char *const pieces[] = { "{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "\"",
                                          "\\",
                                          "-1",
                                          "0",
                                          "1e9",
                                          "9223372036854775807",
                                          "null",
                                          "\"F32\"",
                                          "\"a\"",
                                          " ",
                                          "\"__metadata__\":{}",
                                          "\xff",
                                          "\\u0000" };
    int count = harness_count(3000, 200000), k;
    ct_generator g = ct_generator_from_seed(11);
    ct_scope s = ct_scope_begin();
    ct_tensor *t[] = { ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU),
                       ct_ones(CT_SHAPE(3), CT_BOOL, CT_CPU) };
    size_t n, size;
    char *good;
    int accepted = 0;

    ck_assert_int_eq(ct_safetensors_write("g", 2, (const char *const[]){ "a", "b" }, t, NULL),
                     CT_OK);
    good = read_bytes("g", &n);
    fail_allocation(0);
    for (k = 0; k < count; k++) {
        char *b = malloc(n + 64);
        int changes = 1 + (int)ct_random_below(&g, 3), i;
        ct_safetensors *f;
        ct_scope inner = ct_scope_begin();

        memcpy(b, good, n);
        size = n;
        for (i = 0; i < changes; i++) {
            size_t at = (size_t)ct_random_below(&g, (uint64_t)size);
            const char *piece = pieces[ct_random_below(&g, LENGTH(pieces))];
            size_t length = strlen(piece);

            switch (ct_random_below(&g, 5)) {
            case 0:
                b[at] ^= (char)(1 << ct_random_below(&g, 8));
                break;
            case 1:
                size = at;
                break;
            case 2: /* the piece put in, the header longer by it */
                if (size + length < n + 64 && at >= 8) {
                    memmove(b + at + length, b + at, size - at);
                    memcpy(b + at, piece, length);
                    size += length;
                    b[0] = (char)(b[0] + (char)length);
                }
                break;
            case 3: /* written over */
                if (at + length <= size)
                    memcpy(b + at, piece, length);
                break;
            default: /* a byte left out, the header shorter by it */
                if (at >= 8) {
                    memmove(b + at, b + at + 1, size - at - 1);
                    size--;
                    b[0]--;
                }
            }
            if (!size)
                break;
        }
        write_bytes("x", b, size);
        f = ct_safetensors_open("x");
        ck_assert_msg(f != NULL ||
                          strncmp(ct_error_message(), "ct_safetensors_open: x: offset ", 31) == 0,
                      "%s", ct_error_message());
        for (i = 0; i < ct_safetensors_count(f); i++) {
            ct_safetensors_load(f, i, CT_CPU);
            ct_error_clear();
        }
        accepted += f != NULL;
        ct_safetensors_close(f);
        ck_assert_ptr_null(strchr(ct_error_message(), '\n'));
        ct_error_clear();
        ck_assert_int_eq(ct_scope_end(inner), CT_OK);
        free(b);
    }
    ck_assert_int_gt(accepted, count / 100); /* those of the payload, of names, of spaces */
    ck_assert_int_lt(accepted, count / 2);
    ck_assert_uint_lt(largest_seen, 1 << 19);
    free(good);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- writing ---- */

START_TEST(bad_writes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), *t[] = { a, a };
    static const char *const twice[] = { "a", "a" }, *const reserved[] = { "__metadata__" },
                             *const latin[] = { "n\xe4me" },
                             *const surrogate[] = { "\xed\xa0\x80" }, *const none[] = { NULL },
                             *const fine[] = { "a", "b" };

#define REFUSED(path, n, names, tensors, metadata, status, message)                                \
    do {                                                                                           \
        ck_assert_int_eq(ct_safetensors_write(path, n, names, tensors, metadata), status);         \
        expect_error(status, "ct_safetensors_write: " message);                                    \
    } while (0)
    REFUSED(NULL, 1, fine, t, NULL, CT_ERR_ARGUMENT, "path is NULL");
    REFUSED("x", -1, fine, t, NULL, CT_ERR_ARGUMENT, "count is negative");
    REFUSED("x", 1, NULL, t, NULL, CT_ERR_ARGUMENT, "names or tensors is NULL");
    REFUSED("x", 1, fine, NULL, NULL, CT_ERR_ARGUMENT, "names or tensors is NULL");
    REFUSED("x", 1, none, t, NULL, CT_ERR_ARGUMENT, "names[0] is NULL");
    REFUSED("x", 2, fine, ((ct_tensor *const[]){ a, NULL }), NULL, CT_ERR_ARGUMENT,
            "tensors[1] is NULL");
    REFUSED("x", 2, twice, t, NULL, CT_ERR_ARGUMENT, "the name \"a\" is there twice");
    REFUSED("x", 1, reserved, t, NULL, CT_ERR_ARGUMENT, "the name \"__metadata__\" is reserved");
    REFUSED("x", 1, latin, t, NULL, CT_ERR_ARGUMENT, "the name \"n\xe4me\" is not UTF-8");
    REFUSED("x", 1, surrogate, t, NULL, CT_ERR_ARGUMENT, "the name \"\xed\xa0\x80\" is not UTF-8");
    REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", NULL }, { 0 } }), CT_ERR_ARGUMENT,
            "the key \"k\" has no value");
    REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "1" }, { "k", "2" }, { 0 } }),
            CT_ERR_ARGUMENT, "the key \"k\" is there twice");
    REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "\xff" }, { 0 } }), CT_ERR_ARGUMENT,
            "the key \"k\" or its value is not UTF-8");
    REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "cotangent.payload_sha256", "" }, { 0 } }),
            CT_ERR_ARGUMENT, "the key \"cotangent.payload_sha256\" is reserved");
    REFUSED("none/x", 1, fine, t, NULL, CT_ERR_IO, "none/x: No such file or directory");
    REFUSED(".", 1, fine, t, NULL, CT_ERR_IO, ".: is not a regular file");
    REFUSED("/dev/null", 1, fine, t, NULL, CT_ERR_IO, "/dev/null: is not a regular file");
    ct_raise(CT_ERR_ARGUMENT, "test", "stands"); /* a sink */
    ck_assert_int_eq(ct_safetensors_write("x", 1, fine, t, NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test: stands");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A file that is replaced keeps its mode, a link to it stays a link. */
/* The longest header that is read is also the longest that is written. */
START_TEST(largest_header)
{
    static const size_t limit = 100000000;
    char *text = malloc(limit + 9), message[200], *bytes;
    ct_metadata metadata[] = { { "x", "" }, { NULL, NULL } };
    size_t n, used;
    ct_safetensors *f;

    ck_assert_int_eq(ct_safetensors_write("x", 0, NULL, NULL, metadata), CT_OK);
    bytes = read_bytes("x", &n);
    for (used = n; bytes[used - 1] == ' '; used--)
        ;
    free(bytes);
    used -= 8; /* of the header, without spaces */
    memset(text, 'a', limit + 9);
    metadata[0].value = text;
    text[limit - used + 1] = '\0';
    ck_assert_int_eq(ct_safetensors_write("y", 0, NULL, NULL, metadata), CT_ERR_ARGUMENT);
    snprintf(message, sizeof message,
             "ct_safetensors_write: the header would take %zu bytes, above "
             "%zu",
             limit + 8, limit);
    expect_error(CT_ERR_ARGUMENT, message);
    ck_assert_int_eq(count_files(), 1);
    text[limit - used] = '\0';
    ck_assert_int_eq(ct_safetensors_write("y", 0, NULL, NULL, metadata), CT_OK);
    if (harness_full()) { /* some seconds */
        f = ct_safetensors_open("y");
        ck_assert_msg(f != NULL, "%s", ct_error_message());
        ck_assert_uint_eq(strlen(ct_safetensors_metadata(f, "x")), limit - used);
        ct_safetensors_close(f);
    }
    free(text);
}
END_TEST

START_TEST(replaced)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    static const char *const names[] = { "a" };
    ct_safetensors *f;
    struct stat st;

    write_bytes("x", "old", 3);
    ck_assert_int_eq(chmod("x", 0600), 0);
    ck_assert_int_eq(symlink("x", "link"), 0);
    ck_assert_int_eq(ct_safetensors_write("link", 1, names, &a, NULL), CT_OK);
    ck_assert_int_eq(lstat("link", &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    f = ct_safetensors_open("x");
    ck_assert_ptr_nonnull(f);
    ct_safetensors_close(f);
    ck_assert_int_eq(count_files(), 2);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- failing calls ---- */

static const char *const pair[] = { "a", "b" };

/* x holds the old file or, if whole is true, the new one; and there is nothing else. */
static void expect_file(const char *old, size_t old_size, bool whole)
{
    size_t n;
    char *now = read_bytes("x", &n);

    ck_assert_int_eq(n == old_size && memcmp(now, old, n) == 0, !whole);
    ck_assert_int_eq(count_files(), 1);
    free(now);
}

/* Writes x over and over, failing another call each time, until none fails. */
static void write_failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t[] = { ct_ones(CT_SHAPE(9), CT_F32, CT_CPU),
                       ct_zeros(CT_SHAPE(3, 2), CT_I64, CT_CPU) };
    size_t n;
    char *old;
    int k, calls;

    t[1] = ct_transpose(t[1], 0, 1); /* needs memory */
    ct_memory_trim();
    arm(0);
    ck_assert_int_eq(ct_safetensors_write("x", 2, pair, t, NULL), CT_OK);
    fail_nothing();
    calls = *seen;
    write_bytes("x", "old", 3);
    old = read_bytes("x", &n);
    for (k = 1;; k++) {
        ct_status got;
        bool synced;

        ct_memory_trim();
        arm(k);
        got = ct_safetensors_write("x", 2, pair, t, NULL);
        if (*seen < k)
            break;
        fail_nothing();
        if (got == CT_OK) { /* closing the folder is of no import; the pool tries again */
            ck_assert_msg(k == calls || seen == &allocations_seen, "call %d of %d", k, calls);
            expect_file(old, n, true);
            write_bytes("x", "old", 3);
            continue;
        }
        ck_assert_msg(got == status, "call %d: %s", k, ct_error_message());
        synced = !strstr(ct_error_message(), "x: written, but its folder could not be synced: ");
        expect_file(old, n, !synced);
        if (!synced)
            write_bytes("x", "old", 3);
        ct_error_clear();
    }
    fail_nothing();
    ck_assert_int_ge(k, at_least);
    expect_ok();
    expect_file(old, n, true);
    free(old);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}

/* The temporary file is whole on disk before it is renamed, the folder after. */
START_TEST(write_order)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);

    fail_file_call(0);
    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
    ck_assert_str_eq(files_log, "oowscnsc");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* Calls that find what is asked for elsewhere: an error, or 0 bytes written. */
static char folder_opened[200];
static int folder_error, sync_error, sync_calls, zero_writes;
static cti_file_table before;

static int open_noted(const char *path, int flags, int mode)
{
    if (!(flags & O_DIRECTORY))
        return strncmp(path, "/x.", 3) == 0 ? (errno = EROFS, -1) : before.open(path, flags, mode);
    snprintf(folder_opened, sizeof folder_opened, "%s", path);
    errno = folder_error;
    return folder_error ? -1 : before.open(path, flags, mode);
}

static int sync_noted(int fd)
{
    (void)fd;
    if (++sync_calls == 1)
        return 0;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

static ssize_t write_nothing(int fd, const void *bytes, size_t n)
{
    errno = EINTR;
    return zero_writes ? 0 : before.write(fd, bytes, n);
}

static ct_status write_noted(const char *path)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    ct_status status;

    sync_calls = 0;
    before = cti_file_calls;
    cti_file_calls.open = open_noted;
    cti_file_calls.fsync = sync_noted;
    cti_file_calls.write = write_nothing;
    status = ct_safetensors_write(path, 1, pair, &t, NULL);
    cti_file_calls = before;
    folder_error = sync_error = zero_writes = 0;
    ck_assert_int_eq(ct_error(), status);
    (void)!ct_scope_end(s);
    return status;
}

/* The folder that is synced is the file's; one that cannot be read, or synced, does not matter. */
START_TEST(folders)
{
    char here[200], want[400];
    int i;

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(write_noted("x"), CT_OK);
    ck_assert_str_eq(folder_opened, ".");
    ck_assert_int_eq(write_noted("x"), CT_OK); /* which is there by now */
    ck_assert_str_eq(folder_opened, here);
    snprintf(want, sizeof want, "%s/y", here);
    ck_assert_int_eq(write_noted(want), CT_OK);
    ck_assert_str_eq(folder_opened, here);
    ck_assert_int_eq(write_noted("./z"), CT_OK);
    ck_assert_str_eq(folder_opened, ".");
    ck_assert_int_eq(write_noted("/x.safetensors"), CT_ERR_IO);
    ck_assert_str_eq(folder_opened, "/");
    expect_error(CT_ERR_IO, "ct_safetensors_write: /x.safetensors: Read-only file system");
    for (i = 0; i < 2; i++) {
        sync_error = i ? EINVAL : ENOTSUP;
        ck_assert_int_eq(write_noted("x"), CT_OK);
        ck_assert_int_eq(sync_calls, 2);
    }
    sync_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want,
             "ct_safetensors_write: %s/x: written, but its folder could not be "
             "synced: Read-only file system",
             here);
    expect_error(CT_ERR_IO, want);
    folder_error = EACCES;
    ck_assert_int_eq(write_noted("x"), CT_OK);
    ck_assert_int_eq(sync_calls, 1);
    folder_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_safetensors_write: x: Read-only file system");
    zero_writes = 1;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want, "ct_safetensors_write: %s/x: Input/output error", here);
    expect_error(CT_ERR_IO, want);
    ck_assert_int_eq(count_files(), 3);
}
END_TEST

/* Temporary files that are left from before do no harm, unless there are a hundred. */
START_TEST(left_behind)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    char name[100];
    int i;

    for (i = 0; i < 100; i++) {
        if (i == 1 || i == 99) {
            ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
            ck_assert_int_eq(count_files(), i + 1);
            remove("x");
        }
        snprintf(name, sizeof name, "x.%ld-%d.tmp", (long)getpid(), i);
        write_bytes(name, "", 0);
    }
    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_safetensors_write: x: File exists");
    ck_assert_int_eq(count_files(), 100);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(write_calls_fail)
{
    write_failing(fail_file_call, &files_seen, CT_ERR_IO, 15);
    write_failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 4);
    write_failing(fail_json_allocation, &json_seen, CT_ERR_MEMORY, 30);
}
END_TEST

/* Reads x over and over, failing another call each time, until none fails. jansson may take want of
 * memory for a fault of syntax: CT_ERR_FORMAT. */
static void read_failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    int k;

    for (k = 1;; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = NULL;
        ct_safetensors *f;

        ct_memory_trim();
        arm(k);
        f = ct_safetensors_open("x");
        ck_assert_msg((f != NULL) == (ct_ok() != 0), "call %d: %s", k, ct_error_message());
        if (f)
            t = ct_safetensors_get(f, "a", CT_CPU);
        ct_safetensors_close(f);
        fail_nothing();
        if (t)
            expect_values("a", t, (double[]){ 1, 1, 1 }, 3, 0);
        else
            ck_assert_msg(ct_error() == status ||
                              (ct_error() == CT_ERR_FORMAT && seen == &json_seen),
                          "call %d: %s", k, ct_error_message());
        ct_error_clear();
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        if (*seen < k)
            break;
    }
    ck_assert_int_ge(k, at_least);
}

START_TEST(read_calls_fail)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);

    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    read_failing(fail_file_call, &files_seen, CT_ERR_IO, 9);
    read_failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 6);
    read_failing(fail_json_allocation, &json_seen, CT_ERR_MEMORY, 30);
}
END_TEST

/* RFC 3629: nothing overlong, no surrogates, nothing above U+10FFFF. */
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

    tcase_add_test(tc, utf8);

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, bytes);
    tcase_add_test(tc, peer);
    tcase_add_test(tc, malformed_headers);
    tcase_add_test(tc, malformed_starts);
    tcase_add_test(tc, bombs);
    tcase_add_test(tc, not_files);
    tcase_add_test(tc, odd_files);
    tcase_add_test(tc, dtypes);
    tcase_add_test(tc, bad_bools);
    tcase_add_test(tc, bad_loads);
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, verified_once);
    tcase_add_test(tc, large_payload);
    tcase_add_test(tc, host_memory);
    tcase_add_test(tc, mutations);
    tcase_add_test(tc, bad_writes);
    tcase_add_test(tc, largest_header);
    tcase_add_test(tc, replaced);
    tcase_add_test(tc, write_order);
    tcase_add_test(tc, folders);
    tcase_add_test(tc, left_behind);
    tcase_add_test(tc, write_calls_fail);
    tcase_add_test(tc, read_calls_fail);
    return harness_run(suite);
}

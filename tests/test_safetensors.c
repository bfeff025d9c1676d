/* test_safetensors.c - tests of files of named tensors: round trips, malformed files, failing
 * calls. */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/safetensors.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
static void write_header(const char *header, size_t length, size_t payload)
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

static void open_refused(int row, ct_status status, const char *word)
{
    ck_assert_msg(ct_safetensors_open("x") == NULL, "row %d is accepted: %s", row, word);
    expect_error(status, "ct_safetensors_open", word);
}

static const struct {
    const char *header;
    size_t payload; /* bytes */
    const char *word;
} malformed[] = {
    { "", 0, "offset 8 ... '{'" },
    { "[]", 0, "offset 8 ... '{'" },
    { " {}", 0, "offset 8 ... '{'" },
    { "a", 0, "offset 8 ... '{'" },
    { "{", 0, "offset 9 ... JSON" },
    { "{}}", 0, "offset 11 ... JSON" },
    { "{} x", 0, "offset 12 ... JSON" },
    { "{}\0", 0, "offset 11 ... JSON" },
    { "{'a'}", 0, "offset 13 ... JSON" },
    { "{'a':}", 0, "offset 14 ... JSON" },
    { "{'a':1,}", 0, "offset 16 ... JSON" },
    { "{'a' 1}", 0, "offset 14 ... JSON" },
    { "{'a:1}", 0, "offset 14 ... JSON" },
    { "{\xff}", 0, "offset 9 ... JSON" },
    { "{'\xff':1}", 0, "offset 10 ... JSON" },
    { "{'\xc0\xaf':1}", 0, "offset 10 ... JSON" },
    { "{'\xed\xa0\x80':1}", 0, "offset 10 ... JSON" },
    { "{'\\ud800':1}", 0, "offset 17 ... JSON" },
    { "{'a\\u0000':1}", 0, "offset 18 ... JSON" },
    { "{'a\nb':1}", 0, "offset 11 ... JSON" },
    { "{'\\x':1}", 0, "offset 12 ... JSON" },
    { "{'a':NaN}", 0, "offset 16 ... JSON" },
    { "{'a':-}", 0, "offset 14 ... JSON" },
    { "{'a':01}", 0, "offset 14 ... JSON" },
    { "{'a':1e999}", 0, "offset 18 ... JSON" },
    { "{'a':99999999999999999999}", 0, "offset 33 ... JSON" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'a':{'dtype':'F32','shape'"
      ":[2],'data_offsets':[0,8]}}",
      8, "offset 65 ... JSON" },
    { "{'a':{'dtype':'F32','dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 35 ... JSON" },
    { "{'__metadata__':{'k':'1','k':'2'}}", 0, "offset 36 ... JSON" },
    { "{'a':{'b':[[1]]}}", 0, "offset 19 ... nested" },
    { "{'a':[[[[[[", 0, "offset 15 ... nested" },
    { "{'a':{'b':{'c':{}}}}", 0, "offset 23 ... nested" },
    { "{'a':1}", 0, "offset 9 ... object" },
    { "{'a':null}", 0, "offset 9 ... object" },
    { "{'a':[]}", 0, "offset 9 ... object" },
    { "{'a':'F32'}", 0, "offset 9 ... object" },
    { "{'a':{}}", 0, "offset 9 ... object" },
    { "{'a':{'dtype':'F32','shape':[2]}}", 8, "offset 9 ... object" },
    { "{'a':{'shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... object" },
    { "{'a':{'dtype':'F32','data_offsets':[0,8]}}", 8, "offset 9 ... object" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8],'strides':[1]}}", 8,
      "offset 9 ... object" },
    { "{'a':{'Dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... object" },
    { "{'a':{'dtype':'f32','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... \"f32\"" },
    { "{'a':{'dtype':'F31','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... \"F31\"" },
    { "{'a':{'dtype':'','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... \"\"" },
    { "{'a':{'dtype':32,'shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... string" },
    { "{'a':{'dtype':null,'shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... string" },
    { "{'a':{'dtype':'F32','shape':2,'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':'2','data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':{},'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':null,'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':[2.0],'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':[-2],'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':['2'],'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':[true],'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':[2,null],'data_offsets':[0,8]}}", 8, "offset 9 ... list" },
    { "{'a':{'dtype':'F32','shape':[9223372036854775808],'data_offsets':[0,8]}}", 8,
      "offset 56 ... JSON" },
    { "{'a':{'dtype':'F32','shape':[-9223372036854775809],'data_offsets':[0,8]}}", 8,
      "offset 57 ... JSON" },
    { "{'a':{'dtype':'F32','shape':[9223372036854775807],'data_offsets':[0,8]}}", 8,
      "offset 9 ... F32[9223372036854775807]" },
    { "{'a':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,8]}}", 8,
      "offset 9 ... F32[4294967296,4294967296]" },
    { "{'a':{'dtype':'F32','shape':[4294967296,4294967296,0],'data_offsets':[0,0]}}", 0,
      "offset 9 ... F32[4294967296,4294967296,0]" },
    { "{'a':{'dtype':'F32','shape':[2305843009213693952],'data_offsets':[0,0]}}", 0,
      "offset 9 ... F32[2305843009213693952]" },
    { "{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,1]}}", 1, "offset 9 ... F4[3]" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0]}}", 8, "offset 9 ... integers" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8,8]}}", 8, "offset 9 ... integers" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':8}}", 8, "offset 9 ... integers" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[-8,0]}}", 8, "offset 9 ... integers" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8.0]}}", 8, "offset 9 ... integers" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[8,0]}}", 8, "offset 9 ... [8,0]" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,7]}}", 7, "offset 9 ... [0,7]" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,9]}}", 9, "offset 9 ... [0,9]" },
    { "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,8]}}", 8, "offset 9 ... F32[3]" },
    { "{'a':{'dtype':'F32','shape':[],'data_offsets':[0,8]}}", 8, "offset 9 ... F32[]" },
    { "{'a':{'dtype':'F32','shape':[0],'data_offsets':[0,8]}}", 8, "offset 9 ... F32[0]" },
    { "{'a':{'dtype':'F64','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... F64[2]" },
    { "{'a':{'dtype':'BF16','shape':[2],'data_offsets':[0,8]}}", 8, "offset 9 ... BF16[2]" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,9223372036854775807]}}", 8,
      "offset 9 ... [0,9223372036854775807]" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 7, "offset 9 ... has 7" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 9, "offset 70 ... 1 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 0, "offset 9 ... ends" },
    { "{}", 1, "offset 10 ... 1 bytes" },
    { "{'__metadata__':{}}", 3, "offset 27 ... 3 bytes" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}", 12, "offset 9 ... at 4" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[1,9]}}", 9, "offset 9 ... at 1" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[4,8]}}",
      8, "offset 62 ... within" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[0,4]}}",
      8, "offset 9 ... within" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[2],'data_offsets':[0,8]}}",
      8, "offset 62 ... within" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[12,16]}}",
      16, "offset 62 ... at 12" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[0],'data_offsets':[4,4]}}",
      8, "offset 62 ... within" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[0],'data_offsets':[9,9]}}",
      8, "offset 62 ... at 9" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape'"
      ":[1],'data_offsets':[8,12]}}",
      8, "offset 62 ... at 12" },
    { "{'__metadata__':1}", 0, "offset 9 ... __metadata__" },
    { "{'__metadata__':null}", 0, "offset 9 ... __metadata__" },
    { "{'__metadata__':'pt'}", 0, "offset 9 ... __metadata__" },
    { "{'__metadata__':[]}", 0, "offset 9 ... __metadata__" },
    { "{'__metadata__':{'k':1}}", 0, "offset 9 ... \"k\" ... text" },
    { "{'__metadata__':{'k':null}}", 0, "offset 9 ... \"k\" ... text" },
    { "{'__metadata__':{'k':{}}}", 0, "offset 9 ... \"k\" ... text" },
    { "{'__metadata__':{'k':['a']}}", 0, "offset 9 ... \"k\" ... text" },
    { "{'__metadata__':{'cotangent.payload_sha256':'e3b0'}}", 0,
      "offset 9 ... cotangent.payload_sha256" },
    { "{'__metadata__':{'cotangent.payload_sha256':'E3B0C44298FC1C149AFBF4C8996FB92427A"
      "E41E4649B934CA495991B7852B855'}}",
      0, "offset 9 ... cotangent.payload_sha256" },
    { "{'__metadata__':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 9 ... \"shape\" ... text" },
    { "{'line\\nbreak\\u001b[31m':1}", 0, "offset 9 ... object" },
    { "{'näme':1}", 0, "offset 9 ... object" },
    { "{'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx':1}",
      0, "offset 9 ... object" },
    { "{'a':{'shape':[2],'data_offsets':[0,8],'dtype':'F32'},'b':1}", 8, "offset 62 ... object" },
    { "{'b':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'\\u0061':1}", 8,
      "offset 62 ... object" },
};

#define HEADER_LENGTH(i)                                                                           \
    (strcmp(malformed[i].header, "{}") || malformed[i].payload ? strlen(malformed[i].header)       \
                                                               : 3) /* the row with a NUL */

START_TEST(malformed_headers)
{
    int i;

    for (i = 0; i < LENGTH(malformed); i++) {
        write_header(malformed[i].header, HEADER_LENGTH(i), malformed[i].payload);
        fail_allocation(0);
        open_refused(i, CT_ERR_FORMAT, malformed[i].word);
        ck_assert_msg(largest_seen < 4096, "row %d asked for %zu bytes", i, largest_seen);
    }
}
END_TEST

START_TEST(malformed_starts)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *word;
    } cases[] = {
        { "", 0, "offset 0 ... ends before" },
        { "\2", 1, "offset 1 ... ends before" },
        { "\2\0\0\0\0\0\0", 7, "offset 7 ... ends before" },
        { "\2\0\0\0\0\0\0\0", 8, "offset 0 ... length is 2" },
        { "\3\0\0\0\0\0\0\0{}", 10, "offset 0 ... length is 3" },
        { "\0\0\0\0\0\0\0\0", 8, "offset 8 ... '{'" },
        { "\0\0\0\0\0\0\0\0{}", 10, "offset 8 ... '{'" },
        { "\1\xe1\xf5\5\0\0\0\0{}", 10, "offset 0 ... length is 100000001" },
        { "\0\xe1\xf5\5\0\0\0\0{}", 10, "offset 0 ... length is 100000000" },
        { "\2\0\0\0\0\0\0\x80{}", 10, "offset 0 ... length is 9223372036854775810" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "offset 0 ... length is 18446744073709551615" },
        { "\0\0\0\0\0\0\0\2{}", 10, "offset 0 ... length is 144115188075855872" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_bytes("x", cases[i].bytes, cases[i].size);
        fail_allocation(0);
        open_refused(i, CT_ERR_FORMAT, cases[i].word);
        ck_assert_uint_lt(largest_seen, 1024);
    }
    write_bytes("x", "\1\xe1\xf5\5\0\0\0\0{", 9); /* as long as it says: of holes */
    ck_assert_int_eq(truncate("x", 200000000), 0);
    open_refused(-1, CT_ERR_FORMAT, "offset 0 ... length is 100000001");
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
    write_header(h, n, 0);
    open_refused(0, CT_ERR_FORMAT, "offset 15 ... nested");

    for (i = 5; i < n; i += 5)
        memcpy(h + i, "{'a':", 5);
    write_header(h, n, 0);
    open_refused(1, CT_ERR_FORMAT, "offset 23 ... nested");

    memset(h, ',', n);
    memcpy(h, "{'a':{'shape':[", 15);
    write_header(h, n, 0);
    open_refused(2, CT_ERR_FORMAT, "offset 86 ... than 64");

    memset(h, ':', n);
    h[0] = '{';
    write_header(h, n, 0);
    open_refused(3, CT_ERR_FORMAT, "offset 1000009 ... than 1000000");

    memset(h, '\\', n); /* a string that does not end */
    memcpy(h, "{'", 2);
    write_header(h, n, 0);
    ck_assert_ptr_null(ct_safetensors_open("x"));
    ck_assert_int_eq(ct_error(), CT_ERR_FORMAT);
    ct_error_clear();
    free(h);
}
END_TEST

START_TEST(not_files)
{
    ck_assert_ptr_null(ct_safetensors_open(NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_open", "path is NULL");
    ck_assert_ptr_null(ct_safetensors_open("none"));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "No such file");
    ck_assert_ptr_null(ct_safetensors_open("."));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "regular file");
    ck_assert_ptr_null(ct_safetensors_open("/dev/zero"));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "regular file");
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_ptr_null(ct_safetensors_open("fifo"));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "regular file");
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

        write_header(cases[i].header, strlen(cases[i].header), cases[i].payload);
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

/* A bool that is none, wherever it stands. */
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
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_get", "tensor NULL");
    ck_assert_ptr_null(ct_safetensors_load(f, 3, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load", "tensor 3");
    ck_assert_ptr_null(ct_safetensors_load(f, -1, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_load", "tensor -1");
    ck_assert_ptr_null(ct_safetensors_get(f, "bool", 99));
    expect_error(CT_ERR_DEVICE, "ct_safetensors_get", "device 99");
    expect_values("bool", ct_safetensors_get(f, "bool", CT_CPU), (double[]){ 0, 0 }, 2, 0);
    ct_safetensors_close(f);

    for (n = 63; n < 65; n++) { /* of two bytes none is left, and one */
        write_header(two, strlen(two), 2);
        f = ct_safetensors_open("x");
        ck_assert_int_eq(truncate("x", (off_t)n), 0); /* while it is open */
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
        expect_error(CT_ERR_FORMAT, "ct_safetensors_load", "damaged ... SHA-256");
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

#define WRITE_REFUSED(path, n, names, tensors, metadata, status, word)                             \
    do {                                                                                           \
        ck_assert_int_eq(ct_safetensors_write(path, n, names, tensors, metadata), status);         \
        expect_error(status, "ct_safetensors_write", word);                                        \
    } while (0)
    WRITE_REFUSED(NULL, 1, fine, t, NULL, CT_ERR_ARGUMENT, "path is NULL");
    WRITE_REFUSED("x", -1, fine, t, NULL, CT_ERR_ARGUMENT, "negative");
    WRITE_REFUSED("x", 1, NULL, t, NULL, CT_ERR_ARGUMENT, "tensors is NULL");
    WRITE_REFUSED("x", 1, fine, NULL, NULL, CT_ERR_ARGUMENT, "tensors is NULL");
    WRITE_REFUSED("x", 1, none, t, NULL, CT_ERR_ARGUMENT, "names[0] is NULL");
    WRITE_REFUSED("x", 2, fine, ((ct_tensor *const[]){ a, NULL }), NULL, CT_ERR_ARGUMENT,
                  "tensors[1] is NULL");
    WRITE_REFUSED("x", 2, twice, t, NULL, CT_ERR_ARGUMENT, "name ... twice");
    WRITE_REFUSED("x", 1, reserved, t, NULL, CT_ERR_ARGUMENT, "\"__metadata__\" ... reserved");
    WRITE_REFUSED("x", 1, latin, t, NULL, CT_ERR_ARGUMENT, "name ... UTF-8");
    WRITE_REFUSED("x", 1, surrogate, t, NULL, CT_ERR_ARGUMENT, "name ... UTF-8");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", NULL }, { 0 } }), CT_ERR_ARGUMENT,
                  "key ... value");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "1" }, { "k", "2" }, { 0 } }),
                  CT_ERR_ARGUMENT, "key ... twice");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "\xff" }, { 0 } }), CT_ERR_ARGUMENT,
                  "key ... UTF-8");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "cotangent.payload_sha256", "" }, { 0 } }),
                  CT_ERR_ARGUMENT, "\"cotangent.payload_sha256\" ... reserved");
    WRITE_REFUSED("none/x", 1, fine, t, NULL, CT_ERR_IO, "No such file");
    WRITE_REFUSED(".", 1, fine, t, NULL, CT_ERR_IO, "regular file");
    WRITE_REFUSED("/dev/null", 1, fine, t, NULL, CT_ERR_IO, "regular file");
    ct_raise(CT_ERR_ARGUMENT, "test", "stands"); /* a sink */
    ck_assert_int_eq(ct_safetensors_write("x", 1, fine, t, NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A file that is replaced keeps its mode, a link to it stays a link. */
/* The longest header that is read is also the longest that is written. */
START_TEST(largest_header)
{
    static const size_t limit = 100000000;
    char *text = malloc(limit + 9), word[100], *bytes;
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
    snprintf(word, sizeof word, "header ... %zu bytes", limit + 8);
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_write", word);
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
        synced = !strstr(ct_error_message(), "folder");
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
    expect_error(CT_ERR_IO, "ct_safetensors_write", "Read-only");
    for (i = 0; i < 2; i++) {
        sync_error = i ? EINVAL : ENOTSUP;
        ck_assert_int_eq(write_noted("x"), CT_OK);
        ck_assert_int_eq(sync_calls, 2);
    }
    sync_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want, "%s/x ... folder ... synced", here);
    expect_error(CT_ERR_IO, "ct_safetensors_write", want);
    folder_error = EACCES;
    ck_assert_int_eq(write_noted("x"), CT_OK);
    ck_assert_int_eq(sync_calls, 1);
    folder_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_safetensors_write", "Read-only");
    zero_writes = 1;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want, "%s/x ... Input/output error", here);
    expect_error(CT_ERR_IO, "ct_safetensors_write", want);
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
    expect_error(CT_ERR_IO, "ct_safetensors_write", "File exists");
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

/* SPDX-License-Identifier: MIT */
/* test_npy.c - tests of NumPy files: round trips, Fortran order, malformed files, failing calls. */
#include "tensor/internal.h"
#include "tensor/text.h"

#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/npy.h>
#include <cotangent/tensor/random.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes the file x: magic, version, length of the header, header, payload. */
static void write_npy(int version, const char *header, const void *payload, size_t size)
{
    size_t length = strlen(header), begin = version == 1 ? 10 : 12;
    char *b = calloc(1, begin + length + size);

    memcpy(b, "\x93NUMPY", 6);
    b[6] = (char)version;
    b[8] = (char)(length & 0xff);
    b[9] = (char)(length >> 8 & 0xff);
    if (version != 1)
        b[10] = (char)(length >> 16);
    memcpy(b + begin, header, length);
    if (size)
        memcpy(b + begin + length, payload, size);
    write_bytes("x", b, begin + length + size);
    free(b);
}

static const float six[] = { 1, 2, 3, 4, 5, 6 };

/* The elements of six as the dtype of a descr, such as ">i8", in its byte order; returns their size. */
static size_t six_as(const char *descr, uint8_t payload[48])
{
    size_t size = (size_t)(descr[2] - '0');

    for (int i = 0; i < 6; i++) {
        int64_t whole = i + 1;
        double real = six[i];
        uint64_t bits = 0;

        if (descr[1] == 'i')
            bits = (uint64_t)whole;
        else if (size == 8)
            memcpy(&bits, &real, 8);
        else {
            uint32_t half;

            memcpy(&half, &six[i], 4);
            bits = half;
        }
        for (size_t b = 0; b < size; b++)
            payload[(size_t)i * size + (descr[0] == '>' ? size - 1 - b : b)] =
                (uint8_t)(bits >> 8 * b);
    }
    return 6 * size;
}

/* ---- round trips ---- */

START_TEST(round_trip)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64, CT_BOOL };
    ct_shape shapes[] = { CT_SCALAR, CT_SHAPE(3), CT_SHAPE(2, 3), CT_SHAPE(4, 0, 2),
                          CT_SHAPE(1, 2, 1, 2, 1, 2, 1, 3) };
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(3);
    int d, i, k;

    for (d = 0; d < LENGTH(dtypes); d++)
        for (i = 0; i < LENGTH(shapes); i++) {
            ct_tensor *t = ct_empty(shapes[i], dtypes[d], CT_CPU), *u;
            size_t n = (size_t)ct_numel(t) * ct_dtype_size(dtypes[d]);
            uint8_t *b = ct_mutable_data(t);

            for (k = 0; k < (int)n; k++)
                b[k] = (uint8_t)ct_random_below(&g, dtypes[d] == CT_BOOL ? 2 : 256);
            ck_assert_int_eq(ct_npy_write("x", t), CT_OK);
            u = ct_npy_read("x", CT_CPU);
            ck_assert_msg(u != NULL, "%s", ct_error_message());
            ck_assert_int_eq(ct_tensor_dtype(u), dtypes[d]);
            ck_assert(cti_same_shape(&u->shape, &shapes[i]));
            ck_assert_int_eq(memcmp(ct_data(u), b, n), 0);
        }
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A header of any length ends with a newline at a multiple of 64, with as few spaces as
 * possible. */
START_TEST(header_lengths)
{
    ct_scope s = ct_scope_begin();
    bool seen[64] = { false };
    int64_t a, b;
    int i, rank, ways = 0;

    for (rank = 1; rank <= 5; rank++)
        for (a = 1; a < 10000000000; a *= 10)
            for (b = 1; b < 1000000; b *= 10) {
                ct_shape shape = { .rank = rank, .dim = { 0, a, b, 1, 1 } };
                ct_tensor *t = ct_empty(shape, CT_BOOL, CT_CPU), *u;
                size_t n, end;
                char *bytes;

                if ((rank < 2 && a > 1) || (rank < 3 && b > 1))
                    continue;
                ck_assert_int_eq(ct_npy_write("x", t), CT_OK);
                bytes = read_bytes("x", &n);
                ck_assert(n % 64 == 0 && bytes[n - 1] == '\n');
                ck_assert_int_eq((unsigned char)bytes[8] + 256 * (unsigned char)bytes[9], n - 10);
                for (end = n - 1; bytes[end - 1] == ' '; end--)
                    ;
                ck_assert(bytes[end - 1] == '}' && n - 1 - end < 64);
                seen[n - 1 - end] = true;
                u = ct_npy_read("x", CT_CPU);
                ck_assert_msg(u && cti_same_shape(&u->shape, &shape), "%s", ct_error_message());
                free(bytes);
            }
    for (i = 0; i < 64; i++)
        ways += seen[i];
    ck_assert_int_gt(ways, 20);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(strided)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_data(six, CT_SHAPE(2, 3), CT_F32, CT_CPU);

    ck_assert_int_eq(ct_npy_write("x", ct_transpose(t, 0, 1)), CT_OK);
    t = ct_npy_read("x", CT_CPU);
    ck_assert_int_eq(ct_size(t, 0), 3);
    expect_values("transposed", t, (double[]){ 1, 4, 2, 5, 3, 6 }, 6, 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* The file has the same bytes as np.save writes for np.array([[1], [2]], 'f4'). */
START_TEST(bytes)
{
    static const char want[] = "\x93NUMPY\1\0v\0"
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }"
                               "          "
                               "          "
                               "          "
                               "          "
                               "          "
                               "        \n"
                               "\0\0\x80\x3f\0\0\0\x40";
    ct_scope s = ct_scope_begin();
    size_t n;
    char *got;

    ck_assert_int_eq(ct_npy_write("x", ct_from_data(six, CT_SHAPE(2, 1), CT_F32, CT_CPU)), CT_OK);
    got = read_bytes("x", &n);
    ck_assert_uint_eq(n, sizeof want - 1);
    ck_assert_int_eq(memcmp(got, want, n), 0);
    free(got);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* Other writers may use another order of keys, no last comma, version 2.0 or Fortran order. */
START_TEST(variants)
{
    static const struct {
        int version;
        const char *header;
        int rank;
        double want[6];
    } cases[] = {
        { 1,
          "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
          2,
          { 1, 2, 3, 4, 5, 6 } },
        { 2,
          "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
          2,
          { 1, 2, 3, 4, 5, 6 } },
        { 1,
          "{\"shape\":(6,),\"fortran_order\":False,\"descr\":\"<f4\"}",
          1,
          { 1, 2, 3, 4, 5, 6 } },
        { 1,
          "  { 'shape' : ( 1 , 6 , ) , 'descr' : '<f4' ,\n'fortran_order' : False }\n",
          2,
          { 1, 2, 3, 4, 5, 6 } },
        { 1,
          "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
          2,
          { 1, 3, 5, 2, 4, 6 } },
        { 2,
          "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 3, 2), }",
          3,
          { 1, 4, 2, 5, 3, 6 } },
        { 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (6,), }", 1, { 1, 2, 3, 4, 5, 6 } },
        { 1,
          "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 1, 1, 1, 1, 3, 1), }",
          8,
          { 1, 3, 5, 2, 4, 6 } },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_scope s = ct_scope_begin();
        uint8_t payload[48];
        ct_tensor *t;

        write_npy(cases[i].version, cases[i].header, payload, six_as("<f4", payload));
        t = ct_npy_read("x", CT_CPU);
        ck_assert_msg(t != NULL, "row %d: %s", i, ct_error_message());
        ck_assert_int_eq(ct_rank(t), cases[i].rank);
        ck_assert(ct_is_contiguous(t));
        expect_values(cases[i].header, t, cases[i].want, 6, 0);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
}
END_TEST

/* NumPy writes the order of its processor. */
START_TEST(byte_orders)
{
    static const char *const descrs[] = { "<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<i8", ">i8" };
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
    static const double rows[] = { 1, 2, 3, 4, 5, 6 }, columns[] = { 1, 3, 5, 2, 4, 6 };

    for (int i = 0; i < LENGTH(descrs); i++)
        for (int fortran = 0; fortran < 2; fortran++) {
            ct_scope s = ct_scope_begin();
            uint8_t payload[48];
            char header[100];
            ct_tensor *t;

            snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': %s, 'shape': (2, 3), }", descrs[i],
                     fortran ? "True" : "False");
            write_npy(1, header, payload, six_as(descrs[i], payload));
            t = ct_npy_read("x", DEVICE);
            ck_assert_msg(t != NULL, "%s: %s", header, ct_error_message());
            ck_assert_int_eq(ct_tensor_dtype(t), dtypes[i / 2]);
            expect_values(header, t, fortran ? columns : rows, 6, 0);
            ck_assert_int_eq(ct_scope_end(s), CT_OK);
        }
}
END_TEST

/* ---- malformed files ---- */

static void read_refused(int row, ct_status status, const char *word)
{
    ct_scope s = ct_scope_begin();

    ck_assert_msg(ct_npy_read("x", CT_CPU) == NULL, "row %d is accepted: %s", row, word);
    expect_error(status, "ct_npy_read", word);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}

static const struct {
    const char *header;
    size_t payload; /* bytes */
    const char *word;
} malformed[] = {
    { "", 0, "offset 10 ... '{' ... expected" },
    { " ", 0, "offset 11 ... '{' ... expected" },
    { "x", 0, "offset 10 ... '{' ... expected" },
    { "{", 0, "offset 11 ... string ... expected" },
    { "{}", 0, "offset 12 ... lacks" },
    { "[]", 0, "offset 10 ... '{' ... expected" },
    { "{}x", 0, "offset 12 ... continues" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }x", 8, "offset 67 ... continues" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ", 8,
      "offset 66 ... string ... expected" },
    { "{'descr': '<f4', 'fortran_order': False}", 0, "offset 50 ... lacks" },
    { "{'descr': '<f4', 'shape': ()}", 4, "offset 39 ... lacks" },
    { "{'shape': (), 'fortran_order': False}", 4, "offset 47 ... lacks" },
    { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4,
      "offset 27 ... key ... twice" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}", 4, "offset 64 ... key" },
    { "{descr: '<f4'}", 4, "offset 11 ... string ... expected" },
    { "{'descr' '<f4'}", 4, "offset 19 ... ':' ... expected" },
    { "{'descr': '<f4' 'shape': ()}", 4, "offset 26 ... '}' ... expected" },
    { "{'descr': '<f4',, 'shape': ()}", 4, "offset 26 ... string ... expected" },
    { "{'descr': <f4}", 4, "offset 20 ... string ... expected" },
    { "{'descr': '<f4}", 4, "offset 20 ... no end" },
    { "{'descr': '<\\x664'}", 4, "offset 20 ... no end" },
    { "{'descr': '0123456789012345678901234567890123456789'}", 4, "offset 20 ... no end" },
    { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", 4,
      "offset 20 ... string ... expected" },
    { "{'fortran_order': 0}", 4, "offset 28 ... False ... expected" },
    { "{'fortran_order': true}", 4, "offset 28 ... False ... expected" },
    { "{'fortran_order': 'False'}", 4, "offset 28 ... False ... expected" },
    { "{'shape': 2}", 4, "offset 20 ... '(' ... expected" },
    { "{'shape': [2]}", 4, "offset 20 ... '(' ... expected" },
    { "{'shape': (2)}", 4, "offset 23 ... tuple" },
    { "{'shape': (2}", 4, "offset 22 ... ')' ... expected" },
    { "{'shape': (2,", 4, "offset 23 ... integer" },
    { "{'shape': (2 3)}", 4, "offset 23 ... ')' ... expected" },
    { "{'shape': (,)}", 4, "offset 21 ... integer" },
    { "{'shape': (2,,3)}", 4, "offset 23 ... integer" },
    { "{'shape': (-2,)}", 4, "offset 21 ... integer" },
    { "{'shape': (2L,)}", 4, "offset 22 ... ')' ... expected" },
    { "{'shape': (2.0,)}", 4, "offset 22 ... ')' ... expected" },
    { "{'shape': (+2,)}", 4, "offset 21 ... integer" },
    { "{'shape': (0x2,)}", 4, "offset 22 ... ')' ... expected" },
    { "{'shape': ('2',)}", 4, "offset 21 ... integer" },
    { "{'shape': (9223372036854775808,)}", 4, "offset 39 ... too large" },
    { "{'shape': (99999999999999999999,)}", 4, "offset 39 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }", 8,
      "offset 10 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952,), }", 8,
      "offset 10 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693951,), }", 8,
      "offset 85 ... takes 9223372036854775804" },
    { "{'descr': '01234567890123456789012345678901'}", 4, "offset 20 ... no end" },
    { "{'fortran_order!!': False}", 4, "offset 11 ... key" },
    { "{'fortran_order!!!': False}", 4, "offset 11 ... no end" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", 8,
      "offset 10 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 8,
      "offset 10 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }", 0,
      "offset 10 ... too large" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, "offset 67 ... but 7" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9, "offset 67 ... but 9" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 0, "offset 67 ... f32[2]" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 0, "offset 65 ... takes 4" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 8, "offset 65 ... takes 4" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", 1, "offset 67 ... f32[0]" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", 8, "offset 67 ... takes 16" },
};

START_TEST(malformed_headers)
{
    static const char zeros[16];
    int i;

    for (i = 0; i < LENGTH(malformed); i++) {
        write_npy(1, malformed[i].header, zeros, malformed[i].payload);
        fail_allocation(0);
        read_refused(i, CT_ERR_FORMAT, malformed[i].word);
        ck_assert_uint_lt(largest_seen, 4096);
    }
}
END_TEST

/* A message quotes a name whole up to 100 bytes, cuts a longer one between characters, and replaces
 * control characters. */
START_TEST(quoted_names)
{
    static const struct {
        int fill;               /* number of letters a before end */
        const char *end, *want; /* want: the text after the letters in the message; kept: letters
                                 * that remain */
        int kept;
    } cases[] = {
        { 0, "", "\"", 0 },
        { 0, "a\1\x1f \x7f~\xc3\xa9", "a?? ?~\xc3\xa9\"", 0 },
        { 99, "", "\"", 99 },
        { 100, "", "\"", 100 },
        { 101, "", "...\"", 100 },
        { 98, "\xc3\xa9", "\xc3\xa9\"", 98 },
        { 99, "\xc3\xa9", "...\"", 99 },
        { 98, "\xc3\xa9x", "\xc3\xa9...\"", 98 },
        { 97, "\xe2\x82\xac!", "\xe2\x82\xac...\"", 97 },
        { 98, "\xe2\x82\xac", "...\"", 98 },
        { 97, "\xf0\x9f\x98\x80", "...\"", 97 },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        char text[200], want[200];

        memset(text, 'a', sizeof text);
        strcpy(text + cases[i].fill, cases[i].end);
        memset(want, 'a', sizeof want);
        want[0] = '"';
        strcpy(want + 1 + cases[i].kept, cases[i].want);
        ck_assert_str_eq(cti_quote(text).s, want);
    }
    {
        char bytes[151], want[108]; /* not UTF-8 */

        memset(bytes, 0x80, 150);
        bytes[150] = '\0';
        memset(want, '?', 101);
        want[0] = '"';
        strcpy(want + 101, "...\"");
        ck_assert_str_eq(cti_quote(bytes).s, want);
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
        { "\x93NUMPY\1\0\5", 9, "offset 9 ... ends before" },
        { "\x93NUMPX\1\0\2\0{}", 12, "offset 0 ... not an NPY file" },
        { "PK\3\4......", 10, "offset 0 ... not an NPY file" },
        { "\x93NUMPY\0\1\2\0{}", 12, "offset 6 ... version ... 0.1" },
        { "\x93NUMPY\1\1\2\0{}", 12, "offset 6 ... version ... 1.1" },
        { "\x93NUMPY\3\0\2\0\0\0{}", 14, "offset 6 ... version ... 3.0" },
        { "\x93NUMPY\xff\xff\2\0{}", 12, "offset 6 ... version ... 255.255" },
        { "\x93NUMPY\1\0\3\0{}", 12, "offset 8 ... length is 3" },
        { "\x93NUMPY\2\0\2\0", 10, "offset 8 ... length is 2" },
        { "\x93NUMPY\2\0\2\0\0\1{}", 14, "offset 8 ... length is 16777218" },
        { "\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, "offset 8 ... length is 4294967295" },
        { "\x93NUMPY\1\0\3\0{}\0", 13, "offset 12 ... continues" },
        { "\x93NUMPY\2\0\2\0\0", 11, "offset 8 ... length is 2" },
        { "\x93NUMPY\2\0\0\0\0\0", 12, "offset 12 ... '{' ... expected" },
        { "\x93NUMPY\1\0\0\0", 10, "offset 10 ... '{' ... expected" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_bytes("x", cases[i].bytes, cases[i].size);
        fail_allocation(0);
        read_refused(i, CT_ERR_FORMAT, cases[i].word);
        ck_assert_uint_lt(largest_seen, 4096);
    }
}
END_TEST

/* The longest header that is read, and a longer one, which is refused. */
START_TEST(longest_header)
{
    static const char begin[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }";
    char *header = malloc(65538);
    ct_scope s = ct_scope_begin();
    uint8_t payload[48];

    six_as("<f4", payload);
    memset(header, ' ', 65538);
    memcpy(header, begin, sizeof begin - 1);
    header[65536] = '\0';
    write_npy(2, header, payload, sizeof six);
    expect_values("x", ct_npy_read("x", CT_CPU), (double[]){ 1, 2, 3, 4, 5, 6 }, 6, 0);
    header[65536] = ' ';
    header[65537] = '\0';
    write_npy(2, header, payload, sizeof six);
    read_refused(0, CT_ERR_FORMAT, "offset 8 ... length is 65537");
    free(header);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(unsupported)
{
    static const char *const dtypes[] = {
        ">b1", "<f2", ">f2", "|u1", "|f4", ">", ">f45",
        "<c8", "<U3", "|O",  "=f4", "<b1", "",  "0123456789012345678901234567890"
    };
    char header[200], word[100];
    int i;

    for (i = 0; i < LENGTH(dtypes); i++) {
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': ()}",
                 dtypes[i]);
        write_npy(1, header, six, 4);
        snprintf(word, sizeof word, "dtype \"%s\"", dtypes[i]);
        read_refused(i, CT_ERR_DTYPE, word);
    }
    write_npy(1, "{'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", six, 4);
    read_refused(-1, CT_ERR_SHAPE, "above");
    write_npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", "\1\0\2", 3);
    read_refused(-2, CT_ERR_FORMAT, "bool");
    write_npy(1, "{'descr': '|b1', 'fortran_order': True, 'shape': (3,)}", "\3\0\1", 3);
    read_refused(-3, CT_ERR_FORMAT, "bool");
}
END_TEST

START_TEST(bad_calls)
{
    ct_scope s = ct_scope_begin();

    ck_assert_ptr_null(ct_npy_read(NULL, CT_CPU));
    expect_error(CT_ERR_ARGUMENT, "ct_npy_read", "path is NULL");
    ck_assert_ptr_null(ct_npy_read("none", CT_CPU));
    expect_error(CT_ERR_IO, "ct_npy_read", "No such file");
    ck_assert_int_eq(ct_npy_write("x", NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_npy_write", "t is NULL");
    ck_assert_int_eq(ct_npy_write(NULL, ct_ones(CT_SHAPE(2), CT_F32, CT_CPU)), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_npy_write", "path is NULL");
    ck_assert_int_eq(ct_npy_write("x", ct_ones(CT_SHAPE(2), CT_BF16, CT_CPU)), CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE, "ct_npy_write", "dtype");
    ck_assert_int_eq(ct_npy_write("none/x", ct_ones(CT_SHAPE(2), CT_F32, CT_CPU)), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_npy_write", "No such file");
    ct_raise(CT_ERR_ARGUMENT, "test", "stands"); /* a side effect: refused */
    ck_assert_int_eq(ct_npy_write("x", ct_ones(CT_SHAPE(2), CT_F32, CT_CPU)), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A file with bytes changed at random is refused with a message of one line, or read. */
START_TEST(mutations)
{
    static const char set[] = "{}()[]<>'\",:|0123456789FalseTrue \n\\\xff";
    int count = harness_count(3000, 200000), k, accepted = 0;
    ct_generator g = ct_generator_from_seed(12);
    ct_scope s = ct_scope_begin();
    size_t n;
    char *good;

    ck_assert_int_eq(ct_npy_write("g", ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU)), CT_OK);
    good = read_bytes("g", &n);
    fail_allocation(0);
    for (k = 0; k < count; k++) {
        char *b = malloc(n);
        int changes = 1 + (int)ct_random_below(&g, 3), i;
        ct_scope inner = ct_scope_begin();
        ct_tensor *t;

        memcpy(b, good, n);
        for (i = 0; i < changes; i++)
            b[ct_random_below(&g, 90)] = set[ct_random_below(&g, sizeof set - 1)];
        write_bytes("x", b, ct_random_below(&g, 8) ? n : (size_t)ct_random_below(&g, n + 1));
        t = ct_npy_read("x", CT_CPU);
        ck_assert_msg(t || strncmp(ct_error_message(), "ct_npy_read: x: ", 16) == 0, "%s",
                      ct_error_message());
        ck_assert_ptr_null(strchr(ct_error_message(), '\n'));
        accepted += t != NULL;
        ct_error_clear();
        ck_assert_int_eq(ct_scope_end(inner), CT_OK);
        free(b);
    }
    ck_assert_int_gt(accepted, count / 500);
    ck_assert_int_lt(accepted, count / 2);
    ck_assert_uint_lt(largest_seen, 1 << 18);
    free(good);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- failing calls ---- */

/* Writes x, then reads it, failing another call each time, until none fails. */
static void failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    int k, done = 0;

    for (k = 1; !done; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = ct_transpose(ct_from_data(six, CT_SHAPE(2, 3), CT_F32, CT_CPU), 0, 1);
        ct_status wrote;
        char *now;
        size_t n;

        write_bytes("x", "old", 3);
        ct_memory_trim();
        arm(k);
        wrote = ct_npy_write("x", t);
        if (wrote == CT_OK)
            t = ct_npy_read("x", CT_CPU);
        done = *seen < k;
        fail_nothing();
        if (wrote != CT_OK) {
            now = read_bytes("x", &n);
            ck_assert((n == 3 && memcmp(now, "old", 3) == 0) ||
                      (n == 152 && strstr(ct_error_message(), "folder")));
            free(now);
        }
        if (wrote != CT_OK || !t)
            ck_assert_msg(ct_error() == status, "call %d: %s", k, ct_error_message());
        else
            expect_values("x", t, (double[]){ 1, 4, 2, 5, 3, 6 }, 6, 0);
        ck_assert_int_eq(count_files(), 1);
        ct_error_clear();
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
    ck_assert_int_ge(k, at_least);
}

START_TEST(calls_fail)
{
    failing(fail_file_call, &files_seen, CT_ERR_IO, 15);
    failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("npy");
    TCase *tc = harness_case(suite, "npy");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, header_lengths);
    tcase_add_test(tc, strided);
    tcase_add_test(tc, bytes);
    tcase_add_test(tc, variants);
    tcase_add_test(tc, byte_orders);
    tcase_add_test(tc, malformed_headers);
    tcase_add_test(tc, malformed_starts);
    tcase_add_test(tc, quoted_names);
    tcase_add_test(tc, longest_header);
    tcase_add_test(tc, unsupported);
    tcase_add_test(tc, bad_calls);
    tcase_add_test(tc, mutations);
    tcase_add_test(tc, calls_fail);
    return harness_run(suite);
}

/* SPDX-License-Identifier: MIT */
/* safetensors_malformed.c - malformed files of named tensors, and unusual ones. */
#include "tensor/internal.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/safetensors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test_safetensors.h"

/* ---- malformed files ---- */

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
    { "{", 0, "offset 9 ... JSON ... key" },
    { "{}}", 0, "offset 10 ... JSON ... follows" },
    { "{} x", 0, "offset 11 ... JSON ... follows" },
    { "{}\0", 0, "offset 10 ... JSON ... follows" },
    { "{'a'}", 0, "offset 12 ... JSON ... colon" },
    { "{'a':}", 0, "offset 13 ... JSON ... value" },
    { "{'a':1,}", 0, "offset 15 ... JSON ... key" },
    { "{'a' 1}", 0, "offset 13 ... JSON ... colon" },
    { "{'a:1}", 0, "offset 9 ... JSON ... end" },
    { "{\xff}", 0, "offset 9 ... JSON ... key" },
    { "{'\xff':1}", 0, "offset 10 ... JSON ... UTF-8" },
    { "{'\xc0\xaf':1}", 0, "offset 10 ... JSON ... UTF-8" },
    { "{'\xed\xa0\x80':1}", 0, "offset 10 ... JSON ... UTF-8" },
    { "{'\\ud800':1}", 0, "offset 10 ... JSON ... surrogate" },
    { "{'a\\u0000':1}", 0, "offset 11 ... u0000" },
    { "{'a\nb':1}", 0, "offset 11 ... JSON ... control" },
    { "{'\\x':1}", 0, "offset 10 ... JSON ... escape" },
    { "{'a':NaN}", 0, "offset 13 ... JSON ... value" },
    { "{'a':-}", 0, "offset 14 ... JSON ... number" },
    { "{'a':01}", 0, "offset 15 ... JSON ... number" },
    { "{'a':1e999}", 0, "offset 9 ... object" },
    { "{'a':99999999999999999999}", 0, "offset 13 ... 64 bits" },
    { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'a':{'dtype':'F32','shape'"
      ":[2],'data_offsets':[0,8]}}",
      8, "offset 62 ... twice" },
    { "{'a':{'dtype':'F32','dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
      "offset 28 ... twice" },
    { "{'__metadata__':{'k':'1','k':'2'}}", 0, "offset 33 ... twice" },
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
      "offset 37 ... 64 bits" },
    { "{'a':{'dtype':'F32','shape':[-9223372036854775809],'data_offsets':[0,8]}}", 8,
      "offset 37 ... 64 bits" },
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
      "offset 9 ... damaged ... cotangent.payload_sha256 ... cotangent.header_sha256" },
    { "{'__metadata__':{'a':'','cotangent.header_sha256':'e3b0'}}", 0,
      "offset 9 ... damaged ... cotangent.header_sha256" },
    { "{'__metadata__':{'cotangent.header_sha256':'e3b0','a':'123456789012345678901234567890"
      "12345678901234567890123456789012345678901234'}}",
      0, "offset 8 ... damaged ... \"e3b0" },
    { "{'__metadata__':{'cotangent.header_sha256':"
      "'bad0000000000000000000000000000000000000000000000000000000000000'}}",
      0, "offset 8 ... damaged ... SHA-256" },
    { "{'__metadata__':{'cotangent.header_sha256':"
      "'f057ee47de256e97df2d6fb20adb40a187480ab24b6bf014f04c53f456497820'}}",
      0, "offset 9 ... no cotangent.payload_sha256" },
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
        { "The Time Machine", 16, "not a safetensors file ... text" },
        { "1\t2\r\n3\t4", 9, "not a safetensors file ... text" },
        { "\xc3\xa9t\xc3\xa9 \xe2\x82\xac", 9, "not a safetensors file ... text" },
        { "\xc3\xa9t\xc3( \xe2\x82\xac", 9, "not a safetensors file ... length" },
        { "version\x7f", 8, "not a safetensors file ... length" },
        { "version\x01", 8, "not a safetensors file ... length" },
        { "versio\0n", 8, "not a safetensors file ... length" },
        { "PK\3\4\0\0\0\1", 8, "not a safetensors file ... ZIP ... PyTorch" },
        { "\x93NUMPY\1\0", 8, "not a safetensors file ... NumPy" },
        { "\x1f\x8b\x08\0\0\0\0\1", 8, "not a safetensors file ... gzip" },
        { "GGUF\3\0\0\1", 8, "not a safetensors file ... GGUF" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_bytes("x", cases[i].bytes, cases[i].size);
        fail_allocation(0);
        open_refused(i, CT_ERR_FORMAT, cases[i].word);
        ck_assert_uint_lt(largest_seen, 1024);
    }
    write_bytes("x", "\1\xe1\xf5\5\0\0\0\0{", 9); /* as long as its header says, but sparse */
    ck_assert_int_eq(truncate("x", 200000000), 0);
    open_refused(-1, CT_ERR_FORMAT, "offset 0 ... length is 100000001");
    ck_assert_uint_lt(largest_seen, 1024);
}
END_TEST

/* Headers that try to make the parser use much memory or stack. */
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

    for (i = 15; i < n; i++)
        h[i] = i % 2 ? '1' : ',';
    memcpy(h, "{'a':{'shape':[", 15);
    write_header(h, n, 0);
    open_refused(2, CT_ERR_FORMAT, "offset 151 ... than 64");

    memset(h, '\\', n); /* a string without an end */
    memcpy(h, "{'", 2);
    write_header(h, n, 0);
    open_refused(3, CT_ERR_FORMAT, "offset 9 ... end");
    free(h);
}
END_TEST

/* Headers with many keys and many values. The keys are in descending order, so that they must be
 * sorted. */
START_TEST(many_keys)
{
    static const struct {
        int keys, elements;
        const char *word;
    } cases[] = { { 1000001, 0, "offset 18000009 ... 1000000 keys" },
                  { 500000, 7, "more than 4000000 values" },
                  { 1000000, 0, "offset 9 ... object" } };
    char *h = malloc(40000000);

    for (int i = 0; i < LENGTH(cases); i++) {
        size_t n = 0;

        h[n++] = '{';
        for (int k = cases[i].keys; k > 0; k--) {
            n += (size_t)sprintf(h + n, "'%013d':", k);
            n += (size_t)sprintf(h + n, cases[i].elements ? "[1,1,1,1,1,1,1,1]" : "1");
            h[n++] = k > 1 ? ',' : '}';
        }
        write_header(h, n, 0);
        open_refused(i, CT_ERR_FORMAT, cases[i].word);
    }
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

/* Unusual but valid files, which are accepted. */
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
            ck_assert_str_eq(ct_safetensors_name(f, 2), "z"); /* in the order of the payload */
        ct_safetensors_close(f);
    }
}
END_TEST

/* Mutations of a valid file of another program: each is refused with one line, or can be read
 * completely. */
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
    static const char theirs[] = "{'__metadata__':{'format':'pt'},"
                                 "'a':{'dtype':'F32','shape':[2,3],'data_offsets':[0,24]},"
                                 "'b':{'dtype':'BOOL','shape':[3],'data_offsets':[24,27]}}   ";
    int count = harness_count(3000, 200000), k;
    ct_generator g = ct_generator_from_seed(11);
    ct_scope s = ct_scope_begin();
    size_t n, size;
    char *good;
    int accepted = 0;

    write_header(theirs, strlen(theirs), 27);
    good = read_bytes("x", &n);
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
            case 2: /* inserts the piece and lengthens the header */
                if (size + length < n + 64 && at >= 8) {
                    memmove(b + at + length, b + at, size - at);
                    memcpy(b + at, piece, length);
                    size += length;
                    b[0] = (char)(b[0] + (char)length);
                }
                break;
            case 3: /* overwrites bytes with the piece */
                if (at + length <= size)
                    memcpy(b + at, piece, length);
                break;
            default: /* removes a byte and shortens the header */
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
    ck_assert_int_gt(accepted, count / 100); /* mutations of the payload, of names and of spaces */
    ck_assert_int_lt(accepted, count / 2);
    ck_assert_uint_lt(largest_seen, 1 << 19);
    free(good);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

void safetensors_malformed_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "safetensors");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, malformed_headers);
    tcase_add_test(tc, malformed_starts);
    tcase_add_test(tc, bombs);
    tcase_add_test(tc, many_keys);
    tcase_add_test(tc, not_files);
    tcase_add_test(tc, odd_files);
    tcase_add_test(tc, mutations);
}

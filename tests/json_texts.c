/* SPDX-License-Identifier: MIT */
/* json_texts.c - the library's half of tests/json_texts.sh: classifies each line of stdin.
 *
 *     json HEX     "1 HEX" with the text written again, or "0 OFFSET REASON"
 *     file PATH    "1", or "0 MESSAGE", for ct_safetensors_open */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tests/json_print.h"

#include <cotangent/tensor/safetensors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t from_hex(const char *hex, char *bytes)
{
    size_t n = 0;
    unsigned byte;

    while (sscanf(hex + 2 * n, "%2x", &byte) == 1)
        bytes[n++] = (char)byte;
    return n;
}

static void judge_json(const char *text, size_t size)
{
    cti_json_error error;
    cti_json *v = cti_json_read(text, size, (cti_json_limits){ 0 }, &error);
    cti_buffer b = { 0 };

    if (v) {
        json_print(&b, v);
        printf("1 ");
        for (size_t i = 0; i < b.size; i++)
            printf("%02x", (unsigned char)b.bytes[i]);
        printf("\n");
    } else {
        printf("0 %zu %s\n", error.offset, error.what);
    }
    cti_buffer_free(&b);
    cti_release(v);
}

static void judge_file(const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);

    printf(f ? "1\n" : "0 %s\n", f ? "" : ct_error_message());
    ct_safetensors_close(f);
    ct_error_clear();
}

int main(void)
{
    static char line[200000], bytes[100000];

    ct_error_set_handler(NULL, NULL);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "json ", 5) == 0)
            judge_json(bytes, from_hex(line + 5, bytes));
        else
            judge_file(line + 5);
    }
    return 0;
}

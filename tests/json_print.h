/* SPDX-License-Identifier: MIT */
/* json_print.h - writes JSON that was read. */
#ifndef TESTS_JSON_PRINT_H
#define TESTS_JSON_PRINT_H

#include "tensor/json.h"

/* Adds v, which is no deeper than CTI_JSON_DEPTH, without spaces. */
static inline void json_print(cti_buffer *b, const cti_json *v)
{
    static const char *const names[] = {
        [CTI_JSON_NULL] = "null", [CTI_JSON_FALSE] = "false", [CTI_JSON_TRUE] = "true"
    };
    bool object = v->type == CTI_JSON_OBJECT;

    switch (v->type) {
    case CTI_JSON_INTEGER:
        cti_buffer_print(b, "%lld", (long long)v->integer);
        break;
    case CTI_JSON_REAL:
        cti_buffer_add(b, v->text, v->count);
        break;
    case CTI_JSON_STRING:
        cti_json_add_text(b, v->text);
        break;
    case CTI_JSON_ARRAY:
    case CTI_JSON_OBJECT:
        cti_buffer_add(b, object ? "{" : "[", 1);
        for (const cti_json *e = v->first; e; e = e->next) {
            if (object)
                cti_json_add_key(b, e->key);
            else if (e != v->first)
                cti_buffer_add(b, ",", 1);
            json_print(b, e);
        }
        cti_buffer_add(b, object ? "}" : "]", 1);
        break;
    default:
        cti_buffer_print(b, "%s", names[v->type]);
    }
}

#endif

/* SPDX-License-Identifier: MIT */
/* export_calls.c - writes the C statements of recorded calls. */
#include "nn/export_internal.h"

#include "nn/internal.h"
#include "tensor/hooks.h"

#include <math.h>
#include <string.h>

/* ---- the parts of an expression ---- */

void cti_export_refuse(const cti_exporter *e, const cti_call *c, const char *what)
{
    const bool known = c && c->site && c->site != e->program->site;

    ct_raise(CT_ERR_ARGUMENT, "ct_export_c", "exported code does not support %s%s%s", what,
             known ? ", which is used at " : "", known ? c->site : "");
}

/* Writes hexadecimal digits from the bits, so the result does not depend on the locale. */
cti_export_text cti_export_float(float v)
{
    cti_export_text t;
    uint32_t bits, fraction;
    int exponent;

    memcpy(&bits, &v, sizeof bits);
    exponent = (int)(bits >> 23 & 0xff);
    fraction = (bits & 0x7fffff) << 1;
    snprintf(t.s, sizeof t.s, "%s0x%d.%06xp%df", bits >> 31 ? "-" : "", exponent ? 1 : 0,
             (unsigned)fraction,
             exponent   ? exponent - 127
             : fraction ? -126
                        : 0);
    return t;
}

cti_export_text cti_export_array_name(const cti_exporter *e, size_t i)
{
    cti_export_text t;

    if (e->options->separate_weights)
        snprintf(t.s, sizeof t.s, "(state->weights + %lld)", (long long)e->arrays[i].place);
    else
        snprintf(t.s, sizeof t.s, "weight%zu", i);
    return t;
}

/* Returns the number of a constant array, which is added if it is new; -1 with an error. */
static int calls_array(cti_exporter *e, const cti_export_array *a)
{
    for (size_t i = 0; i < e->array_count; i++) {
        const cti_export_array *b = &e->arrays[i];

        if (!a->table && a->external == b->external && a->at == b->at && a->size == b->size &&
            a->transposed == b->transposed && a->n == b->n && a->ld == b->ld)
            return (int)i;
    }
    if (!cti_grow("ct_export_c", (void **)&e->arrays, &e->array_room, e->array_count,
                  sizeof *e->arrays))
        return -1;
    e->arrays[e->array_count] = *a;
    if (e->array_count)
        e->arrays[e->array_count].place =
            e->arrays[e->array_count - 1].place + e->arrays[e->array_count - 1].size;
    return (int)e->array_count++;
}

/* The reference of a call for a member of its arguments; NULL if the pointer is NULL. */
static const cti_reference *calls_reference(const cti_call *c, size_t member)
{
    for (int i = 0; i < c->references; i++)
        if (c->reference[i].member == member)
            return &c->reference[i];
    return NULL;
}

#define REFERENCE(c, type, member) calls_reference(c, offsetof(type, member))

/* The address of a reference as a C expression; "0" if r is NULL. */
static cti_export_text calls_address(cti_exporter *e, const cti_reference *r)
{
    cti_export_text t = { "0" };
    int64_t at;

    if (!r)
        return t;
    if (r->region >= CTI_EXTERNAL) {
        const int external = r->region - CTI_EXTERNAL;
        const cti_external *x = &e->program->externals[external];
        const cti_export_array a = { .external = external,
                                     .size = (int64_t)(x->bytes / sizeof(float)) };
        const int i = calls_array(e, &a);

        t = i < 0 ? t : cti_export_array_name(e, (size_t)i);
        at = (int64_t)(r->at / sizeof(float));
    } else {
        const cti_export_buffer *b = &e->buffers[r->region];

        snprintf(t.s, sizeof t.s, "%s", b->name);
        at = (int64_t)(r->at / ct_dtype_size(b->dtype));
    }
    if (at)
        snprintf(t.s + strlen(t.s), sizeof t.s - strlen(t.s), " + %lld", (long long)at);
    return t;
}

/* The name of the transposed weight (k, n) of a parameter (n, k). Returns "" with an error if r
 * is not a parameter. */
static cti_export_text calls_weight(cti_exporter *e, const cti_call *c, const cti_reference *r,
                                    int64_t n, int64_t k, int64_t ld)
{
    cti_export_text t = { "" };
    int i;

    if (!r || r->region < CTI_EXTERNAL) {
        cti_export_refuse(e, c, "a weight that is not a parameter");
        return t;
    }
    i = calls_array(e, &(cti_export_array){ .external = r->region - CTI_EXTERNAL,
                                            .at = r->at / sizeof(float),
                                            .n = n,
                                            .k = k,
                                            .ld = ld,
                                            .transposed = true,
                                            .size = n * k });
    return i < 0 ? t : cti_export_array_name(e, (size_t)i);
}

/* ---- loops over strided arrays ---- */

#define MOST_ARRAYS 4

/* Nested loops over arrays with a common shape. */
typedef struct calls_loops {
    int rank, arrays;
    int64_t dim[CT_MAX_RANK], stride[MOST_ARRAYS][CT_MAX_RANK];
} calls_loops;

/* Joins axes that are contiguous with each other in all arrays, and drops axes of size 1. */
static void calls_simplify(calls_loops *l)
{
    int rank = 0, a;

    for (int i = 0; i < l->rank; i++) {
        bool join = rank > 0;

        if (l->dim[i] == 1)
            continue;
        for (a = 0; a < l->arrays && join; a++)
            join = l->stride[a][rank - 1] == l->stride[a][i] * l->dim[i];
        rank -= join;
        l->dim[rank] = join ? l->dim[rank] * l->dim[i] : l->dim[i];
        for (a = 0; a < l->arrays; a++)
            l->stride[a][rank] = l->stride[a][i];
        rank++;
    }
    l->rank = rank;
}

/* The index expression of array a in the loop variables i0, i1, ... */
static cti_export_text calls_index(const calls_loops *l, int a)
{
    cti_export_text t = { "" };

    for (int i = 0; i < l->rank; i++) {
        const size_t n = strlen(t.s);

        if (l->stride[a][i] == 1)
            snprintf(t.s + n, sizeof t.s - n, "%si%d", n ? " + " : "", i);
        else if (l->stride[a][i])
            snprintf(t.s + n, sizeof t.s - n, "%si%d * %lld", n ? " + " : "", i,
                     (long long)l->stride[a][i]);
    }
    if (!t.s[0])
        snprintf(t.s, sizeof t.s, "0");
    return t;
}

static void calls_begin_loops(cti_exporter *e, const calls_loops *l)
{
    fputs("    {\n        int", e->out);
    for (int i = 0; i < l->rank || i == 0; i++)
        fprintf(e->out, "%s i%d", i ? "," : "", i);
    fputs(";\n\n", e->out);
    if (!l->rank)
        fputs("        i0 = 0;\n        (void)i0;\n", e->out);
    for (int i = 0; i < l->rank; i++)
        fprintf(e->out, "        for (i%d = 0; i%d < %lld; i%d++)\n", i, i, (long long)l->dim[i],
                i);
}

/* ---- copies and fills ---- */

static void calls_copy(cti_exporter *e, const cti_call *c)
{
    const cti_copy_args *a = &c->args.copy;
    calls_loops l = { .rank = a->rank, .arrays = 2 };
    cti_export_text to, from;

    if (a->dst.dtype != a->src.dtype) {
        cti_export_refuse(e, c, "a conversion of dtypes");
        return;
    }
    memcpy(l.dim, a->dim, sizeof l.dim);
    memcpy(l.stride[0], a->dst.stride, sizeof l.stride[0]);
    memcpy(l.stride[1], a->src.stride, sizeof l.stride[1]);
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] == 0)
            return;
    calls_simplify(&l);
    to = calls_address(e, REFERENCE(c, cti_copy_args, dst.data));
    from = calls_address(e, REFERENCE(c, cti_copy_args, src.data));
    calls_begin_loops(e, &l);
    fprintf(e->out, "            (%s)[%s] = (%s)[%s];\n    }\n", to.s, calls_index(&l, 0).s, from.s,
            calls_index(&l, 1).s);
}

static void calls_fill(cti_exporter *e, const cti_call *c)
{
    const cti_fill_args *a = &c->args.fill;
    const calls_loops l = { .rank = 1, .arrays = 1, .dim = { a->n }, .stride = { { 1 } } };
    const cti_export_text to = calls_address(e, REFERENCE(c, cti_fill_args, data));

    if (!a->n)
        return;
    if (!isfinite(a->value) || (a->dtype != CT_F32 && a->value != (double)(int)a->value)) {
        cti_export_refuse(e, c, "a constant that is not finite");
        return;
    }
    calls_begin_loops(e, &l);
    if (a->dtype == CT_F32)
        fprintf(e->out, "            (%s)[i0] = %s;\n    }\n", to.s,
                cti_export_float((float)a->value).s);
    else
        fprintf(e->out, "            (%s)[i0] = %d;\n    }\n", to.s, (int)a->value);
}

/* The name of an array of constants that are copied. "" with an error. */
static cti_export_text calls_constants(cti_exporter *e, const float *from, int64_t n)
{
    cti_export_array a = { .external = -1, .size = n };
    cti_export_text t = { "" };
    int i;

    a.table = cti_calloc((size_t)n, sizeof *a.table);
    if (!a.table) {
        cti_out_of_memory("ct_export_c", (size_t)n * sizeof *a.table);
        return t;
    }
    memcpy(a.table, from, (size_t)n * sizeof *a.table);
    i = calls_array(e, &a);
    if (i < 0)
        cti_release(a.table);
    return i < 0 ? t : cti_export_array_name(e, (size_t)i);
}

/* Writes a copy of constants from the host. */
static void calls_upload(cti_exporter *e, const cti_call *c)
{
    const cti_upload_args *a = &c->args.upload;
    const int64_t n = (int64_t)(a->bytes / sizeof(float));
    const cti_reference *to = REFERENCE(c, cti_upload_args, to);

    if (!to || !n)
        return;
    if (e->buffers[to->region].dtype != CT_F32) {
        cti_export_refuse(e, c, "constants that are not f32");
        return;
    }
    fprintf(e->out,
            "    {\n        int i0;\n\n        for (i0 = 0; i0 < %lld; i0++)\n"
            "            (%s)[i0] = %s[i0];\n    }\n",
            (long long)n, calls_address(e, to).s, calls_constants(e, a->from, n).s);
}

/* ---- elementwise ---- */

typedef struct calls_formula {
    const char *text; /* an expression of x, y, z, or c, x, y for where */
    bool gives_bool;
} calls_formula;

/* Makes strings of the formulas, in which M and K are not expanded. */
#define CALLS_STRING(...) #__VA_ARGS__
static const calls_formula formulas[CTI_EW_COUNT] = {
#define CALLS_FORMULA(name, ...) [CTI_EW_##name] = { .text = CALLS_STRING(__VA_ARGS__) },
#define CALLS_TEST(name, ...)                                                                      \
    [CTI_EW_##name] = { .text = CALLS_STRING(__VA_ARGS__), .gives_bool = true },
#define NUMBER CALLS_FORMULA
#define FLOAT CALLS_FORMULA
#define SELECT CALLS_FORMULA
#define COMPARE CALLS_TEST
#define TEST CALLS_TEST
#define LOGIC CALLS_TEST
#include "tensor/formulas.h"
};

/* The name in exported code of a function of floats; NULL if there is none. */
static const char *calls_function(const char *name, size_t n)
{
    static const char *const functions[] = { "exp", "tanh", "sigmoid",  "log",   "log1p",
                                             "erf", "erfc", "softplus", "expm1", "sqrt" };

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strlen(functions[i]) == n && memcmp(functions[i], name, n) == 0)
            return functions[i];
    return NULL;
}

/* Writes a formula, with M(exp) as nn_expf and K(1.5) as (float)(1.5). False for a function that
 * exported code does not have. */
static bool calls_expression(const char *text, char *to, size_t size)
{
    size_t n = 0;

    while (*text && n + 40 < size) {
        if (text[0] == 'M' && text[1] == '(') {
            const size_t length = strcspn(text + 2, ")");
            const char *function = calls_function(text + 2, length);

            if (!function)
                return false;
            n += (size_t)snprintf(to + n, size - n, "nn_%sf", function);
            text += length + 3;
        } else if (text[0] == 'K' && text[1] == '(') {
            n += (size_t)snprintf(to + n, size - n, "(float)");
            text++;
        } else {
            to[n++] = *text++;
        }
    }
    to[n] = '\0';
    return !*text;
}

/* True if the expression uses the variable. */
static bool calls_uses(const char *expression, char variable)
{
    for (const char *at = expression; (at = strchr(at, variable)); at++) {
        const char before = at == expression ? ' ' : at[-1], after = at[1];

        if (!strchr("abcdefghijklmnopqrstuvwxyz_0123456789", before) &&
            (!after || !strchr("abcdefghijklmnopqrstuvwxyz_0123456789(", after)))
            return true;
    }
    return false;
}

static bool calls_elementwise_loops(const cti_ew *a, calls_loops *l)
{
    *l = (calls_loops){ .rank = a->rank, .arrays = a->inputs + 1 };
    memcpy(l->dim, a->dim, sizeof l->dim);
    memcpy(l->stride[0], a->out_stride, sizeof l->stride[0]);
    for (int i = 0; i < a->inputs; i++)
        memcpy(l->stride[i + 1], a->in_stride[i], sizeof l->stride[0]);
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] == 0)
            return false;
    calls_simplify(l);
    return true;
}

static void calls_elementwise(cti_exporter *e, const cti_call *c)
{
    static const char *const usual[] = { "x", "y", "z" }, *const choice[] = { "c", "x", "y" };
    const cti_ew *a = &c->args.elementwise;
    const bool where = a->op == CTI_EW_where;
    const calls_formula *f = &formulas[a->op];
    char expression[1024];
    calls_loops l;
    cti_export_text out;

    if (!calls_elementwise_loops(a, &l))
        return;
    if ((a->dtype != CT_F32 && a->dtype != CT_BOOL) ||
        !calls_expression(f->text, expression, sizeof expression)) {
        cti_export_refuse(e, c,
                          "a function of elements that is not one of floats, or calls the C "
                          "library");
        return;
    }
    out = calls_address(e, REFERENCE(c, cti_ew, out));
    calls_begin_loops(e, &l);
    fputs("        {\n", e->out);
    for (int i = 0; i < a->inputs; i++) {
        const bool is_bool = a->dtype == CT_BOOL || (where && i == 0);

        fprintf(
            e->out, "            const %s %s = (%s)[%s];\n", is_bool ? "uint8_t" : "float",
            (where ? choice : usual)[i],
            calls_address(e, calls_reference(c, offsetof(cti_ew, in) + (size_t)i * sizeof(void *)))
                .s,
            calls_index(&l, i + 1).s);
    }
    for (int i = 0; i < 2; i++)
        if (calls_uses(expression, "pq"[i]))
            fprintf(e->out, "            const float %c = %s;\n", "pq"[i],
                    cti_export_float((float)a->param[i]).s);
    fprintf(e->out, "\n            (%s)[%s] = %s(%s);\n        }\n    }\n", out.s,
            calls_index(&l, 0).s, f->gives_bool ? "(uint8_t)" : "(float)", expression);
}

/* ---- products ---- */

/* Writes plain loops for C = A B + bias or C += A B, for any kind of B. */
static void calls_gemm_plain(cti_exporter *e, const cti_call *c)
{
    const cti_gemm *g = &c->args.gemm;
    const cti_export_text a = calls_address(e, REFERENCE(c, cti_gemm, a));
    const cti_export_text b = calls_address(e, REFERENCE(c, cti_gemm, b));
    const cti_export_text to = calls_address(e, REFERENCE(c, cti_gemm, c));

    fprintf(
        e->out,
        "    {\n        int t, i, j, k;\n\n        for (t = 0; t < %lld; t++)\n"
        "            for (i = 0; i < %lld; i++)\n                for (j = 0; j < %lld; j++) {\n",
        (long long)g->batch, (long long)g->m, (long long)g->n);
    fprintf(e->out, "                    float *to = %s + t * %lld + i * %lld + j, sum = ", to.s,
            (long long)g->c_step, (long long)g->ldc);
    if (g->bias)
        fprintf(e->out, "(%s)[j];\n", calls_address(e, REFERENCE(c, cti_gemm, bias)).s);
    else
        fputs(g->beta == 0 ? "0;\n" : "*to;\n", e->out);
    fprintf(e->out,
            "\n                    for (k = 0; k < %lld; k++)\n"
            "                        sum += (%s)[t * %lld + i * %lld + k * %lld] *\n"
            "                               (%s)[t * %lld + k * %lld + j * %lld];\n"
            "                    *to = sum;\n                }\n    }\n",
            (long long)g->k, a.s, (long long)g->a_step, (long long)(g->trans_a ? 1 : g->lda),
            (long long)(g->trans_a ? g->lda : 1), b.s, (long long)g->b_step,
            (long long)(g->trans_b ? 1 : g->ldb), (long long)(g->trans_b ? g->ldb : 1));
}

static bool calls_has_constant_weight(const cti_call *c)
{
    const cti_gemm *g = &c->args.gemm;
    const cti_reference *b = REFERENCE(c, cti_gemm, b);

    return b && b->region >= CTI_EXTERNAL && g->trans_b && !g->trans_a && g->batch == 1 &&
           g->beta == 0;
}

/* Writes y = the row of a table that the index selects. */
static void calls_lookup(cti_exporter *e, const cti_call *c);

static void calls_gemm(cti_exporter *e, const cti_call *c, size_t number)
{
    const cti_gemm *g = &c->args.gemm;
    cti_export_text w, a, b, to;

    if (g->dtype != CT_F32 || g->alpha != 1 || (g->beta != 0 && g->beta != 1) || g->bf16) {
        cti_export_refuse(e, c, "a product that is not one of f32, or has a factor");
        return;
    }
    if (!g->m || !g->n || !g->batch)
        return;
    if (e->tables[number]) {
        calls_lookup(e, c);
        return;
    }
    if (!calls_has_constant_weight(c)) {
        calls_gemm_plain(e, c);
        return;
    }
    w = calls_weight(e, c, REFERENCE(c, cti_gemm, b), g->n, g->k, g->ldb);
    a = calls_address(e, REFERENCE(c, cti_gemm, a));
    b = calls_address(e, REFERENCE(c, cti_gemm, bias));
    to = calls_address(e, REFERENCE(c, cti_gemm, c));
    for (int64_t i = 0; i < g->m; i++)
        fprintf(e->out, "    nn_linear(%lld, %lld, %s + %lld, %s, %s, %s + %lld);\n",
                (long long)g->n, (long long)g->k, a.s, (long long)(i * g->lda), w.s, b.s, to.s,
                (long long)(i * g->ldc));
}

/* ---- rows by index ---- */

static void calls_check_index(cti_exporter *e, const char *index, int64_t count, int64_t rows)
{
    fprintf(e->out,
            "    {\n        int i;\n\n        for (i = 0; i < %lld; i++)\n"
            "            if ((%s)[i] < 0 || (%s)[i] >= %lld)\n                return -1;\n    }\n",
            (long long)count, index, index, (long long)rows);
}

static void calls_rows(cti_exporter *e, const char *index, int64_t count, int64_t width,
                       const char *from, const char *to)
{
    fprintf(e->out,
            "    {\n        int i, j;\n\n        for (i = 0; i < %lld; i++)\n"
            "            for (j = 0; j < %lld; j++)\n"
            "                (%s)[i * %lld + j] = (%s)[(int)(%s)[i] * %lld + j];\n    }\n",
            (long long)count, (long long)width, to, (long long)width, from, index,
            (long long)width);
}

static void calls_gather_rows(cti_exporter *e, const cti_call *c)
{
    const cti_gather_rows_args *a = &c->args.gather_rows;
    const cti_export_text index = calls_address(e, REFERENCE(c, cti_gather_rows_args, index));

    cti_export_text from;

    if (a->dtype != CT_F32) {
        cti_export_refuse(e, c, "rows of a dtype other than f32");
        return;
    }
    if (REFERENCE(c, cti_gather_rows_args, src))
        from = calls_address(e, REFERENCE(c, cti_gather_rows_args, src));
    else
        from = calls_constants(e, a->src, a->rows * a->width);
    calls_check_index(e, index.s, a->count, a->rows);
    calls_rows(e, index.s, a->count, a->width, from.s,
               calls_address(e, REFERENCE(c, cti_gather_rows_args, out)).s);
}

static void calls_one_hot(cti_exporter *e, const cti_call *c, bool check_only)
{
    const cti_one_hot_args *a = &c->args.one_hot;
    const cti_export_text index = calls_address(e, REFERENCE(c, cti_one_hot_args, index));

    calls_check_index(e, index.s, a->count, a->width);
    if (check_only)
        return;
    fprintf(e->out,
            "    {\n        int i, j;\n\n        for (i = 0; i < %lld; i++)\n"
            "            for (j = 0; j < %lld; j++)\n"
            "                (%s)[i * %lld + j] = (%s)[i] == j ? 1 : 0;\n    }\n",
            (long long)a->count, (long long)a->width,
            calls_address(e, REFERENCE(c, cti_one_hot_args, out)).s, (long long)a->width, index.s);
}

/* The call that made the one-hot vectors that c multiplies; NULL if c multiplies other values. */
static const cti_call *calls_maker(const cti_exporter *e, const cti_call *c)
{
    const cti_reference *a = REFERENCE(c, cti_gemm, a);

    for (size_t i = 0; a && i < e->program->call_count; i++) {
        const cti_call *maker = &e->program->calls[i];
        const cti_reference *out = REFERENCE(maker, cti_one_hot_args, out);

        if (maker->slot == CTI_CALL_one_hot && out && out->region == a->region && out->at == a->at)
            return maker;
    }
    return NULL;
}

/* Computes the products of all one-hot vectors. Row v is bias + 0 w0 + ... + 1 wv + ..., in the
 * order of the loop. */
static float *calls_table(const cti_exporter *e, const cti_call *c)
{
    const cti_gemm *g = &c->args.gemm;
    const cti_reference *b = REFERENCE(c, cti_gemm, bias);
    const char *bias_data = b ? e->program->externals[b->region - CTI_EXTERNAL].data + b->at : NULL;
    const float *w = g->b, *bias = (const float *)(const void *)bias_data;
    float *table = cti_calloc((size_t)(g->n * g->k), sizeof *table);

    if (!table)
        cti_out_of_memory("ct_export_c", (size_t)(g->n * g->k) * sizeof *table);
    for (int64_t v = 0; table && v < g->k; v++)
        for (int64_t j = 0; j < g->n; j++) {
            float sum = bias ? bias[j] : 0;

            for (int64_t k = 0; k < g->k; k++)
                sum += (k == v ? 1.0f : 0.0f) * w[j * g->ldb + k];
            table[v * g->n + j] = sum;
        }
    return table;
}

static void calls_lookup(cti_exporter *e, const cti_call *c)
{
    const cti_gemm *g = &c->args.gemm;
    const cti_call *maker = calls_maker(e, c);
    cti_export_array a = { .external = -1, .size = g->n * g->k, .table = calls_table(e, c) };
    const int i = a.table ? calls_array(e, &a) : -1;

    if (i < 0) {
        cti_release(a.table);
        return;
    }
    calls_rows(e, calls_address(e, REFERENCE(maker, cti_one_hot_args, index)).s, g->m, g->n,
               cti_export_array_name(e, (size_t)i).s,
               calls_address(e, REFERENCE(c, cti_gemm, c)).s);
}

/* True if all calls that read the one-hot vectors of call number `maker` are products with a
 * table. */
static bool calls_is_looked_up(const cti_exporter *e, size_t maker)
{
    const cti_call *calls = e->program->calls;
    const int region = REFERENCE(&calls[maker], cti_one_hot_args, out)->region;

    if (e->program->buffers[region].fixed)
        return false;
    for (size_t i = 0; i < e->program->call_count; i++)
        for (int k = 0; i != maker && k < calls[i].references; k++) {
            const cti_reference *r = &calls[i].reference[k], *bias;

            if (r->region != region)
                continue;
            bias = calls[i].slot == CTI_CALL_gemm ? REFERENCE(&calls[i], cti_gemm, bias) : NULL;
            if (calls[i].slot != CTI_CALL_gemm || r->member != offsetof(cti_gemm, a) ||
                r->at != 0 || !calls_has_constant_weight(&calls[i]) ||
                (bias && bias->region < CTI_EXTERNAL) ||
                calls[i].args.gemm.k != calls[maker].args.one_hot.width ||
                calls[i].args.gemm.ldc != calls[i].args.gemm.n)
                return false;
        }
    return true;
}

bool cti_export_find_tables(cti_exporter *e)
{
    const cti_program *p = e->program;

    for (size_t i = 0; i < p->call_count; i++)
        if (p->calls[i].slot == CTI_CALL_one_hot && calls_is_looked_up(e, i)) {
            e->skipped[i] = true;
            for (size_t k = i + 1; k < p->call_count; k++)
                if (p->calls[k].slot == CTI_CALL_gemm &&
                    calls_maker(e, &p->calls[k]) == &p->calls[i])
                    e->tables[k] = true;
        }
    return ct_ok();
}

/* ---- rows ---- */

static void calls_normalise(cti_exporter *e, const cti_call *c)
{
    const cti_normalise_args *a = &c->args.normalise;
    union {
        double value;
        uint64_t bits;
    } eps = { a->eps };
    const int exponent = (int)(eps.bits >> 52);

    if (a->mean || a->variance || a->eps < 0 || (a->eps != 0 && !exponent)) {
        cti_export_refuse(e, c, "the statistics of a norm");
        return;
    }
    fprintf(e->out, "    nn_normalise(%lld, %lld, %d, ", (long long)a->rows, (long long)a->n,
            a->centred);
    if (a->eps == 0)
        fputs("0", e->out);
    else
        fprintf(e->out, "0x1.%013llxp%d", (unsigned long long)(eps.bits & 0xfffffffffffffu),
                exponent - 1023);
    fprintf(e->out, ", %s, %s, %s, %s);\n", calls_address(e, REFERENCE(c, cti_normalise_args, x)).s,
            calls_address(e, REFERENCE(c, cti_normalise_args, weight)).s,
            calls_address(e, REFERENCE(c, cti_normalise_args, bias)).s,
            calls_address(e, REFERENCE(c, cti_normalise_args, y)).s);
}

static void calls_softmax(cti_exporter *e, const cti_call *c)
{
    const cti_softmax_args *a = &c->args.softmax;

    if (a->n)
        fprintf(e->out, "    nn_softmax(%lld, %lld, %d, %s, %s);\n", (long long)a->rows,
                (long long)a->n, a->logarithm,
                calls_address(e, REFERENCE(c, cti_softmax_args, in)).s,
                calls_address(e, REFERENCE(c, cti_softmax_args, out)).s);
}

/* ---- recurrent layers ---- */

/* Writes the statements for one row of one step of a layer. */
static void calls_cell(cti_exporter *e, const cti_call *c, int64_t before, int64_t after, int64_t x,
                       const char *w)
{
    const cti_sequence *s = &c->args.sequence;
    const long long n = (long long)s->hidden;
    const cti_export_text from = calls_address(e, REFERENCE(c, cti_sequence, x));
    const cti_export_text b = calls_address(e, REFERENCE(c, cti_sequence, bias));
    const cti_export_text h = calls_address(e, REFERENCE(c, cti_sequence, h));
    const cti_export_text cell = calls_address(e, REFERENCE(c, cti_sequence, c));
    const cti_export_text room = calls_address(e, REFERENCE(c, cti_sequence, scratch));
    const long long at = (long long)(x * cti_gates_of(s->kind) * s->hidden);

    if (s->kind == CTI_CELL_LSTM)
        fprintf(e->out,
                "    nn_lstm(%lld, %s + %lld, %s, %s, %s + %lld, %s + %lld, %s, %s + %lld, %s + "
                "%lld);\n",
                n, from.s, at, w, b.s, h.s, (long long)before * n, cell.s, (long long)before * n,
                room.s, h.s, (long long)after * n, cell.s, (long long)after * n);
    else if (s->kind == CTI_CELL_GRU)
        fprintf(e->out, "    nn_gru(%lld, %s + %lld, %s, %s, %s + %lld, %s, %s + %lld);\n", n,
                from.s, at, w, b.s, h.s, (long long)before * n, room.s, h.s, (long long)after * n);
    else
        fprintf(e->out, "    nn_rnn(%lld, %d, %s + %lld, %s, %s, %s + %lld, %s + %lld);\n", n,
                s->kind == CTI_CELL_RELU, from.s, at, w, b.s, h.s, (long long)before * n, h.s,
                (long long)after * n);
}

static void calls_sequence(cti_exporter *e, const cti_call *c)
{
    const cti_sequence *s = &c->args.sequence;
    cti_export_text w;

    if (c->slot == CTI_CALL_layer || s->index || s->length || s->gates || s->hn || s->bf16 ||
        s->steps * s->batch > CTI_FEW_ROWS) {
        cti_export_refuse(e, c, "a recurrent layer over many steps; export one step of it");
        return;
    }
    w = calls_weight(e, c, REFERENCE(c, cti_sequence, w), cti_gates_of(s->kind) * s->hidden,
                     s->hidden, s->hidden);
    for (int64_t k = 0; k < s->steps && ct_ok(); k++)
        for (int64_t row = 0; row < s->batch; row++) {
            const int64_t t = s->reverse ? s->steps - 1 - k : k;

            calls_cell(e, c, (s->reverse ? t + 1 : t) * s->batch + row,
                       (s->reverse ? t : t + 1) * s->batch + row, t * s->batch + row, w.s);
        }
}

/* ---- all calls ---- */

static void calls_refuse(cti_exporter *e, const cti_call *c)
{
    switch (c->slot) {
    case CTI_CALL_conv:
        cti_export_refuse(e, c, "a convolution");
        return;
    case CTI_CALL_max_pool:
        cti_export_refuse(e, c, "pooling");
        return;
    case CTI_CALL_reduce:
        cti_export_refuse(e, c, "a reduction");
        return;
    default:
        cti_export_refuse(e, c, "a scan, an arange or a gather");
    }
}

static void calls_write(cti_exporter *e, size_t i)
{
    const cti_call *c = &e->program->calls[i];

    switch (c->slot) {
    case CTI_CALL_copy:
        calls_copy(e, c);
        return;
    case CTI_CALL_fill:
        calls_fill(e, c);
        return;
    case CTI_CALL_upload:
        calls_upload(e, c);
        return;
    case CTI_CALL_elementwise:
        calls_elementwise(e, c);
        return;
    case CTI_CALL_gemm:
        calls_gemm(e, c, i);
        return;
    case CTI_CALL_gather_rows:
        calls_gather_rows(e, c);
        return;
    case CTI_CALL_one_hot:
        calls_one_hot(e, c, e->skipped[i]);
        return;
    case CTI_CALL_softmax:
        calls_softmax(e, c);
        return;
    case CTI_CALL_normalise:
        calls_normalise(e, c);
        return;
    case CTI_CALL_sequence:
    case CTI_CALL_layer:
        calls_sequence(e, c);
        return;
    default:
        calls_refuse(e, c);
    }
}

bool cti_export_calls(cti_exporter *e)
{
    for (size_t i = 0; i < e->program->call_count && ct_ok(); i++)
        calls_write(e, i);
    return ct_ok();
}

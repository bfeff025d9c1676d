/* SPDX-License-Identifier: MIT */
/* export.c - writes a plan as a C file and a header. Has the checks, and the functions that
 * write the parts of the files. */
#include "nn/export_internal.h"

#include "nn/internal.h"
#include "tensor/hooks.h"

#include <cotangent/tensor/file.h>

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const me = "ct_export_c";

/* ---- names ---- */

static bool export_is_identifier(const char *name, size_t n)
{
    static const char *const taken[] = { "state", "nn", "weight", "x", "y" };

    if (n == 0 || n > 40 || isdigit((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(isalnum((unsigned char)name[i]) || name[i] == '_') || (unsigned char)name[i] > 127)
            return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strlen(taken[i]) == n && memcmp(name, taken[i], n) == 0)
            return false;
    return true;
}

bool cti_export_name(const char *function, const char *path, const ct_export_options *o, char *to,
                     size_t size)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t n = strlen(base);
    const char *name = o->name ? o->name : base;
    const size_t length = o->name ? strlen(name) : n > 2 ? n - 2 : 0;

    if (n < 3 || strcmp(base + n - 2, ".c") != 0)
        ct_raise(CT_ERR_ARGUMENT, function, "path is \"%s\"; it must end in .c", path);
    else if (!export_is_identifier(name, length))
        ct_raise(CT_ERR_ARGUMENT, function,
                 "the name \"%.*s\" must be a C identifier of at most 40 characters", (int)length,
                 name);
    else
        snprintf(to, size, "%.*s", (int)length, name);
    return ct_ok();
}

/* ---- buffers ---- */

/* Records that a region holds values of a dtype. */
static void export_note(cti_exporter *e, const cti_call *c, size_t member, ct_dtype dtype)
{
    for (int i = 0; i < c->references; i++) {
        const cti_reference *r = &c->reference[i];
        cti_export_buffer *b;

        if (r->member != member)
            continue;
        if (r->region >= CTI_EXTERNAL) {
            if (e->program->externals[r->region - CTI_EXTERNAL].dtype != CT_F32)
                cti_export_refuse(e, c, "a parameter that is not f32");
            return;
        }
        b = &e->buffers[r->region];
        if (b->known && b->dtype != dtype)
            cti_export_refuse(e, c, "memory that holds several dtypes");
        b->used = b->known = true;
        b->dtype = dtype;
    }
}

static void export_note_elementwise(cti_exporter *e, const cti_call *c)
{
    static const bool gives_bool[CTI_EW_COUNT] = {
#define GIVES_BOOL(name, expr) [CTI_EW_##name] = true,
#define COMPARE GIVES_BOOL
#define TEST GIVES_BOOL
#define LOGIC GIVES_BOOL
#include "tensor/formulas.h"
#undef GIVES_BOOL
    };
    const cti_ew *a = &c->args.elementwise;

    export_note(e, c, offsetof(cti_ew, out), gives_bool[a->op] ? CT_BOOL : a->dtype);
    for (int i = 0; i < a->inputs; i++)
        export_note(e, c, offsetof(cti_ew, in) + (size_t)i * sizeof(void *),
                    a->op == CTI_EW_where && i == 0 ? CT_BOOL : a->dtype);
}

/* Records the dtypes of the arrays that a call reads and writes. Members that are not listed are
 * f32. */
static void export_note_call(cti_exporter *e, const cti_call *c)
{
    switch (c->slot) {
    case CTI_CALL_copy:
        export_note(e, c, offsetof(cti_copy_args, dst.data), c->args.copy.dst.dtype);
        export_note(e, c, offsetof(cti_copy_args, src.data), c->args.copy.src.dtype);
        return;
    case CTI_CALL_fill:
        export_note(e, c, offsetof(cti_fill_args, data), c->args.fill.dtype);
        return;
    case CTI_CALL_elementwise:
        export_note_elementwise(e, c);
        return;
    case CTI_CALL_gather_rows:
        export_note(e, c, offsetof(cti_gather_rows_args, src), c->args.gather_rows.dtype);
        export_note(e, c, offsetof(cti_gather_rows_args, out), c->args.gather_rows.dtype);
        export_note(e, c, offsetof(cti_gather_rows_args, index), c->args.gather_rows.index_dtype);
        return;
    case CTI_CALL_one_hot:
        export_note(e, c, offsetof(cti_one_hot_args, out), c->args.one_hot.dtype);
        export_note(e, c, offsetof(cti_one_hot_args, index), c->args.one_hot.index_dtype);
        return;
    case CTI_CALL_upload: /* the calls that read it record its dtype */
        return;
    default:
        for (int i = 0; i < c->references; i++)
            export_note(e, c, c->reference[i].member, CT_F32);
    }
}

static ct_dtype export_call_dtype(const cti_call *c)
{
    switch (c->slot) {
    case CTI_CALL_gemm:
        return c->args.gemm.dtype;
    case CTI_CALL_normalise:
        return c->args.normalise.dtype;
    case CTI_CALL_softmax:
        return c->args.softmax.dtype;
    case CTI_CALL_sequence:
        return c->args.sequence.dtype;
    default:
        return CT_F32;
    }
}

/* Gives the buffer of an input, an output or a state its name. */
static void export_name(cti_exporter *e, const cti_plan_slot *s, int buffer, const char *name,
                        int i, int count)
{
    cti_export_buffer *b = &e->buffers[buffer];

    b->known = true;
    b->dtype = s->dtype;
    if (count > 1)
        snprintf(b->name, sizeof b->name, "%s%d", name, i);
    else
        snprintf(b->name, sizeof b->name, "%s", name);
}

static bool export_buffers(cti_exporter *e)
{
    const ct_plan *p = e->plan;
    size_t i;
    int k;

    for (k = 0; k < p->inputs; k++)
        export_name(e, &p->input[k], p->input[k].buffer, "x", k, p->inputs);
    for (k = 0; k < p->outputs; k++)
        export_name(e, &p->output[k], p->output[k].buffer, "y", k, p->outputs);
    for (k = 0; k < p->states; k++)
        export_name(e, &p->state[k], p->state[k].buffer, "state->state", k, 99);
    for (i = 0; i < e->program->call_count && ct_ok(); i++) {
        const cti_call *c = &e->program->calls[i];

        if (export_call_dtype(c) != CT_F32)
            cti_export_refuse(e, c, "a dtype other than f32");
        else
            export_note_call(e, c);
    }
    for (i = 0; i < e->program->buffer_count; i++) {
        cti_export_buffer *b = &e->buffers[i];

        b->size = (int64_t)(e->program->buffers[i].bytes / ct_dtype_size(b->dtype));
        b->size = b->size ? b->size : 1;
        if (!b->name[0])
            snprintf(b->name, sizeof b->name, "state->work%zu", i);
        if (b->known && b->dtype != CT_F32 && b->dtype != CT_BOOL && b->dtype != CT_I32 &&
            b->dtype != CT_I64)
            cti_export_refuse(e, NULL, "a dtype other than f32");
        if (b->size > INT_MAX)
            cti_export_refuse(e, NULL, "arrays of 2^31 elements or more");
    }
    return ct_ok();
}

/* Reduces the scratch memory. A recurrent layer needs only the gates of one row. One-hot vectors
 * that are looked up need no memory. */
static void export_shrink(cti_exporter *e)
{
    for (size_t i = 0; i < e->program->call_count; i++) {
        const cti_call *c = &e->program->calls[i];

        for (int k = 0; k < c->references; k++) {
            const cti_reference *r = &c->reference[k];

            if (c->slot == CTI_CALL_sequence && r->member == offsetof(cti_sequence, scratch))
                e->buffers[r->region].size =
                    cti_gates_of(c->args.sequence.kind) * c->args.sequence.hidden;
            if (c->slot == CTI_CALL_one_hot && e->skipped[i] &&
                r->member == offsetof(cti_one_hot_args, out))
                e->buffers[r->region].used = false;
        }
    }
}

/* ---- weights ---- */

static float export_value(const cti_exporter *e, const cti_export_array *a, int64_t i)
{
    const float *data;

    if (a->table)
        return a->table[i];
    data = (const float *)(const void *)e->program->externals[a->external].data + a->at;
    return a->transposed ? data[i % a->n * a->ld + i / a->n] : data[i];
}

static bool export_weights_are_finite(const cti_exporter *e)
{
    for (size_t k = 0; k < e->array_count; k++)
        for (int64_t i = 0; i < e->arrays[k].size; i++)
            if (!isfinite(export_value(e, &e->arrays[k], i))) {
                const int x = e->arrays[k].external;

                ct_raise(CT_ERR_ARGUMENT, me, "%s has a value that is not finite",
                         x < 0 ? "a constant of the model" : e->program->externals[x].name);
                return false;
            }
    return true;
}

static int64_t export_weight_count(const cti_exporter *e)
{
    return e->array_count ? e->arrays[e->array_count - 1].place + e->arrays[e->array_count - 1].size
                          : 0;
}

static void export_write_arrays(const cti_exporter *e, FILE *out)
{
    for (size_t k = 0; k < e->array_count; k++) {
        const cti_export_array *a = &e->arrays[k];

        fprintf(out, "/* %s%s */\nstatic const float weight%zu[%lld] = {",
                a->external < 0 ? "a table" : e->program->externals[a->external].name,
                a->transposed ? ", transposed" : "", k, (long long)a->size);
        for (int64_t i = 0; i < a->size; i++)
            fprintf(out, "%s%s,", i % 6 ? " " : "\n    ",
                    cti_export_float(export_value(e, a, i)).s);
        fputs("\n};\n\n", out);
    }
}

/* ---- the parts of the files ---- */

static const char *export_c_type(ct_dtype dtype)
{
    return dtype == CT_F32   ? "float"
           : dtype == CT_I32 ? "int32_t"
           : dtype == CT_I64 ? "int64_t"
                             : "uint8_t";
}

static void export_write_members(const cti_exporter *e, FILE *out)
{
    bool any = false;

    if (e->options->separate_weights) {
        fputs("    const float *weights;\n", out);
        any = true;
    }
    for (size_t i = 0; i < e->program->buffer_count; i++) {
        const cti_export_buffer *b = &e->buffers[i];

        if (strncmp(b->name, "state->", 7) != 0 || !b->known ||
            (!b->used && strncmp(b->name, "state->state", 12) != 0))
            continue;
        fprintf(out, "    %s %s[%lld];\n", export_c_type(b->dtype), b->name + 7,
                (long long)b->size);
        any = true;
    }
    if (!any)
        fputs("    char none;\n", out);
}

/* Writes the parameters of the step function. */
static void export_write_step_parameters(const cti_exporter *e, FILE *out)
{
    const ct_plan *p = e->plan;
    int i;

    fprintf(out, "(%s_state *state", e->name);
    for (i = 0; i < p->inputs; i++)
        fprintf(out, ", const %s *%s", export_c_type(p->input[i].dtype),
                e->buffers[p->input[i].buffer].name);
    for (i = 0; i < p->outputs; i++)
        fprintf(out, ", %s *%s", export_c_type(p->output[i].dtype),
                e->buffers[p->output[i].buffer].name);
    fputs(")", out);
}

static void export_write_sizes(const cti_exporter *e, FILE *out)
{
    const ct_plan *p = e->plan;

    for (int i = 0; i < p->inputs; i++)
        fprintf(out, " *     %s: %s%s\n", e->buffers[p->input[i].buffer].name,
                export_c_type(p->input[i].dtype), cti_shape_text(&p->input[i].shape).s);
    for (int i = 0; i < p->outputs; i++)
        fprintf(out, " *     %s: %s%s\n", e->buffers[p->output[i].buffer].name,
                export_c_type(p->output[i].dtype), cti_shape_text(&p->output[i].shape).s);
}

static void export_write_header(const cti_exporter *e, FILE *out)
{
    const bool apart = e->options->separate_weights;
    char guard[64];
    int i;

    for (i = 0; e->name[i]; i++)
        guard[i] = (char)toupper((unsigned char)e->name[i]);
    guard[i] = '\0';
    fprintf(out,
            "/* %s.h - a neural network. Written by Cotangent; the file is yours.\n *\n"
            " * The caller owns the state. Different states may be used on different threads. */\n"
            "#ifndef %s_H\n#define %s_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\n"
            "extern \"C\" {\n#endif\n\ntypedef struct %s_state {\n",
            e->name, guard, guard, e->name);
    export_write_members(e, out);
    fprintf(out, "} %s_state;\n\n", e->name);
    if (apart)
        fprintf(out,
                "/* The bytes of the file of weights: f32, little-endian. */\n"
                "#define %s_WEIGHT_BYTES %lld\n\n",
                guard, (long long)export_weight_count(e) * 4);
    fprintf(out,
            "/* Sets the state before the first step. %s*/\nvoid %s_reset(%s_state *state%s);\n\n",
            apart ? "weights must stay valid. " : "", e->name, e->name,
            apart ? ", const float *weights" : "");
    fputs("/* One step. Returns 0, or -1 for an index that is out of range; then the state is\n"
          " * unchanged. The arrays must not overlap.\n",
          out);
    export_write_sizes(e, out);
    fprintf(out, " */\nint %s_step", e->name);
    export_write_step_parameters(e, out);
    fputs(";\n", out);
    if (e->extra_header)
        fprintf(out, "\n%s", e->extra_header);
    fputs("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n", out);
}

/* Writes the code that sets a state to its initial value. */
static void export_write_reset(const cti_exporter *e, FILE *out)
{
    const bool apart = e->options->separate_weights;
    int s;

    fprintf(out, "void %s_reset(%s_state *state%s)\n{\n", e->name, e->name,
            apart ? ", const float *weights" : "");
    if (apart)
        fputs("    state->weights = weights;\n", out);
    for (s = 0; s < e->plan->states; s++) {
        const cti_plan_slot *slot = &e->plan->state[s];
        const float *begin = slot->begin;
        const int64_t n = (int64_t)(cti_plan_slot_bytes(slot) / sizeof(float));
        bool zero = true;

        for (int64_t i = 0; i < n; i++)
            zero &= begin[i] == 0;
        if (!zero) {
            fprintf(out, "    {\n        static const float begin[%lld] = {", (long long)n);
            for (int64_t i = 0; i < n; i++)
                fprintf(out, "%s%s,", i % 6 ? " " : "\n            ", cti_export_float(begin[i]).s);
            fputs("\n        };\n", out);
        } else {
            fputs("    {\n", out);
        }
        fprintf(out,
                "        int i;\n\n        for (i = 0; i < %lld; i++)\n"
                "            state->state%d[i] = %s;\n    }\n",
                (long long)n, s, zero ? "0" : "begin[i]");
    }
    if (!apart && !e->plan->states)
        fputs("    (void)state;\n", out);
    fputs("}\n\n", out);
}

/* Writes the code that copies the state after the step to the state before it. */
static void export_write_carry(const cti_exporter *e)
{
    for (int s = 0; s < e->plan->states; s++) {
        const cti_plan_slot *slot = &e->plan->state[s];

        fprintf(e->out,
                "    {\n        int i;\n\n        for (i = 0; i < %lld; i++)\n"
                "            state->state%d[i] = %s[i];\n    }\n",
                (long long)(cti_plan_slot_bytes(slot) / sizeof(float)), s,
                e->buffers[slot->next].name);
    }
}

static const char export_pragmas[] =
    "#if defined(__FAST_MATH__)\n"
    "#error \"-ffast-math changes the results; compile this file without it\"\n"
    "#endif\n"
    "/* No product and sum become one operation, and no loop becomes a call. */\n"
    "#if defined(__clang__)\n"
    "#pragma STDC FP_CONTRACT OFF\n"
    "#elif defined(__GNUC__)\n"
    "#pragma GCC optimize(\"fp-contract=off\", \"no-tree-loop-distribute-patterns\")\n"
    "#endif\n\n";

/* Writes the helper functions that the body and the extra functions call. */
static bool export_write_helpers(const cti_exporter *e, FILE *out, const char *body)
{
    const char *extra = e->extra ? e->extra : "";
    const size_t n = strlen(body), more = strlen(extra);
    char *both = cti_calloc(1, n + more + 1);
    bool good;

    if (!both) {
        cti_out_of_memory(me, n + more);
        return false;
    }
    memcpy(both, body, n);
    memcpy(both + n, extra, more);
    good = cti_export_helpers(out, both, e->options->libm);
    cti_release(both);
    return good;
}

static bool export_write_source(const cti_exporter *e, FILE *out, const char *body)
{
    fprintf(out,
            "/* %s.c - a neural network. Written by Cotangent; the file is yours.\n *\n"
            " * C99, freestanding; float and double must be those of IEEE 754. */\n"
            "#include \"%.*s.h\"\n\n#include <stddef.h>\n\n%s",
            e->name, (int)strlen(e->file) - 2, e->file, export_pragmas);
    if (!export_write_helpers(e, out, body))
        return false;
    if (!e->options->separate_weights)
        export_write_arrays(e, out);
    export_write_reset(e, out);
    fprintf(out, "int %s_step", e->name);
    export_write_step_parameters(e, out);
    fprintf(out, "\n{\n%s    return 0;\n}\n", body);
    if (e->extra)
        fprintf(out, "\n%s", e->extra);
    return !ferror(out);
}

/* ---- writing ---- */

/* The text of the three files. */
typedef struct export_files {
    char *body, *source, *header;
    size_t body_size, source_size, header_size;
    unsigned char *weights;
} export_files;

static bool export_close(FILE *f)
{
    const bool bad = !f || ferror(f);

    if ((f && fclose(f) != 0) || bad)
        cti_out_of_memory(me, 0);
    return ct_ok();
}

static bool export_make_body(cti_exporter *e, export_files *f)
{
    e->out = open_memstream(&f->body, &f->body_size);
    if (e->out && cti_export_calls(e))
        export_write_carry(e);
    if (e->out)
        fputs("    (void)state;\n", e->out);
    return export_close(e->out);
}

static bool export_make_files(const cti_exporter *e, export_files *f)
{
    FILE *out = open_memstream(&f->source, &f->source_size);

    if (out)
        export_write_source(e, out, f->body);
    if (!export_close(out))
        return false;
    out = open_memstream(&f->header, &f->header_size);
    if (out)
        export_write_header(e, out);
    return export_close(out);
}

static bool export_make_weights(const cti_exporter *e, export_files *f)
{
    unsigned char *to = f->weights = cti_calloc((size_t)export_weight_count(e) + 1, 4);

    if (!to) {
        cti_out_of_memory(me, (size_t)export_weight_count(e) * 4);
        return false;
    }
    for (size_t k = 0; k < e->array_count; k++)
        for (int64_t i = 0; i < e->arrays[k].size; i++, to += 4) {
            const float v = export_value(e, &e->arrays[k], i);
            uint32_t bits;

            memcpy(&bits, &v, sizeof bits);
            for (int b = 0; b < 4; b++)
                to[b] = (unsigned char)(bits >> 8 * b);
        }
    return true;
}

/* Returns the path with another ending in place of .c. */
static char *export_path(const char *path, const char *ending)
{
    const size_t n = strlen(path) - 2;
    char *to = cti_calloc(1, n + strlen(ending) + 1);

    if (!to) {
        cti_out_of_memory(me, n);
        return NULL;
    }
    memcpy(to, path, n);
    strcpy(to + n, ending);
    return to;
}

/* Writes the files, the source last: if the source exists, the others exist. */
static bool export_save(const cti_exporter *e, const char *path, const export_files *f)
{
    char *header = export_path(path, ".h"), *weights = export_path(path, ".weights");

    if (header && weights) {
        if (e->options->separate_weights &&
            ct_file_write(weights, f->weights, (size_t)export_weight_count(e) * 4) != CT_OK)
            goto done;
        if (ct_file_write(header, f->header, f->header_size) == CT_OK)
            (void)!ct_file_write(path, f->source, f->source_size);
    }
done:
    cti_release(header);
    cti_release(weights);
    return ct_ok();
}

static void export_release(cti_exporter *e, export_files *f)
{
    for (size_t i = 0; i < e->array_count; i++)
        cti_release(e->arrays[i].table);
    cti_release(e->arrays);
    cti_release(e->buffers);
    cti_release(e->skipped);
    cti_release(e->tables);
    cti_release(f->weights);
    free(f->body);
    free(f->source);
    free(f->header);
}

static bool export_begin(cti_exporter *e)
{
    e->buffers = cti_calloc(e->program->buffer_count + 1, sizeof *e->buffers);
    e->skipped = cti_calloc(e->program->call_count + 1, sizeof *e->skipped);
    e->tables = cti_calloc(e->program->call_count + 1, sizeof *e->tables);
    if (!e->buffers || !e->skipped || !e->tables)
        cti_out_of_memory(me, e->program->call_count);
    return ct_ok();
}

ct_status cti_export(const char *function, const ct_plan *p, const char *path,
                     const ct_export_options *options, const char *extra, const char *extra_header)
{
    cti_exporter e = {
        .plan = p, .options = options, .extra = extra, .extra_header = extra_header
    };
    export_files f = { .body = NULL };

    if (!cti_sink_allowed() || !cti_given(function, "p", p) || !cti_given(function, "path", path))
        return ct_error();
    e.program = p->program;
    e.file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (cti_export_name(function, path, options, e.name, sizeof e.name) && export_begin(&e) &&
        export_buffers(&e) && cti_export_find_tables(&e)) {
        export_shrink(&e);
        if (export_make_body(&e, &f) && export_weights_are_finite(&e) &&
            export_make_files(&e, &f) && export_make_weights(&e, &f))
            export_save(&e, path, &f);
    }
    export_release(&e, &f);
    return ct_error();
}

ct_status ct_export_c(const ct_plan *p, const char *path, ct_export_options options)
{
    return cti_export(me, p, path, &options, NULL, NULL);
}

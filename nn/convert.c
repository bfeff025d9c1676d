/* SPDX-License-Identifier: MIT */
/* convert.c - converts state dicts from one framework's layout to another's. Each cell is read into
 * the parts of cell.h, which are those of this library's modules, and then written from them. */
#include "nn/cell.h"

#include "autograd/internal.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tensor/text.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/convert.h>
#include <cotangent/tensor/safetensors.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const me = "ct_convert";

/* A void function does nothing while an error is recorded. So callers need not check each call;
 * they check ct_ok() at the end. */

/* ---- lists of named tensors ---- */

typedef struct entry {
    char *name; /* owned */
    ct_tensor *value;
    bool taken; /* it is a part of a cell and has been converted */
} entry;

typedef struct list {
    entry *at;
    size_t room;
    int count;
} list;

typedef struct job {
    ct_convert_options o;
    list in, out; /* in is sorted by name */
} job;

/* Adds an entry. Takes over name, even after an error. */
static void convert_append(list *l, char *name, ct_tensor *value)
{
    if (name && value && cti_grow(me, (void **)&l->at, &l->room, (size_t)l->count, sizeof *l->at))
        l->at[l->count++] = (entry){ .name = name, .value = value };
    else
        cti_release(name);
}

static void convert_free_list(list *l)
{
    while (l->count)
        cti_release(l->at[--l->count].name);
    cti_release(l->at);
}

static int convert_by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static entry *convert_find(const list *l, const char *name)
{
    const entry wanted = { .name = (char *)name };

    return bsearch(&wanted, l->at, (size_t)l->count, sizeof wanted, convert_by_name);
}

static bool convert_read_all(job *j, const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    int i;

    for (i = 0; i < ct_safetensors_count(f) && ct_ok(); i++)
        convert_append(&j->in, cti_rename_prefix(me, j->o.rename, ct_safetensors_name(f, i)),
                       ct_safetensors_load(f, i, CT_CPU));
    ct_safetensors_close(f);
    if (!ct_ok())
        return false;
    if (j->in.count)
        qsort(j->in.at, (size_t)j->in.count, sizeof *j->in.at, convert_by_name);
    for (i = 1; i < j->in.count; i++)
        if (convert_by_name(&j->in.at[i - 1], &j->in.at[i]) == 0)
            ct_raise(CT_ERR_FORMAT, me, "%.400s: two tensors get the name %s", path,
                     cti_quote(j->in.at[i].name).s);
    return ct_ok();
}

static bool convert_write_all(const job *j, const char *path)
{
    size_t n = (size_t)j->out.count;
    const char **names = cti_calloc(n + 1, sizeof *names + sizeof(ct_tensor *));
    ct_tensor **tensors = (ct_tensor **)(void *)(names + n + 1);
    ct_status status;
    size_t i;

    if (!names) {
        cti_out_of_memory(me, (n + 1) * (sizeof *names + sizeof *tensors));
        return false;
    }
    for (i = 0; i < n; i++) {
        names[i] = j->out.at[i].name;
        tensors[i] = j->out.at[i].value;
    }
    status = ct_safetensors_write(path, (int)n, names, tensors, NULL);
    cti_release(names);
    return status == CT_OK;
}

/* ---- names ---- */

/* The parts of a cell, with the shapes of cell.h. */
enum { W_IH, W_HH, W_HR, B_IH, B_HH, B_HN, LN_IH, LN_HH, LN_C, B_C, PARTS };

/* The names of the parts in each layout; NULL if the layout has no such part. Flax has a tensor for
 * each gate; see below. */
static const char *const part_names[][PARTS] = {
    [CT_DIALECT_TORCH] = { "weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh", "bias_hn",
                           "ln_ih", "ln_hh", "ln_c", "bias_c" },
    [CT_DIALECT_GLUON] = { "i2h_weight", "h2h_weight", "h2r_weight", "i2h_bias", "h2h_bias" },
    [CT_DIALECT_KERAS] = { "kernel", "recurrent_kernel", NULL, "bias" },
    [CT_DIALECT_FLAX] = { NULL },
};

/* The place of a cell in the names of its parts: a prefix and, unless it is a single cell, a layer
 * and a direction. */
typedef struct place {
    const char *prefix; /* the beginning of the name of the recurrent weights */
    int length;         /* the length of the prefix */
    int layer;          /* -1: a single cell */
    int direction;      /* 1: backward in time */
} place;

static char *convert_name_of(ct_dialect layout, const place *p, const char *what)
{
    size_t size = (size_t)p->length + strlen(what) + 32;
    char *name = cti_calloc(size, 1);

    if (!name)
        cti_out_of_memory(me, size);
    else if (p->layer < 0)
        snprintf(name, size, "%.*s%s", p->length, p->prefix, what);
    else if (layout == CT_DIALECT_TORCH)
        snprintf(name, size, "%.*s%s_l%d%s", p->length, p->prefix, what, p->layer,
                 p->direction ? "_reverse" : "");
    else
        snprintf(name, size, "%.*s%c%d%c%s", p->length, p->prefix, p->direction ? 'r' : 'l',
                 p->layer, layout == CT_DIALECT_GLUON ? '_' : '.', what);
    return name;
}

/* Reads the number at *s and moves *s past it. Returns -1 unless it is below CTI_MOST_LAYERS and
 * has no leading zero. */
static int convert_layer_number(const char **s)
{
    int n = 0, digits = 0;

    for (; **s >= '0' && **s <= '9' && n < CTI_MOST_LAYERS; digits++, ++*s)
        if (digits && n == 0)
            return -1;
        else
            n = 10 * n + (**s - '0');
    return digits && n < CTI_MOST_LAYERS ? n : -1;
}

/* Returns the offset of the part of a name after its last dot. */
static int convert_last_part(const char *name, int length)
{
    while (length && name[length - 1] != '.')
        length--;
    return length;
}

/* Parses a PyTorch name: WHAT, WHAT_lK or WHAT_lK_reverse after the last dot. */
static bool convert_parse_torch(const char *name, const char *what, place *p)
{
    int start = convert_last_part(name, (int)strlen(name));
    const char *rest = name + start + strlen(what);

    if (strncmp(name + start, what, strlen(what)) != 0)
        return false;
    *p = (place){ name, start, -1, 0 };
    if (!*rest)
        return true;
    if (strncmp(rest, "_l", 2) != 0)
        return false;
    rest += 2;
    p->layer = convert_layer_number(&rest);
    p->direction = strcmp(rest, "_reverse") == 0;
    return p->layer >= 0 && (p->direction || !*rest);
}

/* Parses a name of another framework: lK or rK, an underscore (Gluon) or a dot (Keras, Flax), WHAT;
 * or only WHAT for a single cell. */
static bool convert_parse_other(ct_dialect layout, const char *name, const char *what, place *p)
{
    size_t all = strlen(name), n = strlen(what);
    const char *s;
    int head, start;

    if (all < n || strcmp(name + all - n, what) != 0)
        return false;
    head = (int)(all - n);
    *p = (place){ name, head, -1, 0 };
    if (!head || (layout == CT_DIALECT_GLUON && name[head - 1] == '.'))
        return true;
    if (name[head - 1] != (layout == CT_DIALECT_GLUON ? '_' : '.'))
        return false;
    start = convert_last_part(name, head - 1);
    s = name + start + 1;
    if (name[start] == 'l' || name[start] == 'r') {
        int layer = convert_layer_number(&s);

        if (layer >= 0 && s == name + head - 1)
            *p = (place){ name, start, layer, name[start] == 'r' };
    }
    return p->layer >= 0 || layout != CT_DIALECT_GLUON;
}

/* True if name is that of the part `what` of a cell; *p becomes the place of the cell. */
static bool convert_parse(ct_dialect layout, const char *name, const char *what, place *p)
{
    return layout == CT_DIALECT_TORCH ? convert_parse_torch(name, what, p)
                                      : convert_parse_other(layout, name, what, p);
}

/* ---- parts ---- */

typedef struct cell {
    place place;
    ct_tensor *part[PARTS];
    cti_cell_kind kind; /* CTI_CELL_TANH for every RNN, whatever its activation */
    int64_t hidden;
} cell;

/* Returns the tensor of the file for the part `what` of the cell at a place, and marks it as taken.
 * NULL, without an error, if the file does not have it. */
static ct_tensor *convert_take(job *j, const place *p, const char *what)
{
    char *name = convert_name_of(j->o.from, p, what);
    entry *e = name ? convert_find(&j->in, name) : NULL;

    cti_release(name);
    if (!e)
        return NULL;
    e->taken = true;
    return e->value;
}

static void convert_put(job *j, const place *p, const char *what, ct_tensor *t)
{
    convert_append(&j->out, convert_name_of(j->o.to, p, what), t);
}

static bool convert_refuse(const job *j, const cell *c, ct_status status, const char *why)
{
    ct_raise(status, me, "the cell of %s (%s to %s): %s", cti_quote(c->place.prefix).s,
             ct_dialect_name(j->o.from), ct_dialect_name(j->o.to), why);
    return false;
}

/* True if the part is missing or has the shape. */
static bool convert_is(const ct_tensor *t, ct_shape shape)
{
    return !t || cti_same_shape(&t->shape, &shape);
}

/* Finds the kind of a cell from the number of gates of its recurrent weights; false if no kind has
 * that number. */
static bool convert_kind(int64_t gates, cti_cell_kind *kind)
{
    static const cti_cell_kind kinds[] = { CTI_CELL_TANH, CTI_CELL_GRU, CTI_CELL_LSTM };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (cti_gates_of(kinds[i]) == gates) {
            *kind = kinds[i];
            return true;
        }
    return false;
}

/* Finds the kind and H from the shapes of the recurrent weights and the projection. Checks that the
 * shapes of all parts agree with these. */
static bool convert_measure(const job *j, cell *c)
{
    ct_tensor *const *p = c->part;
    int64_t wide, r, h;

    if (!p[W_IH])
        return convert_refuse(j, c, CT_ERR_FORMAT, "the input weights are missing");
    if (ct_rank(p[W_IH]) != 2 || ct_rank(p[W_HH]) != 2 || (p[W_HR] && ct_rank(p[W_HR]) != 2))
        return convert_refuse(j, c, CT_ERR_SHAPE, "the weights must have rank 2");
    wide = ct_size(p[W_HH], 0);
    r = ct_size(p[W_HH], 1);
    h = c->hidden = p[W_HR] ? ct_size(p[W_HR], 1) : r;
    if (!h || wide % h || !convert_kind(wide / h, &c->kind))
        return convert_refuse(j, c, CT_ERR_SHAPE,
                              "the recurrent weights must have 1, 3 or 4 gates");
    if (ct_size(p[W_IH], 0) != wide || !convert_is(p[W_HR], CT_SHAPE(r, h)) ||
        !convert_is(p[B_IH], CT_SHAPE(wide)) || !convert_is(p[B_HH], CT_SHAPE(wide)) ||
        !convert_is(p[B_HN], CT_SHAPE(h)) || (p[B_HN] && c->kind != CTI_CELL_GRU))
        return convert_refuse(j, c, CT_ERR_SHAPE,
                              "the shapes of its weights and biases do not agree");
    return true;
}

/* ---- Keras ---- */

/* Returns t (3 H, ...) with its first two gates exchanged, because Keras has the order z r n and
 * this library r z n. */
static ct_tensor *convert_exchanged(ct_tensor *t)
{
    int64_t h = ct_size(t, 0) / 3;
    ct_tensor *const parts[] = { ct_narrow(t, 0, h, h), ct_narrow(t, 0, 0, h),
                                 ct_narrow(t, 0, 2 * h, h) };

    return ct_cat(3, parts, 0);
}

static void convert_exchange_gates(cell *c)
{
    static const int with_gates[] = { W_IH, W_HH, B_IH, B_HH };
    size_t i;

    for (i = 0; c->kind == CTI_CELL_GRU && i < sizeof with_gates / sizeof *with_gates; i++)
        if (c->part[with_gates[i]])
            c->part[with_gates[i]] = convert_exchanged(c->part[with_gates[i]]);
}

static bool convert_from_keras(const job *j, cell *c)
{
    ct_tensor *b = c->part[B_IH];

    if (c->part[W_IH] && (ct_rank(c->part[W_IH]) != 2 || ct_rank(c->part[W_HH]) != 2))
        return convert_refuse(j, c, CT_ERR_SHAPE, "the weights must have rank 2");
    if (c->part[W_IH])
        c->part[W_IH] = ct_transpose(c->part[W_IH], 0, 1);
    c->part[W_HH] = ct_transpose(c->part[W_HH], 0, 1);
    if (b && ct_rank(b) == 2 && ct_size(b, 0) == 2) {
        c->part[B_IH] = ct_select(b, 0, 0);
        c->part[B_HH] = ct_select(b, 0, 1);
    }
    if (!convert_measure(j, c))
        return false;
    convert_exchange_gates(c);
    return true;
}

static void convert_to_keras(cell *c)
{
    convert_exchange_gates(c);
    c->part[W_IH] = ct_transpose(c->part[W_IH], 0, 1);
    c->part[W_HH] = ct_transpose(c->part[W_HH], 0, 1);
    if (c->part[B_HH])
        c->part[B_IH] = ct_stack(2, (ct_tensor *[]){ c->part[B_IH], c->part[B_HH] }, 0);
    c->part[B_HH] = NULL;
}

/* ---- Flax: a part for each gate ---- */

/* The letters of the gates; an empty text for a kind with one gate. */
static const char *const gate_letters[] = {
    [CTI_CELL_TANH] = "", [CTI_CELL_LSTM] = "ifgo", [CTI_CELL_GRU] = "rzn"
};

/* "hf.kernel": the name of the part of gate number g in the half 'i' (input) or 'h' (state) */
static void convert_gate_name(char name[16], char half, cti_cell_kind kind, int64_t g,
                              const char *what)
{
    const char *letters = gate_letters[kind];

    if (*letters)
        snprintf(name, 16, "%c%c.%s", half, letters[g], what);
    else
        snprintf(name, 16, "%c.%s", half, what);
}

/* Reads all gates of a part and joins them along axis 0; kernels are transposed. NULL if the file
 * has none of them; NULL with an error if some are missing. */
static ct_tensor *convert_take_gates(job *j, const cell *c, char half, const char *what)
{
    const int gates = (int)cti_gates_of(c->kind);
    ct_tensor *gate[4] = { NULL };
    int g, there = 0;
    char name[16];

    for (g = 0; g < gates; g++) {
        convert_gate_name(name, half, c->kind, g, what);
        gate[g] = convert_take(j, &c->place, name);
        there += gate[g] != NULL;
        if (ct_rank(gate[g]) == 2)
            gate[g] = ct_transpose(gate[g], 0, 1);
    }
    if (there && there < gates)
        convert_refuse(j, c, CT_ERR_FORMAT, "a gate is missing");
    return there == gates ? ct_cat(gates, gate, 0) : NULL;
}

/* Finds the half ('i' or 'h') whose parts have Flax's biases, and the part of cell.h for these
 * biases. */
static char convert_flax_bias(cti_cell_kind kind, int *part)
{
    *part = kind == CTI_CELL_LSTM ? B_HH : B_IH;
    return kind == CTI_CELL_LSTM ? 'h' : 'i';
}

static bool convert_from_flax(job *j, cell *c)
{
    const cti_cell_kind kind = c->kind; /* set by convert_begins_cell from the names */
    int part;
    const char half = convert_flax_bias(kind, &part);

    c->part[W_IH] = convert_take_gates(j, c, 'i', "kernel");
    c->part[W_HH] = convert_take_gates(j, c, 'h', "kernel");
    c->part[part] = convert_take_gates(j, c, half, "bias");
    if (kind == CTI_CELL_GRU)
        c->part[B_HN] = convert_take(j, &c->place, "hn.bias");
    if (!ct_ok() || !convert_measure(j, c))
        return false;
    return c->kind == kind || convert_refuse(j, c, CT_ERR_SHAPE, "each kernel must have one gate");
}

/* Writes all gates of a part. */
static void convert_put_gates(job *j, cell *c, char half, const char *what, int part)
{
    const int64_t gates = cti_gates_of(c->kind);
    ct_tensor *all = c->part[part];
    char name[16];
    int64_t g;

    c->part[part] = NULL;
    for (g = 0; all && g < gates; g++) {
        ct_tensor *gate = ct_narrow(all, 0, g * c->hidden, c->hidden);

        convert_gate_name(name, half, c->kind, g, what);
        convert_put(j, &c->place, name, *what == 'k' ? ct_transpose(gate, 0, 1) : gate);
    }
}

static void convert_to_flax(job *j, cell *c)
{
    ct_tensor *hn = c->part[B_HN];
    int part;
    const char half = convert_flax_bias(c->kind, &part);

    c->part[B_HN] = NULL;
    convert_put_gates(j, c, 'i', "kernel", W_IH);
    convert_put_gates(j, c, 'h', "kernel", W_HH);
    convert_put_gates(j, c, half, "bias", part);
    if (c->kind == CTI_CELL_GRU)
        convert_put(j, &c->place, "hn.bias", hn);
}

/* ---- biases ---- */

/* Gluon and Flax have no GRU that resets before the matmul. */
static bool convert_resets_after(ct_dialect layout)
{
    return layout == CT_DIALECT_GLUON || layout == CT_DIALECT_FLAX;
}

/* Refuses a GRU whose biases contradict .reset_before: one that resets after the matmul has two
 * biases that cannot be merged, one that resets before has a single bias in Keras. */
static bool convert_check_reset(const job *j, const cell *c)
{
    const bool keras = j->o.from == CT_DIALECT_KERAS, before = j->o.reset_before;
    const bool two = c->part[B_HN] || (keras && c->part[B_HH]);
    const bool one = keras && c->part[B_IH] && !c->part[B_HH];

    if (c->kind != CTI_CELL_GRU)
        return true;
    if (before && (convert_resets_after(j->o.from) || two))
        return convert_refuse(j, c, CT_ERR_ARGUMENT,
                              "the GRU resets after the matmul; its two biases cannot be merged");
    if (!before && one)
        return convert_refuse(
            j, c, CT_ERR_ARGUMENT,
            "the GRU has one bias, so it resets before the matmul; set options.reset_before");
    if (before && convert_resets_after(j->o.to))
        return convert_refuse(j, c, CT_ERR_ARGUMENT,
                              "the target has no GRU that resets before the matmul");
    return true;
}

/* Returns a + b, where NULL counts as 0; NULL if both are NULL. */
static ct_tensor *convert_sum(ct_tensor *a, ct_tensor *b)
{
    if (!a || !b)
        return a ? a : b;
    return ct_add(a, b);
}

static ct_tensor *convert_or_else(ct_tensor *t, ct_tensor *zero)
{
    return t ? t : zero;
}

/* For a GRU that resets after the matmul: rewrites the biases as b_ih and b_hh (3 H), without
 * b_hn. */
static void convert_spread_hn(cell *c, ct_tensor *zero)
{
    int64_t h = c->hidden;
    ct_tensor *hh = c->part[B_HH] = convert_or_else(c->part[B_HH], zero),
              *n = ct_narrow(hh, 0, 2 * h, h);

    if (c->part[B_HN])
        c->part[B_HH] = ct_cat(
            2, (ct_tensor *[]){ ct_narrow(hh, 0, 0, 2 * h), convert_sum(n, c->part[B_HN]) }, 0);
    c->part[B_HN] = NULL;
}

/* For a GRU that resets after the matmul: rewrites the biases as b_ih and b_hn, without b_hh. The
 * part of b_hh for r and z is added to b_ih. */
static void convert_collect_hn(cell *c, ct_tensor *zero)
{
    int64_t h = c->hidden;
    ct_tensor *hh = c->part[B_HH];
    ct_tensor *rz =
        ct_cat(2, (ct_tensor *[]){ ct_narrow(hh, 0, 0, 2 * h), ct_narrow(zero, 0, 0, h) }, 0);

    c->part[B_IH] = convert_sum(c->part[B_IH], rz);
    c->part[B_HN] = ct_narrow(hh, 0, 2 * h, h);
    c->part[B_HH] = NULL;
}

/* Changes the biases of the cell to those that the target dialect has. */
static void convert_fit_biases(const job *j, cell *c)
{
    const ct_dialect whose = j->o.to == CT_DIALECT_TORCH ? j->o.biases : j->o.to;
    const bool none = !c->part[B_IH] && !c->part[B_HH] && !c->part[B_HN];
    const bool required = j->o.to == CT_DIALECT_GLUON || j->o.to == CT_DIALECT_FLAX;
    const cti_biases has = cti_cell_biases(whose, c->kind, j->o.reset_before);
    ct_tensor *zero;

    if (none && !required)
        return;
    zero = ct_zeros(CT_SHAPE(cti_gates_of(c->kind) * c->hidden), ct_tensor_dtype(c->part[W_HH]),
                    CT_CPU);
    if (c->kind == CTI_CELL_GRU && !j->o.reset_before) {
        c->part[B_IH] = convert_or_else(c->part[B_IH], zero);
        convert_spread_hn(c, zero);
        if (has.hn)
            convert_collect_hn(c, zero);
    } else if (has.ih && has.hh) {
        c->part[B_IH] = convert_or_else(c->part[B_IH], zero);
        c->part[B_HH] = convert_or_else(c->part[B_HH], zero);
    } else {
        c->part[has.ih ? B_IH : B_HH] =
            convert_or_else(convert_sum(c->part[B_IH], c->part[B_HH]), zero);
        c->part[has.ih ? B_HH : B_IH] = NULL;
    }
}

/* ---- cells ---- */

static void convert_write_cell(job *j, cell *c)
{
    const char *const *names = part_names[j->o.to];
    int i;

    convert_fit_biases(j, c);
    if (j->o.to == CT_DIALECT_KERAS)
        convert_to_keras(c);
    if (j->o.to == CT_DIALECT_FLAX)
        convert_to_flax(j, c);
    for (i = 0; i < PARTS; i++)
        if (c->part[i] && names[i])
            convert_put(j, &c->place, names[i], c->part[i]);
        else if (c->part[i])
            convert_refuse(j, c, CT_ERR_ARGUMENT, "the target has no projection and no layer norm");
}

/* Reads the parts of a cell, in the form of cell.h. */
static bool convert_read_cell(job *j, cell *c)
{
    int i;

    if (j->o.from == CT_DIALECT_FLAX)
        return convert_from_flax(j, c);
    for (i = 0; i < PARTS; i++)
        c->part[i] =
            part_names[j->o.from][i] ? convert_take(j, &c->place, part_names[j->o.from][i]) : NULL;
    return ct_ok() &&
           (j->o.from == CT_DIALECT_KERAS ? convert_from_keras(j, c) : convert_measure(j, c));
}

/* True if the file has a tensor for the part `what` of the cell at a place. */
static bool convert_is_there(const job *j, const place *p, const char *what)
{
    char *name = convert_name_of(j->o.from, p, what);
    bool found = name && convert_find(&j->in, name);

    cti_release(name);
    return found;
}

/* True if name is that of the recurrent weights of a cell; in Flax, of their first gate. *c becomes
 * the place of the cell and, in Flax, its kind. A Dense with the name "h" is not a cell, because it
 * has no input weights beside it. */
static bool convert_begins_cell(const job *j, const char *name, cell *c)
{
    static const cti_cell_kind kinds[] = { CTI_CELL_TANH, CTI_CELL_GRU, CTI_CELL_LSTM };
    char what[16];

    if (j->o.from != CT_DIALECT_FLAX)
        return convert_parse(j->o.from, name, part_names[j->o.from][W_HH], &c->place);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        c->kind = kinds[i];
        convert_gate_name(what, 'h', c->kind, 0, "kernel");
        if (!convert_parse(CT_DIALECT_FLAX, name, what, &c->place))
            continue;
        convert_gate_name(what, 'i', c->kind, 0, "kernel");
        return convert_is_there(j, &c->place, what);
    }
    return false;
}

static bool convert_is_kept(const job *j, const char *name)
{
    return j->o.keep && fnmatch(j->o.keep, name, 0) == 0;
}

static bool convert_cells(job *j)
{
    int i;

    for (i = 0; i < j->in.count && ct_ok(); i++) {
        cell c = { .kind = CTI_CELL_TANH };

        if (!convert_is_kept(j, j->in.at[i].name) && convert_begins_cell(j, j->in.at[i].name, &c) &&
            convert_read_cell(j, &c) && convert_check_reset(j, &c))
            convert_write_cell(j, &c);
    }
    return ct_ok();
}

/* ---- the rest ---- */

static const char *convert_linear_name(ct_dialect layout)
{
    return layout == CT_DIALECT_TORCH || layout == CT_DIALECT_GLUON ? "weight" : "kernel";
}

/* Writes the weight of a Linear under the layout's name, and any other tensor unchanged. */
static void convert_other(job *j, const entry *e)
{
    const char *from = convert_linear_name(j->o.from), *to = convert_linear_name(j->o.to);
    int start = convert_last_part(e->name, (int)strlen(e->name));
    const place p = { e->name, start, -1, 0 };

    if (convert_is_kept(j, e->name) || from == to || strcmp(e->name + start, from) != 0 ||
        ct_rank(e->value) != 2)
        convert_append(&j->out, cti_rename_prefix(me, NULL, e->name), e->value);
    else
        convert_put(j, &p, to, ct_transpose(e->value, 0, 1));
}

static bool convert_others(job *j)
{
    int i;

    for (i = 0; i < j->in.count; i++)
        if (!j->in.at[i].taken)
            convert_other(j, &j->in.at[i]);
    return ct_ok();
}

static bool convert_check_dialect(const char *name, ct_dialect dialect)
{
    if ((unsigned)dialect <= CT_DIALECT_FLAX)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "%s is %d; it must be in 0..%d", name, (int)dialect,
             (int)CT_DIALECT_FLAX);
    return false;
}

static bool convert_check_options(const char *from, const char *to, const ct_convert_options *o)
{
    if (!cti_given(me, "from", from) || !cti_given(me, "to", to))
        return false;
    if (!convert_check_dialect("options.from", o->from) ||
        !convert_check_dialect("options.to", o->to) ||
        !convert_check_dialect("options.biases", o->biases))
        return false;
    if (o->to != CT_DIALECT_TORCH && o->biases != CT_DIALECT_TORCH)
        ct_raise(CT_ERR_ARGUMENT, me, "options.biases is %s; it requires options.to torch, not %s",
                 ct_dialect_name(o->biases), ct_dialect_name(o->to));
    return ct_ok();
}

ct_status ct_convert(const char *from, const char *to, ct_convert_options options)
{
    job j = { .o = options };
    ct_scope s;
    bool ok;

    if (!cti_sink_allowed() || !convert_check_options(from, to, &options))
        return ct_error();
    s = cti_scope_push();
    ok = convert_read_all(&j, from) && convert_cells(&j) && convert_others(&j) &&
         convert_write_all(&j, to);
    cti_scope_pop(s);
    convert_free_list(&j.in);
    convert_free_list(&j.out);
    return ok ? CT_OK : ct_error();
}

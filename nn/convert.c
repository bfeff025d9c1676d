/* convert.c - state dicts from one framework's layout to another's. What is read comes into the
 * form of cell.h, the one of modules here; what is written goes out from it. */
#include "nn/cell.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tensor/read_file.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/shape.h>
#include <cotangent/nn/convert.h>
#include <cotangent/tensor/safetensors.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const me = "ct_convert";

/* Functions that return nothing do nothing more once an error stands: callers go on to the next
 * ct_ok(). */

/* ---- lists of named tensors ---- */

typedef struct entry {
    char *name; /* owned */
    ct_tensor *value;
    bool taken;
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

/* Takes name over, whatever happens. */
static void append(list *l, char *name, ct_tensor *value)
{
    if (name && value && cti_grow(me, (void **)&l->at, &l->room, (size_t)l->count, sizeof *l->at))
        l->at[l->count++] = (entry){ .name = name, .value = value };
    else
        cti_release(name);
}

static void free_list(list *l)
{
    while (l->count)
        cti_release(l->at[--l->count].name);
    cti_release(l->at);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static entry *find(const list *l, const char *name)
{
    const entry wanted = { .name = (char *)name };

    return bsearch(&wanted, l->at, (size_t)l->count, sizeof wanted, by_name);
}

/* "TEXT" and "MORE", in memory of its own. */
static char *joined(const char *text, const char *more)
{
    size_t n = strlen(text), m = strlen(more);
    char *s = cti_calloc(n + m + 1, 1);

    if (!s) {
        cti_out_of_memory(me, n + m + 1);
        return NULL;
    }
    memcpy(s, text, n);
    memcpy(s + n, more, m);
    return s;
}

static char *renamed(const ct_prefix *map, const char *name)
{
    for (; map && map->from && map->to; map++)
        if (strncmp(name, map->from, strlen(map->from)) == 0)
            return joined(map->to, name + strlen(map->from));
    return joined(name, "");
}

static bool read_all(job *j, const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    int i;

    for (i = 0; i < ct_safetensors_count(f) && ct_ok(); i++)
        append(&j->in, renamed(j->o.rename, ct_safetensors_name(f, i)),
               ct_safetensors_load(f, i, CT_CPU));
    ct_safetensors_close(f);
    if (!ct_ok())
        return false;
    if (j->in.count)
        qsort(j->in.at, (size_t)j->in.count, sizeof *j->in.at, by_name);
    for (i = 1; i < j->in.count; i++)
        if (by_name(&j->in.at[i - 1], &j->in.at[i]) == 0)
            ct_raise(CT_ERR_FORMAT, me, "%.400s: two names become %s", path,
                     cti_quote(j->in.at[i].name).s);
    return ct_ok();
}

static bool write_all(const job *j, const char *path)
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

/* Parts of a cell, shaped as in cell.h. */
enum { W_IH, W_HH, W_HR, B_IH, B_HH, B_HN, LN_IH, LN_HH, LN_C, B_C, PARTS };

/* Flax's are of gates; see below. */
static const char *const part_names[][PARTS] = {
    [CT_DIALECT_TORCH] = { "weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh", "bias_hn",
                           "ln_ih", "ln_hh", "ln_c", "bias_c" },
    [CT_DIALECT_GLUON] = { "i2h_weight", "h2h_weight", "h2r_weight", "i2h_bias", "h2h_bias" },
    [CT_DIALECT_KERAS] = { "kernel", "recurrent_kernel", NULL, "bias" },
    [CT_DIALECT_FLAX] = { NULL },
};

/* Where a cell's parts stand: under a prefix, with a layer and a direction unless it is alone. */
typedef struct place {
    const char *prefix; /* the name of the recurrent weights, of which it is the first part */
    int length;         /* of the prefix */
    int layer;          /* -1: alone */
    int direction;      /* 1: backward in time */
} place;

static char *name_of(ct_dialect layout, const place *p, const char *what)
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

/* The number that *s begins with, below CTI_MOST_LAYERS and without a leading zero, or -1; *s goes
 * past it. */
static int layer_number(const char **s)
{
    int n = 0, digits = 0;

    for (; **s >= '0' && **s <= '9' && n < CTI_MOST_LAYERS; digits++, ++*s)
        if (digits && n == 0)
            return -1;
        else
            n = 10 * n + (**s - '0');
    return digits && n < CTI_MOST_LAYERS ? n : -1;
}

static int last_part(const char *name, int length)
{
    while (length && name[length - 1] != '.')
        length--;
    return length;
}

/* WHAT, WHAT_lK or WHAT_lK_reverse after the last dot */
static bool parse_torch(const char *name, const char *what, place *p)
{
    int start = last_part(name, (int)strlen(name));
    const char *rest = name + start + strlen(what);

    if (strncmp(name + start, what, strlen(what)) != 0)
        return false;
    *p = (place){ name, start, -1, 0 };
    if (!*rest)
        return true;
    if (strncmp(rest, "_l", 2) != 0)
        return false;
    rest += 2;
    p->layer = layer_number(&rest);
    p->direction = strcmp(rest, "_reverse") == 0;
    return p->layer >= 0 && (p->direction || !*rest);
}

/* WHAT at the end, with lK or rK before it, which an underscore (Gluon) or a dot ends */
static bool parse_other(ct_dialect layout, const char *name, const char *what, place *p)
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
    start = last_part(name, head - 1);
    s = name + start + 1;
    if (name[start] == 'l' || name[start] == 'r') {
        int layer = layer_number(&s);

        if (layer >= 0 && s == name + head - 1)
            *p = (place){ name, start, layer, name[start] == 'r' };
    }
    return p->layer >= 0 || layout != CT_DIALECT_GLUON;
}

/* True, and where, if name is that of the part called what. */
static bool parse(ct_dialect layout, const char *name, const char *what, place *p)
{
    return layout == CT_DIALECT_TORCH ? parse_torch(name, what, p)
                                      : parse_other(layout, name, what, p);
}

/* ---- parts ---- */

typedef struct cell {
    place place;
    ct_tensor *part[PARTS];
    int gates;
    int64_t hidden;
} cell;

/* The file's tensor at a place, which counts as used from now on; NULL without an error if it has
 * none. */
static ct_tensor *take(job *j, const place *p, const char *what)
{
    char *name = name_of(j->o.from, p, what);
    entry *e = name ? find(&j->in, name) : NULL;

    cti_release(name);
    if (!e)
        return NULL;
    e->taken = true;
    return e->value;
}

static void put(job *j, const place *p, const char *what, ct_tensor *t)
{
    append(&j->out, name_of(j->o.to, p, what), t);
}

static bool refuse(const job *j, const cell *c, ct_status status, const char *why)
{
    ct_raise(status, me, "the cell of %s (%s to %s): %s", cti_quote(c->place.prefix).s,
             ct_dialect_name(j->o.from), ct_dialect_name(j->o.to), why);
    return false;
}

static bool is(const ct_tensor *t, ct_shape shape)
{
    return !t || cti_same_shape(&t->shape, &shape);
}

/* G and H, from the shapes of the recurrent weights and the projection; all parts fit. */
static bool measure(const job *j, cell *c)
{
    ct_tensor *const *p = c->part;
    int64_t wide, r, h, gates;

    if (!p[W_IH])
        return refuse(j, c, CT_ERR_FORMAT, "there are no input weights");
    if (ct_rank(p[W_IH]) != 2 || ct_rank(p[W_HH]) != 2 || (p[W_HR] && ct_rank(p[W_HR]) != 2))
        return refuse(j, c, CT_ERR_SHAPE, "weights are not of rank 2");
    wide = ct_size(p[W_HH], 0);
    r = ct_size(p[W_HH], 1);
    h = c->hidden = p[W_HR] ? ct_size(p[W_HR], 1) : r;
    gates = h && wide % h == 0 ? wide / h : 0;
    if (gates != 1 && gates != 3 && gates != 4)
        return refuse(j, c, CT_ERR_SHAPE, "the recurrent weights are not of 1, 3 or 4 gates");
    c->gates = (int)gates;
    if (ct_size(p[W_IH], 0) != wide || !is(p[W_HR], CT_SHAPE(r, h)) ||
        !is(p[B_IH], CT_SHAPE(wide)) || !is(p[B_HH], CT_SHAPE(wide)) || !is(p[B_HN], CT_SHAPE(h)) ||
        (p[B_HN] && gates != 3))
        return refuse(j, c, CT_ERR_SHAPE, "the parts' shapes do not fit together");
    return true;
}

/* ---- Keras ---- */

/* t (3 H, ...) with its first two gates exchanged: r z n and z r n */
static ct_tensor *exchanged(ct_tensor *t)
{
    int64_t h = ct_size(t, 0) / 3;
    ct_tensor *const parts[] = { ct_narrow(t, 0, h, h), ct_narrow(t, 0, 0, h),
                                 ct_narrow(t, 0, 2 * h, h) };

    return ct_cat(3, parts, 0);
}

static void exchange_gates(cell *c)
{
    static const int with_gates[] = { W_IH, W_HH, B_IH, B_HH };
    size_t i;

    for (i = 0; c->gates == 3 && i < sizeof with_gates / sizeof *with_gates; i++)
        if (c->part[with_gates[i]])
            c->part[with_gates[i]] = exchanged(c->part[with_gates[i]]);
}

static bool from_keras(const job *j, cell *c)
{
    ct_tensor *b = c->part[B_IH];

    if (c->part[W_IH] && (ct_rank(c->part[W_IH]) != 2 || ct_rank(c->part[W_HH]) != 2))
        return refuse(j, c, CT_ERR_SHAPE, "weights are not of rank 2");
    if (c->part[W_IH])
        c->part[W_IH] = ct_transpose(c->part[W_IH], 0, 1);
    c->part[W_HH] = ct_transpose(c->part[W_HH], 0, 1);
    if (b && ct_rank(b) == 2 && ct_size(b, 0) == 2) {
        c->part[B_IH] = ct_select(b, 0, 0);
        c->part[B_HH] = ct_select(b, 0, 1);
    }
    if (!measure(j, c))
        return false;
    exchange_gates(c);
    return true;
}

static void to_keras(cell *c)
{
    exchange_gates(c);
    c->part[W_IH] = ct_transpose(c->part[W_IH], 0, 1);
    c->part[W_HH] = ct_transpose(c->part[W_HH], 0, 1);
    if (c->part[B_HH])
        c->part[B_IH] = ct_stack(2, (ct_tensor *[]){ c->part[B_IH], c->part[B_HH] }, 0);
    c->part[B_HH] = NULL;
}

/* ---- Flax: a part for each gate ---- */

static const char *gate_letters(int gates)
{
    return gates == 4 ? "ifgo" : gates == 3 ? "rzn" : "";
}

/* "hf.kernel", the part of gate g of the input's half 'i' or the state's 'h' */
static void gate_name(char name[16], char half, int gates, int g, const char *what)
{
    const char letter[2] = { gate_letters(gates)[gates == 1 ? 0 : g], '\0' };

    snprintf(name, 16, "%c%s.%s", half, letter, what);
}

/* All gates of a part, one under another; kernels transposed. NULL without an error where none of
 * them is there, with one where some are. */
static ct_tensor *take_gates(job *j, const cell *c, char half, const char *what)
{
    ct_tensor *gate[4] = { NULL };
    int g, there = 0;
    char name[16];

    for (g = 0; g < c->gates; g++) {
        gate_name(name, half, c->gates, g, what);
        gate[g] = take(j, &c->place, name);
        there += gate[g] != NULL;
        if (ct_rank(gate[g]) == 2)
            gate[g] = ct_transpose(gate[g], 0, 1);
    }
    if (there && there < c->gates)
        refuse(j, c, CT_ERR_FORMAT, "a gate is missing");
    return there == c->gates ? ct_cat(c->gates, gate, 0) : NULL;
}

static bool from_flax(job *j, cell *c)
{
    const int gates = c->gates;

    c->part[W_IH] = take_gates(j, c, 'i', "kernel");
    c->part[W_HH] = take_gates(j, c, 'h', "kernel");
    if (c->gates == 4)
        c->part[B_HH] = take_gates(j, c, 'h', "bias");
    else
        c->part[B_IH] = take_gates(j, c, 'i', "bias");
    if (c->gates == 3)
        c->part[B_HN] = take(j, &c->place, "hn.bias");
    if (!ct_ok() || !measure(j, c))
        return false;
    return c->gates == gates || refuse(j, c, CT_ERR_SHAPE, "the kernels are not of one gate each");
}

static void put_gates(job *j, cell *c, char half, const char *what, int part)
{
    ct_tensor *all = c->part[part];
    char name[16];
    int g;

    c->part[part] = NULL;
    for (g = 0; all && g < c->gates; g++) {
        ct_tensor *gate = ct_narrow(all, 0, g * c->hidden, c->hidden);

        gate_name(name, half, c->gates, g, what);
        put(j, &c->place, name, *what == 'k' ? ct_transpose(gate, 0, 1) : gate);
    }
}

static void to_flax(job *j, cell *c)
{
    ct_tensor *hn = c->part[B_HN];

    c->part[B_HN] = NULL;
    put_gates(j, c, 'i', "kernel", W_IH);
    put_gates(j, c, 'h', "kernel", W_HH);
    if (c->gates == 4)
        put_gates(j, c, 'h', "bias", B_HH);
    else
        put_gates(j, c, 'i', "bias", B_IH);
    if (c->gates == 3)
        put(j, &c->place, "hn.bias", hn);
}

/* ---- biases ---- */

/* Whether the GRU resets as the options say, as far as its biases tell. */
static bool check_reset(const job *j, const cell *c)
{
    const bool before = j->o.reset_before;

    if (c->gates != 3)
        return true;
    if (before && (j->o.from == CT_DIALECT_GLUON || j->o.from == CT_DIALECT_FLAX || c->part[B_HN] ||
                   (j->o.from == CT_DIALECT_KERAS && c->part[B_HH])))
        return refuse(j, c, CT_ERR_ARGUMENT,
                      "the GRU resets after the matmul, so that its two biases have no sum");
    if (!before && j->o.from == CT_DIALECT_KERAS && c->part[B_IH] && !c->part[B_HH])
        return refuse(j, c, CT_ERR_ARGUMENT,
                      "the GRU has one bias, so it resets before the matmul (.reset_before)");
    if (before && (j->o.to == CT_DIALECT_GLUON || j->o.to == CT_DIALECT_FLAX))
        return refuse(j, c, CT_ERR_ARGUMENT, "it has no GRU that resets before the matmul");
    return true;
}

/* a + b, where NULL is 0; NULL for both. */
static ct_tensor *sum(ct_tensor *a, ct_tensor *b)
{
    return a && b ? ct_add(a, b) : a ? a : b;
}

static ct_tensor *or_else(ct_tensor *t, ct_tensor *zero)
{
    return t ? t : zero;
}

/* The biases of a GRU that resets after the matmul, as input's and state's (3 H) and no b_hn */
static void spread_hn(cell *c, ct_tensor *zero)
{
    int64_t h = c->hidden;
    ct_tensor *hh = c->part[B_HH] = or_else(c->part[B_HH], zero), *n = ct_narrow(hh, 0, 2 * h, h);

    if (c->part[B_HN])
        c->part[B_HH] =
            ct_cat(2, (ct_tensor *[]){ ct_narrow(hh, 0, 0, 2 * h), sum(n, c->part[B_HN]) }, 0);
    c->part[B_HN] = NULL;
}

/* The opposite: what the state's bias adds to r and z goes to the input's. */
static void collect_hn(cell *c, ct_tensor *zero)
{
    int64_t h = c->hidden;
    ct_tensor *hh = c->part[B_HH];
    ct_tensor *rz =
        ct_cat(2, (ct_tensor *[]){ ct_narrow(hh, 0, 0, 2 * h), ct_narrow(zero, 0, 0, h) }, 0);

    c->part[B_IH] = sum(c->part[B_IH], rz);
    c->part[B_HN] = ct_narrow(hh, 0, 2 * h, h);
    c->part[B_HH] = NULL;
}

/* Brings the biases to those that the result has. */
static void fit_biases(const job *j, cell *c)
{
    ct_dialect whose = j->o.to == CT_DIALECT_TORCH ? j->o.biases : j->o.to;
    const bool none = !c->part[B_IH] && !c->part[B_HH] && !c->part[B_HN];
    const bool always = j->o.to == CT_DIALECT_GLUON || j->o.to == CT_DIALECT_FLAX;
    ct_tensor *zero =
        ct_zeros(CT_SHAPE(c->gates * c->hidden), ct_tensor_dtype(c->part[W_HH]), CT_CPU);
    cti_biases has;

    if (none && !always)
        return;
    has = cti_biases_of(whose, c->gates, j->o.reset_before);
    if (c->gates == 3 && !j->o.reset_before) {
        c->part[B_IH] = or_else(c->part[B_IH], zero);
        spread_hn(c, zero);
        if (has.hn)
            collect_hn(c, zero);
        return;
    }
    if (has.ih && has.hh) {
        c->part[B_IH] = or_else(c->part[B_IH], zero);
        c->part[B_HH] = or_else(c->part[B_HH], zero);
        return;
    }
    c->part[has.ih ? B_IH : B_HH] = or_else(sum(c->part[B_IH], c->part[B_HH]), zero);
    c->part[has.ih ? B_HH : B_IH] = NULL;
}

/* ---- cells ---- */

static void write_cell(job *j, cell *c)
{
    const char *const *names = part_names[j->o.to];
    int i;

    fit_biases(j, c);
    if (j->o.to == CT_DIALECT_KERAS)
        to_keras(c);
    if (j->o.to == CT_DIALECT_FLAX)
        to_flax(j, c);
    for (i = 0; i < PARTS; i++)
        if (c->part[i] && names[i])
            put(j, &c->place, names[i], c->part[i]);
        else if (c->part[i])
            refuse(j, c, CT_ERR_ARGUMENT, "it has no place for a projection or layer norm");
}

/* The file's parts of a cell, in the form of cell.h. */
static bool read_cell(job *j, cell *c)
{
    int i;

    if (j->o.from == CT_DIALECT_FLAX)
        return from_flax(j, c);
    for (i = 0; i < PARTS; i++)
        c->part[i] = part_names[j->o.from][i] ? take(j, &c->place, part_names[j->o.from][i]) : NULL;
    return ct_ok() && (j->o.from == CT_DIALECT_KERAS ? from_keras(j, c) : measure(j, c));
}

/* True if the file has the tensor. */
static bool is_there(const job *j, const place *p, const char *what)
{
    char *name = name_of(j->o.from, p, what);
    bool found = name && find(&j->in, name);

    cti_release(name);
    return found;
}

/* True if name is that of a cell's recurrent weights, in Flax the first gate's. A Dense that is
 * called "h" is none. */
static bool begins_cell(const job *j, const char *name, cell *c)
{
    static const int kinds[] = { 1, 3, 4 };
    char what[16];
    int i;

    if (j->o.from != CT_DIALECT_FLAX)
        return parse(j->o.from, name, part_names[j->o.from][W_HH], &c->place);
    for (i = 0; i < 3; i++) {
        c->gates = kinds[i];
        gate_name(what, 'h', kinds[i], 0, "kernel");
        if (!parse(CT_DIALECT_FLAX, name, what, &c->place))
            continue;
        gate_name(what, 'i', kinds[i], 0, "kernel");
        return is_there(j, &c->place, what);
    }
    return false;
}

static bool is_kept(const job *j, const char *name)
{
    return j->o.keep && fnmatch(j->o.keep, name, 0) == 0;
}

static bool convert_cells(job *j)
{
    int i;

    for (i = 0; i < j->in.count && ct_ok(); i++) {
        cell c = { .gates = 0 };

        if (!is_kept(j, j->in.at[i].name) && begins_cell(j, j->in.at[i].name, &c) &&
            read_cell(j, &c) && check_reset(j, &c))
            write_cell(j, &c);
    }
    return ct_ok();
}

/* ---- the rest ---- */

static const char *linear_name(ct_dialect layout)
{
    return layout == CT_DIALECT_TORCH || layout == CT_DIALECT_GLUON ? "weight" : "kernel";
}

/* A Linear's weight, in its place, or anything else as it is. */
static void convert_other(job *j, const entry *e)
{
    const char *from = linear_name(j->o.from), *to = linear_name(j->o.to);
    int start = last_part(e->name, (int)strlen(e->name));
    const place p = { e->name, start, -1, 0 };

    if (is_kept(j, e->name) || from == to || strcmp(e->name + start, from) != 0 ||
        ct_rank(e->value) != 2)
        append(&j->out, joined(e->name, ""), e->value);
    else
        put(j, &p, to, ct_transpose(e->value, 0, 1));
}

static bool convert_others(job *j)
{
    int i;

    for (i = 0; i < j->in.count; i++)
        if (!j->in.at[i].taken)
            convert_other(j, &j->in.at[i]);
    return ct_ok();
}

static bool check_options(const char *from, const char *to, const ct_convert_options *o)
{
    if (!from || !to)
        ct_raise(CT_ERR_ARGUMENT, me, "%s is NULL", from ? "to" : "from");
    else if ((unsigned)o->from > CT_DIALECT_FLAX || (unsigned)o->to > CT_DIALECT_FLAX ||
             (unsigned)o->biases > CT_DIALECT_FLAX)
        ct_raise(CT_ERR_ARGUMENT, me, "there is no dialect %d, %d or %d", (int)o->from, (int)o->to,
                 (int)o->biases);
    else if (o->to != CT_DIALECT_TORCH && o->biases != CT_DIALECT_TORCH)
        ct_raise(CT_ERR_ARGUMENT, me, "biases of %s in the layout of %s: the layout has its own",
                 ct_dialect_name(o->biases), ct_dialect_name(o->to));
    return ct_ok();
}

ct_status ct_convert(const char *from, const char *to, ct_convert_options options)
{
    job j = { .o = options };
    ct_scope s;
    bool ok;

    if (!cti_sink_allowed() || !check_options(from, to, &options))
        return ct_error();
    s = cti_scope_push();
    ok = read_all(&j, from) && convert_cells(&j) && convert_others(&j) && write_all(&j, to);
    cti_scope_pop(s);
    free_list(&j.in);
    free_list(&j.out);
    return ok ? CT_OK : ct_error();
}

/* SPDX-License-Identifier: MIT */
/* generate.c - generation of tokens: reads the prefixes of a batch, then runs step after step.
 *
 * A sequence that has not ended is a cti_hypothesis: a row of the model's state, and the token that the
 * model reads next. A step reads one token of each sequence. How its logits continue the sequences
 * is in sampling.c and beam_search.c: each new sequence names the one whose state it continues, and
 * the state is selected by these numbers, unless they are 0, 1, 2, ...
 *
 * The tokens of all sequences are a tree: a node has a token and the node before it. */
#include "nn/generate_internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/index.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHUNK 256 /* the tokens of a row that one call of read gets */
#define MOST_BEAMS 4096

/* ---- checks ---- */

static bool generation_check_beams(const char *me, ct_generation_options *o)
{
    o->beams = o->beams ? o->beams : 1;
    o->n_best = o->n_best ? o->n_best : 1;
    o->length_penalty = cti_option(o->length_penalty, 1);
    if (o->beams < 1 || o->beams > MOST_BEAMS)
        ct_raise(CT_ERR_ARGUMENT, me, "beams is %lld; it must be in 1..%d", (long long)o->beams,
                 MOST_BEAMS);
    else if (o->n_best < 1 || o->n_best > o->beams)
        ct_raise(CT_ERR_ARGUMENT, me, "n_best is %lld; it must be in 1..%lld, the number of beams",
                 (long long)o->n_best, (long long)o->beams);
    else if (!isfinite(o->length_penalty))
        ct_raise(CT_ERR_ARGUMENT, me, "length_penalty is %g; it must be finite", o->length_penalty);
    else if (o->beams > 1 && o->temperature > 0)
        ct_raise(CT_ERR_ARGUMENT, me, "temperature is %g; beam search needs 0", o->temperature);
    else if (o->beams > 1 && o->emit)
        ct_raise(CT_ERR_ARGUMENT, me, "beam search does not take emit");
    else
        return true;
    return false;
}

bool cti_generation_check_options(const char *me, ct_generation_options *o, int64_t vocab)
{
    return cti_sampling_check(me, o, vocab) &&
           cti_generation_check_tokens(me, "stop", o->stop_count, o->stop, vocab) &&
           generation_check_beams(me, o);
}

static bool generation_check(const cti_generation_call *c, ct_generation_options *o)
{
    const char *me = c->function;
    const ct_decoder *d = c->decoder;

    if (!ct_ok() || !cti_given(me, "d", d) || !cti_at_least(me, "count", c->count, 0) ||
        !cti_given_array(me, "rows", c->count, c->rows) ||
        (c->state && !cti_state_usable(me, "state", c->state)) ||
        !cti_at_least(me, "d.max_tokens", d->max_tokens, 0))
        return false;
    if (d->vocab < 1 || d->vocab > INT32_MAX) {
        ct_raise(CT_ERR_ARGUMENT, me, "d.vocab is %lld; it must be in 1..%d", (long long)d->vocab,
                 INT32_MAX);
        return false;
    }
    if (!d->step) {
        ct_raise(CT_ERR_ARGUMENT, me, "d.step is NULL");
        return false;
    }
    return cti_at_least(me, "max_tokens", o->max_tokens, 1) &&
           cti_generation_check_options(me, o, d->vocab);
}

/* The state has a row for each sequence; else false with an error. The rows of a decoder with its
 * own select are its own matter. */
static bool generation_check_state(const cti_generation *g, const char *name, const ct_state *s,
                                   int64_t rows)
{
    const char *me = g->call->function;
    int i;

    if (!cti_state_usable(me, name, s))
        return false;
    for (i = 0; !g->call->decoder->select && i < ct_state_count(s); i++) {
        const ct_tensor *t = ct_state_get(s, i);

        if (ct_rank(t) < 2 || ct_size(t, 1) != rows) {
            ct_raise(CT_ERR_SHAPE, me, "%s has a tensor %s; its axis 1 must have size %lld", name,
                     cti_describe(t).s, (long long)rows);
            return false;
        }
    }
    return true;
}

/* ---- sequences ---- */

/* Makes room for `more` elements; false with g->failed. */
static bool generation_grow(cti_generation *g, void **array, int64_t *room, int64_t size,
                            size_t element)
{
    int64_t wanted = size < 32 ? 64 : 2 * size;
    void *grown;

    if (size < *room)
        return true;
    grown = cti_realloc(*array, (size_t)*room * element, (size_t)wanted * element);
    if (!grown) {
        cti_out_of_memory(g->call->function, (size_t)wanted * element);
        g->failed = true;
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}

void cti_generation_continue(cti_generation *g, cti_hypothesis h)
{
    void *next = g->next;

    if (generation_grow(g, &next, &g->next_room, g->next_count, sizeof h)) {
        g->next = next;
        g->next[g->next_count++] = h;
    }
}

bool cti_generation_in_prefix(cti_generation *g, int64_t i)
{
    cti_hypothesis h = g->now[i];
    cti_generation_row *r = &g->row[h.row];

    if (++r->read >= r->asked.prefix_count)
        return false;
    h.parent = i;
    h.token = r->asked.prefix[r->read];
    cti_generation_continue(g, h);
    return true;
}

int64_t cti_generation_add(cti_generation *g, int64_t before, int32_t token)
{
    void *nodes = g->nodes;

    if (!generation_grow(g, &nodes, &g->nodes_room, g->nodes_count, sizeof *g->nodes))
        return -1;
    g->nodes = nodes;
    g->nodes[g->nodes_count] = (cti_generation_node){ before, token };
    return g->nodes_count++;
}

/* The tokens that end with a node, as a new array. */
static int32_t *generation_trace(cti_generation *g, int64_t node, int64_t *count)
{
    int64_t at, n = 0;
    int32_t *ids;

    for (at = node; at >= 0; at = g->nodes[at].before)
        n++;
    ids = cti_calloc((size_t)n + 1, sizeof *ids);
    if (!ids) {
        cti_out_of_memory(g->call->function, ((size_t)n + 1) * sizeof *ids);
        g->failed = true;
        return NULL;
    }
    *count = n;
    for (at = node; at >= 0; at = g->nodes[at].before)
        ids[--n] = g->nodes[at].token;
    return ids;
}

void cti_generation_end_sequence(cti_generation *g, int row, int64_t node, double score,
                                 ct_generation_end end)
{
    cti_generation_row *r = &g->row[row];
    ct_generated ended = { .end = end, .score = score };
    int at = r->count;

    r->ended++;
    while (at > 0 && r->found[at - 1].score < score)
        at--;
    if (at == g->o.n_best)
        return;
    ended.ids = generation_trace(g, node, &ended.count);
    if (!ended.ids)
        return;
    if (r->count == g->o.n_best)
        cti_release((void *)(uintptr_t)r->found[--r->count].ids);
    memmove(&r->found[at + 1], &r->found[at], (size_t)(r->count - at) * sizeof *r->found);
    r->found[at] = ended;
    r->count++;
}

void cti_generation_fail_row(cti_generation *g, int row, ct_status status, const char *text)
{
    cti_generation_row *r = &g->row[row];

    if (r->status != CT_OK)
        return;
    r->status = status;
    while (r->count > 0)
        cti_release((void *)(uintptr_t)r->found[--r->count].ids);
    if (g->call->raise) {
        ct_raise(status, g->call->function, "%s", text);
        g->failed = true;
        return;
    }
    r->message = cti_strdup(text);
}

/* ---- requests ---- */

/* Checks the request of a row; the row fails if it is bad. */
static void generation_check_row(cti_generation *g, int row)
{
    const ct_decoder *d = g->call->decoder;
    cti_generation_row *r = &g->row[row];
    const ct_generation_row *a = &r->asked;
    int64_t i;
    char text[160];

    if (a->max_tokens < 0) {
        snprintf(text, sizeof text, "max_tokens is %lld; it must be at least 0",
                 (long long)a->max_tokens);
        cti_generation_fail_row(g, row, CT_ERR_ARGUMENT, text);
    } else if (a->prefix_count < 1) {
        cti_generation_fail_row(g, row, CT_ERR_ARGUMENT, "the prefix is empty");
    } else if (!a->prefix) {
        cti_generation_fail_row(g, row, CT_ERR_ARGUMENT, "the prefix is NULL");
    } else if (d->max_tokens && a->prefix_count > d->max_tokens) {
        snprintf(text, sizeof text, "the prefix has %d tokens; the model reads at most %lld",
                 a->prefix_count, (long long)d->max_tokens);
        cti_generation_fail_row(g, row, CT_ERR_SHAPE, text);
    }
    for (i = 0; r->status == CT_OK && i < a->prefix_count; i++)
        if (a->prefix[i] < 0 || a->prefix[i] >= d->vocab) {
            snprintf(text, sizeof text, "token %lld of the prefix is %d; it must be in 0..%lld",
                     (long long)i, (int)a->prefix[i], (long long)d->vocab - 1);
            cti_generation_fail_row(g, row, CT_ERR_INDEX, text);
        }
}

/* Prepares the rows and begins a sequence for each that is good. */
static void generation_begin(cti_generation *g)
{
    const int64_t limit = g->call->decoder->max_tokens;
    int i;

    for (i = 0; i < g->call->count && !g->failed; i++) {
        cti_generation_row *r = &g->row[i];

        r->asked = g->call->rows[i];
        generation_check_row(g, i);
        if (r->status != CT_OK)
            continue;
        if (r->asked.max_tokens == 0)
            r->asked.max_tokens = g->o.max_tokens;
        /* the model need not read the last token */
        if (limit && r->asked.max_tokens > limit - r->asked.prefix_count + 1)
            r->asked.max_tokens = limit - r->asked.prefix_count + 1;
        r->g = ct_generator_stream(ct_generator_from_seed(r->asked.seed), "generate");
        r->found = cti_calloc((size_t)g->o.n_best, sizeof *r->found);
        if (!r->found) {
            cti_out_of_memory(g->call->function, (size_t)g->o.n_best * sizeof *r->found);
            g->failed = true;
        }
        cti_generation_continue(
            g, (cti_hypothesis){ .row = i, .parent = i, .node = -1, .token = r->asked.prefix[0] });
    }
}

/* ---- states ---- */

/* The rows of s that the next sequences continue. */
static const ct_state *generation_select(cti_generation *g, const ct_state *s, int64_t rows)
{
    const ct_decoder *d = g->call->decoder;
    ct_tensor *tensor[64], *at;
    bool same = g->next_count == rows;
    int64_t *parent, i;

    for (i = 0; same && i < rows; i++)
        same = g->next[i].parent == i;
    if (same)
        return s;
    at = ct_zeros(CT_SHAPE(g->next_count), CT_I64, CT_CPU);
    parent = at ? (int64_t *)(void *)cti_data(at) : NULL;
    for (i = 0; at && i < g->next_count; i++)
        parent[i] = g->next[i].parent;
    at = ct_to(at, d->device);
    if (d->select) {
        s = ct_ok() ? d->select(d->self, s, at) : NULL;
        if (!s && ct_ok())
            ct_raise(CT_ERR_ARGUMENT, g->call->function,
                     "d.select returned NULL without raising an error");
        return s;
    }
    for (i = 0; i < ct_state_count(s); i++)
        tensor[i] = ct_index_select(ct_state_get(s, (int)i), 1, at);
    return ct_ok() ? ct_state_from_tensors(ct_state_count(s), tensor) : NULL;
}

/* Replaces the state of the sequences by an owned state with the values of s, because the scope of
 * s ends. If s is NULL, the sequences then have no state. */
static void generation_keep_state(cti_generation *g, const ct_state *s)
{
    ct_state *kept = s && ct_ok() ? cti_state_keep(g->call->function, s) : NULL;

    ct_state_free(g->state);
    g->state = kept;
}

/* The sequences of the next step are now those of this step. */
static void generation_advance(cti_generation *g)
{
    cti_hypothesis *was = g->now;
    int64_t room = g->now_room;

    g->now = g->next;
    g->count = g->next_count;
    g->now_room = g->next_room;
    g->next = was;
    g->next_room = room;
    g->next_count = 0;
}

/* Makes the next sequences those of this step, with the rows of s, which has `rows`, as their state;
 * s may be NULL. */
static void generation_advance_from(cti_generation *g, const ct_state *s, int64_t rows)
{
    if (s && g->next_count > 0)
        s = generation_select(g, s, rows);
    generation_keep_state(g, g->next_count > 0 ? s : NULL);
    generation_advance(g);
}

/* ---- the prefixes ---- */

/* Reads the tokens at .. at + n - 1 of each row that has them before its last one. */
static void generation_read_chunk(cti_generation *g, int64_t at, int64_t n)
{
    const ct_decoder *d = g->call->decoder;
    const ct_shape shape = CT_SHAPE(g->count, n), rows = CT_SHAPE(g->count);
    ct_tensor *ids = ct_zeros(shape, CT_I32, CT_CPU), *lengths = ct_zeros(rows, CT_I32, CT_CPU);
    int32_t *id = ids ? (int32_t *)(void *)cti_data(ids) : NULL;
    int32_t *length = lengths ? (int32_t *)(void *)cti_data(lengths) : NULL;
    bool shorter = false;
    ct_state *next;
    int64_t i, t;

    for (i = 0; id && length && i < g->count; i++) {
        cti_generation_row *r = &g->row[g->now[i].row];
        int64_t left = r->asked.prefix_count - 1 - at;

        left = left < 0 ? 0 : left < n ? left : n;
        shorter = shorter || left < n;
        for (t = 0; t < left; t++)
            id[i * n + t] = r->asked.prefix[at + t];
        length[i] = (int32_t)left;
        r->read += left;
        g->now[i].token = r->asked.prefix[r->read];
    }
    ids = ct_to(ids, d->device);
    lengths = shorter ? ct_to(lengths, d->device) : NULL;
    next = ct_ok() ? d->read(d->self, ids, lengths, g->state) : NULL;
    if (!next && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, g->call->function,
                 "d.read returned NULL without raising an error");
    if (ct_ok() && generation_check_state(g, "d.read's state", next, g->count))
        generation_keep_state(g, next);
}

/* Reads all tokens of the prefixes but the last, which the first step reads. Where rows must have read
 * equally many tokens, as many as the shortest prefix has. */
static void generation_read_prefixes(cti_generation *g)
{
    const bool lengths = g->call->decoder->lengths;
    int64_t most = lengths || g->count == 0 ? 0 : INT32_MAX, at, n, i;

    for (i = 0; i < g->count; i++) {
        n = g->row[g->now[i].row].asked.prefix_count - 1;
        most = (n > most) == lengths ? n : most;
    }
    for (at = 0; at < most && !g->failed; at += n) {
        ct_scope scope = ct_scope_begin_inference();

        n = most - at < CHUNK ? most - at : CHUNK;
        generation_read_chunk(g, at, n);
        g->failed = ct_scope_end(scope) != CT_OK;
    }
}

/* ---- steps ---- */

/* Checks the result of d.step; false with an error. */
static bool generation_check_logits(const cti_generation *g, const ct_tensor *logits,
                                    const ct_state *next)
{
    static const char *const name = "d.step's logits";
    const char *me = g->call->function;
    const ct_decoder *d = g->call->decoder;

    if (ct_ok() && !logits)
        ct_raise(CT_ERR_ARGUMENT, me, "d.step returned NULL without raising an error");
    if (!ct_ok() || !cti_usable_as(me, name, logits) || !cti_want_float(me, name, logits))
        return false;
    if (ct_rank(logits) == 2 && ct_size(logits, 0) == g->count && ct_size(logits, 1) == d->vocab)
        return !next || generation_check_state(g, "d.step's state", next, g->count);
    ct_raise(CT_ERR_SHAPE, me, "%s %s must be (%lld, %lld)", name, cti_describe(logits).s,
             (long long)g->count, (long long)d->vocab);
    return false;
}

/* True if a sequence has read its whole prefix with this step. */
static bool generation_must_choose(const cti_generation *g)
{
    int64_t i;

    for (i = 0; i < g->count; i++)
        if (g->row[g->now[i].row].read + 1 >= g->row[g->now[i].row].asked.prefix_count)
            return true;
    return false;
}

/* Reads a token of each sequence and chooses what follows. */
static void generation_step(cti_generation *g)
{
    const ct_decoder *d = g->call->decoder;
    ct_scope scope = ct_scope_begin_inference();
    ct_tensor *ids = ct_zeros(CT_SHAPE(g->count), CT_I32, CT_CPU), *logits;
    int64_t rows = g->count, i;
    ct_state *next = NULL;

    for (i = 0; ids && i < rows; i++)
        ((int32_t *)(void *)cti_data(ids))[i] = g->now[i].token;
    ids = ct_to(ids, d->device);
    logits = ct_ok() ? d->step(d->self, ids, g->state, &next) : NULL;
    if (generation_check_logits(g, logits, next)) {
        if (!generation_must_choose(g))
            for (i = 0; i < rows; i++)
                cti_generation_in_prefix(g, i);
        else if (g->o.beams > 1)
            cti_beam_search_choose(g, logits);
        else
            cti_sampling_choose(g, logits);
        generation_advance_from(g, next, rows);
    }
    if (ct_scope_end(scope) != CT_OK)
        g->failed = true;
}

/* ---- the whole ---- */

static ct_generation *generation_alloc(const char *me, int count)
{
    cti_generation_row *row = cti_calloc((size_t)count + 1, sizeof *row);
    ct_generation *result = row ? cti_calloc(1, sizeof *result) : NULL;

    if (result) {
        *result = (ct_generation){ .count = count, .row = row };
        return result;
    }
    cti_out_of_memory(me, row ? sizeof *result : ((size_t)count + 1) * sizeof *row);
    cti_release(row);
    return NULL;
}

/* Begins a sequence for each good row, from the state of the call. */
static void generation_start(cti_generation *g)
{
    const cti_generation_call *c = g->call;
    ct_scope scope = ct_scope_begin_inference();

    if (!c->state || generation_check_state(g, "state", c->state, c->count)) {
        generation_begin(g);
        generation_advance_from(g, c->state, c->count);
    }
    if (ct_scope_end(scope) != CT_OK)
        g->failed = true;
}

ct_generation *cti_generation_run(const cti_generation_call *call)
{
    cti_generation g = { .call = call, .o = call->options };
    ct_generation *result;

    if (!generation_check(call, &g.o))
        return NULL;
    result = generation_alloc(call->function, call->count);
    if (!result)
        return NULL;
    g.row = result->row;
    generation_start(&g);
    if (call->decoder->read && !g.failed)
        generation_read_prefixes(&g);
    while (g.count > 0 && !g.failed)
        generation_step(&g);
    ct_state_free(g.state);
    cti_release(g.now);
    cti_release(g.next);
    cti_release(g.nodes);
    if (!g.failed)
        return result;
    ct_generation_free(result);
    return NULL;
}

ct_generation *ct_generation_new(const ct_decoder *d, int count, const ct_generation_row *rows,
                                 const ct_state *state, ct_generation_options options)
{
    return cti_generation_run(&(cti_generation_call){ .function = "ct_generation_new",
                                                      .decoder = d,
                                                      .count = count,
                                                      .rows = rows,
                                                      .state = state,
                                                      .options = options });
}

/* ---- results ---- */

void ct_generation_free(ct_generation *g)
{
    int i, k;

    for (i = 0; g && i < g->count; i++) {
        for (k = 0; k < g->row[i].count; k++)
            cti_release((void *)(uintptr_t)g->row[i].found[k].ids);
        cti_release(g->row[i].found);
        cti_release(g->row[i].message);
    }
    if (g)
        cti_release(g->row);
    cti_release(g);
}

/* A row, or NULL with an error. */
static const cti_generation_row *generation_row(const char *me, const ct_generation *g, int row)
{
    if (!cti_given(me, "g", g))
        return NULL;
    if (row >= 0 && row < g->count)
        return &g->row[row];
    ct_raise(CT_ERR_INDEX, me, "row %d does not exist; there are %d", row, g->count);
    return NULL;
}

ct_status ct_generation_status(const ct_generation *g, int row)
{
    const cti_generation_row *r = generation_row("ct_generation_status", g, row);

    return r ? r->status : ct_error();
}

const char *ct_generation_message(const ct_generation *g, int row)
{
    const cti_generation_row *r = g && row >= 0 && row < g->count ? &g->row[row] : NULL;

    if (!r || r->status == CT_OK)
        return "";
    return r->message ? r->message : "out of memory, also for the message of the error";
}

int ct_generation_count(const ct_generation *g, int row)
{
    return g && row >= 0 && row < g->count ? g->row[row].count : 0;
}

ct_generated ct_generation_get(const ct_generation *g, int row, int rank)
{
    const cti_generation_row *r = generation_row("ct_generation_get", g, row);

    if (r && (rank < 0 || rank >= r->count)) {
        ct_raise(CT_ERR_INDEX, "ct_generation_get",
                 "row %d has %d sequences; number %d does not exist", row, r->count, rank);
        r = NULL;
    }
    return r ? r->found[rank] : (ct_generated){ 0 };
}

/* SPDX-License-Identifier: MIT */
/* language_model_generate.c - texts from a language model, by ct_generation_new. */
#include "train/language_model_internal.h"

#include "nn/generate_internal.h"
#include "tensor/hooks.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/data/text.h>

#include <stdio.h>
#include <string.h>

/* ---- the model as a decoder ---- */

static ct_tensor *lm_decoder_step(void *self, ct_tensor *ids, const ct_state *state,
                                  ct_state **next)
{
    return ct_lm_step(self, ids, state, next);
}

/* The output layer is not needed. */
static ct_state *lm_decoder_read(void *self, ct_tensor *ids, ct_tensor *lengths,
                                 const ct_state *state)
{
    const ct_lm *m = self;
    ct_state *next = NULL;

    ct_recurrent_forward_with(m->rnn, cti_lm_inputs(m, ct_transpose(ids, 0, 1)), state, &next,
                              (ct_recurrent_call){ .lengths = lengths });
    return next;
}

ct_decoder ct_lm_decoder(const ct_lm *m)
{
    if (!m)
        return (ct_decoder){ 0 };
    return (ct_decoder){ .self = (void *)(uintptr_t)m,
                         .vocab = ct_vocab_size(m->vocab),
                         .device = ct_params_device(m->params),
                         .step = lm_decoder_step,
                         .read = lm_decoder_read,
                         .lengths = true };
}

/* ---- texts ---- */

typedef bool (*lm_emit)(void *context, const char *bytes, size_t size);

/* Passes the bytes of a token to emit. Returns false if emit does. */
static bool lm_emit_token(const ct_vocab *v, int32_t id, bool first, lm_emit emit, void *context)
{
    const char *token = ct_vocab_token(v, id);
    bool is_byte = ct_vocab_kind(v) == CT_TOKEN_KIND_BYTE && id < 256;
    size_t size = is_byte ? 1 : strlen(token);

    if (!emit)
        return true;
    if (ct_vocab_kind(v) == CT_TOKEN_KIND_WORD && !first && !emit(context, " ", 1))
        return false;
    return emit(context, token, size);
}

/* A text that grows. */
typedef struct lm_collected {
    const char *function; /* for messages */
    char *s;
    size_t size, room;
} lm_collected;

static bool lm_collect(void *context, const char *bytes, size_t size)
{
    lm_collected *c = context;

    if (c->size + size >= c->room) {
        size_t room = 2 * (c->room + size) + 64;
        char *grown = cti_realloc(c->s, c->size, room);

        if (!grown) {
            cti_out_of_memory(c->function, room);
            return false;
        }
        c->s = grown;
        c->room = room;
    }
    memcpy(c->s + c->size, bytes, size);
    c->size += size;
    c->s[c->size] = '\0';
    return true;
}

static ct_generation_options lm_generation_options(const ct_lm_generate_options *o)
{
    return (ct_generation_options){ .max_tokens = o->count,
                                    .temperature = o->temperature,
                                    .top_k = o->top_k,
                                    .top_p = o->top_p,
                                    .banned = o->banned,
                                    .banned_count = o->banned_count,
                                    .stop = o->stop,
                                    .stop_count = o->stop_count };
}

/* ---- one text ---- */

typedef struct lm_stream {
    const ct_lm *m;
    const ct_lm_generate_options *o;
} lm_stream;

static bool lm_emit_generated(void *context, int row, int32_t token)
{
    const lm_stream *s = context;

    (void)row;
    return lm_emit_token(s->m->vocab, token, false, s->o->emit, s->o->context);
}

/* Emits the prefix ids and what follows. */
static void lm_run(lm_stream *s, const int32_t *ids, int64_t count)
{
    const ct_decoder d = ct_lm_decoder(s->m);
    const ct_generation_row row = { .prefix = ids, .prefix_count = (int)count, .seed = s->o->seed };
    cti_generation_call call = { .function = "ct_lm_generate",
                                 .decoder = &d,
                                 .count = 1,
                                 .rows = &row,
                                 .options = lm_generation_options(s->o),
                                 .raise = true };
    int64_t i;

    for (i = 0; i < count; i++)
        if (!lm_emit_token(s->m->vocab, ids[i], i == 0, s->o->emit, s->o->context))
            return;
    if (s->o->count == 0)
        return;
    call.options.emit = lm_emit_generated;
    call.options.context = s;
    if (cti_lm_may_plan(s->m, &call.options) &&
        cti_generation_check_options("ct_lm_generate", &call.options, d.vocab)) {
        cti_lm_generate_planned(s->m, &call.options, &row);
        return;
    }
    ct_generation_free(cti_generation_run(&call));
}

static bool lm_check_generate(const ct_lm *m, const ct_lm_generate_options *o)
{
    ct_generation_options chosen = lm_generation_options(o);

    if (!o->prefix) {
        ct_raise(CT_ERR_ARGUMENT, "ct_lm_generate", "prefix is NULL");
        return false;
    }
    return cti_at_least("ct_lm_generate", "count", o->count, 0) &&
           cti_generation_check_options("ct_lm_generate", &chosen, ct_vocab_size(m->vocab));
}

ct_status ct_lm_generate(const ct_lm *m, ct_lm_generate_options options)
{
    lm_stream s = { .m = m, .o = &options };
    int64_t count;
    int32_t *ids;

    if (!cti_lm_given("ct_lm_generate", m) || !lm_check_generate(m, &options))
        return ct_error();
    ids = ct_lm_encode(m, options.prefix, strlen(options.prefix), &count, NULL);
    if (ids && count == 0)
        ct_raise(CT_ERR_ARGUMENT, "ct_lm_generate", "the prefix has no token");
    else if (ids && count > INT32_MAX)
        ct_raise(CT_ERR_ARGUMENT, "ct_lm_generate", "the prefix has %lld tokens; that is too many",
                 (long long)count);
    if (ct_ok())
        lm_run(&s, ids, count);
    cti_release(ids);
    return ct_error();
}

char *ct_lm_generate_text(const ct_lm *m, ct_lm_generate_options options)
{
    lm_collected c = { .function = "ct_lm_generate_text" };

    options.emit = lm_collect;
    options.context = &c;
    if (ct_lm_generate(m, options) == CT_OK)
        return c.s;
    cti_release(c.s);
    return NULL;
}

/* ---- several texts ---- */

/* The text of the prefix and of what was generated; NULL with an error. */
static char *lm_join(const ct_lm *m, const ct_generation_row *row, const ct_generated *more)
{
    lm_collected c = { .function = "ct_lm_generate_batch" };
    bool on = true;
    int64_t i;

    for (i = 0; on && i < row->prefix_count; i++)
        on = lm_emit_token(m->vocab, row->prefix[i], i == 0, lm_collect, &c);
    for (i = 0; on && i < more->count; i++)
        on = lm_emit_token(m->vocab, more->ids[i], false, lm_collect, &c);
    if (on)
        return c.s;
    cti_release(c.s);
    return NULL;
}

/* Makes the rows of the requests; the caller releases their prefixes. False with an error. */
static bool lm_make_rows(const ct_lm *m, int count, const ct_lm_request *requests,
                         ct_generation_row *rows)
{
    int i;

    for (i = 0; i < count; i++) {
        const ct_lm_request *r = &requests[i];
        int64_t n = 1; /* a prefix that is NULL, which fails alone */

        if (r->prefix) {
            rows[i].prefix = ct_lm_encode(m, r->prefix, strlen(r->prefix), &n, NULL);
            if (!rows[i].prefix)
                return false;
        }
        rows[i].prefix_count = n < INT32_MAX ? (int)n : INT32_MAX;
        rows[i].seed = r->seed;
        rows[i].max_tokens = r->count;
    }
    return true;
}

/* Hands over the results. g is NULL after an error. */
static void lm_take_results(const ct_lm *m, int count, ct_lm_request *requests,
                            const ct_generation_row *rows, const ct_generation *g)
{
    int i;

    for (i = 0; i < count && g && ct_ok(); i++) {
        ct_lm_request *r = &requests[i];

        r->status = ct_generation_status(g, i);
        snprintf(r->message, sizeof r->message, "%s", ct_generation_message(g, i));
        if (r->status == CT_OK) {
            ct_generated more = ct_generation_get(g, i, 0);

            r->text = lm_join(m, &rows[i], &more);
        }
    }
}

/* Gives all requests the recorded error, and no text. */
static void lm_drop_results(int count, ct_lm_request *requests)
{
    for (int i = 0; i < count; i++) {
        cti_release(requests[i].text);
        requests[i].text = NULL;
        requests[i].status = ct_error();
        snprintf(requests[i].message, sizeof requests[i].message, "%s", ct_error_message());
    }
}

/* A digest of the requests and the options that a result depends on. */
static void lm_digest_requests(int count, const ct_generation_row *rows,
                               const ct_lm_generate_options *o, char digest[65])
{
    char options[300] = "", digests[2][65];

    snprintf(options, sizeof options, "%lld %a %lld %a %d %d", (long long)o->count, o->temperature,
             (long long)o->top_k, o->top_p, o->banned_count, o->stop_count);
    ct_sha256_hex(options, strlen(options), digest);
    for (int i = 0; i < count; i++) {
        const ct_generation_row *r = &rows[i];
        const int n = r->prefix ? r->prefix_count : 0;

        snprintf(options, sizeof options, "%llu %lld %d", (unsigned long long)r->seed,
                 (long long)r->max_tokens, n);
        ct_sha256_hex(options, strlen(options), digests[0]);
        memcpy(digests[1], digest, sizeof digests[1]);
        ct_sha256_hex(digests, sizeof digests, digest);
        ct_sha256_hex(n ? r->prefix : NULL, (size_t)n * sizeof(int32_t), digests[0]);
        memcpy(digests[1], digest, sizeof digests[1]);
        ct_sha256_hex(digests, sizeof digests, digest);
    }
}

/* Generates for the requests of the shards of this rank. */
static void lm_run_batch(const ct_lm *m, int count, ct_lm_request *requests,
                         const ct_generation_row *rows, const ct_lm_generate_options *o)
{
    const ct_decoder d = ct_lm_decoder(m);
    int64_t from, to;
    int first, end;

    cti_lm_world_shards(o->world, &first, &end);
    for (int s = first; s < end && ct_ok(); s++) {
        ct_generation *g;

        cti_lm_world_part(o->world, s, count, &from, &to);
        if (o->world && from == to)
            continue;
        g = cti_generation_run(&(cti_generation_call){ .function = "ct_lm_generate_batch",
                                                       .decoder = &d,
                                                       .count = (int)(to - from),
                                                       .rows = rows + from,
                                                       .options = lm_generation_options(o) });
        lm_take_results(m, (int)(to - from), requests + from, rows + from, g);
        ct_generation_free(g);
    }
}

ct_status ct_lm_generate_batch(const ct_lm *m, int count, ct_lm_request *requests,
                               ct_lm_generate_options options)
{
    static const char *const me = "ct_lm_generate_batch";
    ct_generation_row *rows;
    char digest[65];
    int i;

    if (!cti_lm_given(me, m) || !cti_at_least(me, "count", count, 0) ||
        !cti_given_array(me, "requests", count, requests))
        return ct_error();
    rows = cti_calloc((size_t)count + 1, sizeof *rows);
    if (!rows) {
        cti_out_of_memory(me, ((size_t)count + 1) * sizeof *rows);
        return ct_error();
    }
    for (i = 0; i < count; i++)
        requests[i].text = NULL;
    if (lm_make_rows(m, count, requests, rows)) {
        lm_digest_requests(count, rows, &options, digest);
        if (cti_lm_world_begin(me, options.world, m, digest))
            lm_run_batch(m, count, requests, rows, &options);
    }
    cti_lm_world_share(me, options.world, count, requests);
    if (!ct_ok())
        lm_drop_results(count, requests);
    for (i = 0; i < count; i++)
        cti_release((void *)(uintptr_t)rows[i].prefix);
    cti_release(rows);
    return ct_error();
}

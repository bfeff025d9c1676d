/* SPDX-License-Identifier: MIT */
/* sampling.c - the choice of a token from logits: the most likely one, or a draw after temperature,
 * top-k and top-p.
 *
 *     l = the top_k largest logits      w = softmax((l - max l) / temperature)
 *     top-p: of w in falling order, those before which the sum is below top_p
 *
 * The weights of all rows are computed at once, on the device. A row then draws with its own
 * generator, as ct_multinomial would draw for that row alone. */
#include "nn/generate_internal.h"

#include "tensor/philox.h"
#include "tensor/running_sums.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/scan.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/sort.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>

/* ---- checks ---- */

bool cti_generation_check_tokens(const char *me, const char *name, int count, const int32_t *ids,
                                 int64_t vocab)
{
    int i;

    if (count < 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "%s_count is %d; it must be at least 0", name, count);
        return false;
    }
    if (!cti_given_array(me, name, count, ids))
        return false;
    for (i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocab) {
            ct_raise(CT_ERR_INDEX, me, "%s[%d] is %d; it must be in 0..%lld", name, i, (int)ids[i],
                     (long long)vocab - 1);
            return false;
        }
    return true;
}

/* True if a token is left; else false with an error. */
static bool sampling_check_banned(const char *me, const ct_generation_options *o, int64_t vocab)
{
    int64_t left = vocab;
    char *banned;
    int i;

    if (!cti_generation_check_tokens(me, "banned", o->banned_count, o->banned, vocab))
        return false;
    if (o->banned_count < vocab)
        return true;
    banned = cti_calloc((size_t)vocab, 1);
    if (!banned) {
        cti_out_of_memory(me, (size_t)vocab);
        return false;
    }
    for (i = 0; i < o->banned_count; i++) {
        left -= !banned[o->banned[i]];
        banned[o->banned[i]] = 1;
    }
    cti_release(banned);
    if (left == 0)
        ct_raise(CT_ERR_ARGUMENT, me, "all %lld tokens are banned", (long long)vocab);
    return left > 0;
}

bool cti_sampling_check(const char *me, ct_generation_options *o, int64_t vocab)
{
    if (!cti_at_least(me, "top_k", o->top_k, 0))
        return false;
    if (!(o->temperature >= 0 && isfinite(o->temperature))) {
        ct_raise(CT_ERR_ARGUMENT, me, "temperature is %g; it must be finite and at least 0",
                 o->temperature);
        return false;
    }
    o->top_p = cti_option(o->top_p, 1);
    if (!(o->top_p > 0 && o->top_p <= 1)) {
        ct_raise(CT_ERR_ARGUMENT, me, "top_p is %g; it must be above 0 and at most 1", o->top_p);
        return false;
    }
    return sampling_check_banned(me, o, vocab);
}

/* ---- weights ---- */

ct_tensor *cti_sampling_ban(const ct_generation_options *o, ct_tensor *logits)
{
    ct_tensor *banned;
    char *is;
    int i;

    if (o->banned_count == 0)
        return logits;
    banned = ct_zeros(CT_SHAPE(ct_size(logits, 1)), CT_BOOL, CT_CPU);
    if (!banned)
        return NULL;
    is = cti_data(banned);
    for (i = 0; i < o->banned_count; i++)
        is[o->banned[i]] = 1;
    return ct_masked_fill(logits, ct_to(banned, logits->device), -INFINITY);
}

ct_tensor *cti_sampling_weights(const ct_generation_options *o, ct_tensor *logits,
                                ct_tensor **which)
{
    const int64_t vocab = ct_size(logits, 1), k = o->top_k > 0 ? o->top_k : vocab;
    ct_tensor *kept = cti_sampling_ban(o, logits), *w;

    *which = NULL;
    if (o->temperature == 0) {
        *which = ct_argmax(kept, 1, true);
        return ct_amax_axis(kept, 1, true);
    }
    if (k < vocab || o->top_p < 1)
        kept = ct_topk(kept, k < vocab ? k : vocab, 1, true, which);
    /* the greatest is exactly 0, whatever the temperature is */
    kept = ct_sub(kept, ct_amax_axis(kept, 1, true));
    w = ct_softmax(ct_mul_scalar(kept, 1 / fmax(o->temperature, 1e-30)), 1);
    if (o->top_p < 1)
        w = ct_masked_fill(w, ct_ge_scalar(ct_sub(ct_cumsum(w, 1), w), o->top_p), 0);
    return w;
}

ct_tensor *ct_sampling_probabilities(ct_tensor *logits, ct_generation_options o)
{
    static const char *const me = "ct_sampling_probabilities";
    ct_tensor *w, *which, *p;
    ct_scope scope;
    int64_t vocab;
    ct_status status;

    if (!cti_usable(me, logits) || !cti_want_float(me, "logits", logits))
        return NULL;
    vocab = ct_rank(logits) > 0 ? ct_size(logits, -1) : 0;
    if (vocab < 1) {
        ct_raise(CT_ERR_SHAPE, me, "logits %s must be (..., vocab)", cti_describe(logits).s);
        return NULL;
    }
    if (!cti_sampling_check(me, &o, vocab))
        return NULL;
    scope = ct_scope_begin_no_grad();
    p = ct_reshape(logits, CT_SHAPE(logits->numel / vocab, vocab));
    w = ct_numel(p) ? cti_sampling_weights(&o, p, &which) : p;
    if (w && ct_numel(p)) {
        w = o.temperature == 0 ? ct_add_scalar(ct_sub(w, w), 1) /* 1, or NaN */
                               : ct_div(w, ct_sum_axis(w, 1, true));
        if (which)
            w = ct_scatter(ct_zeros_like(p), 1, which, w);
    }
    p = w ? ct_reshape(w, logits->shape) : NULL;
    if (p)
        status = ct_scope_return(scope, p, &p);
    else
        status = ct_scope_end(scope);
    return status == CT_OK ? p : NULL;
}

/* ---- draws ---- */

double *cti_generation_numbers(ct_tensor *t)
{
    ct_tensor *here = ct_to(ct_cast(t, CT_F64), CT_CPU);

    here = here ? cti_contiguous(here) : NULL;
    if (!here || !ct_ok())
        return NULL;
    return (double *)(void *)cti_data(here);
}

bool cti_generation_has(int count, const int32_t *tokens, int32_t token)
{
    int i;

    for (i = 0; i < count; i++)
        if (tokens[i] == token)
            return true;
    return false;
}

int64_t cti_sampling_draw(double *w, int64_t n, ct_generator *g)
{
    cti_position from = cti_generator_take(g, 2, CT_CPU);
    uint32_t words[4];

    if (!cti_running_sums(w, n))
        return -1;
    cti_philox(from.seed, from.stream, cti_first_block(&from), words);
    return cti_running_search(w, n, cti_uniform_of_words(words[0], words[1]));
}

/* Sequence i gets the token, and ends or is continued. */
static void sampling_take(cti_generation *g, int64_t i, int32_t token)
{
    const ct_generation_options *o = &g->o;
    cti_hypothesis h = g->now[i];
    cti_generation_row *r = &g->row[h.row];

    if (cti_generation_has(o->stop_count, o->stop, token)) {
        cti_generation_end_sequence(g, h.row, h.node, 0, CT_GENERATION_END_STOP);
        return;
    }
    r->generated++;
    if (o->emit) {
        if (!o->emit(o->context, h.row, token)) {
            cti_generation_end_sequence(g, h.row, -1, 0, CT_GENERATION_END_EMIT);
            return;
        }
    } else {
        h.node = cti_generation_add(g, h.node, token);
    }
    if (r->generated >= r->asked.max_tokens) {
        cti_generation_end_sequence(g, h.row, h.node, 0, CT_GENERATION_END_LENGTH);
        return;
    }
    h.parent = i;
    h.token = token;
    cti_generation_continue(g, h);
}

void cti_sampling_choose(cti_generation *g, ct_tensor *logits)
{
    ct_tensor *which, *w = cti_sampling_weights(&g->o, logits, &which);
    double *weights = cti_generation_numbers(w);
    const double *ids = which && weights ? cti_generation_numbers(which) : NULL;
    int64_t i, n = w ? ct_size(w, 1) : 0;

    for (i = 0; i < g->count && ct_ok() && !g->failed; i++) {
        const int row = g->now[i].row;
        int64_t at;

        if (cti_generation_in_prefix(g, i))
            continue;
        if (g->o.temperature == 0)
            at = isfinite(weights[i]) ? 0 : -1;
        else
            at = cti_sampling_draw(weights + i * n, n, &g->row[row].g);
        if (at < 0)
            cti_generation_fail_row(g, row, CT_ERR_NUMERIC, "the model's logits are not finite");
        else
            sampling_take(g, i, (int32_t)(ids ? ids[i * n + at] : (double)at));
    }
}

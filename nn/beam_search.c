/* SPDX-License-Identifier: MIT */
/* beam_search.c - beam search: in each step a row continues its `beams` most probable sequences.
 *
 * A sequence's log-probability is the sum of those of its tokens, stop token included. What has
 * ended is compared by score = log-probability / tokens^length_penalty (Wu et al. 2016 divide by
 * ((5 + tokens) / 6)^length_penalty instead). */
#include "nn/generate_internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/sort.h>

#include <math.h>
#include <stdlib.h>

/* A sequence and a token that may follow it. */
typedef struct beam_candidate {
    double score; /* the log-probability of the sequence with the token */
    int64_t from; /* the number of the sequence */
    int64_t rank; /* the place of the token among those of the sequence */
    int32_t token;
} beam_candidate;

/* The k most probable tokens of each sequence, in falling order. */
typedef struct beam_step {
    const double *logp, *token; /* (count, k) */
    int64_t k;
    beam_candidate *candidate; /* room for those of one row */
} beam_step;

static int beam_compare(const void *a, const void *b)
{
    const beam_candidate *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static double beam_score(const ct_generation_options *o, double logp, int64_t tokens)
{
    return logp / pow((double)tokens, o->length_penalty);
}

/* Collects the candidates of sequences first .. first + n - 1, all of one row, best first. Returns
 * their number; -1 if a model's logits are NaN or allow no token. */
static int64_t beam_collect(const cti_generation *g, const beam_step *s, int64_t first, int64_t n)
{
    int64_t count = 0, i, j;

    for (i = first; i < first + n; i++) {
        if (!isfinite(s->logp[i * s->k]))
            return -1;
        for (j = 0; j < s->k && s->logp[i * s->k + j] > -INFINITY; j++)
            s->candidate[count++] =
                (beam_candidate){ .score = g->now[i].score + s->logp[i * s->k + j],
                                  .from = i,
                                  .rank = j,
                                  .token = (int32_t)s->token[i * s->k + j] };
    }
    qsort(s->candidate, (size_t)count, sizeof *s->candidate, beam_compare);
    return count;
}

/* True if no open sequence, of which the best has this log-probability, can become one of the n best
 * of the row. */
static bool beam_is_done(const cti_generation *g, const cti_generation_row *r, double best)
{
    const ct_generation_options *o = &g->o;
    /* log-probabilities only fall, so the best that it can reach is with no further loss */
    int64_t tokens = o->length_penalty > 0 ? r->asked.max_tokens : r->generated + 1;

    if (o->early_stop)
        return r->ended >= o->beams;
    return r->count == o->n_best && r->found[r->count - 1].score >= beam_score(o, best, tokens);
}

/* Ends the sequences that the row has appended to those of the next step. */
static void beam_end_all(cti_generation *g, const cti_generation_row *r, int64_t first)
{
    int64_t i;

    for (i = first; i < g->next_count; i++)
        cti_generation_end_sequence(g, g->next[i].row, g->next[i].node,
                                    beam_score(&g->o, g->next[i].score, r->generated),
                                    CT_GENERATION_END_LENGTH);
    g->next_count = first;
}

/* Continues sequences first .. first + n - 1, all of one row. */
static void beam_choose_row(cti_generation *g, const beam_step *s, int64_t first, int64_t n)
{
    const ct_generation_options *o = &g->o;
    const int row = g->now[first].row;
    cti_generation_row *r = &g->row[row];
    int64_t count = beam_collect(g, s, first, n), before = g->next_count, i;

    if (count < 0) {
        cti_generation_fail_row(g, row, CT_ERR_NUMERIC, "the model's logits are not finite");
        return;
    }
    r->generated++;
    for (i = 0; i < count && g->next_count - before < o->beams && !g->failed; i++) {
        const beam_candidate *c = &s->candidate[i];
        cti_hypothesis h = g->now[c->from];

        if (cti_generation_has(o->stop_count, o->stop, c->token)) {
            if (i < o->beams)
                cti_generation_end_sequence(g, row, h.node, beam_score(o, c->score, r->generated),
                                            CT_GENERATION_END_STOP);
            continue;
        }
        h.parent = c->from;
        h.node = cti_generation_add(g, h.node, c->token);
        h.token = c->token;
        h.score = c->score;
        cti_generation_continue(g, h);
    }
    if (g->failed || g->next_count == before)
        return;
    if (r->generated >= r->asked.max_tokens)
        beam_end_all(g, r, before);
    else if (beam_is_done(g, r, g->next[before].score))
        g->next_count = before;
}

void cti_beam_search_choose(cti_generation *g, ct_tensor *logits)
{
    const char *me = g->call->function;
    const int64_t vocab = ct_size(logits, 1), wanted = g->o.beams + g->o.stop_count;
    ct_tensor *tokens, *best;
    beam_step s = { .k = wanted < vocab ? wanted : vocab };
    int64_t i, n;

    /* As many as needed for `beams` tokens that are no stop tokens. */
    best = ct_topk(ct_log_softmax(cti_sampling_ban(&g->o, logits), 1), s.k, 1, true, &tokens);
    s.logp = cti_generation_numbers(best);
    s.token = s.logp ? cti_generation_numbers(tokens) : NULL;
    if (!s.token)
        return;
    s.candidate = cti_calloc((size_t)(g->o.beams * s.k), sizeof *s.candidate);
    if (!s.candidate)
        cti_out_of_memory(me, (size_t)(g->o.beams * s.k) * sizeof *s.candidate);
    for (i = 0; s.candidate && i < g->count && !g->failed; i += n) {
        n = 1;
        if (cti_generation_in_prefix(g, i))
            continue;
        while (i + n < g->count && g->now[i + n].row == g->now[i].row)
            n++;
        beam_choose_row(g, &s, i, n);
    }
    cti_release(s.candidate);
}

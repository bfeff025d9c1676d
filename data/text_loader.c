/* SPDX-License-Identifier: MIT */
/* text_loader.c - loaders of a text: windows, the sequential and the random iterator. In all of
 * them x is T consecutive tokens and y the T tokens that begin one later; they differ in the order
 * (loader.c). */
#include "tensor/internal.h"

#include <cotangent/data/loader.h>

#include "data/internal.h"

static bool text_loader_check(const char *function, const ct_corpus *corpus, int64_t batch,
                              int64_t steps)
{
    if (!corpus) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, function, "corpus is NULL");
        return false;
    }
    return cti_at_least(function, "batch_size", batch, 1) &&
           cti_at_least(function, "steps", steps, 1);
}

/* Makes the dataset of all windows of the tokens from `first` on. x and y are (T); y begins one
 * token later. */
static ct_dataset *text_loader_data(const ct_loader *draft, const ct_corpus *corpus,
                                    int64_t windows)
{
    const int32_t *ids = ct_corpus_ids(corpus) + draft->first;
    const size_t unit = sizeof *ids, row = (size_t)draft->steps * unit;
    const cti_spans spans = { .count = 2,
                              .samples = windows,
                              .span = { { (const char *)ids, unit, row },
                                        { (const char *)(ids + 1), unit, row } } };
    const ct_field fields[] = { { "x", CT_I32, CT_SHAPE_INIT(draft->steps), 0 },
                                { "y", CT_I32, CT_SHAPE_INIT(draft->steps), 0 } };

    return cti_spans_new(draft->function, &spans, fields);
}

/* Makes a loader over windows of a text. */
static ct_loader *text_loader_make(ct_loader *draft, const ct_corpus *corpus, int64_t windows,
                                   uint64_t seed, const char *stream)
{
    int64_t order = !draft->shuffle          ? 0
                    : draft->cut == CTI_ROWS ? draft->rows
                                             : (ct_corpus_size(corpus) - 1) / draft->steps;

    draft->row_tokens = draft->steps;
    draft->counted = -1;
    draft->has_tokens = true;
    draft->stream = ct_generator_stream(ct_generator_from_seed(seed), stream);
    draft->data = text_loader_data(draft, corpus, windows);
    return draft->data ? cti_loader_new(draft, order) : NULL;
}

ct_loader *ct_loader_windows_new(const ct_corpus *corpus, ct_loader_windows_options o)
{
    ct_loader draft = { .function = "ct_loader_windows_new",
                        .kind = "windows",
                        .cut = CTI_ROWS,
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .first = o.first,
                        .rows = o.count,
                        .shuffle = o.shuffle,
                        .device = o.device };
    int64_t windows;

    if (!text_loader_check(draft.function, corpus, o.batch_size, o.steps))
        return NULL;
    if (!cti_at_least(draft.function, "first", o.first, 0) ||
        !cti_at_least(draft.function, "count", o.count, 0))
        return NULL;
    windows = ct_corpus_size(corpus) - o.steps; /* a window begins at each token that is followed by
                                           * enough tokens */
    if (o.first >= windows) {
        ct_raise(CT_ERR_SHAPE, draft.function,
                 "%lld tokens are too few for a window of %lld + 1 from token %lld",
                 (long long)ct_corpus_size(corpus), (long long)o.steps, (long long)o.first);
        return NULL;
    }
    if (draft.rows == 0 || draft.rows > windows - o.first)
        draft.rows = windows - o.first;
    return text_loader_make(&draft, corpus, draft.rows, o.seed, "loader.windows");
}

ct_loader *ct_loader_sequences_new(const ct_corpus *corpus, ct_loader_sequences_options o)
{
    ct_loader draft = { .function = "ct_loader_sequences_new",
                        .kind = o.random ? "random" : "sequential",
                        .cut = o.random ? CTI_RANDOM : CTI_SEQUENTIAL,
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .shuffle = o.random,
                        .device = o.device };
    int64_t size = ct_corpus_size(corpus);
    double need;

    if (!text_loader_check(draft.function, corpus, o.batch_size, o.steps))
        return NULL;
    /* a batch, one more token for its last row, and the largest offset; as a double, since the
     * product may overflow an integer */
    need = (double)o.batch_size * (double)o.steps + 1 + (double)o.steps - (o.random ? 1 : 0);
    if ((double)size < need) {
        ct_raise(CT_ERR_SHAPE, draft.function,
                 "%lld tokens are too few for a batch of %lld x %lld, which needs %.0f",
                 (long long)size, (long long)o.batch_size, (long long)o.steps, need);
        return NULL;
    }
    return text_loader_make(&draft, corpus, size - o.steps, o.seed,
                            o.random ? "loader.random" : "loader.sequential");
}

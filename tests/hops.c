/* SPDX-License-Identifier: MIT */
/* hops.c - traces one call each of three kinds. tests/hops.py builds and runs it.
 *
 * The library and the generated call-site wrappers are compiled with -finstrument-functions, so the
 * two hooks below are called for each function. Between trace_begin and trace_end they record the
 * different functions and the longest chain of nested calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#define HIDDEN __attribute__((no_instrument_function))
enum { MAX_DEPTH = 1024, MAX_CALLS = 1 << 14 };

/* A pair of functions, of which one calls the other. caller is NULL for functions that the program
 * calls. */
typedef struct call {
    void *caller, *callee;
} call;

static void *stack[MAX_DEPTH], *deepest[MAX_DEPTH];
static int depth, most;            /* the number of functions on the stack, and on the deepest stack
                                    * so far */
static call calls[MAX_CALLS];      /* a hash table */
static _Thread_local bool tracing; /* only this thread is traced */

void __cyg_profile_func_enter(void *function, void *site) HIDDEN;
void __cyg_profile_func_exit(void *function, void *site) HIDDEN;

void __cyg_profile_func_enter(void *function, void *site)
{
    void *caller = depth > 0 ? stack[depth - 1] : NULL;
    size_t i = ((size_t)function / 4 + (size_t)caller / 64) % MAX_CALLS;

    (void)site;
    if (!tracing)
        return;
    while (calls[i].callee && (calls[i].callee != function || calls[i].caller != caller))
        i = (i + 1) % MAX_CALLS;
    calls[i] = (call){ caller, function };
    if (depth < MAX_DEPTH)
        stack[depth++] = function;
    if (depth > most)
        memcpy(deepest, stack, (size_t)(most = depth) * sizeof *deepest);
}

/* A function that was entered before trace_begin is not on the stack. */
void __cyg_profile_func_exit(void *function, void *site)
{
    (void)site;
    if (tracing && depth > 0 && stack[depth - 1] == function)
        depth--;
}

HIDDEN static void trace_begin(void)
{
    memset(calls, 0, sizeof calls);
    depth = most = 0;
    tracing = true;
}

/* Prints "NAME call CALLER CALLEE" for each call that was seen, as addresses, and "NAME stack
 * FUNCTION" for each function on the deepest stack. */
HIDDEN static void trace_end(const char *name)
{
    tracing = false;
    for (int i = 0; i < MAX_CALLS; i++)
        if (calls[i].callee)
            printf("%s call %#zx %#zx\n", name, (size_t)calls[i].caller, (size_t)calls[i].callee);
    for (int i = 0; i < most; i++)
        printf("%s stack %#zx\n", name, (size_t)deepest[i]);
}

HIDDEN static void check(ct_status status)
{
    if (status != CT_OK)
        exit(1); /* the default handler has printed the message */
}

/* a + b, recorded. Here and below the second call is traced, because the first does work that is
 * done only once. */
HIDDEN static void trace_add(void)
{
    ct_tensor *a, *b;
    ct_scope s = ct_scope_begin();

    a = ct_set_requires_grad(ct_ones(CT_SHAPE(32, 256), CT_F32, CT_CPU), true);
    b = ct_ones(CT_SHAPE(256), CT_F32, CT_CPU);
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            trace_begin();
        ct_add(a, b);
        if (i == 1)
            trace_end("ct_add");
    }
    check(ct_scope_end(s));
}

/* An LSTM over a sequence of one-hot rows, as in examples/rnn_concise: recorded, the fused path. */
HIDDEN static void trace_lstm(void)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_recurrent *lstm = ct_nn_lstm(params, "lstm", (ct_nn_lstm_options){ .hidden_size = 256 });
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_zeros(CT_SHAPE(32, 35), CT_I32, CT_CPU);

    for (int i = 0; i < 2; i++) {
        ct_tensor *x = ct_one_hot(ct_transpose(ids, 0, 1), 28);
        ct_state *next;

        if (i == 1)
            trace_begin();
        ct_recurrent_forward(lstm, x, NULL, &next);
        if (i == 1)
            trace_end("lstm_forward");
    }
    check(ct_scope_end(s));
    ct_params_free(params);
}

/* A step of ct_fit with a model that does almost nothing: from the return of training_step to its
 * next call. */
typedef struct model {
    ct_params *params;
    ct_param *weight;
    int step;
} model;

HIDDEN static ct_tensor *training_step(void *self, ct_step *s)
{
    model *m = self;
    ct_tensor *h = ct_zeros(CT_SHAPE(4, 8), CT_F32, CT_CPU), *loss;

    if (m->step++ == 4)
        trace_end("fit_step");
    *s->next = ct_state_from_tensors(1, &h);
    loss = ct_mean(ct_param_value(m->weight));
    if (m->step == 4)
        trace_begin();
    return loss;
}

HIDDEN static ct_optimizer *configure_optimizers(void *self)
{
    return ct_adam_new(((model *)self)->params, (ct_adam_options){ .lr = 1e-3 });
}

HIDDEN static void trace_fit(const char *checkpoint)
{
    char letters[512];
    model m = { .params = ct_params_new((ct_params_options){ .seed = 1 }) };
    ct_text *text;
    ct_corpus *corpus;
    ct_loader *loader;
    ct_trainer trainer = {
        .max_epochs = 1, .gradient_clip_val = 1, .checkpoint = checkpoint, .checkpoint_steps = 1
    };
    ct_model fitted = { .self = &m,
                        .params = m.params,
                        .training_step = training_step,
                        .configure_optimizers = configure_optimizers };

    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (char)('a' + i % 26);
    text = ct_text_new_from_bytes(letters, sizeof letters, "letters");
    corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    loader = ct_loader_sequences_new(corpus,
                                     (ct_loader_sequences_options){ .batch_size = 4, .steps = 8 });
    m.weight = ct_params_add(m.params, "weight", CT_SHAPE(8, 8), ct_init_constant(1));
    check(ct_fit(&trainer, &fitted, loader, NULL, NULL));
    ct_loader_free(loader);
    ct_corpus_free(corpus);
    ct_text_free(text);
    ct_params_free(m.params);
}

/* hops CHECKPOINT - CHECKPOINT is a file to write. */
HIDDEN int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    ct_set_num_threads(1);
    trace_add();
    trace_lstm();
    trace_fit(argv[1]);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* gpu.c - tokens/s of whole training steps of the classic protocol on a GPU, each step launched
 * kernel by kernel and as one captured launch, beside the chapter's number for its GPU. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"

#define CHAPTER 298788.1

typedef struct job {
    model m;
    const sizes *s;
    ct_tensor *x, *y;
    ct_state *state;
} job;

static void step(void *context)
{
    job *j = context;
    ct_state *next;

    ct_backward(ct_cross_entropy(forward(&j->m, j->s, j->x, j->state, &next), j->y));
    ct_clip_grad_norm(j->m.params, 1.0, NULL);
    ct_optimizer_step(j->m.sgd);
    ct_state_carry(j->state, next);
}

static void one(job *j, ct_capture *captured)
{
    ct_scope s;

    if (captured) {
        (void)!ct_capture_run(captured); /* an error ends the program */
        return;
    }
    s = ct_scope_begin();
    step(j);
    (void)!ct_scope_end(s);
}

static double tokens_per_second(job *j, ct_device gpu, ct_capture *captured, double seconds)
{
    int64_t steps = 0;
    double start;
    int i;

    for (i = 0; i < 5; i++)
        one(j, captured);
    (void)!ct_device_synchronize(gpu);
    for (start = now(); now() - start < seconds;) {
        for (i = 0; i < 20; i++, steps++)
            one(j, captured);
        (void)!ct_device_synchronize(gpu);
    }
    return (double)(steps * j->s->batch * j->s->steps) / (now() - start);
}

void gpu_line(const char *name, double seconds)
{
    const sizes *s = &classic;
    ct_shape shape = CT_SHAPE(s->batch, s->steps);
    ct_device gpu;
    ct_capture *captured;
    ct_scope scope;
    double each, noted;
    int32_t *ids;
    job j = { .s = s };

    if (ct_device_count(name) < 1) {
        printf("no GPU (%s): no figure of one\n", name);
        return;
    }
    gpu = ct_device_from_name(name);
    ids = ids_of(s);
    scope = ct_scope_begin();
    j.m = model_new(s, ct_nn_rnn);
    (void)!ct_params_to(j.m.params, gpu);
    j.x = ct_from_data(ids, shape, CT_I32, gpu);
    j.y = ct_from_data(ids + 1, shape, CT_I32, gpu);
    j.state = ct_recurrent_begin_state(j.m.rnn, s->batch);
    captured = ct_capture_new(gpu, step, &j);
    each = tokens_per_second(&j, gpu, NULL, seconds);
    noted = tokens_per_second(&j, gpu, captured, seconds);
    printf("%s, classic protocol: %.0f tokens/s, %.0f as captured steps; the chapter's GPU %.0f\n",
           ct_device_name(gpu), each, noted, CHAPTER);
    ct_capture_free(captured);
    ct_state_free(j.state);
    (void)!ct_scope_end(scope);
    model_free(&j.m);
    free(ids);
}

/* SPDX-License-Identifier: MIT */
/* plugin_capture.c - captured steps on the plug-in's device. */
#include "tests/cases.h"
#include "tests/files.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <string.h>

#include <cotangent.h>

#include "tests/test_plugin.h"

/* ---- captured steps ---- */

enum misdeed {
    NOTHING,
    READ,
    READ_ELSEWHERE,
    SEND,
    SEND_TENSOR,
    TRIM,
    WAIT,
    KEEP,
    GROW,
    NEST,
    FREE,
    RAISE,
    ASK_MORE,
    RENEWS_NOT,
    NO_CAPTURE
};

typedef struct noted_step {
    ct_device device;
    ct_capture *self;
    int calls, renewed;
    enum misdeed misdeed;
    int at; /* the number of the call that does the misdeed */
    ct_tensor *kept;
    const double *area[3]; /* the addresses that the last call received */
    cti_fault fault[3];
    void *data[2];
} noted_step;

static bool renew_two(void *context, double *numbers)
{
    noted_step *s = *(noted_step **)context;

    s->renewed++;
    numbers[0] = s->renewed;
    numbers[1] = -s->renewed;
    if (s->misdeed == RENEWS_NOT)
        ct_raise(CT_ERR_ARGUMENT, "renew", "not again");
    return s->misdeed != RENEWS_NOT;
}

static bool renew_one(void *context, double *numbers)
{
    numbers[0] = *(double *)context += 10;
    return true;
}

static bool renew_none(void *context, double *numbers)
{
    (void)numbers;
    (*(noted_step **)context)->renewed += 100;
    return true;
}

static void misbehave(noted_step *s, ct_tensor *x)
{
    static const float two[2] = { 1, 2 };
    double hundred = 100;
    float got[40];

    if (s->misdeed == READ)
        ck_assert((ct_to_host)(x, got, sizeof got) == CT_OK || !ct_ok());
    if (s->misdeed == READ_ELSEWHERE)
        ck_assert(ct_item(ct_sum(ct_from_data(two, CT_SHAPE(2), CT_F32, CT_CPU))) == 3);
    if (s->misdeed == SEND)
        ct_from_data(two, CT_SHAPE(2), CT_F32, s->device);
    if (s->misdeed == SEND_TENSOR)
        (ct_to)(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), s->device);
    if (s->misdeed == TRIM) {
        ct_scope inner = ct_scope_begin();

        ct_zeros(CT_SHAPE(100), CT_F32, s->device);
        ck_assert(ct_scope_end(inner) == CT_OK || !ct_ok());
        ct_memory_trim(); /* does not affect the step's memory */
        ct_zeros(CT_SHAPE(100), CT_F32, s->device);
    }
    if (s->misdeed == WAIT)
        (ct_device_synchronize)(s->device);
    if (s->misdeed == KEEP)
        s->kept = ct_keep(x);
    if (s->misdeed == GROW)
        ct_zeros(CT_SHAPE(1000), CT_F32, s->device);
    if (s->misdeed == NEST)
        (ct_capture_run)(s->self);
    if (s->misdeed == FREE)
        ct_capture_free(s->self);
    if (s->misdeed == RAISE)
        ct_raise(CT_ERR_ARGUMENT, "step", "enough");
    if (s->misdeed == ASK_MORE)
        cti_capture_numbers(1, renew_one, &hundred, sizeof hundred);
}

static void step(void *context)
{
    noted_step *s = context;
    double hundred = 100;
    const char *outer;
    ct_tensor *x = ct_zeros(CT_SHAPE(40), CT_F32, s->device);
    ct_tensor *y = ct_zeros(CT_SHAPE(70), CT_F64, s->device);

    s->data[0] = x ? x->storage->data : NULL;
    s->data[1] = y ? y->storage->data : NULL;
    s->area[0] = cti_capture_numbers(2, renew_two, &s, sizeof s);
    s->area[1] = cti_capture_numbers(0, renew_none, &s, sizeof s);
    s->area[2] = cti_capture_numbers(1, renew_one, &hundred, sizeof hundred);
    outer = *ct_site();
    *ct_site() = "first.c:1: ct_first";
    s->fault[0] = cti_fault_at(s->device, CTI_FAULT_INDEX, "ct_first", 10);
    *ct_site() = "second.c:2: ct_second";
    s->fault[1] = cti_fault_at(s->device, CTI_FAULT_TARGET, "ct_second", 20);
    *ct_site() = "third.c:3: ct_outer"; /* the fault must name the user's function, not the inner
                                         * one */
    s->fault[2] = cti_fault_at(s->device, CTI_FAULT_NORM, "ct_third", 0);
    *ct_site() = outer;
    if (s->calls++ == s->at)
        misbehave(s, x);
}

static noted_step step_new(void)
{
    return (noted_step){ .device = ct_device_from_name("cuda"), .at = -1 };
}

/* The first two runs call the function. The third is recorded and replayed; all later runs replay
 * it. */
START_TEST(captured)
{
    noted_step s = step_new();
    ct_capture *c;
    uint64_t asked;
    void *graph;
    int i;

    ck_assert(ct_capture_new(999, step, &s) == NULL);
    expect_error(CT_ERR_DEVICE, "ct_capture_new", "device 999");
    ck_assert(ct_capture_new(s.device, NULL, &s) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_new", "function is NULL");
    ck_assert(!ct_capture_is_ready(NULL));
    ct_capture_free(NULL);
    c = ct_capture_new(s.device, step, &s);
    for (i = 1; i <= 2; i++) {
        ck_assert(ct_capture_run(c) == CT_OK);
        ck_assert(!ct_capture_is_ready(c) && s.calls == i && s.renewed == 0);
        ck_assert(!s.area[0] && !s.area[1] && !s.area[2]);
        ck_assert_uint_eq(s.fault[0].ticket, i * 3 - 2); /* new tickets, as for any call */
    }
    ck_assert(begun == 0 && replayed == 0);
    asked = ct_memory_get_stats().system_allocations;
    for (i = 1; i <= 5; i++) {
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert(ct_capture_is_ready(c) && s.calls == 3 && begun == 1 && ended == 1);
        ck_assert(replayed == i && replayed_graph == graphs && freed == 0);
        ck_assert_int_eq(s.renewed, i * 101);
        ck_assert(s.area[1] == s.area[0] + 2 && s.area[2] == s.area[0] + 2);
        ck_assert(!s.fault[0].position && !s.fault[1].position && !s.fault[2].position);
        expect_close("number 0", s.area[0][0], i * 101 - 100, 0);
        expect_close("number 1", s.area[0][1], 100 - i * 101, 0);
        expect_close("number 2", s.area[0][2], 100 + 10 * i, 0);
    }
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations, asked);
    graph = replayed_graph;
    ct_capture_free(c);
    ck_assert(freed == 1 && graph == graphs);
}
END_TEST

/* ---- captured steps that draw ---- */

typedef struct drawing_step {
    ct_device device;
    ct_generator *g[2];
    bool draws_here, draws_less;
} drawing_step;

/* Draws 5 and 9 words from the first generator, which need two and three whole blocks, and 3 words
 * from the second. */
static void draw_step(void *context)
{
    drawing_step *s = context;

    if (s->draws_here)
        ct_rand(CT_SHAPE(2), CT_F32, CT_CPU, s->g[0]);
    ct_rand(CT_SHAPE(5), CT_F32, s->device, s->g[0]);
    if (s->draws_less) {
        ct_zeros(CT_SHAPE(3), CT_F32, s->device);
        ct_zeros(CT_SHAPE(9), CT_F32, s->device);
        return;
    }
    ct_rand(CT_SHAPE(3), CT_F32, s->device, s->g[1]);
    ct_rand(CT_SHAPE(9), CT_F32, s->device, s->g[0]);
}

/* A replay continues at the current positions of the generators and advances them as a call
 * does. */
START_TEST(captured_draws)
{
    ct_generator g = { 1, 2, 6 }, h = { 3, 4, 0 };
    drawing_step s = { .device = ct_device_from_name("cuda"), .g = { &g, &h } };
    ct_capture *c = ct_capture_new(s.device, draw_step, &s);
    int i;

    for (i = 0; i < 7; i++) {
        uint64_t block = 2 + (uint64_t)i * 5; /* position 6 is in block 1 */

        if (i < 3)
            draws = 0;
        if (i == 5) { /* the program draws between two runs */
            ct_random_u32(&g);
            g.position += 39;
        }
        block += i >= 5 ? 10 : 0;
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert_int_eq(draws, 3); /* the draws of the calls, or of the recording */
        ck_assert_uint_eq(g.position, (block + 5) * 4);
        ck_assert_uint_eq(h.position, (uint64_t)(i + 1) * 4);
        ck_assert(drawn[0].seed == 1 && drawn[0].stream == 2 && drawn[1].stream == 4);
        ck_assert(drawn[2].seed == 1 && drawn[1].seed == 3);
        if (i < 2) {
            ck_assert(!drawn[0].base && drawn[0].block == block && drawn[1].block == (uint64_t)i);
            ck_assert(!drawn[2].base && drawn[2].block == block + 2 && !drawn[1].base);
        } else {
            ck_assert(drawn[0].base && drawn[0].base == drawn[2].base);
            ck_assert(drawn[1].base && drawn[1].base != drawn[0].base);
            ck_assert_uint_eq(*drawn[0].base + drawn[0].block, block);
            ck_assert_uint_eq(*drawn[2].base + drawn[2].block, block + 2);
            ck_assert_uint_eq(*drawn[1].base + drawn[1].block, (uint64_t)i);
        }
    }
    ct_capture_free(c);
}
END_TEST

/* Draws on another device are not captured. A step that draws differently in its rehearsal is
 * refused, and so is a generator that is a local variable of the step. */
START_TEST(captured_draws_refused)
{
    ct_generator g = { 1, 2, 0 }, h = { 3, 4, 0 };
    drawing_step s = { .device = ct_device_from_name("cuda"), .g = { &g, &h }, .draws_here = true };
    ct_capture *c = ct_capture_new(s.device, draw_step, &s);
    int i;

    for (i = 0; i < 3; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    ck_assert(draws == 9 && drawn[6].base && drawn[7].base && g.position == 3 * 24);
    ct_capture_free(c);

    draws = 0;
    g.position = 0;
    s = (drawing_step){ .device = s.device, .g = { &g, &h }, .draws_less = true };
    c = ct_capture_new(s.device, draw_step, &s);
    for (i = 0; i < 2; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    s.draws_less = false;
    ck_assert(ct_capture_run(c) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_rand", "repeat");
    ck_assert_uint_eq(g.position, 4 * 4); /* the position before the step */
    ct_capture_free(c);
}
END_TEST

static void draw_from_a_local(void *context)
{
    drawing_step *s = context;
    ct_generator g = ct_generator_from_seed(1);

    ct_rand(CT_SHAPE(2), CT_F32, s->device, &g);
}

START_TEST(captured_draws_of_its_own)
{
    drawing_step s = { .device = ct_device_from_name("cuda") };
    ct_capture *c = ct_capture_new(s.device, draw_from_a_local, &s);
    int i;

    for (i = 0; i < 2; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
#ifndef __SANITIZE_ADDRESS__ /* AddressSanitizer may place variables outside the stack */
    ck_assert(ct_capture_run(c) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_rand", "generator");
#endif
    ct_capture_free(c);
}
END_TEST

/* A step has its own buffers, which return to it. */
START_TEST(captured_memory)
{
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    ct_tensor *t;
    void *data[2];
    ct_scope scope;
    size_t live;
    int i;

    for (i = 0; i < 3; i++) {
        ck_assert(ct_capture_run(c) == CT_OK);
        if (i == 1)
            memcpy(data, s.data, sizeof data);
    }
    ck_assert(s.data[0] == data[0] && s.data[1] == data[1] && data[0] != data[1]);
    ct_memory_trim(); /* does not free the step's buffers */
    scope = ct_scope_begin();
    live = ct_memory_get_stats().live_bytes;
    for (i = 0; i < 50; i++) { /* other code does not get these buffers */
        t = ct_zeros(CT_SHAPE(i % 2 ? 40 : 80), CT_F32, s.device);
        ck_assert(t->storage->data != data[0] && t->storage->data != data[1]);
    }
    ck_assert_uint_gt(ct_memory_get_stats().live_bytes, live);
    ck_assert(ct_scope_end(scope) == CT_OK);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live);
    ct_capture_free(c);
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
}
END_TEST

/* Memory that outlives its step can be freed by this thread or by another one. */
static void *free_elsewhere(void *kept)
{
    ct_free(kept);
    return NULL;
}

START_TEST(captured_outlived)
{
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    float got[40];

    s.misdeed = KEEP;
    s.at = _i ? 1 : 2;
    while (ct_capture_run(c) == CT_OK)
        ;
    expect_error(CT_ERR_SCOPE, "ct_capture_run", "160 bytes");
    ct_capture_free(c);
    ck_assert((ct_to_host)(s.kept, got, sizeof got) == CT_OK && got[0] == 0 && got[39] == 0);
    if (_i) {
        harness_on_thread(free_elsewhere, s.kept);
    } else {
        ct_free(s.kept);
    }
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
}
END_TEST

/* A step without changing numbers has no area and allocates nothing for it. */
static void plain_step(void *made)
{
    ct_tensor *x = ct_zeros(CT_SHAPE(40), CT_F32, *(ct_device *)made);

    ck_assert(x || !ct_ok());
}

START_TEST(captured_plain)
{
    ct_device d = ct_device_from_name("cuda");
    ct_capture *c = ct_capture_new(d, plain_step, &d);
    uint64_t asked;
    int i;

    ck_assert(ct_capture_run(c) == CT_OK);
    asked = ct_memory_get_stats().system_allocations;
    for (i = 0; i < 5; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    ck_assert(ct_capture_is_ready(c) && replayed == 4 && uploads == 0);
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations,
                      asked + 1); /* one allocation in the rehearsal, for the step's own buffer */
    ct_capture_free(c);
}
END_TEST

/* A step may also use another device, but only its own device's kernels are recorded and
 * replayed. */
static void wandering_step(void *at)
{
    const ct_device *d = at;

    ct_zeros(CT_SHAPE(40), CT_F32, d[0]);
    ct_zeros(CT_SHAPE(40), CT_F32, d[1]);
}

START_TEST(captured_on_its_device)
{
    ct_device d[2];
    ct_capture *c;
    int i;

    given.devices = 3;
    d[0] = ct_device_from_name("cuda:1");
    d[1] = ct_device_from_name("cuda:2");
    c = ct_capture_new(d[0], wandering_step, d);
    for (i = 0; i < 5; i++) {
        selected_of_async = -1;
        ck_assert(ct_capture_run(c) == CT_OK);
        ck_assert_int_eq(selected_of_async, i < 2 ? -1 : 1);
        cti_backend_of(d[1]);
    }
    ct_capture_free(c);
    ck_assert_int_eq(selected_of_async, 1);
}
END_TEST

static const struct misdeed_case {
    enum misdeed misdeed;
    int at;
    ct_status status;
    const char *function, *word;
} misdeeds[] = {
    { READ, 0, CT_OK, "", "" },
    { READ, 1, CT_ERR_DEVICE, "ct_capture_run", "read" },
    { READ, 2, CT_ERR_DEVICE, "ct_capture_run", "read" },
    { READ_ELSEWHERE, 1, CT_OK, "", "" },
    { READ_ELSEWHERE, 2, CT_OK, "", "" },
    { SEND, 1, CT_ERR_DEVICE, "ct_from_data", "captured" },
    { SEND_TENSOR, 0, CT_OK, "", "" },
    { SEND_TENSOR, 1, CT_ERR_DEVICE, "ct_capture_run", "host" },
    { TRIM, 1, CT_OK, "", "" },
    { WAIT, 0, CT_OK, "", "" },
    { WAIT, 1, CT_ERR_DEVICE, "ct_capture_run", "wait" },
    { WAIT, 2, CT_ERR_DEVICE, "ct_capture_run", "wait" },
    { KEEP, 0, CT_OK, "", "" },
    { KEEP, 1, CT_ERR_SCOPE, "ct_capture_run", "160 bytes" },
    { KEEP, 2, CT_ERR_SCOPE, "ct_capture_run", "160 bytes" },
    { GROW, 1, CT_OK, "", "" },
    { GROW, 2, CT_ERR_DEVICE, "ct_zeros", "allocate" },
    { NEST, 0, CT_ERR_ARGUMENT, "ct_capture_run", "another" },
    { FREE, 0, CT_ERR_ARGUMENT, "ct_capture_free", "running" },
    { FREE, 2, CT_ERR_ARGUMENT, "ct_capture_free", "running" },
    { RAISE, 0, CT_ERR_ARGUMENT, "step", "enough" },
    { RAISE, 1, CT_ERR_ARGUMENT, "step", "enough" },
    { RAISE, 2, CT_ERR_ARGUMENT, "step", "enough" },
    { ASK_MORE, 2, CT_ERR_DEVICE, "ct_capture_run", "repeat" },
    { RENEWS_NOT, 2, CT_ERR_ARGUMENT, "renew", "not again" },
    { RENEWS_NOT, 3, CT_ERR_ARGUMENT, "renew", "not again" },
    { NO_CAPTURE, 2, CT_ERR_DEVICE, "ct_capture_run", "no capture today" },
};

/* An operation that a captured step must not do is reported in that run; the next three runs start
 * again. */
START_TEST(captured_misdeeds)
{
    const struct misdeed_case *m = &misdeeds[_i];
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    int i, before;

    s.self = c;
    s.at = m->at;
    s.misdeed = m->misdeed != RENEWS_NOT ? m->misdeed : NOTHING;
    for (i = 0; i < m->at; i++)
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
    before = replayed;
    uploads = downloads = synchronised = 0;
    s.misdeed = m->misdeed;
    captures = m->misdeed != NO_CAPTURE;
    ck_assert(ct_capture_run(c) == m->status);
    if (m->status != CT_OK) {
        int calls = s.calls, renewed = s.renewed;

        ck_assert_int_eq(replayed, before);
        ck_assert(m->misdeed != RENEWS_NOT || renewed == (m->at - 2) * 101 + 1);
        ck_assert(ct_capture_run(c) == m->status); /* a side effect: refused */
        ck_assert(s.calls == calls && s.renewed == renewed);
        if (m->misdeed == NEST || (m->status == CT_ERR_DEVICE && m->misdeed != ASK_MORE &&
                                   m->misdeed != NO_CAPTURE)) /* refused before anything was done */
            ck_assert(uploads == 0 && downloads == 0 && synchronised == 0);
        expect_error(m->status, m->function, m->word);
        ck_assert(!ct_capture_is_ready(c));
        ck_assert_int_eq(freed, ended);
        s.misdeed = NOTHING;
        captures = true;
        ct_free(s.kept);
        s.kept = NULL;
        s.calls = s.renewed = replayed = 0;
        for (i = 0; i < 3; i++)
            ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert(ct_capture_is_ready(c) && s.calls == 3 && replayed == 1 && s.renewed == 101);
        expect_close("number 0", s.area[0][0], 1, 0);
        expect_close("number 1", s.area[0][1], -1, 0);
        expect_close("number 2", s.area[0][2], 110, 0);
        for (i = 0; i < 3; i++) { /* each replay can report its faults */
            let_fault(CT_ERR_INDEX, s.fault[i].ticket, 4);
            ck_assert((ct_device_synchronize)(s.device) != CT_OK);
            ck_assert_ptr_nonnull(strstr(ct_error_message(), i == 0   ? "ct_first"
                                                             : i == 1 ? "ct_second"
                                                                      : "ct_outer"));
            ct_error_clear();
        }
    }
    ct_capture_free(c);
    ct_free(s.kept);
}
END_TEST

/* A fault in a replay is reported with the name and place of its op, for each of several steps. */
START_TEST(captured_faults)
{
    noted_step s[2] = { step_new(), step_new() };
    ct_capture *c[2];
    static const struct {
        const char *place, *function, *word;
    } want[3] = { { "first.c:1: ", "ct_first", "index at position 4 ... 0..9" },
                  { "second.c:2: ", "ct_second", "target at position 4 ... 0..19" },
                  { "third.c:3: ", "ct_outer", "norm ... finite" } };
    int i, k;

    for (k = 0; k < 2; k++) {
        c[k] = ct_capture_new(s[k].device, step, &s[k]);
        for (i = 0; i < 4; i++)
            ck_assert(ct_capture_run(c[k]) == CT_OK);
    }
    for (i = 0; i < 6; i++) {
        ck_assert_uint_eq(s[i / 3].fault[i % 3].ticket, 0x80000000u + (unsigned)i);
        let_fault(CT_ERR_INDEX, s[i / 3].fault[i % 3].ticket, 4);
        ck_assert((ct_device_synchronize)(s[0].device) != CT_OK);
        ck_assert(strncmp(ct_error_message(), want[i % 3].place, strlen(want[i % 3].place)) == 0);
        expect_error(i % 3 == 2 ? CT_ERR_NUMERIC : CT_ERR_INDEX, want[i % 3].function,
                     want[i % 3].word);
    }
    let_fault(CT_ERR_INDEX, 0x80000006u, 4); /* a ticket that no step has */
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device", "earlier ... range");
    ct_capture_free(c[1]);
    let_fault(CT_ERR_INDEX, s[1].fault[0].ticket, 4); /* a ticket of a step that was freed */
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device", "earlier ... range");
    let_fault(CT_ERR_INDEX, s[0].fault[2].ticket, 4);
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_NUMERIC);
    ct_error_clear();
    ct_capture_free(c[0]);
}
END_TEST

static void *run_elsewhere(void *step_at_hand)
{
    ct_error_set_handler(NULL, NULL);
    ct_capture_run(step_at_hand);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "thread");
    ct_capture_free(step_at_hand);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_free", "thread");
    return NULL;
}

START_TEST(captured_misuse)
{
    noted_step s = step_new(), cpu = { .device = CT_CPU, .at = 4, .misdeed = READ };
    ct_capture *c = ct_capture_new(s.device, step, &s), *on_cpu;
    ct_scope scope;
    int i;

    ck_assert((ct_capture_run)(NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "captured is NULL");
    harness_on_thread(run_elsewhere, c);
    scope = ct_scope_begin();
    ct_square(ct_set_requires_grad(ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU), true));
    ck_assert(ct_capture_run(c) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_capture_run", "history");
    ck_assert(ct_scope_end(scope) == CT_OK);
    ck_assert_int_eq(s.calls, 0);
    on_cpu = ct_capture_new(CT_CPU, step, &cpu);
    for (i = 1; i <= 6; i++) { /* on the CPU, every run is a call */
        ck_assert(ct_capture_run(on_cpu) == CT_OK && ct_capture_run(c) == CT_OK);
        ck_assert(cpu.calls == i && !ct_capture_is_ready(on_cpu) && !cpu.area[0]);
    }
    ck_assert(ct_capture_is_ready(c));
    ct_capture_free(c);
    ct_capture_free(on_cpu);
}
END_TEST

/* Each allocation of four runs fails once; then the step starts again. */
START_TEST(captured_without_memory)
{
    int k, i, failed = 0;
    bool done = false;

    for (k = 1; !done; k++) {
        noted_step s = step_new();
        ct_capture *c;

        fail_allocation(k);
        c = ct_capture_new(s.device, step, &s);
        for (i = 0; i < 4 && ct_ok(); i++)
            ct_capture_run(c);
        done = allocations_seen < k;
        fail_nothing();
        failed += !ct_ok();
        ck_assert(ct_ok() ? s.renewed == 2 * 101 : ct_error() == CT_ERR_MEMORY);
        ct_error_clear();
        for (i = 0; c && i < 3; i++)
            ck_assert_msg(ct_capture_run(c) == CT_OK, "%d: %s", k, ct_error_message());
        ck_assert(!c || ct_capture_is_ready(c));
        ct_capture_free(c);
    }
    ck_assert_int_gt(failed, 6);
}
END_TEST

void plugin_capture_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "names");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_checked_fixture(tc, plugin_setup, NULL);
    tcase_add_test(tc, captured);
    tcase_add_test(tc, captured_draws);
    tcase_add_test(tc, captured_draws_refused);
    tcase_add_test(tc, captured_draws_of_its_own);
    tcase_add_test(tc, captured_memory);
    tcase_add_loop_test(tc, captured_misdeeds, 0, LENGTH(misdeeds));
    tcase_add_loop_test(tc, captured_outlived, 0, 2);
    tcase_add_test(tc, captured_plain);
    tcase_add_test(tc, captured_on_its_device);
    tcase_add_test(tc, captured_faults);
    tcase_add_test(tc, captured_misuse);
    tcase_add_test(tc, captured_without_memory);
}

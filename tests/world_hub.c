/* SPDX-License-Identifier: MIT */
/* world_hub.c - ranks as threads of one process. A send copies the bytes into the list of the
 * hub. Receives take the messages of their sender and tag in the order in which they were
 * started. */
#include "tests/harness.h"
#include "tests/world_hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct hub_message {
    int from, to, tag;
    size_t bytes;
    struct hub_message *next;
    char data[];
} hub_message;

typedef struct hub_request {
    bool receives, done;
    void *data;
    size_t bytes, got;
    int from, tag;
    struct hub_request *next; /* the next receive of this rank */
} hub_request;

typedef struct hub {
    pthread_mutex_t lock;
    hub_message *first, **end;
    hub_request *receives[HUB_RANKS]; /* in the order of their start */
    void (*program)(hub_rank *rank);
} hub;

static void *hub_send(cti_transport *t, const void *data, size_t bytes, int to, int tag)
{
    hub *h = t->self;
    hub_message *m = calloc(1, sizeof *m + bytes);
    hub_request *r = calloc(1, sizeof *r);

    m->from = t->rank;
    m->to = to;
    m->tag = tag;
    m->bytes = bytes;
    memcpy(m->data, data, bytes);
    pthread_mutex_lock(&h->lock);
    *h->end = m;
    h->end = &m->next;
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void *hub_receive(cti_transport *t, void *data, size_t bytes, int from, int tag)
{
    hub *h = t->self;
    hub_request *r = calloc(1, sizeof *r), **end = &h->receives[t->rank];

    *r = (hub_request){ .receives = true, .data = data, .bytes = bytes, .from = from, .tag = tag };
    while (*end)
        end = &(*end)->next;
    *end = r;
    return r;
}

/* Removes the message from the list and returns it; NULL if it has not arrived. The caller holds
 * the lock. */
static hub_message *hub_take(hub *h, const hub_request *r, int to)
{
    for (hub_message **at = &h->first; *at; at = &(*at)->next) {
        hub_message *m = *at;

        if (m->to != to || m->tag != r->tag || (r->from != CTI_ANY_RANK && m->from != r->from))
            continue;
        *at = m->next;
        if (h->end == &m->next)
            h->end = at;
        return m;
    }
    return NULL;
}

/* Gives the messages that have arrived to the receives of a rank. */
static void hub_deliver(hub *h, int to)
{
    pthread_mutex_lock(&h->lock);
    for (hub_request *r = h->receives[to]; r; r = r->next) {
        hub_message *m = r->done ? NULL : hub_take(h, r, to);

        if (!m)
            continue;
        memcpy(r->data, m->data, m->bytes < r->bytes ? m->bytes : r->bytes);
        r->got = m->bytes;
        r->done = true;
        free(m);
    }
    pthread_mutex_unlock(&h->lock);
}

static void hub_forget(cti_transport *t, hub_request *r)
{
    hub *h = t->self;
    hub_request **at = &h->receives[t->rank];

    while (*at && *at != r)
        at = &(*at)->next;
    if (*at)
        *at = r->next;
    free(r);
}

static int hub_test(cti_transport *t, void *request, size_t *bytes)
{
    hub_request *r = request;

    if (r->receives)
        hub_deliver(t->self, t->rank);
    if (r->receives && !r->done)
        return 0;
    *bytes = r->got;
    hub_forget(t, r);
    return 1;
}

static bool hub_cancel(cti_transport *t, void *request)
{
    hub_forget(t, request);
    return true;
}

static void *hub_thread(void *context)
{
    hub_rank *r = context;
    hub *h = r->link->transport.self;

    if (cti_link_begin(r->link))
        h->program(r);
    r->status = ct_error();
    snprintf(r->message, sizeof r->message, "%s", ct_error_message());
    ct_error_clear();
    return NULL;
}

void hub_run(int ranks, void (*program)(hub_rank *rank), void *context, hub_rank rank[HUB_RANKS])
{
    hub h = { .lock = PTHREAD_MUTEX_INITIALIZER, .program = program };
    cti_link link[HUB_RANKS] = { { .broken = false } };
    pthread_t thread[HUB_RANKS];

    h.end = &h.first;
    for (int k = 0; k < ranks; k++) {
        link[k].transport = (cti_transport){ .self = &h,
                                             .rank = k,
                                             .ranks = ranks,
                                             .send = hub_send,
                                             .receive = hub_receive,
                                             .test = hub_test,
                                             .cancel = hub_cancel };
        rank[k] = (hub_rank){ .link = &link[k], .rank = k, .ranks = ranks, .context = context };
        ck_assert_int_eq(pthread_create(&thread[k], NULL, hub_thread, &rank[k]), 0);
    }
    for (int k = 0; k < ranks; k++)
        ck_assert_int_eq(pthread_join(thread[k], NULL), 0);
    for (int k = 0; k < ranks; k++) {
        free(link[k].listening);
        free(link[k].peer);
    }
    while (h.first) {
        hub_message *m = h.first;

        h.first = m->next;
        free(m);
    }
}

void hub_expect_ok(const hub_rank *rank, int ranks)
{
    for (int k = 0; k < ranks; k++)
        ck_assert_msg(rank[k].status == CT_OK, "rank %d of %d: %s", k, ranks, rank[k].message);
}

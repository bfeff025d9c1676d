/* SPDX-License-Identifier: MIT */
/* world_wait.c - messages between ranks. No function here blocks in the transport. A wait polls
 * it and sleeps briefly between polls. It also checks the clock, ranks that have failed or
 * ended, and signals. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/log.h"
#include "tensor/system.h"
#include "train/internal.h"
#include "train/world_internal.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_POLL 0.5e-3 /* the seconds of polling before other threads get the processor */
#define WAIT_LOOK 0.05   /* the seconds between two checks of the other ranks */
#define WAIT_NOTE 10.0   /* the seconds after which rank 0 prints which rank it waits for */
#define WAIT_STOP 20.0   /* the seconds after which a rank with a request to stop gives up a wait */
#define WAIT_ANSWERS 5.0 /* the seconds of waiting for the answers to a failure */
#define WAIT_ENDS 2.0    /* the seconds of waiting for the end of the other ranks */
#define WAIT_PRINTED 0.1 /* the seconds that a launcher has to read what a failed rank printed */
/* The seconds from the end of another process until its messages count as lost. */
#define WAIT_GONE 0.2

/* ---- a broken link ---- */

/* Breaks the link and raises the reason. If the link is already broken, raises the first reason. */
static bool wait_break(ct_world *w, const char *function, const char *format, ...) CT_PRINTF(3, 4);

static bool wait_break(ct_world *w, const char *function, const char *format, ...)
{
    cti_link *l = w->link;
    va_list args;

    if (!l->broken) {
        va_start(args, format);
        vsnprintf(l->reason, sizeof l->reason, format, args);
        va_end(args);
        l->broken = true;
    }
    for (; w->waiting_count; w->waiting_count--)
        if (!l->transport.cancel(&l->transport, w->waiting[w->waiting_count - 1].request))
            l->in_use = true;
    ct_raise(CT_ERR_WORLD, function, "%s", l->reason);
    return false;
}

void cti_world_release(ct_world *w, void *p)
{
    if (!w->link || !w->link->in_use)
        free(p);
}

bool cti_world_usable(ct_world *w, const char *function)
{
    if (!w->link || !w->link->broken)
        return true;
    ct_raise(CT_ERR_WORLD, function, "%s", w->link->reason);
    return false;
}

/* ---- failures of other ranks ---- */

/* Sends a message to all other ranks. It does not wait for requests that are not done at once, so
 * the message must stay valid. */
static void failure_send_all(cti_link *l, const cti_failure *f)
{
    cti_transport *t = &l->transport;
    size_t bytes;

    for (int r = 0; r < t->ranks; r++)
        if (r != t->rank) {
            void *request = t->send(t, f, sizeof *f, r, CTI_TAG_FAILURE);

            if (request)
                t->test(t, request, &bytes);
        }
}

/* Sends this rank's failure to all others. */
static void failure_send(cti_link *l, const char *text)
{
    l->has_told = true;
    l->told.rank = l->transport.rank;
    snprintf(l->told.text, sizeof l->told.text, "%.500s", text);
    failure_send_all(l, &l->told);
}

/* Reads the failures that have arrived. The first one breaks the link, and this rank answers it. */
static void failure_listen(cti_link *l)
{
    cti_transport *t = &l->transport;
    size_t bytes;

    while (l->listening && t->test(t, l->listening, &bytes) == 1) {
        l->failures += !l->heard.ends;
        l->ends += l->heard.ends != 0;
        l->heard.text[sizeof l->heard.text - 1] = '\0';
        if (!l->broken)
            snprintf(l->reason, sizeof l->reason, "rank %d: %s", (int)l->heard.rank, l->heard.text);
        l->broken = true;
        l->listening = t->receive(t, &l->heard, sizeof l->heard, CTI_ANY_RANK, CTI_TAG_FAILURE);
    }
    if (l->failures && !l->has_told)
        failure_send(l, "");
}

static void wait_sleep(double seconds)
{
    const struct timespec t = { 0, (long)(seconds * 1e9) };

    nanosleep(&t, NULL);
}

/* True if the process of a rank, on this machine, has ended. */
static bool peer_has_ended(const cti_link *l, int rank)
{
    const cti_peer *p = &l->peer[rank], *own = &l->peer[l->transport.rank];

    return p->process > 0 && p->process != own->process && strcmp(p->host, own->host) == 0 &&
           cti_process_has_ended(p->process);
}

/* The number of other ranks whose processes have not ended, as far as this rank can see. */
static int peers_living(const ct_world *w)
{
    int living = 0;

    for (int r = 0; r < w->ranks; r++)
        living += r != w->rank && !peer_has_ended(w->link, r);
    return living;
}

void cti_world_tell(ct_world *w, const char *text)
{
    cti_link *l = w->link;
    double end = cti_now() + WAIT_ANSWERS;

    if (!l || l->has_told)
        return;
    if (!l->broken)
        snprintf(l->reason, sizeof l->reason, "rank %d: %s", w->rank, text);
    l->broken = true;
    failure_send(l, text);
    do {
        failure_listen(l);
        if (l->failures >= peers_living(w))
            return;
        wait_sleep(0.01);
    } while (cti_now() < end);
}

void cti_world_end_together(ct_world *w)
{
    cti_link *l = w->link;
    const double end = cti_now() + WAIT_ENDS;

    l->end = (cti_failure){ .rank = l->transport.rank, .ends = 1 };
    failure_send_all(l, &l->end);
    do {
        wait_sleep(0.01);
        failure_listen(l);
    } while (l->ends < peers_living(w) && cti_now() < end);
    wait_sleep(WAIT_PRINTED);
}

void cti_world_tell_error(ct_world *w)
{
    if (w && w->link && !ct_ok())
        cti_world_tell(w, ct_error_message());
}

/* ---- waiting ---- */

typedef struct wait_clock {
    double began, heard; /* began: the start of the wait; heard: the last arrival */
    /* looked: the last check; gone: the time when a rank was first found to have ended, or 0. */
    double looked, gone;
    bool noted;
} wait_clock;

/* A rank that has ended while this rank waits for it, or -1. Without a request, this rank waits for
 * its device, which may wait for any rank. */
static int wait_find_ended(const ct_world *w)
{
    for (int r = 0; r < w->ranks && !w->waiting_count; r++)
        if (r != w->rank && peer_has_ended(w->link, r))
            return r;
    for (size_t i = 0; i < w->waiting_count; i++)
        if ((i == 0 || w->waiting[i].peer != w->waiting[i - 1].peer) &&
            peer_has_ended(w->link, w->waiting[i].peer))
            return w->waiting[i].peer;
    return -1;
}

/* Breaks the link if a rank has ended and its messages have had time to arrive. Returns false in
 * this case. */
static bool wait_check_ended(ct_world *w, const char *function, wait_clock *c, double now)
{
    const int ended = wait_find_ended(w);

    if (ended < 0)
        c->gone = 0;
    else if (!c->gone)
        c->gone = now;
    else if (now - c->gone > WAIT_GONE) {
        wait_break(w, function, "rank %d (process %lld on %.60s) has ended", ended,
                   (long long)w->link->peer[ended].process, w->link->peer[ended].host);
        failure_send(w->link, w->link->reason);
        return false;
    }
    return true;
}

/* Names what this rank waits for: a rank, or its device. */
static void wait_name(const ct_world *w, char who[120])
{
    const int peer = w->waiting_count ? w->waiting[0].peer : w->rank;
    const cti_peer *p = &w->link->peer[peer];

    snprintf(who, 120, "%s %d (process %lld on %.60s)",
             w->waiting_count ? "rank" : "the GPU of rank", peer, (long long)p->process, p->host);
}

/* Checks the other ranks: failures, the timeout, a request to stop, and processes that have
 * ended. Returns false with an error. */
static bool wait_look(ct_world *w, const char *function, wait_clock *c, double now)
{
    char who[120];

    failure_listen(w->link);
    if (w->link->broken)
        return wait_break(w, function, "-");
    wait_name(w, who);
    if (now - c->heard > w->timeout)
        return wait_break(w, function, "%s was not heard of for %g s", who, w->timeout);
    if (cti_stop_pending() && now - c->heard > WAIT_STOP)
        return wait_break(w, function, "a stop was asked for, and %s was not heard of for %g s",
                          who, WAIT_STOP);
    if (!wait_check_ended(w, function, c, now))
        return false;
    if (w->rank == 0 && !c->noted && now - c->heard > WAIT_NOTE) {
        cti_log("cotangent: rank 0 has waited %g s for %s", WAIT_NOTE, who);
        c->noted = true;
    }
    return true;
}

/* Runs when nothing has arrived. It polls at first, later yields the processor, and then sleeps,
 * the longer the wait lasts. Returns false with an error. */
static bool wait_idle(ct_world *w, const char *function, wait_clock *c)
{
    const double now = cti_now(), silent = now - c->heard;

    if (silent < (w->link->crowded ? 0 : WAIT_POLL))
        return true;
    if (silent < 10 * WAIT_POLL)
        sched_yield();
    else
        wait_sleep(silent < 0.1 ? 50e-6 : 1e-3);
    if (now - c->looked < WAIT_LOOK)
        return true;
    c->looked = now;
    return wait_look(w, function, c, now);
}

/* Removes request number i. */
static void wait_remove(ct_world *w, size_t i)
{
    w->waiting_count--;
    memmove(w->waiting + i, w->waiting + i + 1, (w->waiting_count - i) * sizeof *w->waiting);
}

/* Removes the requests that are done. Returns false with an error. */
static bool wait_test_all(ct_world *w, const char *function)
{
    cti_transport *t = &w->link->transport;
    size_t got, i = 0;

    while (i < w->waiting_count) {
        const cti_waiting q = w->waiting[i];
        int done = t->test(t, q.request, &got);

        if (done)
            wait_remove(w, i);
        else
            i++;
        if (done < 0)
            return wait_break(w, function, "rank %d: %.200s", q.peer, t->reason);
        if (done && q.receives && got != q.bytes)
            return wait_break(w, function,
                              "rank %d sent %zu bytes, and %zu were expected: it is at another "
                              "step",
                              q.peer, got, q.bytes);
    }
    return true;
}

bool cti_world_wait(ct_world *w, const char *function)
{
    double now = cti_now();
    wait_clock c = { .began = now, .heard = now, .looked = now };

    while (w->waiting_count) {
        size_t before = w->waiting_count;

        if (!wait_test_all(w, function))
            return false;
        if (w->waiting_count < before) {
            c.heard = cti_now();
        } else if (!wait_idle(w, function, &c)) {
            return false;
        }
    }
    return true;
}

int cti_world_wait_until(ct_world *w, const char *function, int (*done)(ct_world *w))
{
    double now = cti_now();
    wait_clock c = { .began = now, .heard = now, .looked = now };
    int result;

    while (!(result = done(w)))
        if (!wait_idle(w, function, &c))
            return -1;
    return result;
}

/* ---- starting to send and to receive ---- */

static bool wait_add(ct_world *w, const char *function, const cti_waiting *q)
{
    if (!q->request)
        return wait_break(w, function, "rank %d: %.200s", q->peer, w->link->transport.reason);
    if (!cti_grow(function, (void **)&w->waiting, &w->waiting_room, w->waiting_count,
                  sizeof *w->waiting)) {
        cti_world_tell(w, "out of memory");
        return false;
    }
    w->waiting[w->waiting_count++] = *q;
    return true;
}

bool cti_world_send(ct_world *w, const char *function, const void *data, size_t bytes, int to,
                    int tag)
{
    cti_transport *t = &w->link->transport;

    w->counts.bytes_sent += bytes;
    for (size_t at = 0, n; at < bytes; at += n) {
        cti_waiting q = { .peer = to };

        n = bytes - at < CTI_TRANSPORT_MOST ? bytes - at : CTI_TRANSPORT_MOST;
        q.bytes = n;
        q.request = t->send(t, (const char *)data + at, n, to, tag);
        if (!wait_add(w, function, &q))
            return false;
    }
    return true;
}

bool cti_world_receive(ct_world *w, const char *function, void *data, size_t bytes, int from,
                       int tag)
{
    cti_transport *t = &w->link->transport;

    for (size_t at = 0, n; at < bytes; at += n) {
        cti_waiting q = { .peer = from, .receives = true };

        n = bytes - at < CTI_TRANSPORT_MOST ? bytes - at : CTI_TRANSPORT_MOST;
        q.bytes = n;
        q.request = t->receive(t, (char *)data + at, n, from, tag);
        if (!wait_add(w, function, &q))
            return false;
    }
    return true;
}

/* ---- all ranks together ---- */

bool cti_world_gather(ct_world *w, const char *function, const void *mine, size_t bytes, void *all)
{
    memcpy((char *)all + (size_t)w->rank * bytes, mine, bytes);
    if (!cti_world_usable(w, function))
        return false;
    for (int r = 0; r < w->ranks; r++)
        if (r != w->rank && !cti_world_receive(w, function, (char *)all + (size_t)r * bytes, bytes,
                                               r, CTI_TAG_GATHER))
            return false;
    for (int r = 0; r < w->ranks; r++)
        if (r != w->rank && !cti_world_send(w, function, mine, bytes, r, CTI_TAG_GATHER))
            return false;
    return cti_world_wait(w, function);
}

/* The bytes follow a binomial tree. Rank r receives them from the rank whose number is r without
 * its highest bit. */
bool cti_world_spread(ct_world *w, const char *function, void *data, size_t bytes)
{
    int bit = 1;

    if (!cti_world_usable(w, function))
        return false;
    while (bit <= w->rank)
        bit *= 2;
    if (w->rank > 0 &&
        (!cti_world_receive(w, function, data, bytes, w->rank - bit / 2, CTI_TAG_BROADCAST) ||
         !cti_world_wait(w, function)))
        return false;
    for (; w->rank + bit < w->ranks; bit *= 2)
        if (!cti_world_send(w, function, data, bytes, w->rank + bit, CTI_TAG_BROADCAST))
            return false;
    return cti_world_wait(w, function);
}

/* In round k each rank receives a message from the rank 2^k before it. After all rounds each
 * rank depends on a message of every other rank. */
bool cti_world_meet(ct_world *w, const char *function)
{
    char out = 1, in;

    if (!cti_world_usable(w, function))
        return false;
    for (int far = 1; far < w->ranks; far *= 2)
        if (!cti_world_receive(w, function, &in, 1, (w->rank - far + w->ranks) % w->ranks,
                               CTI_TAG_BARRIER) ||
            !cti_world_send(w, function, &out, 1, (w->rank + far) % w->ranks, CTI_TAG_BARRIER) ||
            !cti_world_wait(w, function))
            return false;
    return true;
}

/* SPDX-License-Identifier: MIT */
/* device.c - devices by name, plug-ins, and the faults that asynchronous devices find.
 *
 * A plug-in's devices get the next free numbers when it is opened, and keep them, because a plug-in
 * is never closed. Numbers below the count are valid and never change, so a look-up takes no lock. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/launcher.h"
#include "tensor/log.h"
#include "tensor/plugin.h"
#include "tensor/program.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/tensor/device.h>

typedef struct device {
    const cti_backend *backend;
    int ordinal; /* its number within its plug-in */
    char name[24];
} device;

/* Kinds of device that are plug-ins. */
typedef struct kind {
    const char *name, *title;
    bool tried;
    int first, count; /* its devices are first .. first + count - 1 */
    char reason[256]; /* the reason why the plug-in could not be opened */
} kind;

static kind kinds[] = {
#define PLUGIN_KIND(file, words) { .name = file, .title = words },
    CTI_PLUGINS(PLUGIN_KIND)
#undef PLUGIN_KIND
};

#define KINDS (int)(sizeof kinds / sizeof *kinds)

static device devices[CTI_DEVICES] = { { &cti_cpu_backend, 0, "cpu" } };
static atomic_int device_count = 1;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static const device *device_at(ct_device d)
{
    if (d == CT_CPU)
        return &devices[CT_CPU];
    return d > 0 && d < atomic_load_explicit(&device_count, memory_order_acquire) ? &devices[d]
                                                                                  : NULL;
}

const cti_backend *cti_backend_of(ct_device d)
{
    const device *found;

    if (d == CT_CPU)
        return cti_program_recorded() ? &cti_recording_backend : &cti_cpu_backend;
    found = device_at(d);
    if (!found)
        return NULL;
    found->backend->select(found->ordinal);
    return found->backend;
}

const char *ct_device_name(ct_device d)
{
    const device *found = device_at(d);

    return found ? found->name : "?";
}

/* ---- opening a plug-in ---- */

static void *host_allocate(size_t bytes)
{
    return cti_calloc(1, bytes);
}

static bool host_ok(void)
{
    return ct_ok();
}

static const cti_host host = { CTI_BACKEND_VERSION, sizeof(cti_host), host_allocate,
                               cti_release,         ct_raise,         host_ok };

/* Returns the name of the first slot that a table leaves NULL; NULL if the table is complete. */
static const char *missing_kernel(const cti_backend *b)
{
    const struct {
        const char *name;
        bool there;
    } slots[] = {
#define SLOT_THERE(result, name, parameters) { #name, b->name != NULL },
        CTI_SLOTS(SLOT_THERE)
#undef SLOT_THERE
    };
    size_t i;

    for (i = 0; i < sizeof slots / sizeof *slots; i++)
        if (!slots[i].there)
            return slots[i].name;
    return NULL;
}

/* Adds the devices of a plug-in. If it has no devices, k->reason gives the reason. */
static void plugin_enter(kind *k, const cti_plugin *p)
{
    int first = atomic_load_explicit(&device_count, memory_order_relaxed), i;
    const char *missing;

    if (p->version != CTI_BACKEND_VERSION || p->size != sizeof *p) {
        snprintf(k->reason, sizeof k->reason, "the plug-in is of another version");
        return;
    }
    if (p->devices < 1) {
        snprintf(k->reason, sizeof k->reason, "%.*s", (int)sizeof p->reason - 1, p->reason);
        return;
    }
    if (!p->backend || p->backend->version != CTI_BACKEND_VERSION ||
        p->backend->size != sizeof *p->backend) {
        snprintf(k->reason, sizeof k->reason, "the plug-in's table is of another version");
        return;
    }
    missing = missing_kernel(p->backend);
    if (missing) {
        snprintf(k->reason, sizeof k->reason, "the plug-in has no kernel %s", missing);
        return;
    }
    k->first = first;
    for (i = 0; i < p->devices && first + i < CTI_DEVICES; i++) {
        device *d = &devices[first + i];

        d->backend = p->backend;
        d->ordinal = i;
        if (i == 0)
            snprintf(d->name, sizeof d->name, "%s", k->name);
        else
            snprintf(d->name, sizeof d->name, "%s:%d", k->name, i);
    }
    k->count = i;
    atomic_store_explicit(&device_count, first + i, memory_order_release);
}

/* Opens the plug-in if it was not tried before. Returns k, or NULL if it has no devices. */
static const kind *plugin_open(kind *k)
{
    pthread_mutex_lock(&opening);
    if (!k->tried) {
        cti_plugin plugin = { .devices = 0 };
        cti_plugin_open_function start;
        bool missing;
        void *symbol =
            cti_plugin_open_file(k->name, CTI_PLUGIN_SYMBOL, &missing, k->reason, sizeof k->reason);

        k->tried = true;
        if (symbol) {
            memcpy(&start, &symbol, sizeof start);
            if (start(&host, &plugin))
                plugin_enter(k, &plugin);
            else
                snprintf(k->reason, sizeof k->reason, "the plug-in is of another version");
        }
    }
    pthread_mutex_unlock(&opening);
    return k->count ? k : NULL;
}

/* ---- by name ---- */

/* The number of this process among those that a launcher started on this machine; 0 without a
 * launcher. */
static int kind_local_rank(void)
{
    for (int i = 0; i < CTI_LAUNCHERS; i++) {
        const cti_launcher *l = &cti_launchers[i];
        const int rank = cti_launcher_number(l->local_rank);

        if (rank >= 0 && cti_launcher_number(l->ranks) > 1)
            return rank;
    }
    return 0;
}

/* Reads "KIND" or "KIND:NUMBER"; NULL if it is neither. Sets *number, to -1 for "KIND". */
static kind *kind_from_name(const char *name, int *number)
{
    size_t n = strcspn(name, ":");
    int i;

    *number = -1;
    if (name[n]) {
        const char *digits = name + n + 1;

        if (!digits[0] || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 6)
            return NULL;
        *number = atoi(digits);
    }
    for (i = 0; i < KINDS; i++)
        if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, name, n) == 0)
            return &kinds[i];
    return NULL;
}

/* Returns device number `number` of a kind; for -1, the one of this process. On failure returns -1 and
 * writes the reason to `why`. */
static ct_device kind_device(kind *k, int number, char *why, size_t size)
{
    if (!plugin_open(k))
        snprintf(why, size, "no %s: %s", k->title, k->reason);
    else if (number < 0)
        return k->first + kind_local_rank() % k->count;
    else if (number >= k->count)
        snprintf(why, size, "no %s %d: only %d exist%s, numbered from 0", k->title, number,
                 k->count, k->count == 1 ? "s" : "");
    else
        return k->first + number;
    return -1;
}

static ct_device device_try_gpu(int i)
{
    char why[320];
    ct_device d = kind_device(&kinds[0], i, why, sizeof why);

    if (d != -1)
        return d;
    cti_log("%s; using the CPU", why);
    return CT_CPU;
}

ct_device ct_device_from_name(const char *name)
{
    static const char *const me = "ct_device_from_name";
    char why[320];
    kind *k;
    ct_device d;
    int number;

    if (!cti_given(me, "name", name))
        return -1;
    if (strcmp(name, "cpu") == 0)
        return CT_CPU;
    if (strcmp(name, "auto") == 0)
        return device_try_gpu(-1);
    k = kind_from_name(name, &number);
    if (!k) {
        ct_raise(CT_ERR_DEVICE, me,
                 "there is no device \"%s\" (names are cpu, cuda, cuda:1, "
                 "cuda-emu)",
                 name ? name : "(null)");
        return -1;
    }
    d = kind_device(k, number, why, sizeof why);
    if (d == -1)
        ct_raise(CT_ERR_DEVICE, me, "%s", why);
    return d;
}

int ct_device_count(const char *name)
{
    int number;
    kind *k;

    if (name && strcmp(name, "cpu") == 0)
        return 1;
    k = name ? kind_from_name(name, &number) : NULL;
    return k && plugin_open(k) ? k->count : 0;
}

ct_device ct_try_gpu(int i)
{
    return device_try_gpu(i < 0 ? 0 : i);
}

/* ---- waiting, and faults ---- */

/* The newest tickets of a thread, from which the messages of faults are made. The thread waits for
 * the device whenever half of the ring has been used, so a ticket is overwritten only after its
 * fault is known. */
#define TICKETS 2048

struct cti_tickets {
    uint32_t next;
    cti_ticket ring[TICKETS];
};

cti_fault cti_fault_at(ct_device d, cti_fault_kind fault, const char *function, int64_t limit)
{
    const device *found = device_at(d);
    ct_thread *th = cti_thread();
    cti_fault f = { 0, 0 };

    if (!found || !found->backend->async)
        return f;
    if (cti_capture_noting())
        return cti_capture_fault(&(cti_ticket){ 0, fault, function, th->site, limit });
    if (!th->tickets)
        th->tickets = cti_calloc(1, sizeof *th->tickets);
    if (!th->tickets)
        return f;
    th->tickets->next = (th->tickets->next + 1) % CTI_CAPTURED_TICKET;
    f.ticket = th->tickets->next;
    if (f.ticket % (TICKETS / 2) == 0)
        cti_synchronise(d);
    th->tickets->ring[f.ticket % TICKETS] =
        (cti_ticket){ f.ticket, fault, function, th->site, limit };
    return f;
}

static void fault_raise(const char *function, const cti_fault *f, const cti_ticket *t)
{
    long long at = (long long)f->position, limit = t ? (long long)t->limit : 0;

    if (!t) {
        ct_raise(CT_ERR_INDEX, "ct_device", "an index of an earlier op is out of range");
        return;
    }
    switch (t->kind) {
    case CTI_FAULT_INDEX:
        ct_raise(CT_ERR_INDEX, function, "the index at position %lld is not in 0..%lld", at,
                 limit - 1);
        break;
    case CTI_FAULT_TARGET:
        ct_raise(CT_ERR_INDEX, function, "the target at position %lld is not in 0..%lld", at,
                 limit - 1);
        break;
    case CTI_FAULT_WEIGHTS:
        ct_raise(CT_ERR_NUMERIC, function,
                 "row %lld of weights must have finite values of at least 0, a finite sum and at "
                 "least %lld values above 0",
                 at, limit);
        break;
    case CTI_FAULT_DIVISOR:
        ct_raise(CT_ERR_NUMERIC, function, "the divisor at position %lld is 0", at);
        break;
    case CTI_FAULT_PROBABILITY:
        ct_raise(CT_ERR_NUMERIC, function, "the probability at position %lld is not in 0..1", at);
        break;
    case CTI_FAULT_NORM:
        if (limit)
            ct_raise(CT_ERR_NUMERIC, function, "the gradients' norm is not finite in step %lld",
                     limit);
        else
            ct_raise(CT_ERR_NUMERIC, function, "the gradients' norm is not finite");
        break;
    case CTI_FAULT_VALUE:
        ct_raise(CT_ERR_NUMERIC, function, "a gradient is not finite");
        break;
    }
}

/* Raises the error of a fault. The message names the op that found it, with the file and line of
 * the user's call. */
static void fault_report(const cti_fault *f)
{
    ct_thread *th = cti_thread();
    const cti_ticket *t = th->tickets ? &th->tickets->ring[f->ticket % TICKETS] : NULL;
    const char *site = th->site;

    if (f->ticket & CTI_CAPTURED_TICKET)
        t = cti_captured_ticket(f->ticket);
    if (t && t->number != f->ticket)
        t = NULL;
    if (t)
        th->site = t->site;
    fault_raise(t ? t->function : "", f, t);
    th->site = site;
}

bool cti_to_host(ct_device d, void *to, const void *data, size_t bytes)
{
    cti_fault f = { 0, 0 };

    if (!cti_capture_allows(d, "ct_capture_run", "read a value from the device"))
        return false;
    if (cti_backend_of(d)->download(to, data, bytes, &f) == CT_OK)
        return true;
    fault_report(&f);
    return false;
}

bool cti_synchronise(ct_device d)
{
    const cti_backend *be = cti_backend_of(d);
    cti_fault f = { 0, 0 };

    if (!cti_capture_allows(d, "ct_capture_run", "wait for the device"))
        return false;
    if (!be->async || be->async->synchronise(&f) == CT_OK)
        return true;
    fault_report(&f);
    return false;
}

ct_status ct_device_synchronize(ct_device d)
{
    if (!device_at(d))
        return ct_raise(CT_ERR_DEVICE, "ct_device_synchronize",
                        "device %d does not exist; use CT_CPU or ct_device_from_name", d);
    return cti_synchronise(d) ? CT_OK : ct_error();
}

ct_device_stats ct_device_get_stats(ct_device d)
{
    const cti_backend *be = cti_backend_of(d);
    cti_counters c = { 0 };

    if (be && be->async)
        be->async->counters(&c);
    return (ct_device_stats){ .launches = c.launches,
                              .synchronisations = c.synchronisations,
                              .uploads = c.uploads,
                              .downloads = c.downloads,
                              .upload_bytes = c.upload_bytes,
                              .download_bytes = c.download_bytes,
                              .allocations = c.allocations };
}

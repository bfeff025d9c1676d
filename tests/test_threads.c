/* SPDX-License-Identifier: MIT */
/* test_threads.c - tensors on several threads, the pool of workers, forks. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"
#include "tensor/parallel.h"
#include "tensor/system.h"
#include "tests/harness.h"
#include "tests/counted.h"
#include "tests/test_threads.h"

/* ---- threads ---- */

typedef struct handover {
    pthread_barrier_t barrier;
    ct_tensor *kept, *history;
    ct_memory_stats made, held, freed;
} handover;

static void *make_and_wait(void *context)
{
    handover *h = context;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_full(CT_SHAPE(1 << 18), 2, CT_F32, CT_CPU);

    h->kept = ct_keep(x);
    h->history = ct_square(ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), true));
    h->made = ct_memory_get_stats();
    pthread_barrier_wait(&h->barrier); /* the other thread looks at both */
    pthread_barrier_wait(&h->barrier);
    (void)!ct_scope_end(s);
    h->held = ct_memory_get_stats();
    pthread_barrier_wait(&h->barrier); /* and frees what was kept */
    pthread_barrier_wait(&h->barrier);
    h->freed = ct_memory_get_stats();
    return NULL;
}

START_TEST(handed_over)
{
    handover h = { 0 };
    ct_memory_stats before = ct_memory_get_stats(), after;
    pthread_t thread;
    ct_scope s;

    pthread_barrier_init(&h.barrier, NULL, 2);
    ck_assert(pthread_create(&thread, NULL, make_and_wait, &h) == 0);
    pthread_barrier_wait(&h.barrier);
    s = ct_scope_begin();
    ck_assert(ct_item(ct_sum(h.kept)) == 1 << 19);
    ck_assert(ct_tanh(h.history) == NULL);
    expect_error(CT_ERR_SCOPE, "ct_tanh", "history");
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
    pthread_barrier_wait(&h.barrier);
    pthread_barrier_wait(&h.barrier);
    ct_free(h.kept);
    pthread_barrier_wait(&h.barrier);
    pthread_join(thread, NULL);
    after = ct_memory_get_stats();
    ck_assert_uint_eq(h.made.live_bytes, (1 << 20) + 2 * 64);
    ck_assert_uint_eq(h.held.live_bytes, 1 << 20);
    ck_assert_uint_eq(h.freed.live_bytes, 0);
    ck_assert_uint_eq(after.live_bytes, before.live_bytes);
    ck_assert_uint_lt(after.idle_bytes, before.idle_bytes + (1 << 21));
    pthread_barrier_destroy(&h.barrier);
}
END_TEST

/* Makes a tensor on a thread that then ends; the caller frees it on a thread that may have no
 * pool. */
static void *make_and_leave(void *kept)
{
    ct_scope s = ct_scope_begin();

    *(ct_tensor **)kept = ct_keep(ct_full(CT_SHAPE(1000), 3, CT_F32, CT_CPU));
    (void)s; /* forgotten: the end of the thread ends it */
    return NULL;
}

static void *just_free(void *kept)
{
    ct_free(kept);
    return NULL;
}

START_TEST(outlives_its_thread)
{
    ct_tensor *kept = NULL;
    long before;

    harness_on_thread(make_and_leave, &kept); /* makes a slab of handles, which stays */
    ct_free(kept);
    ct_memory_trim();
    before = outstanding;
    harness_on_thread(make_and_leave, &kept);
    ck_assert(((const float *)ct_data(kept))[999] == 3);
    ck_assert(outstanding > before);
    harness_on_thread(just_free, kept);
    ck_assert_int_eq(outstanding, before);
}
END_TEST

/* Returns one number made from the bits of the results of large ops. */
static uint64_t fingerprint(void)
{
    ct_generator g = ct_generator_from_seed(21);
    ct_scope s = ct_scope_begin();
    uint64_t hash = 0xcbf29ce484222325u;
    ct_tensor *a = ct_randn(CT_SHAPE(600, 90), CT_F32, CT_CPU, &g), *out[8];
    ct_tensor *b = ct_rand(CT_SHAPE(90, 70), CT_F32, CT_CPU, &g);
    int k;

    out[0] = a;
    out[1] = ct_tanh(ct_add(a, ct_select(b, 1, 0)));
    out[2] = ct_sum(a);
    out[3] = ct_sum_axes(a, 1, (int[]){ 0 }, false);
    out[4] = ct_matmul(a, b);
    out[5] = ct_softmax(a, 1);
    out[6] = ct_contiguous(ct_transpose(a, 0, 1));
    out[7] = ct_cast(ct_randn(CT_SHAPE(30001), CT_F64, CT_CPU, &g), CT_F32);
    for (k = 0; k < 8; k++) {
        const unsigned char *p = ct_data(out[k]);
        size_t n = (size_t)ct_numel(out[k]) * 4;

        ck_assert_msg(p != NULL, "%s", ct_error_message());
        while (n--)
            hash = (hash ^ *p++) * 0x100000001b3u;
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    return hash;
}

START_TEST(same_bits)
{
    static const int threads[] = { 2, 3, 8, 1 };
    uint64_t one = fingerprint();
    size_t i;

    for (i = 0; i < 4; i++) {
        ck_assert(ct_set_num_threads(threads[i]) == CT_OK);
        ck_assert_int_eq(ct_num_threads(), threads[i]);
        ck_assert_msg(fingerprint() == one, "other bits with %d threads", threads[i]);
    }
    ck_assert(ct_set_num_threads(0) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_num_threads", "0");
    ck_assert(ct_set_num_threads(257) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_num_threads", "257");
    ck_assert_int_eq(ct_num_threads(), 1);
}
END_TEST

/* Returns the number of processors of this process by its affinity and the quota of its control
 * group, at most 8. */
static int usual_threads(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    double granted, period;
    int n = 8;
#ifdef CPU_COUNT
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n)
        n = CPU_COUNT(&set);
#else
    n = 1;
#endif
    if (f && fscanf(f, "%lf %lf", &granted, &period) == 2 && ceil(granted / period) < n)
        n = (int)ceil(granted / period);
    if (f)
        fclose(f);
    return n < 1 ? 1 : n;
}

/* Each case has its own process, because the environment is read once. */
START_TEST(threads_of_environment)
{
    static const char *const wish[] = { "3", "256", "1", "0", "257", "many", NULL };

    if (wish[_i])
        setenv("COTANGENT_NUM_THREADS", wish[_i], 1);
    else
        unsetenv("COTANGENT_NUM_THREADS");
    if (_i < 3)
        ck_assert_int_eq(ct_num_threads(), atoi(wish[_i]));
    else
        ck_assert_int_eq(ct_num_threads(), usual_threads());
    ck_assert(ct_set_num_threads(2) == CT_OK);
    ck_assert_int_eq(ct_num_threads(), 2);
}
END_TEST

START_TEST(processors_granted)
{
    static const struct {
        const char *text;
        int granted;
    } cases[] = {
        { "max 100000", 256 },
        { "100000 100000", 1 },
        { "100001 100000", 2 },
        { "200000 100000", 2 },
        { "1 100000", 1 },
        { "0 100000", 256 },
        { "-5 100000", 256 },
        { "100000 0", 256 },
        { "100000 -1", 256 },
        { "100000", 256 },
        { "", 256 },
        { "25500000 100000", 255 },
        { "25500001 100000", 256 },
        { "25600001 100000", 256 },
        { "25600000 100000", 256 },
        { "99900000 100000", 256 },
        { "3 1", 3 },
        { "1 1", 1 },
    };
    char path[] = "/tmp/cotangent-quota-XXXXXX";
    int fd = mkstemp(path);
    size_t i;

    ck_assert(fd >= 0);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        int before, after;

        ck_assert(ftruncate(fd, 0) == 0 && pwrite(fd, cases[i].text, n, 0) == (ssize_t)n);
        before = dup(0);
        ck_assert_msg(cti_processors_granted(path) == cases[i].granted, "\"%s\": %d", cases[i].text,
                      cti_processors_granted(path));
        after = dup(0);
        ck_assert_int_eq(after, before + 1); /* the file was closed */
        close(before);
        close(after);
    }
    close(fd);
    unlink(path);
    ck_assert_int_eq(cti_processors_granted(path), 256);
}
END_TEST

static void *fingerprint_thread(void *out)
{
    *(uint64_t *)out = fingerprint();
    return NULL;
}

/* Several callers share the workers; a caller that finds them busy works alone. */
START_TEST(callers_share)
{
    uint64_t one = fingerprint(), got[4] = { 0 };
    pthread_t thread[4];
    int i, round;

    ct_set_num_threads(3);
    for (round = 0; round < harness_count(3, 50); round++) {
        for (i = 0; i < 4; i++)
            ck_assert(pthread_create(&thread[i], NULL, fingerprint_thread, &got[i]) == 0);
        for (i = 0; i < 4; i++) {
            pthread_join(thread[i], NULL);
            ck_assert(got[i] == one);
        }
    }
    ct_set_num_threads(1);
}
END_TEST

typedef struct tally {
    atomic_int seen[1000];
} tally;

static void tally_piece(void *context, int64_t piece)
{
    atomic_fetch_add(&((tally *)context)->seen[piece], 1);
}

/* A piece of work that starts a parallel job. */
static void nested_piece(void *context, int64_t piece)
{
    (void)piece;
    cti_parallel(10, tally_piece, context);
}

static int refuse_thread(pthread_t *thread, const pthread_attr_t *attributes,
                         void *(*start)(void *), void *argument)
{
    static int left = 1;

    return left-- > 0 ? pthread_create(thread, attributes, start, argument) : EAGAIN;
}

START_TEST(pieces)
{
    static tally t;
    int round, i;

    memset(&t, 0, sizeof t);
    if (_i) /* one worker starts, no other */
        cti_thread_create = refuse_thread;
    ct_set_num_threads(4);
    for (round = 0; round < harness_count(200, 5000); round++)
        cti_parallel(1000, tally_piece, &t);
    for (i = 0; i < 1000; i++)
        if (t.seen[i] != round)
            ck_abort_msg("piece %d ran %d times of %d", i, t.seen[i], round);
    cti_parallel(0, tally_piece, &t);
    cti_parallel(30, nested_piece, &t);
    for (i = 0; i < 10; i++)
        ck_assert_int_eq(t.seen[i], round + 30);
    ck_assert_int_eq(t.seen[10], round);
    ct_set_num_threads(1);
    cti_thread_create = pthread_create;
}
END_TEST

/* ---- which threads take part, and when ---- */

#define TEAM 4

/* Pieces that wait until the expected number of them run, each on another thread. */
typedef struct meeting {
    int expected;
    atomic_int here, others; /* here: pieces that run; others: those not on the owner's thread */
    atomic_int open_signals; /* signals that these other threads do not block */
    pthread_t owner;
} meeting;

static void meet(void *context, int64_t piece)
{
    meeting *m = context;
    sigset_t mask;
    int i;

    (void)piece;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!pthread_equal(pthread_self(), m->owner)) {
        atomic_fetch_add(&m->others, 1);
        m->open_signals += !sigismember(&mask, SIGINT) + !sigismember(&mask, SIGUSR1);
    }
    atomic_fetch_add(&m->here, 1);
    for (i = 0; i < 5000 && atomic_load(&m->here) < m->expected; i++)
        usleep(1000);
}

/* A clock that stands still, so no worker is late. */
static uint64_t stopped_clock(void)
{
    return 0;
}

/* Exactly the requested number of threads join, whether they search for work or sleep. */
START_TEST(all_join)
{
    static const int threads[] = { 2, 3, TEAM, 3, 2 };
    sigset_t before, after;
    size_t i;
    int round;

    cti_parallel_clock = stopped_clock;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (i = 0; i < sizeof threads / sizeof *threads; i++)
        for (round = 0; round < 3; round++) {
            meeting m = { .expected = threads[i], .owner = pthread_self() };

            ct_set_num_threads(threads[i]);
            cti_parallel(threads[i], meet, &m);
            ck_assert_int_eq(m.here, threads[i]);
            ck_assert_msg(m.others == threads[i] - 1, "%d of %d joined", m.others, threads[i] - 1);
            ck_assert_int_eq(m.open_signals, 0); /* workers leave signals to the program's
                                                  * threads */
            if (round)
                usleep(3000); /* they sleep */
        }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (round = 1; round < 32; round++)
        ck_assert_int_eq(sigismember(&after, round), sigismember(&before, round));
    ct_set_num_threads(1);
    { /* the owner runs a job of one piece, or of one thread, alone */
        meeting m = { .expected = 1, .owner = pthread_self() };

        cti_parallel(5, meet, &m);
        ct_set_num_threads(2);
        cti_parallel(1, meet, &m);
        ck_assert(m.here == 6 && m.others == 0);
    }
    ck_assert(ct_set_num_threads(256) == CT_OK && ct_num_threads() == 256);
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static void *(*start_of_worker)(void *);

static void *start_late(void *number)
{
    usleep(3000);
    return start_of_worker(number);
}

static int create_late(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                       void *argument)
{
    start_of_worker = start;
    return pthread_create(thread, attributes, start_late, argument);
}

static void nothing_much(void *context, int64_t piece)
{
    (void)context;
    (void)piece;
}

/* A worker that comes too late for its first job sleeps and is woken for the next. */
START_TEST(late_one_joins)
{
    meeting m = { .expected = 2, .owner = pthread_self() };

    cti_parallel_clock = stopped_clock;
    cti_thread_create = create_late;
    ct_set_num_threads(2);
    cti_parallel(2, nothing_much, NULL);
    usleep(10000);
    cti_parallel(2, meet, &m);
    ck_assert(m.here == 2 && m.others == 1);
    ct_set_num_threads(1);
    cti_thread_create = pthread_create;
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static atomic_int workers_seen;

static void note_worker(void *context, int64_t piece)
{
    static _Thread_local bool noted;

    (void)piece;
    if (!pthread_equal(pthread_self(), *(pthread_t *)context) && !noted) {
        noted = true;
        atomic_fetch_add(&workers_seen, 1);
    }
    usleep(1000);
}

/* After ct_set_num_threads with a smaller number, the other workers do not join. */
START_TEST(no_more_join)
{
    pthread_t owner = pthread_self();
    meeting m = { .expected = TEAM, .owner = owner };

    cti_parallel_clock = stopped_clock;
    ct_set_num_threads(TEAM);
    cti_parallel(TEAM, meet, &m);
    ck_assert_int_eq(m.others, TEAM - 1);
    ct_set_num_threads(2);
    cti_parallel(20, note_worker, &owner);
    ck_assert_int_le(workers_seen, 1);
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static uint64_t clock_at[3];
static int clock_asked;

static uint64_t told_clock(void)
{
    ck_assert_int_lt(clock_asked, 3);
    return clock_at[clock_asked++];
}

/* Runs a job of two threads that begins at begun, works and waits for these durations. Returns true
 * if the owner ran it alone: then the time at the end is not read. */
static bool runs_alone(uint64_t begun, uint64_t worked, uint64_t waited)
{
    /* if both should run pieces, each waits for the other */
    meeting m = { .expected = worked + waited ? 2 : 1, .owner = pthread_self() };

    clock_at[0] = begun;
    clock_at[1] = begun + worked;
    clock_at[2] = begun + worked + waited;
    clock_asked = 0;
    ct_set_num_threads(2);
    cti_parallel(2, meet, &m);
    ct_set_num_threads(1);
    ck_assert(clock_asked == 1 || clock_asked == 3);
    ck_assert_int_eq(m.here, 2);
    return clock_asked == 1;
}

/* After the owner has waited for a worker much longer than the work takes, it works alone for a
 * while. */
START_TEST(rests)
{
    enum { LATE = 20000, FIRST = 1000000, LONGEST = 500000000 };
    uint64_t now = 1000, rest = FIRST;
    int i;

    cti_parallel_clock = told_clock;
    ck_assert(!runs_alone(now, 5000, LATE + 2500)); /* not late yet */
    now += LATE + 7500;
    ck_assert(!runs_alone(now, 5000, LATE + 2500));
    now += LATE + 7500;
    for (i = 0; i < 12; i++) { /* late again and again */
        ck_assert(!runs_alone(now, 7000, LATE + 3501));
        now += LATE + 10501;
        ck_assert_msg(runs_alone(now + rest / 2, 0, 0), "rest %d", i);
        ck_assert_msg(runs_alone(now + rest - 1, 0, 0), "rest %d", i);
        now += rest;
        rest = 2 * rest < LONGEST ? 2 * rest : LONGEST;
    }
    ck_assert_uint_eq(rest, LONGEST);
    for (i = 0; i < 3; i++) { /* each job in time subtracts an eighth */
        ck_assert(!runs_alone(now, 7000, 0));
        now += 7000;
        rest -= rest / 8;
    }
    ck_assert(!runs_alone(now, 0, LATE + 1));
    now += LATE + 1;
    rest = 2 * rest < LONGEST ? 2 * rest : LONGEST;
    ck_assert(runs_alone(now + rest - 1, 0, 0));
    now += rest;
    for (i = 0; i < 60; i++) { /* until the state is the initial one */
        ck_assert(!runs_alone(now, 7000, 0));
        now += 7000;
        rest -= rest / 8;
    }
    ck_assert_uint_lt(rest, FIRST);
    ck_assert(!runs_alone(now, 0, LATE + 1));
    now += LATE + 1;
    ck_assert(runs_alone(now + FIRST - 1, 0, 0));
    ck_assert(!runs_alone(now + FIRST, 1, 0));
    cti_parallel_clock = cti_nanoseconds;
}
END_TEST

static int refuse_threads(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    (void)thread, (void)attributes, (void)start, (void)argument;
    return EAGAIN;
}

/* No worker is late if the owner ran all pieces. */
START_TEST(rests_for_nobody)
{
    int i;

    cti_thread_create = refuse_threads;
    cti_parallel_clock = told_clock;
    ct_set_num_threads(2);
    for (i = 0; i < 3; i++) {
        clock_at[0] = 1000 + (uint64_t)i;
        clock_at[1] = clock_at[0];
        clock_at[2] = clock_at[0] + 1000000;
        clock_asked = 0;
        cti_parallel(2, nothing_much, NULL);
        ck_assert_int_eq(clock_asked, 3);
    }
    ct_set_num_threads(1);
    cti_parallel_clock = cti_nanoseconds;
    cti_thread_create = pthread_create;
}
END_TEST

START_TEST(clock_goes_on)
{
    struct timespec t[2];
    uint64_t before, now, after;
    int i;

    for (i = 0; i < 3; i++) {
        clock_gettime(CLOCK_MONOTONIC, &t[0]);
        now = cti_nanoseconds();
        clock_gettime(CLOCK_MONOTONIC, &t[1]);
        before = (uint64_t)t[0].tv_sec * 1000000000u + (uint64_t)t[0].tv_nsec;
        after = (uint64_t)t[1].tv_sec * 1000000000u + (uint64_t)t[1].tv_nsec;
        ck_assert(before <= now && now <= after);
        usleep(100);
    }
}
END_TEST

static uint64_t expected_fingerprint;

static void work_after_fork(void)
{
    if (fingerprint() != expected_fingerprint)
        _exit(9);
}

START_TEST(forked)
{
#ifdef __SANITIZE_THREAD__
    printf("skipped: ThreadSanitizer has no threads after a fork\n");
    (void)work_after_fork;
#else
    char out[4000];
    int status;

    ct_set_num_threads(4);
    expected_fingerprint = fingerprint();
    status = in_child(work_after_fork, out, sizeof out);
    ck_assert_msg(status == 0, "status %d: %s", status, out);
    ck_assert(fingerprint() == expected_fingerprint);
    ct_set_num_threads(1);
#endif
}
END_TEST

/* A process may fork at any time: its child has no workers, no job and no locked mutex, and starts
 * its own workers. */
static atomic_int created;

static int count_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                        void *argument)
{
    atomic_fetch_add(&created, 1);
    return pthread_create(thread, attributes, start, argument);
}

static void slow_piece(void *context, int64_t piece)
{
    usleep(2000);
    tally_piece(context, piece);
}

static void work_anew(void)
{
    static tally t;
    int round, i;

    memset(&t, 0, sizeof t);
    created = 0;
    cti_thread_create = count_thread;
    for (round = 1; round <= 6; round++) {
        cti_parallel(5, slow_piece, &t);
        for (i = 0; i < 5; i++)
            if (t.seen[i] != round)
                _exit(9);
        usleep(2000); /* workers fall asleep */
    }
    if (created != 2)
        _exit(10);
#ifdef __SANITIZE_ADDRESS__
    _exit(0); /* exit would search for leaks and wait for a thread that the child does not have */
#endif
}

static char child_said[4000];
static int child_status;
static pthread_t caller;

static int fork_in_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    if (child_status < 0)
        child_status = in_child(work_anew, child_said, sizeof child_said);
    return pthread_create(thread, attributes, start, argument);
}

static void fork_in_worker(void *context, int64_t piece)
{
    static atomic_int one;

    (void)context;
    (void)piece;
    if (pthread_equal(pthread_self(), caller) || atomic_exchange(&one, 1)) {
        usleep(5000);
        return;
    }
    usleep(20000); /* the caller waits */
    child_status = in_child(work_anew, child_said, sizeof child_said);
}

START_TEST(forked_at_any_time)
{
#ifdef __SANITIZE_THREAD__
    printf("skipped: ThreadSanitizer has no threads after a fork\n");
    (void)fork_in_create, (void)fork_in_worker, (void)caller;
#else
    static tally t;
    int i;

    memset(&t, 0, sizeof t);
    caller = pthread_self();
    child_status = -1;
    ct_set_num_threads(3);
    if (_i == 1) /* the pool is locked */
        cti_thread_create = fork_in_create;
    for (i = 0; i < 3; i++) {
        cti_parallel(10, slow_piece, &t);
        usleep(2000);
    }
    if (_i == 0) /* workers sleep */
        child_status = in_child(work_anew, child_said, sizeof child_said);
    for (i = 0; i < 100 && child_status < 0; i++) /* the owner waits, one worker runs */
        cti_parallel(3, fork_in_worker, NULL);
    ck_assert_msg(child_status == 0, "status %d: %s", child_status, child_said);
    cti_parallel(10, slow_piece, &t);
    for (i = 0; i < 10; i++)
        ck_assert_int_eq(t.seen[i], 4);
    cti_thread_create = pthread_create;
    ct_set_num_threads(1);
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tc;

    count_calls();
    tc = harness_case(suite, "threads");
    tcase_add_test(tc, handed_over);
    tcase_add_test(tc, outlives_its_thread);
    tcase_add_test(tc, same_bits);
    tcase_add_loop_test(tc, threads_of_environment, 0, 7);
    tcase_add_test(tc, processors_granted);
    tcase_add_test(tc, callers_share);
    tcase_add_loop_test(tc, pieces, 0, 2);
    tcase_add_test(tc, all_join);
    tcase_add_test(tc, late_one_joins);
    tcase_add_test(tc, no_more_join);
    tcase_add_test(tc, rests);
    tcase_add_test(tc, rests_for_nobody);
    tcase_add_test(tc, clock_goes_on);
    tcase_add_test(tc, forked);
    tcase_add_loop_test(tc, forked_at_any_time, 0, 3);
    threads_model_cases(suite);
    threads_steps_cases(suite);
    harness_pooled = true;
    return harness_run(suite);
}

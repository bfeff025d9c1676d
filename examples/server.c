/* SPDX-License-Identifier: MIT */
/* server.c - answers requests for text with one language model and eight threads.
 *     cotangent train book.txt -o book.safetensors
 *     server book.safetensors < requests > answers
 *
 * A request is a line "SEED COUNT TEXT": COUNT tokens after TEXT. Its answer is a line
 * "NUMBER: TEXT"; answers come in the order of the requests. A thread takes up to BATCH requests that
 * wait and continues their texts together. An answer does not depend on the others of its batch: each
 * request has a seed, and portable arithmetic gives the same bits for any number of rows. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

enum { THREADS = 8, BATCH = 16, MOST_TOKENS = 1000 };

typedef struct request {
    struct request *next;
    char *line;
    ct_lm_request ask;
    bool malformed, done;
} request;

static ct_lm *model;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static request *first, **last = &first; /* the requests whose answers are not printed */
static request *next_waiting;           /* the first of them that no thread has taken */
static bool closed;                     /* no more requests come */

/* Makes a request of a line, which it then owns. */
static request *request_new(char *line)
{
    request *r = calloc(1, sizeof *r);
    unsigned long long seed;
    long long count;
    int text = 0;

    if (!r)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    r->line = line;
    sscanf(line, "%llu %lld %n", &seed, &count, &text);
    if (text > 0 && count >= 1 && count <= MOST_TOKENS)
        r->ask = (ct_lm_request){ .prefix = line + text, .seed = seed, .count = count };
    else
        r->malformed = true; /* its prefix is NULL, so it fails in its batch alone */
    return r;
}

/* Takes up to BATCH requests, after waiting for one; 0 if no more come. */
static int take(request **batch)
{
    int n = 0;

    pthread_mutex_lock(&lock);
    while (!next_waiting && !closed)
        pthread_cond_wait(&arrived, &lock);
    for (; next_waiting && n < BATCH; next_waiting = next_waiting->next)
        batch[n++] = next_waiting;
    pthread_mutex_unlock(&lock);
    return n;
}

/* Prints the answers that are done, up to the first one that is not. The caller has the lock. */
static void print_answers(void)
{
    static long number;

    while (first && first->done) {
        request *r = first;
        const char *error = r->malformed ? "not SEED COUNT TEXT" : r->ask.message;

        printf("%ld: %s", ++number, r->ask.text ? "" : "error: ");
        ct_print_text(r->ask.text ? r->ask.text : error, stdout);
        putchar('\n');
        first = r->next;
        last = first ? last : &first;
        free(r->ask.text);
        free(r->line);
        free(r);
    }
    fflush(stdout);
}

static void *serve(void *unused)
{
    const ct_lm_generate_options options = { .count = 1, .temperature = 0.8, .top_p = 0.95 };
    ct_lm_request ask[BATCH];
    request *batch[BATCH];
    int n, i;

    while ((n = take(batch)) > 0) {
        for (i = 0; i < n; i++)
            ask[i] = batch[i]->ask;
        if (ct_lm_generate_batch(model, n, ask, options) != CT_OK)
            ct_error_clear(); /* every request has the message */
        pthread_mutex_lock(&lock);
        for (i = 0; i < n; i++) {
            batch[i]->ask = ask[i];
            batch[i]->done = true;
        }
        print_answers();
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void read_requests(void)
{
    size_t room = 0;
    char *line = NULL;
    request *r;

    while (getline(&line, &room, stdin) > 0 && (r = request_new(line))) {
        line = NULL;
        pthread_mutex_lock(&lock);
        *last = r;
        last = &r->next;
        next_waiting = next_waiting ? next_waiting : r;
        pthread_cond_signal(&arrived);
        pthread_mutex_unlock(&lock);
    }
    free(line);
    pthread_mutex_lock(&lock);
    closed = true;
    pthread_cond_broadcast(&arrived);
    pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    int i;

    if (argc != 2)
        return fprintf(stderr, "usage: server MODEL < REQUESTS\n") < 0 ? 1 : 2;
    model = ct_lm_load(argv[1], CT_CPU);
    ct_set_num_threads(1); /* eight batches at once fill the machine */
    ct_set_portable(true);
    for (i = 0; i < THREADS; i++)
        if (!model || pthread_create(&thread[i], NULL, serve, NULL) != 0)
            return 1;
    read_requests();
    while (i > 0)
        pthread_join(thread[--i], NULL);
    ct_lm_free(model);
    return 0;
}

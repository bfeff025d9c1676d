/* SPDX-License-Identifier: MIT */
/* handles.c - measures the cost of a handle: a recorded ct_add of scalars, in scopes of few and of
 * many ops.
 *
 *     bench/handles [ROUNDS]
 *
 * Prints the nanoseconds for each op: the least of ROUNDS measurements, because noise only adds
 * time. To compare two builds, run their programs in turns. */
#include <cotangent.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The processor time of this thread, which other programs on a loaded machine influence less. */
static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Runs `scopes` scopes with `ops` additions each. Returns the nanoseconds for each addition, or -1
 * after an error. */
static double measure(ct_tensor *w, int scopes, int ops)
{
    double began = now();
    int i, k;

    for (i = 0; i < scopes; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *y = w;

        for (k = 0; k < ops; k++)
            y = ct_add(y, w);
        if (ct_scope_end(s) != CT_OK)
            return -1;
    }
    return (now() - began) / ((double)scopes * ops);
}

int main(int argc, char **argv)
{
    static const int ops[] = { 10, 100, 1000, 10000 };
    int rounds = argc > 1 ? atoi(argv[1]) : 10, i, k;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_set_requires_grad(ct_keep(ct_ones(CT_SCALAR, CT_F32, CT_CPU)), true);

    ct_set_num_threads(1);
    for (i = 0; i < 4; i++) {
        double best = 0;

        for (k = 0; k < rounds + 2; k++) { /* the first two fill pools and queues */
            double t = measure(w, 200000 / ops[i], ops[i]);

            best = k == 2 || (k > 2 && t < best) ? t : best;
        }
        printf("%s%d ops: %.2f ns", i ? ", " : "", ops[i], best);
    }
    printf("\n");
    ct_free(w);
    return ct_scope_end(s) == CT_OK ? 0 : 1;
}

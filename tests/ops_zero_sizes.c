/* SPDX-License-Identifier: MIT */
/* ops_zero_sizes.c - tensors without elements that have a huge size on another axis: (0, 2^40),
 * (2^40, 0), (2^40, 0, 2^10). Every op and its derivatives must return at once: with a result, or
 * with an error if the result has elements and does not fit in memory. A loop over the huge size
 * would not end in time. Each op runs in a separate process with an alarm. */
#include "tests/cases.h"
#include "tests/test_ops.h"

#include "tensor/hooks.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

#define SECONDS 30                     /* the time for all calls of an op */
#define MOST_BYTES ((size_t)256 << 20) /* the largest allocation that succeeds */

static void *(*allocate)(size_t alignment, size_t bytes);

static void *allocate_within_reason(size_t alignment, size_t bytes)
{
    return bytes > MOST_BYTES ? NULL : allocate(alignment, bytes);
}

static int64_t elements_in(const ct_shape *s)
{
    int64_t n = 1;
    int i;

    for (i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

/* Makes zeros as the inputs of a call; false if an input has elements and does not fit in
 * memory. */
static bool make_zeros(const op_draw *d, ct_tensor **in)
{
    int i;

    for (i = 0; i < d->count; i++) {
        const op_input *k = &d->in[i];
        ct_dtype dtype = k->values == OP_UNIFORM || k->values == OP_DISTINCT ? CT_F64 : k->dtype;

        if (elements_in(&k->shape) > 1 << 16)
            return false;
        in[i] = k->same_as >= 0 ? in[k->same_as] : ct_zeros(k->shape, dtype, DEVICE);
        if (dtype == CT_F64 && !k->constant && in[i])
            ct_set_requires_grad(in[i], true);
    }
    return ct_ok();
}

/* Differentiates y by ct_backward, and by ct_grad with create_graph. */
static void differentiate(const op_draw *d, ct_tensor *y, ct_tensor *const *in)
{
    ct_tensor *dy = ct_zeros(ct_tensor_shape(y), ct_tensor_dtype(y), ct_tensor_device(y));
    ct_tensor *wanted[OP_INPUTS], *grads[OP_INPUTS];
    int i, count = 0;

    for (i = 0; i < d->count; i++)
        if (!d->in[i].unused && ct_tensor_requires_grad(in[i]))
            wanted[count++] = in[i];
    if (!dy || !count)
        return;
    ct_backward_with(y, dy);
    ct_set_requires_grad(dy, true);
    if (ct_grad(1, &y, count, wanted, &dy, true, grads) == CT_OK &&
        ct_tensor_requires_grad(grads[0]))
        ct_backward_with(grads[0], ct_detach(grads[0]));
}

/* Makes the calls of one op. Returns an exit status: 0 if each had a result or an error. */
static int call_op(const op_row *row, int numbers)
{
    int n, wrong = 0;

    for (n = 0; n < numbers; n++) {
        ct_scope s = ct_scope_begin();
        op_draw d = op_draw_huge(row, n);
        ct_tensor *in[OP_INPUTS] = { NULL }, *y;

        if (make_zeros(&d, in)) {
            y = op_call(row, &d, in);
            if (y ? !ct_ok() : ct_ok()) {
                fprintf(stderr, "%s: %s\n", op_describe(row, n, &d),
                        y ? "a result and an error" : "neither a result nor an error");
                wrong++;
            }
            if (y && ct_tensor_requires_grad(y))
                differentiate(&d, y, in);
        }
        if (ct_scope_end(s) != CT_OK)
            ct_error_clear();
    }
    return wrong != 0;
}

static int op_fails(const op_row *row, int numbers)
{
    pid_t child;
    int status = 0;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(SIGALRM, SIG_DFL);
        alarm(SECONDS);
        allocate = cti_memory_calls.allocate;
        cti_memory_calls.allocate = allocate_within_reason;
        _exit(call_op(row, numbers));
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: signal %d%s\n", row->name, WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ", it does not end" : "");
    return status != 0;
}

START_TEST(ops_return_at_once_without_elements)
{
    int numbers = harness_count(20, 100), t, r, failures = 0;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            failures += op_fails(&op_tables[t][r], numbers);
    ck_assert_int_eq(failures, 0);
}
END_TEST

void ops_zero_sizes_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "zero sizes");

    tcase_set_timeout(tc, 3600);
    tcase_add_test(tc, ops_return_at_once_without_elements);
}

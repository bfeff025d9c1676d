/* harness.h - what the test programs share. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/device.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

/* Runs a suite: errors are collected silently (harness_fixture), and the exit status says whether
 * all passed. */
int harness_run(Suite *suite);

/* Tests run with COTANGENT_POOL=0: each buffer has its own size and life, and memory that fails
 * fails everywhere. Not so where the pool matters: in a program that says harness_pooled before
 * harness_run, and in a harness_pooled_case. */
extern bool harness_pooled;

/* A checked fixture for every case: no error stands, the handler is quiet, one thread. Add with
 * tcase_add_checked_fixture(tc, harness_setup, harness_teardown). A test fails, too, that leaves a
 * scope open or ends one with another open inside (unless it says harness_forgets), or does not
 * give back, by its process's end, all memory and files that the library asked for, or writes
 * outside a block of that memory. */
void harness_setup(void);
void harness_teardown(void);
extern bool harness_forgets;

/* What run(context) gives on a thread of its own. */
void *harness_on_thread(void *(*run)(void *context), void *context);

/* A request for memory that failed on purpose, SIZE_MAX for none: the message about it must tell as
 * many bytes (but a tensor's, which tells those of its values). */
extern _Thread_local size_t harness_refused;

/* free() for what a header says is yours to free(), and for texts of jansson's: in tests the memory
 * of neither is libc's alone. */
void harness_free(void *p);

/* A test case of suite with the fixture. */
TCase *harness_case(Suite *suite, const char *name);
TCase *harness_pooled_case(Suite *suite, const char *name);

/* True for the full counts (COTANGENT_TEST_FULL). */
bool harness_full(void);

/* Where the tests run: COTANGENT_TEST_DEVICE, else the CPU. A test that is about the CPU's memory
 * itself says CT_CPU. */
#define DEVICE harness_device()
ct_device harness_device(void);

/* A function of the emulated GPU (cuda/emu/report.h), by the name of its device, which is in use; NULL
 * for another device. */
void *harness_emulator(const char *device, const char *function);

/* An emulated device is some hundred times slower: how many rounds of a long test, there and on
 * others. */
int harness_rounds(int emulated, int usual);

/* The standing error's message, with "cpu" for the name of the tests' device. */
const char *harness_message(void);

/* True if the tests' device works later: what it finds is told by what waits for it. */
bool harness_later(void);

/* Kills so many tensors of the thread that from now on dead ones are reused, not made. */
void harness_fill_handles(void);

/* How many random cases: thin in make check, whole in make check-full. */
int harness_count(int thin, int whole);

/* The path of a file in COTANGENT_DATA_DIR, or NULL after saying that the test is skipped. */
const char *harness_data(const char *file);

/* The path of a file of the source tree: "tests/torch/main_job.txt". */
const char *harness_source(const char *file);

/* Fails unless |got - want| <= tolerance; a NaN fails, unless both are. */
void expect_close(const char *what, double got, double want, double tolerance);

/* Fails unless the tensor's elements, row-major, are want's (count of them) within tolerance. */
void expect_values(const char *what, ct_tensor *t, const double *want, size_t count,
                   double tolerance);

/* The elements of any tensor as doubles, row-major; yours to free(). */
double *values_of(ct_tensor *t);

/* Writes element at, row-major, of a contiguous tensor on any device; recording may be on. */
void put_value(ct_tensor *t, int64_t at, double value);

/* True if both have the same number of bytes, and the same ones. */
bool same_bytes(ct_tensor *a, ct_tensor *b);

/* Fails unless an error of this status stands whose message is text, word for word but for a
 * "FILE:LINE: " in front, and for the tests' device where text has "cpu"; then clears it. */
void expect_error(ct_status status, const char *text);

/* Fails unless the call whose result is given was refused with this error: at once (NULL), or, of
 * indices and the like on a device that works later, when it is waited for. Then clears it. */
void expect_fault(const char *call, ct_tensor *result, ct_status status, const char *text);

/* Fails with the message if an error stands. */
void expect_ok(void);

/* For a call that is given NULL where a value is required. It must return NULL with CT_ERR_ARGUMENT and
 * "FUNCTION: ARGUMENT is NULL"; and while another error stands, NULL without a second error. */
#define EXPECT_NO_VALUE(call)                                                                      \
    do {                                                                                           \
        ck_assert_msg((call) == NULL, "%s is not NULL", #call);                                    \
        harness_no_value(#call);                                                                   \
        ck_assert_msg((call) == NULL, "%s is not NULL after an error", #call);                     \
        harness_no_second_error(#call);                                                            \
    } while (0)

/* Its halves: compares the error with what it should be and raises another one; fails unless that one still
 * stands alone, and clears it. */
void harness_no_value(const char *call);
void harness_no_second_error(const char *call);

/* A random tensor of the innermost scope: normal values. */
ct_tensor *random_normal(ct_generator *g, ct_shape shape, ct_dtype dtype);

#endif

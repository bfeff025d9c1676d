/* harness.h - what the test programs share. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/helpers.h"

#include <cotangent/tensor/config.h>
#include <cotangent/tensor/device.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

/* Runs a suite: errors are collected silently (harness_setup), and the exit status says whether all
 * passed. If COTANGENT_TEST_MESSAGES names a folder, the messages that expect_error and its kin see
 * are written to a file there, named after the program; tests/messages.sh compares them. */
int harness_run(Suite *suite);

/* Tests run with COTANGENT_POOL=0: each buffer has its own size and life, and memory that fails
 * fails everywhere. Not so where the pool matters: in a program that says harness_pooled before
 * harness_run, and in a harness_pooled_case. */
extern bool harness_pooled;

/* A checked fixture for every case: no error is recorded, the handler is quiet, there is one
 * thread. Add it with tcase_add_checked_fixture(tc, harness_setup, harness_teardown). A test also
 * fails if it leaves a scope open, ends a scope while an inner one is open (unless it sets
 * harness_forgets), writes outside a block of memory, or does not return all memory and files
 * before its process ends. */
void harness_setup(void);
void harness_teardown(void);
extern bool harness_forgets;

/* What run(context) gives on a thread of its own. */
void *harness_on_thread(void *(*run)(void *context), void *context);

/* A request for memory that failed on purpose, SIZE_MAX for none: the message about it must tell as
 * many bytes (but a tensor's, which tells those of its values). */
extern _Thread_local size_t harness_refused;

/* free() for what a header says is yours to free(): in tests that memory is not libc's alone. */
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

/* True if the tests' device is asynchronous: the next call that waits for it reports what it
 * found. */
bool harness_later(void);

/* Ends enough tensors of the thread that from now on dead handles are reused instead of new ones
 * made. */
void harness_fill_handles(void);

/* How many random cases: thin in make check, whole in make check-full. */
int harness_count(int thin, int whole);

/* The path of a file in COTANGENT_DATA_DIR, or NULL after saying that the test is skipped. */
const char *harness_data(const char *file);

/* The path of a file of the source tree: "tests/torch/main_job.txt". */
const char *harness_source(const char *file);

/* Fails unless an error of this status stands, raised by function, whose message holds word; then
 * clears it. word is a key word or a short phrase, and stands as whole words. " ... " in it is any
 * text: "weight ... dtype". The full texts are in tests/messages.txt. */
#define expect_error(status, function, word) expect_error_at(CT_HERE, status, function, word)
void expect_error_at(const char *place, ct_status status, const char *function, const char *word);

/* Fails unless an error of memory stands, of any function; then clears it. */
void expect_out_of_memory(void);

/* Fails unless result, a pointer that a call has returned, is NULL and this error is recorded. On
 * an asynchronous device, an index or a value may be refused when the device is synchronised. Then
 * clears the error. */
#define expect_fault(result, status, function, word)                                               \
    expect_fault_at(CT_HERE, result, status, function, word)
void expect_fault_at(const char *place, const void *result, ct_status status, const char *function,
                     const char *word);

/* The call, in a file that includes <cotangent.h>, returns NULL if it returns a pointer, and raises
 * this error, whose message begins with the place of the call. */
/* clang-format off */
#define REFUSED(status, function, word, call)                                                     \
    expect_refused(CT_HERE,                                                                       \
                   _Generic((call), ct_tensor *: (call), ct_param *: (call), ct_params *: (call), \
                            ct_state *: (call), default: ((void)(call), NULL)),                   \
                   status, function, word)
/* clang-format on */
void expect_refused(const char *place, const void *result, ct_status status, const char *function,
                    const char *word);

/* Fails with the message if an error is recorded. */
void expect_ok(void);

/* For a call that gets NULL where a value is required. It must return NULL with CT_ERR_ARGUMENT and
 * "FUNCTION: ARGUMENT is NULL"; while another error is recorded, NULL without a second error. */
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

#endif

/* SPDX-License-Identifier: MIT */
/* harness.h - common functions of the test programs. */
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

/* Runs a suite without printing the library's errors (harness_setup). Returns an exit status: 0 if
 * all tests passed. If COTANGENT_TEST_MESSAGES names a folder, the messages that expect_error and
 * similar functions check are written to a file in it, named after the program; tests/messages.sh
 * compares them. */
int harness_run(Suite *suite);

/* Tests run with COTANGENT_POOL=0, so that each buffer is allocated and freed separately and any
 * allocation can fail. A program that tests the pool sets harness_pooled before harness_run, or
 * uses harness_pooled_case. */
extern bool harness_pooled;

/* A checked fixture for every case: no error is recorded, errors are not printed, and ops use one
 * thread. Add it with tcase_add_checked_fixture(tc, harness_setup, harness_teardown). A test also
 * fails if it leaves a scope open, ends a scope while an inner one is open (unless it sets
 * harness_forgets), writes outside a block of memory, or does not return all memory and files
 * before its process ends. */
void harness_setup(void);
void harness_teardown(void);
extern bool harness_forgets;

/* Runs run(context) on a new thread and returns its result. */
void *harness_on_thread(void *(*run)(void *context), void *context);

/* The size of an allocation that a test made fail; SIZE_MAX if there is none. The message about it
 * must have this number of bytes (for a tensor, the bytes of its values). */
extern _Thread_local size_t harness_refused;

/* Frees memory that a header tells the caller to free with free(); in tests such memory comes from
 * the harness's table. */
void harness_free(void *p);

/* Adds a test case with the fixture to suite. */
TCase *harness_case(Suite *suite, const char *name);
TCase *harness_pooled_case(Suite *suite, const char *name);

/* True if COTANGENT_TEST_FULL requests the full numbers of cases. */
bool harness_full(void);

/* The device of the tests: COTANGENT_TEST_DEVICE, or the CPU. Tests of the CPU's memory use
 * CT_CPU. */
#define DEVICE harness_device()
ct_device harness_device(void);

/* Returns a function of the emulated GPU (cuda/emu/report.h) if device is such a GPU, which must be
 * in use; NULL for another device. */
void *harness_emulator(const char *device, const char *function);

/* Returns the number of rounds of a long test: `emulated` on an emulated device, which is some
 * hundred times slower, `usual` on others. */
int harness_rounds(int emulated, int usual);

/* Returns the message of the recorded error, with "cpu" in place of the name of the tests'
 * device. */
const char *harness_message(void);

/* True if the tests' device is asynchronous, so that the next call that waits for it reports its
 * faults. */
bool harness_later(void);

/* Frees so many tensors of the thread that from now on dead handles are reused and no new handles
 * are made. */
void harness_fill_handles(void);

/* Returns the number of random cases: thin in make check, whole in make check-full. */
int harness_count(int thin, int whole);

/* Returns the path of a file in COTANGENT_DATA_DIR. If it does not exist, says that the test is
 * skipped and returns NULL. */
const char *harness_data(const char *file);

/* Returns the path of a file of the source tree, such as "tests/torch/main_job.txt". */
const char *harness_source(const char *file);

/* Fails unless the recorded error has this status, names function, and contains word; then clears
 * the error. word is a key word or a short phrase, which must occur as whole words. " ... " in it
 * matches any text: "weight ... dtype". The full texts are in tests/messages.txt. */
#define expect_error(status, function, word) expect_error_at(CT_HERE, status, function, word)
void expect_error_at(const char *place, ct_status status, const char *function, const char *word);

/* Fails unless the recorded error is CT_ERR_MEMORY, of any function; then clears it. */
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

/* The two halves of EXPECT_NO_VALUE. The first checks the error and raises another one. The second
 * fails unless that other error is still the only one, and clears it. */
void harness_no_value(const char *call);
void harness_no_second_error(const char *call);

#endif

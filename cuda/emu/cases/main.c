/* SPDX-License-Identifier: MIT */
/* main.c - runs the cases: every fault must be reported, and nothing else. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/emu/cases/cases.h"
#include "cuda/emu/report.h"

enum { SEEDS = 6 };

static const emu_case *const tables[] = { emu_wrong_barriers, emu_wrong_races, emu_wrong_memory,
                                          emu_wrong_streams,  emu_wrong_calls, emu_right };

static const emu_case *case_number(int i)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const emu_case *c = tables[t]; c->name; c++)
            if (i-- == 0)
                return c;
    return NULL;
}

START_TEST(found)
{
    const emu_case *c = case_number(_i);
    emu_finding expected = emu_checking() ? c->checked : c->plain;
    int reported = 0, wrong = 0;

    emu_set_quiet(true);
    for (int seed = 1; seed <= SEEDS; seed++) {
        emu_reset();
        emu_set_seed((uint64_t)seed);
        bool right = c->run();
        const char *text = emu_report_text(0);
        reported += text != NULL;
        wrong += !right || text;
        if (expected == EMU_RIGHT) {
            ck_assert_msg(!text, "%s, seed %d: reported: %s", c->name, seed, text);
            ck_assert_msg(right, "%s, seed %d: wrong results", c->name, seed);
        }
        if (text && (emu_checking() || expected == EMU_FOUND))
            ck_assert_msg(!strncmp(text, c->report, strlen(c->report)), "%s, seed %d: %s", c->name,
                          seed, text);
        if (text && getenv("COTANGENT_EMU_VERBOSE"))
            printf("%s: %s\n", c->name, text);
    }
    if (expected == EMU_FOUND)
        ck_assert_msg(reported == SEEDS, "%s: reported with %d of %d seeds", c->name, reported,
                      SEEDS);
    if (expected == EMU_WRONG)
        ck_assert_msg(wrong > 0, "%s: right with all seeds, and no report", c->name);
}
END_TEST

/* A program whose k-th call fails says so, or does not need it; nothing is reported or leaks into
 * the next. */
START_TEST(every_call_fails)
{
    const emu_case *c = case_number(_i);
    uint64_t calls;

    if (c->plain != EMU_RIGHT || c->checked != EMU_RIGHT)
        return;
    emu_set_quiet(true);
    emu_reset();
    emu_set_seed(1);
    calls = emu_count().calls;
    c->run();
    calls = emu_count().calls - calls;
    ck_assert_uint_gt(calls, 2);
    for (uint64_t k = 1; k <= calls; k += 1 + calls / 50) {
        emu_reset();
        emu_set_seed(1);
        emu_fail(k);
        c->run();
        emu_fail(0);
        /* after a failed call, the case may use a NULL pointer: any report but a race is allowed */
        for (int i = 0; i < emu_reports(); i++)
            ck_assert_msg(strncmp(emu_report_text(i), "race: ", 6), "%s, call %d: %s", c->name,
                          (int)k, emu_report_text(i));
    }
    emu_reset();
    ck_assert_msg(c->run(), "%s: does not recover", c->name);
}
END_TEST

START_TEST(host_touches_device_memory)
{
    emu_set_quiet(true);
    emu_touch_device_memory();
}
END_TEST

START_TEST(counters)
{
    emu_counters before, after;

    emu_set_quiet(true);
    before = emu_count();
    emu_counted_program();
    after = emu_count();
    ck_assert_uint_eq(after.launches - before.launches, 3);
    ck_assert_uint_eq(after.gemms - before.gemms, 1);
    ck_assert_uint_eq(after.synchronises - before.synchronises, 2);
    ck_assert_uint_eq(after.host_to_device - before.host_to_device, 256);
    ck_assert_uint_eq(after.device_to_host - before.device_to_host, 128);
    ck_assert_uint_eq(after.device_to_device - before.device_to_device, 64);
    ck_assert_uint_eq(after.allocations - before.allocations, 2);
    ck_assert_int_eq(emu_reports(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create(emu_checking() ? "checker" : "emulator");
    TCase *cases = tcase_create("cases"), *rest = tcase_create("rest");
    SRunner *runner = srunner_create(suite);
    int count = 0, failed;

    while (case_number(count))
        count++;
    tcase_add_loop_test(cases, found, 0, count);
    if (!emu_checking())
        tcase_add_loop_test(rest, every_call_fails, 0, count);
    tcase_add_test(rest, counters);
#ifdef __SANITIZE_ADDRESS__ /* it turns the signal into an exit */
    tcase_add_exit_test(rest, host_touches_device_memory, 1);
#else
    tcase_add_test_raise_signal(rest, host_touches_device_memory, SIGSEGV);
#endif
    suite_add_tcase(suite, cases);
    suite_add_tcase(suite, rest);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

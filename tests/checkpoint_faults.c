/* SPDX-License-Identifier: MIT */
/* checkpoint_faults.c - checkpoints that do not match the run, are damaged, or cannot be
 * written. */
#include "tests/files.h"
#include "tests/flips.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cotangent.h>

#include "tests/test_checkpoint.h"

/* ---- runs that do not match ---- */

static const ct_metadata own[] = { { "lr", "1" }, { "text", "abc" }, { NULL, NULL } };
static const ct_metadata other[] = { { "lr", "2" }, { "text", "abc" }, { NULL, NULL } };
static const ct_metadata more[] = {
    { "lr", "1" }, { "text", "abc" }, { "x", "y" }, { NULL, NULL }
};

static const ct_metadata fewer[] = { { "lr", "1" }, { NULL, NULL } };
static const struct misfit {
    run how;
    const char *word;
} misfits[] = {
    { { RUN, .hyperparameters = other }, "another run ... lr ... 1 ... 2" },
    { { RUN, .hyperparameters = more }, "another run ... x ... absent ... y" },
    { { RUN, .hyperparameters = fewer }, "another run ... text ... abc ... absent" },
    { { RUN, .hyperparameters = own, .text_b = true }, "train_loader.data" },
    { { RUN, .hyperparameters = own, .batch = 3 }, "train_loader.batch_size ... 4 ... 3" },
    { { RUN, .hyperparameters = own, .random = true },
      "train_loader.kind is ... sequential ... in the checkpoint and ... random ... now" },
    { { RUN, .hyperparameters = own, .seed = 5 }, "train_loader.seed ... 0 ... 5" },
    { { RUN, .hyperparameters = own, .adam = true }, "optimizer.algorithm ... SGD ... Adam" },
    { { RUN, .hyperparameters = own, .lr = 0.25 },
      "another run: optimizer.lr is 0.5 in the checkpoint and 0.25 now" },
    { { RUN, .hyperparameters = own, .gamma = 0.5 },
      "optimizer.schedule ... step_lr 2 0.7 ... step_lr 2 0.5" },
    { { RUN, .hyperparameters = own, .clip = 1 }, "trainer.gradient_clip_val ... 0 ... 1" },
    { { RUN, .hyperparameters = own, .hidden = 7 }, "rnn.weight_hh_l0 ... [6,6] ... [7,7]" },
    { { RUN, .hyperparameters = own, .cell = 1 },
      "another run ... rnn.weight_ih_l0 ... [6,12] ... [24,-1] ... rnn.weight_hh_l0" },
    { { .momentum = 0.5, .val = true, .model_json = "{}", .hyperparameters = own, .layers = 2 },
      "rnn.weight_ih_l1 ... absent ... [6,6]" },
    { { .momentum = 0.5, .layers = 1, .model_json = "{}", .hyperparameters = own },
      "validation_loader ... absent" },
    { { .momentum = 0.5, .layers = 1, .val = true, .model_json = "[]", .hyperparameters = own },
      "another run ... model ... {} ... []" },
    { { .momentum = 0.6, .layers = 1, .val = true, .model_json = "{}", .hyperparameters = own },
      "optimizer.momentum ... 0.5 ... 0.6" },
};

/* A resume is refused with a message about the difference; the model keeps its initial values. */
START_TEST(refused)
{
    const struct misfit *c = &misfits[_i];
    run how = c->how, first = { RUN, .hyperparameters = own, .checkpoint = "a" };
    const char *before;
    double weights;

    trains(first);
    before = hash_of("a");
    how.checkpoint = how.resume = "a";
    how.csv = "none.csv";
    how.unchanged = true;
    ck_assert(train(&how, NULL, &weights) == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_fit", c->word);
    ck_assert_str_eq(hash_of("a"), before);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* Replaces every text `from` in the file by `to`, of the same length, and corrects the digest. */
static void edit(const char *path, const char *from, const char *to)
{
    size_t size, n = strlen(from);
    char *bytes = read_bytes(path, &size);
    int found = 0;

    ck_assert(strlen(to) == n);
    for (size_t i = 0; i + n <= size; i++)
        if (memcmp(bytes + i, from, n) == 0) {
            memcpy(bytes + i, to, n);
            found++;
        }
    ck_assert_msg(found > 0, "no %s in %s", from, path);
    write_bytes(path, bytes, size);
    free(bytes);
    renew_header_digest(path);
}

START_TEST(damaged)
{
    static const struct {
        const char *from, *to, *word;
        const char *function;
        ct_status status;
    } edits[] = {
        { "\\\"version\\\":\\\"0", "\\\"version\\\":\\\"9", "version ... 9", "ct_fit",
          CT_ERR_FORMAT },
        { "\\\"version\\\":\\\"", "\\\"Version\\\":\\\"", "version ... absent", "ct_fit",
          CT_ERR_FORMAT },
        { "cotangent.training", "cotangent.trainink", "not a checkpoint", "ct_fit", CT_ERR_FORMAT },
        { "{\\\"version", "[\\\"version", "not a checkpoint", "ct_fit", CT_ERR_FORMAT },
        { "training.history", "training.mystery", "training.history is missing", "ct_fit",
          CT_ERR_FORMAT },
        { "training.cursor", "training.cursed", "training.cursor is missing", "ct_fit",
          CT_ERR_FORMAT },
    };
    run how = { RUN, .checkpoint = "a" };
    size_t size;
    char *bytes;

    trains(how);
    bytes = read_bytes("a", &size);
    how.resume = "a";
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        write_bytes("a", bytes, size);
        edit("a", edits[i].from, edits[i].to);
        ck_assert_int_eq(train(&how, NULL, NULL), edits[i].status);
        expect_error(edits[i].status, edits[i].function, edits[i].word);
    }
    bytes[size - 3] ^= 1;
    write_bytes("a", bytes, size);
    ck_assert(train(&how, NULL, NULL) == CT_ERR_FORMAT);
    ct_error_clear();
    for (size_t cut = 0; cut < size; cut += 1 + size / 20) {
        write_bytes("a", bytes, cut);
        ck_assert(train(&how, NULL, NULL) == CT_ERR_FORMAT);
        ct_error_clear();
    }
    how.resume = "not there";
    ck_assert(train(&how, NULL, NULL) == CT_ERR_IO);
    ct_error_clear();
    free(bytes);
}
END_TEST

/* ---- writes that fail ---- */

/* Whichever call fails, the checkpoint is complete, and a run that resumes from it has the same
 * result. */
START_TEST(failing_calls)
{
    run how = { RUN, .clip = 1, .checkpoint = "a", .epochs = 2 };
    run failing = how;
    int k, seen, failed = 0;

    trains(how);
    failing.checkpoint = "b";
    failing.best = "best";
    failing.csv = "b.csv";
    failing.svg = "b.svg";
    failing.tensorboard = "t";
    failing.checkpoint_steps = 5;
    for (k = 1;; k += 1 + (harness_full() ? k / 40 : k / 6)) {
        ct_status status;
        run again = failing;

        ck_assert(system("rm -rf b best b.csv b.svg t") == 0);
        fail_file_call(k);
        status = train(&failing, NULL, NULL);
        seen = files_seen;
        fail_nothing();
        if (status == CT_OK) { /* there are fewer calls, or the failure of this one does not
                                * matter */
            ck_assert_str_eq(hash_of("a"), hash_of("b"));
            if (seen < k)
                break;
            continue;
        }
        failed++;
        ck_assert_msg(status == CT_ERR_IO && strstr(ct_error_message(), "Input/output error"), "%s",
                      ct_error_message());
        ct_error_clear();
        ck_assert(system("ls | grep -q tmp") != 0);
        again.resume = access("b", F_OK) == 0 ? "b" : NULL;
        trains(again);
        ck_assert_str_eq(hash_of("a"), hash_of("b"));
    }
    ck_assert_msg(failed > 10, "only %d calls failed", failed);
    ck_assert(system("rm -r t") == 0);
}
END_TEST

static ct_tensor *turns_bad(void *self, ct_step *s)
{
    int *left = self;

    (void)s;
    return ct_log(
        ct_sum(ct_mul_scalar(ct_param_value(ct_params_get(*(ct_params **)(void *)(left + 2), "w")),
                             (*left)-- > 0 ? 1 : 0)));
}

static ct_optimizer *small_sgd(void *self)
{
    int *left = self;

    return ct_sgd_new(*(ct_params **)(void *)(left + 2), (ct_sgd_options){ .lr = 0.001 });
}

/* A loss that is not finite does not change the last good checkpoint. */
START_TEST(not_finite)
{
    struct {
        int left, unused;
        ct_params *params;
    } m = { .left = 5, .params = ct_params_new((ct_params_options){ .seed = 0 }) };
    ct_corpus *corpus = checkpoint_corpus(false);
    ct_loader *loader = ct_loader_windows_new(
        corpus, (ct_loader_windows_options){ .batch_size = 8, .steps = 4, .count = 64 });
    ct_model model = { .self = &m,
                       .params = m.params,
                       .training_step = turns_bad,
                       .configure_optimizers = small_sgd };
    ct_trainer trainer = { .max_epochs = 2, .checkpoint = "a", .checkpoint_steps = 4 };
    ct_safetensors *f;
    ct_scope s;

    ct_params_add(m.params, "w", CT_SHAPE(4), ct_init_constant(1));
    ck_assert(ct_fit(&trainer, &model, loader, NULL, NULL) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "ct_fit", "training loss ... -inf ... step 6 ... ct_log");
    s = ct_scope_begin();
    f = ct_safetensors_open("a");
    ck_assert(((const int64_t *)ct_data(ct_safetensors_get(f, "training.counts", CT_CPU)))[1] == 4);
    ct_safetensors_close(f);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_loader_free(loader);
    ct_corpus_free(corpus);
    ct_params_free(m.params);
}
END_TEST

void checkpoint_faults_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "resume");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, refused, 0, LENGTH(misfits));
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, failing_calls);
    tcase_add_test(tc, not_finite);
}

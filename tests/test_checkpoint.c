/* SPDX-License-Identifier: MIT */
/* test_checkpoint.c - runs that are killed, stopped, refused or fail to write, and their output
 * files. */
#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

#include "tests/test_checkpoint.h"

/* ---- a run ---- */

typedef struct lm {
    const run *how;
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    int vocab, validated;
} lm;

static ct_tensor *step(void *self, ct_step *s)
{
    lm *m = self;
    ct_tensor *x = ct_one_hot(ct_transpose(s->batch->x, 0, 1), m->vocab);
    ct_tensor *y = ct_forward(m->linear, ct_recurrent_forward(m->rnn, x, s->state, s->next));

    if (!ct_grad_enabled() && ++m->validated == m->how->stop_val)
        ct_trainer_stop();
    return ct_cross_entropy(ct_transpose(y, 0, 1), s->batch->y);
}

/* An optimiser of the test: w -= lr m / n, m = momentum m + grad, n = 1, 2, ... */
typedef struct slowing_options {
    double lr, momentum;
} slowing_options;

static const ct_optimizer_option slowing_fields[] = {
    CT_OPTIMIZER_OPTION(slowing_options, lr, 0.1, 0, INFINITY),
    CT_OPTIMIZER_OPTION(slowing_options, momentum, 0.9, 0, 1),
    { .name = NULL },
};

static ct_tensor *slowing_update(ct_optimizer_update *u)
{
    const slowing_options *o = u->options;

    u->state[0] = ct_add(ct_mul_scalar(u->state[0], o->momentum), u->grad);
    u->state[1] = ct_add_scalar(u->state[1], 1);
    return ct_sub(u->value, ct_mul(u->state[0], ct_div(ct_optimizer_rate(u, 0), u->state[1])));
}

static const ct_optimizer_table slowing = {
    .name = "Slowing",
    .options_size = sizeof(slowing_options),
    .options = slowing_fields,
    .states = { { .name = "mean" }, { .name = "count", .scalar = true } },
    .update = slowing_update,
};

static ct_optimizer *optimizer(void *self)
{
    lm *m = self;
    double lr = m->how->lr != 0 ? m->how->lr : m->how->adam ? 0.01 : 0.5;
    ct_optimizer *o =
        m->how->own
            ? ct_optimizer_new(m->params, &slowing, &(slowing_options){ lr, m->how->momentum })
        : m->how->adam
            ? ct_adam_new(m->params, (ct_adam_options){ .lr = lr })
            : ct_sgd_new(m->params, (ct_sgd_options){ .lr = lr, .momentum = m->how->momentum });

    ct_schedule_step_lr(ct_optimizer_schedule(o), 2, m->how->gamma != 0 ? m->how->gamma : 0.7);
    return o;
}

static void report_to(int fd, char what)
{
    if (fd && (write(fd, &what, 1) != 1 || read(fd, &what, 1) != 1))
        _exit(7);
}

static bool report_step(void *context, const ct_fit_step *s)
{
    const run *r = context;

    report_to(r->report, 's');
    return s->step != r->stop_at;
}

static bool report_epoch(void *context, const ct_fit_result *so_far)
{
    const run *r = context;

    (void)so_far;
    report_to(r->report, 'e');
    return true;
}

ct_corpus *checkpoint_corpus(bool other)
{
    char s[400];

    for (size_t i = 0; i < sizeof s; i++)
        s[i] = (char)('a' + (i * i + i / 7 + (other && i == 150)) % 11);
    return new_corpus_of(s, sizeof s, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
}

static lm model_of(const run *how, int vocab)
{
    static ct_recurrent *(*const kinds[3])(
        ct_params *, const char *, ct_nn_recurrent_options) = { ct_nn_rnn, ct_nn_lstm, ct_nn_gru };
    lm m = { .how = how,
             .params = ct_params_new((ct_params_options){ .seed = how->seed }),
             .vocab = vocab };

    m.rnn =
        kinds[how->cell](m.params, "rnn",
                         (ct_nn_recurrent_options){ .hidden_size = how->hidden ? how->hidden : 6,
                                                    .num_layers = how->layers,
                                                    .dropout = how->dropout,
                                                    .recurrent_dropout = how->dropout / 2 });
    m.linear = ct_nn_linear(m.params, "linear", (ct_nn_linear_options){ .out_features = vocab });
    return m;
}

/* Computes a digest of a model and its loaders: the bits of all values, which entries are lazy, the
 * generator, the positions. */
static void fingerprint(const lm *m, const ct_loader *train, const ct_loader *val, char hex[65])
{
    const ct_loader_cursor at[2] = { ct_loader_tell(train), ct_loader_tell(val) };
    const ct_generator *g = ct_params_generator(m->params);
    char all[64][65] = { { 0 } };
    int count = ct_params_count(m->params);

    ck_assert(count + 2 <= 64);
    ct_sha256_hex(at, sizeof at, all[count]);
    ct_sha256_hex(g, sizeof *g, all[count + 1]);
    for (int i = 0; i < count; i++) {
        ct_param *p = ct_params_at(m->params, i);

        if (!ct_param_is_lazy(p))
            ct_sha256_hex(ct_data(ct_param_value(p)),
                          (size_t)ct_numel(ct_param_value(p)) * sizeof(float), all[i]);
    }
    ct_sha256_hex(all, sizeof all, hex);
}

ct_status train(const run *how, ct_fit_result *result, double *weights)
{
    char before[65], after[65];
    ct_corpus *corpus = checkpoint_corpus(how->text_b);
    ct_loader *loader = ct_loader_sequences_new(
        corpus, (ct_loader_sequences_options){ .batch_size = how->batch ? how->batch : 4,
                                               .steps = 7,
                                               .random = how->random,
                                               .seed = how->seed });
    ct_loader *val =
        how->val
            ? ct_loader_windows_new(
                  corpus,
                  (ct_loader_windows_options){
                      .batch_size = 8, .steps = 7, .first = 300, .count = 30, .shuffle = true })
            : NULL;
    lm m = model_of(how, ct_vocab_size(ct_corpus_vocab(corpus)));
    ct_callback callback = { (void *)how, report_step, report_epoch };
    ct_trainer trainer = { .max_epochs = how->epochs ? how->epochs : 4,
                           .gradient_clip_val = how->clip,
                           .csv = how->csv,
                           .svg = how->svg,
                           .tensorboard = how->tensorboard,
                           .checkpoint = how->checkpoint,
                           .best = how->best,
                           .resume = how->resume,
                           .checkpoint_steps = how->checkpoint_steps,
                           .model_json = how->model_json,
                           .hyperparameters = how->hyperparameters,
                           .callbacks = &callback,
                           .callback_count = 1 };
    ct_model model = {
        .self = &m, .params = m.params, .training_step = step, .configure_optimizers = optimizer
    };
    ct_status status;

    ck_assert(ct_set_num_threads(how->threads ? how->threads : 1) == CT_OK);
    fingerprint(&m, loader, val, before);
    status = ct_fit(&trainer, &model, loader, val, result);
    fingerprint(&m, loader, val, after);
    ck_assert(!how->unchanged || (status != CT_OK && strcmp(before, after) == 0));
    if (weights) {
        ct_scope s = ct_scope_begin_no_grad();

        *weights = 0;
        for (int i = 0; i < ct_params_count(m.params); i++)
            if (!ct_param_is_lazy(ct_params_at(m.params, i)))
                *weights += ct_item(ct_sum(ct_square(ct_param_value(ct_params_at(m.params, i)))));
        status = ct_scope_end(s) == CT_OK ? status : ct_error();
    }
    ct_params_free(m.params);
    ct_loader_free(loader);
    ct_loader_free(val);
    ct_corpus_free(corpus);
    ct_set_num_threads(1);
    return status;
}

void trains(run how)
{
    if (train(&how, NULL, NULL) != CT_OK)
        ck_abort_msg("%s", ct_error_message());
}

const char *hash_of(const char *path)
{
    static char hex[4][65];
    static int turn;
    size_t size;
    char *bytes = read_bytes(path, &size), *to = hex[turn++ % 4];

    ct_sha256_hex(bytes, size, to);
    free(bytes);
    return to;
}

/* Returns the CSV file without its times; the caller frees it. */
static char *steps_of(const char *path)
{
    size_t size, n = 0;
    char *bytes = read_bytes(path, &size);
    int commas = 0;

    for (size_t i = 0; i < size; i++) {
        commas = bytes[i] == '\n' ? 0 : commas + (bytes[i] == ',');
        if (commas < 12)
            bytes[n++] = bytes[i];
    }
    bytes = realloc(bytes, n + 1);
    bytes[n] = '\0';
    return bytes;
}

static int size_of(const char *path)
{
    size_t size;

    free(read_bytes(path, &size));
    return (int)size;
}

/* True if the checkpoint was written within an epoch. */
static bool is_underway(const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *counts = ct_safetensors_get(f, "training.counts", CT_CPU);
    bool yes = counts && ((const int64_t *)ct_data(counts))[5];

    ck_assert(ct_scope_end(s) == CT_OK);
    ct_safetensors_close(f);
    return yes;
}

/* ---- runs killed by SIGKILL ---- */

/* Runs in a child process. After the child has reported a number of steps and epochs, kills it some
 * microseconds later, or when it waits for the next answer. False if it ended before. */
static bool run_and_kill(run how, int steps, int epochs, unsigned delay)
{
    int ends[2], status;
    pid_t child;
    char c;

    ck_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        how.report = ends[1];
        _exit(train(&how, NULL, NULL) == CT_OK ? 0 : 1);
    }
    close(ends[1]);
    while ((steps > 0 || epochs > 0) && read(ends[0], &c, 1) == 1) {
        steps -= c == 's';
        epochs -= c == 'e';
        ck_assert(write(ends[0], &c, 1) == 1);
    }
    usleep(delay);
    kill(child, SIGKILL);
    close(ends[0]);
    ck_assert(waitpid(child, &status, 0) == child);
    ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "the run failed");
    return WIFSIGNALED(status);
}

/* Runs to the end in a separate process. */
static void run_apart(run how)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        status = train(&how, NULL, NULL);
        if (status != CT_OK)
            fprintf(stderr, "%s\n", ct_error_message());
        _exit(status != CT_OK);
    }
    ck_assert(waitpid(child, &status, 0) == child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Compares pairs of runs; one of them is killed (some twice) and resumed with another number of
 * threads. */
START_TEST(killed)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(11), "killed");
    int pairs = harness_count(5, 50), kills = 0, killed = 0, underway = 0;

    for (int i = 0; i < pairs; i++) {
        bool within = i % 2 == 0;
        run how = { .cell = i % 3,
                    .random = i / 2 % 2,
                    .adam = i / 3 % 2,
                    .val = i % 5 != 0,
                    .layers = 2,
                    .dropout = 0.3,
                    .clip = 0.5,
                    .momentum = 0.9,
                    .seed = (uint64_t)i,
                    .epochs = 4,
                    .checkpoint = "a",
                    .csv = "a.csv",
                    .tensorboard = "ta",
                    .best = "a.best",
                    .threads = 1 + i % 2 };
        run again = how;
        char *a, *b;

        run_apart(how);
        again.checkpoint = "b";
        again.csv = "b.csv";
        again.tensorboard = "tb";
        again.best = "b.best";
        again.threads = 3 - how.threads;
        again.checkpoint_steps = within ? 1 + (int64_t)ct_random_below(&g, 3) : 0;
        for (int k = 0; k < 1 + (i % 4 == 3); k++) {
            /* 12 or 13 batches an epoch; random: 13 */
            int steps = within ? 5 + (int)ct_random_below(&g, 25) : 0;

            int epochs = within ? 0 : k ? 1 : 1 + (int)ct_random_below(&g, 2);
            unsigned delay = (unsigned)ct_random_below(&g, 3000);

            killed += run_and_kill(again, steps, epochs, delay);
            kills++;
            again.resume = access("b", F_OK) == 0 ? "b" : NULL;
            underway += within && again.resume && is_underway("b");
        }
        run_apart(again);
        ck_assert_msg(strcmp(hash_of("a"), hash_of("b")) == 0, "pair %d: other files", i);
        ck_assert_msg(strcmp(hash_of("a.best"), hash_of("b.best")) == 0, "pair %d: best", i);
        a = steps_of("a.csv");
        b = steps_of("b.csv");
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
        ck_assert_int_eq(size_of("ta/events.out.tfevents.cotangent"),
                         size_of("tb/events.out.tfevents.cotangent"));
        ck_assert(system("rm -rf a a.csv a.best ta b b.csv b.best tb *.tmp") == 0);
    }
    ck_assert_msg(killed == kills && underway >= pairs / 3,
                  "of %d runs only %d were killed, %d within an epoch", kills, killed, underway);
}
END_TEST

/* ---- stopping and resuming in one process ---- */

START_TEST(stopped)
{
    for (int at = 1; at < 40; at += 1 + at / 4) {
        run how = {
            .cell = 1, .val = true, .layers = 1, .momentum = 0.5, .checkpoint = "a", .csv = "a.csv"
        };
        run again = how;
        ct_fit_result r;
        char *a, *b;

        trains(how);
        again.checkpoint = "b";
        again.csv = "b.csv";
        again.stop_at = at;
        ck_assert(train(&again, &r, NULL) == CT_OK);
        ck_assert(r.end == CT_FIT_END_STOPPED && r.steps == at);
        again.resume = "b";
        again.stop_at = 0;
        ck_assert(train(&again, &r, NULL) == CT_OK);
        ck_assert(r.end == CT_FIT_END_FINISHED && r.epochs == 4);
        ck_assert_str_eq(hash_of("a"), hash_of("b"));
        a = steps_of("a.csv");
        b = steps_of("b.csv");
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
}
END_TEST

/* A validation that was interrupted is repeated. */
START_TEST(stopped_in_validation)
{
    for (int at = 1; at <= 9; at += 2) { /* 4 batches an epoch */
        run how = { .cell = 2, .val = true, .layers = 2, .dropout = 0.2, .checkpoint = "a" };
        run again = how;
        ct_fit_result r;

        trains(how);
        again.checkpoint = "b";
        again.stop_val = at;
        ck_assert(train(&again, &r, NULL) == CT_OK);
        ck_assert(r.end == CT_FIT_END_STOPPED && r.epochs == (at - 1) / 4);
        ck_assert(is_underway("b"));
        again.resume = "b";
        again.stop_val = 0;
        trains(again);
        ck_assert_str_eq(hash_of("a"), hash_of("b"));
    }
}
END_TEST

/* A run with an optimiser that the test defines has the same bits if it is stopped within an epoch
 * and resumed. Resuming with other options or another optimiser is refused. */
START_TEST(own_optimizer)
{
    static const struct {
        bool adam, own;
        double momentum;
        const char *word;
    } cases[] = { { false, true, 0.5, "momentum" },
                  { false, false, 0.8, "Slowing" },
                  { true, false, 0.8, "Slowing" } };
    run how = { RUN, .own = true, .lr = 0.1, .checkpoint = "a", .csv = "a.csv" };
    run again = how;
    char *a, *b;

    how.momentum = again.momentum = 0.8;
    trains(how);
    again.checkpoint = "b";
    again.csv = "b.csv";
    again.stop_at = 17;
    trains(again);
    ck_assert(is_underway("b"));
    again.resume = "b";
    again.stop_at = 0;
    for (int i = 0; i < LENGTH(cases); i++) {
        run other = again;

        other.own = cases[i].own;
        other.adam = cases[i].adam;
        other.momentum = cases[i].momentum;
        other.unchanged = true;
        ck_assert(train(&other, NULL, NULL) == CT_ERR_FORMAT);
        expect_error(CT_ERR_FORMAT, "ct_fit", cases[i].word);
    }
    trains(again);
    ck_assert_str_eq(hash_of("a"), hash_of("b"));
    a = steps_of("a.csv");
    b = steps_of("b.csv");
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
}
END_TEST

/* ---- positions of loaders ---- */

static ct_loader *loader_of(const ct_corpus *corpus, int kind)
{
    if (kind == 0)
        return ct_loader_windows_new(
            corpus, (ct_loader_windows_options){
                        .batch_size = 16, .steps = 7, .count = 90, .shuffle = true });
    return ct_loader_sequences_new(
        corpus, (ct_loader_sequences_options){ .batch_size = 4, .steps = 7, .random = kind == 2 });
}

/* Returns a sum that differs between batches; at the end of an epoch, begins the next one and
 * returns -1. */
static double next_sum(ct_loader *l)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_batch batch;
    double sum = -1;

    if (ct_loader_next(l, &batch)) {
        ct_tensor *place = ct_arange(1, (double)ct_numel(batch.x) + 1, 1, CT_F64, CT_CPU);

        sum = ct_item(ct_dot(ct_cast(ct_reshape(batch.x, CT_SHAPE(-1)), CT_F64), place)) +
              (batch.continues ? 0.5 : 0);
    } else {
        ck_assert(ct_loader_begin(l) == CT_OK);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    return sum;
}

START_TEST(seek)
{
    enum { MOST = 80 };
    ct_corpus *corpus = checkpoint_corpus(false);
    ct_loader *l = loader_of(corpus, _i), *other;
    ct_loader_cursor at[MOST], here;
    double sum[MOST];

    for (int i = 0; i < MOST; i++) {
        at[i] = ct_loader_tell(l);
        if (at[i].epoch == 0)
            ck_assert(ct_loader_begin(l) == CT_OK);
        sum[i] = at[i].epoch ? next_sum(l) : 0;
    }
    ck_assert(at[0].epoch == 0 && at[MOST - 1].epoch > 3);
    ck_assert(ct_loader_continues(l) == (_i == 1) && !ct_loader_continues(NULL));
    other = loader_of(corpus, _i);
    for (int i = MOST - 1; i > 0; i -= 7) {
        ck_assert(ct_loader_seek(other, at[i]) == CT_OK);
        for (int k = i; k < MOST && k < i + 20; k++)
            ck_assert_msg(next_sum(other) == sum[k], "kind %d, from %d: batch %d", _i, i, k);
    }
    ck_assert(ct_loader_seek(other, at[0]) == CT_OK);
    ck_assert(ct_loader_begin(other) == CT_OK && next_sum(other) == sum[1]);

    here = ct_loader_tell(other);
    for (int k = 0; k < 6; k++) {
        const ct_loader_cursor bad[6] = { { -1, 0, 0 }, { 1, -1, 0 }, { 1, 1000, 0 },
                                          { 1, 0, -1 }, { 1, 0, 8 },  { 0, 1, 0 } };
        char word[100];

        ck_assert(ct_loader_seek(other, bad[k]) == CT_ERR_ARGUMENT);
        snprintf(word, sizeof word, "epoch %lld ... batch %lld ... offset %lld",
                 (long long)bad[k].epoch, (long long)bad[k].batch, (long long)bad[k].offset);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_seek", word);
    }
    ck_assert(ct_loader_seek(NULL, here) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_seek", "l is NULL");
    ck_assert(next_sum(other) == sum[2]);
    ct_loader_free(l);
    ct_loader_free(other);
    ct_corpus_free(corpus);
}
END_TEST

/* A finished run that is resumed does nothing and returns its results. With more epochs it
 * continues like a run that had them from the beginning. Output files that are ahead, behind or
 * missing are repaired. */
START_TEST(longer)
{
    run how = { .val = true, .layers = 1, .checkpoint = "a", .csv = "a.csv", .epochs = 6 };
    run again = { .val = true, .layers = 1, .checkpoint = "b", .csv = "b.csv", .epochs = 3 };
    ct_fit_result first, r;
    char *a, *b;

    trains(how);
    ck_assert(train(&again, &first, NULL) == CT_OK);
    again.resume = "b";
    ck_assert(train(&again, &r, NULL) == CT_OK);
    ck_assert(r.epochs == 3 && r.steps == first.steps && r.tokens == first.tokens);
    ck_assert(r.loss == first.loss && r.perplexity == first.perplexity && r.bits == first.bits);
    ck_assert(r.validation_perplexity == first.validation_perplexity && r.lr == first.lr);
    ck_assert(r.best_epoch == first.best_epoch && r.best_loss == first.best_loss);
    ck_assert(r.best_perplexity == first.best_perplexity);
    ck_assert(isnan(r.seconds) && r.end == CT_FIT_END_FINISHED);
    for (int k = 0; k < 4; k++) {
        size_t size, lines, after;
        char *csv = read_bytes("b.csv", &lines), *old = read_bytes("b", &size), *now;

        if (k == 0)
            write_bytes("b.csv", csv, strlen("epoch,step") + 200); /* cut within a line */
        if (k == 1)
            ck_assert(remove("b.csv") == 0);
        if (k == 2)
            write_bytes("b.csv", "1,2,3\nnot ours\n", 15);
        again.epochs = 6;
        trains(again);
        if (k == 3) { /* the lines before the resumed epoch are kept, with their times */
            now = read_bytes("b.csv", &after);
            ck_assert(after >= lines / 2 && memcmp(now, csv, lines / 2) == 0);
            free(now);
        }
        ck_assert_str_eq(hash_of("a"), hash_of("b"));
        a = steps_of("a.csv");
        b = steps_of("b.csv");
        ck_assert_str_eq(a, b);
        write_bytes("b", old, size);
        free(old);
        free(csv);
        free(a);
        free(b);
    }
}
END_TEST

/* A checkpoint is also a model file. */
START_TEST(weights_load)
{
    run how = { .cell = 2, .layers = 2, .checkpoint = "a", .model_json = "{\"any\": \"text\"}" };
    double trained, loaded = 0;
    ct_safetensors *f;
    ct_scope s;
    lm m;

    ck_assert(train(&how, NULL, &trained) == CT_OK);
    m = model_of(&how, 13);
    ck_assert(ct_params_load(m.params, "a", (ct_load_options){ .non_strict = true }) ==
              CT_ERR_SHAPE); /* the other text has another vocabulary */
    ct_error_clear();
    ct_params_free(m.params);
    m = model_of(&how, 12);
    ck_assert(ct_params_load(m.params, "a", (ct_load_options){ .non_strict = true }) == CT_OK);
    s = ct_scope_begin_no_grad();
    for (int i = 0; i < ct_params_count(m.params); i++)
        loaded += ct_item(ct_sum(ct_square(ct_param_value(ct_params_at(m.params, i)))));
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(loaded == trained);
    f = ct_safetensors_open("a");
    ck_assert_str_eq(ct_safetensors_metadata(f, "cotangent.model"), "{\"any\": \"text\"}");
    ck_assert_ptr_nonnull(
        strstr(ct_safetensors_metadata(f, "cotangent.training"), "\"version\":\""));
    ct_safetensors_close(f);
    ct_params_free(m.params);
}
END_TEST

/* ---- runs that do not match ---- */

/* ---- output files ---- */

/* Returns column c (from 0) of a CSV file, with a space after each value. */
static void column(const char *csv, int c, char *to)
{
    *to = '\0';
    for (csv = strchr(csv, '\n') + 1; *csv; csv = strchr(csv, '\n') + 1) {
        const char *at = csv;

        for (int i = 0; i < c; i++)
            at = strchr(at, ',') + 1;
        strncat(to, at, strcspn(at, ",\n"));
        strcat(to, " ");
    }
}

/* The points of the curve have the same digits as the CSV file. */
START_TEST(curve)
{
    run how = { RUN, .csv = "a.csv", .svg = "a.svg", .epochs = 12 };
    size_t size;
    char *svg, *csv, list[2000], attribute[2100];

    trains(how);
    csv = read_bytes("a.csv", &size);
    csv = realloc(csv, size + 1);
    csv[size] = '\0';
    svg = read_bytes("a.svg", &size);
    svg = realloc(svg, size + 1);
    svg[size] = '\0';
    ck_assert(strncmp(csv, "epoch,step,tokens,train_loss,train_perplexity,", 45) == 0);
    for (int c = 4; c <= 7; c += 3) { /* train_perplexity, val_perplexity */
        column(csv, c, list);
        list[strlen(list) - 1] = '\0';
        snprintf(attribute, sizeof attribute, " data-y=\"%s\"", list);
        ck_assert_msg(strstr(svg, attribute) != NULL, "no %s in\n%s", attribute, svg);
    }
    ck_assert_ptr_nonnull(strstr(svg, " data-x=\"1 2 3 4 5 6 7 8 9 10 11 12\""));
    ck_assert_ptr_nonnull(strstr(svg, "class=\"legend\">train</text>"));
    ck_assert_ptr_nonnull(strstr(svg, "class=\"legend\">validation</text>"));
    ck_assert_ptr_nonnull(strstr(svg, "class=\"label-x\" text-anchor=\"middle\">epoch</text>"));
    free(svg);
    free(csv);
}
END_TEST

/* Computes CRC-32C in another way: by division, bit by bit, of the mirrored data. */
static uint32_t crc_by_division(const unsigned char *s, size_t size)
{
    uint64_t rest = 0;
    uint32_t mirrored = 0;

    for (size_t i = 0; i < 8 * (size + 4); i++) {
        unsigned bit = i < 8 * size ? s[i / 8] >> i % 8 & 1 : 0;

        rest = rest << 1 | (bit ^ (i < 32));
        if (rest >> 32 & 1)
            rest ^= 0x11edc6f41;
    }
    for (int i = 0; i < 32; i++)
        mirrored |= (uint32_t)(rest >> i & 1) << (31 - i);
    return ~mirrored;
}

static uint32_t masked(const unsigned char *s, size_t size)
{
    uint32_t crc = crc_by_division(s, size);

    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static uint32_t word(const unsigned char *s)
{
    return s[0] | (uint32_t)s[1] << 8 | (uint32_t)s[2] << 16 | (uint32_t)s[3] << 24;
}

/* The file has a record for the version and one for each epoch, with the right checksums. */
START_TEST(records)
{
    run how = { RUN, .tensorboard = "runs/one", .epochs = 3 };
    size_t size, at = 0;
    unsigned char *bytes;
    int count = 0;

    ck_assert(crc_by_division((const unsigned char *)"123456789", 9) == 0xe3069283);
    trains(how);
    bytes = (unsigned char *)read_bytes("runs/one/events.out.tfevents.cotangent", &size);
    while (at < size) {
        uint32_t n = word(bytes + at);

        ck_assert(at + 16 <= size && word(bytes + at + 4) == 0 && n <= size - at - 16);
        ck_assert(word(bytes + at + 8) == masked(bytes + at, 8));
        ck_assert(word(bytes + at + 12 + n) == masked(bytes + at + 12, n));
        ck_assert(bytes[at + 12] == 0x09); /* wall_time */
        if (count == 0)
            ck_assert(n == 24 && memcmp(bytes + at + 21,
                                        "\x1a\x0d"
                                        "brain.Event:2",
                                        15) == 0);
        at += 16 + n;
        count++;
    }
    ck_assert_int_eq(count, 4);
    free(bytes);
    ck_assert(system("rm -r runs") == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tc = harness_case(suite, "resume");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, killed);
    tcase_add_test(tc, stopped);
    tcase_add_test(tc, stopped_in_validation);
    tcase_add_test(tc, own_optimizer);
    tcase_add_test(tc, longer);
    tcase_add_loop_test(tc, seek, 0, 3);
    tcase_add_test(tc, weights_load);
    tc = harness_case(suite, "shown");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, curve);
    tcase_add_test(tc, records);
    checkpoint_faults_cases(suite);
    checkpoint_loop_cases(suite);
    checkpoint_sections_cases(suite);
    harness_pooled = true;
    return harness_run(suite);
}

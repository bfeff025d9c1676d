/* SPDX-License-Identifier: MIT */
/* checkpoint_sections.c - checkpoints with valid digests that lack a tensor or a value or have a
 * foreign one; and checkpoints with a flipped bit. */
#include "tests/files.h"
#include "tests/flips.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_checkpoint.h"

#define MOST 100

/* A run that stops within an epoch, with a carried state and the state of an optimiser. */
static const run whole = { RUN,       .cell = 1,     .hidden = 3,      .adam = true, .dropout = 0.3,
                           .seed = 3, .stop_at = 17, .checkpoint = "a" };

/* ---- each tensor in turn ---- */

typedef enum change { REMOVED, RENAMED, RESHAPED, RETYPED, ADDED, CHANGES } change;

/* The tensors and metadata of a file. */
typedef struct contents {
    const char *name[MOST];
    ct_tensor *tensor[MOST];
    ct_metadata metadata[3];
    int count;
} contents;

static contents contents_of(ct_safetensors *f)
{
    contents c = { .count = ct_safetensors_count(f) };

    ck_assert(c.count < MOST - 1);
    for (int i = 0; i < c.count; i++) {
        c.name[i] = ct_safetensors_name(f, i);
        c.tensor[i] = ct_safetensors_load(f, i, CT_CPU);
    }
    c.metadata[0] =
        (ct_metadata){ "cotangent.training", ct_safetensors_metadata(f, "cotangent.training") };
    c.metadata[1] =
        (ct_metadata){ "cotangent.model", ct_safetensors_metadata(f, "cotangent.model") };
    return c;
}

static void contents_write(const contents *c, const char *path)
{
    ck_assert_msg(ct_safetensors_write(path, c->count, c->name, c->tensor, c->metadata) == CT_OK,
                  "%s", ct_error_message());
}

/* Returns the tensor with another dtype of the same size. */
static ct_tensor *retyped(ct_tensor *t)
{
    ct_dtype dtype = ct_tensor_dtype(t);
    ct_dtype other = dtype == CT_F32 ? CT_I32 : dtype == CT_F64 ? CT_I64 : CT_F64;

    return ct_from_data(ct_data(t), ct_tensor_shape(t), other, CT_CPU);
}

/* Replaces the tensor by another one; returns the name that the message must have. */
static const char *contents_change(contents *c, int i, change how)
{
    static char name[200];
    ct_shape shape = ct_tensor_shape(c->tensor[i]);

    snprintf(name, sizeof name, "%s", c->name[i]);
    switch (how) {
    case REMOVED:
        c->count--;
        c->name[i] = c->name[c->count];
        c->tensor[i] = c->tensor[c->count];
        break;
    case RENAMED:
        name[strlen(name) - 1] = '?';
        c->name[i] = name;
        return "";
    case RESHAPED:
        shape.dim[shape.rank++] = 1;
        c->tensor[i] = ct_reshape(c->tensor[i], shape);
        break;
    case RETYPED:
        c->tensor[i] = retyped(c->tensor[i]);
        break;
    default:
        strcat(name, "x");
        c->name[c->count] = name;
        c->tensor[c->count++] = c->tensor[i];
    }
    return name;
}

/* The resume is refused, and nothing changes. */
static void expect_refused_run(const char *what, const char *name)
{
    run how = whole;

    how.checkpoint = NULL;
    how.stop_at = 0;
    how.resume = "b";
    how.unchanged = true;
    ck_assert_msg(train(&how, NULL, NULL) == CT_ERR_FORMAT, "%s: %s", what,
                  ct_ok() ? "accepted" : ct_error_message());
    ck_assert_msg(strstr(ct_error_message(), name) != NULL, "%s: no %s in %s", what, name,
                  ct_error_message());
    expect_error(CT_ERR_FORMAT, "ct_fit", "b"); /* the path */
}

START_TEST(tensors)
{
    ct_safetensors *f;
    ct_scope s = ct_scope_begin();
    contents c;
    int carried = 0, states = 0;

    trains(whole);
    f = ct_safetensors_open("a");
    c = contents_of(f);
    for (int i = 0; i < c.count; i++) {
        carried += strncmp(c.name[i], "training.state.", 15) == 0;
        states += strncmp(c.name[i], "training.optimizer.exp_avg", 26) == 0;
        for (change how = REMOVED; how < CHANGES; how++) {
            ct_scope inner = ct_scope_begin();
            contents other = c;
            const char *name = contents_change(&other, i, how);
            char what[300];

            snprintf(what, sizeof what, "%s, change %d", c.name[i], (int)how);
            contents_write(&other, "b");
            expect_refused_run(what, name);
            ck_assert(ct_scope_end(inner) == CT_OK);
        }
    }
    ck_assert(carried == 3 && states == 12);
    ct_safetensors_close(f);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Values that are impossible in a run. */
START_TEST(values)
{
    static const struct {
        const char *name;
        int at;
        double value;
    } cases[] = {
        { "training.counts", 0, 2 },
        { "training.counts", 0, -1 },
        { "training.counts", 1, -1 },
        { "training.counts", 3, 2 },
        { "training.counts", 3, 0 },
        { "training.counts", 4, 1 },
        { "training.counts", 5, 2 },
        { "training.counts", 5, 0 },
        { "training.numbers", 0, NAN },
        { "training.numbers", 3, 99 },
        { "training.numbers", 5, 99 },
        { "training.numbers", 6, 99 },
        { "training.numbers", 8, NAN },
        { "training.numbers", 9, NAN },
        { "training.history", 0, 2 },
        { "training.history", 1, 99 },
        { "training.history", 6, NAN },
        { "training.cursor", 0, -1 },
        { "training.cursor", 1, 1 },
        { "training.cursor", 2, 99 },
        { "training.cursor", 3, -1 },
        { "training.optimizer.lr", 0, NAN },
        { "training.optimizer.lr", 0, -1 },
        { "training.optimizer.schedule", 0, -1 },
        { "training.optimizer.schedule", 1, NAN },
        { "training.optimizer.updates", 0, -1 },
        { "training.optimizer.updates", 0, 0 },
        { "training.optimizer.updates", 0, 5 },
        { "training.state.shapes", 0, 99 },
        { "training.state.shapes", 1, 99 },
        { "training.state.shapes", 2, -1 },
        { "training.state.shapes", 2, 3 },
    };
    ct_safetensors *f;
    ct_scope s = ct_scope_begin();
    contents c;

    trains(whole);
    f = ct_safetensors_open("a");
    c = contents_of(f);
    for (int i = 0; i < LENGTH(cases); i++) {
        int at = ct_safetensors_find(f, cases[i].name);
        union {
            double d;
            int64_t n;
        } kept, *x;
        char what[100];

        ck_assert(at >= 0 && cases[i].at < ct_numel(c.tensor[at]));
        x = (void *)((char *)ct_data(c.tensor[at]) + 8 * cases[i].at);
        kept = *x;
        if (ct_tensor_dtype(c.tensor[at]) == CT_F64)
            x->d = cases[i].value;
        else
            x->n = (int64_t)cases[i].value;
        snprintf(what, sizeof what, "%s[%d]", cases[i].name, cases[i].at);
        contents_write(&c, "b");
        expect_refused_run(what, "");
        *x = kept;
    }
    contents_write(&c, "b"); /* the original file again */
    trains((run){ RUN, .cell = 1, .hidden = 3, .adam = true, .dropout = 0.3, .seed = 3,
                  .resume = "b" });
    ct_safetensors_close(f);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- the metadata ---- */

/* Changes each key and each value of the description in turn, except the processor's. */
START_TEST(metadata)
{
    ct_safetensors *f;
    ct_scope s = ct_scope_begin();
    char *text, *end;
    contents c;
    int changed = 0;

    trains(whole);
    f = ct_safetensors_open("a");
    c = contents_of(f);
    text = strdup(c.metadata[0].value);
    end = strstr(text, "\"processor\":");
    c.metadata[0].value = text;
    for (char *at = text; (at = strchr(at, '"')); at = strchr(at + 1, '"') + 1) {
        const char *after = strchr(at + 1, '"');

        if (after == at + 1 || (at > end && at < end + 20))
            continue;
        at[1] ^= 1;
        contents_write(&c, "b");
        expect_refused_run(text, "");
        at[1] ^= 1;
        changed++;
    }
    ck_assert_msg(changed > 60, "%d", changed);
    for (int i = 0; i < 4; i++) {
        contents other = c;

        if (i == 0)
            other.metadata[0] = other.metadata[1], other.metadata[1].key = NULL;
        if (i == 1)
            other.metadata[0].key = "cotangent.training2";
        if (i == 2)
            other.metadata[1].key = NULL;
        if (i == 3)
            other.metadata[1].value = "[]";
        contents_write(&other, "b");
        expect_refused_run("metadata", i < 2 ? "not a checkpoint" : "the model's description");
    }
    free(text);
    ct_safetensors_close(f);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- bits ---- */

static ct_status resume(const char *path, void *context)
{
    run how = { RUN,       .cell = 1,   .hidden = 3,   .adam = true, .dropout = 0.3,
                .seed = 3, .epochs = 2, .resume = path };

    (void)context;
    return train(&how, NULL, NULL);
}

/* Whichever bit is flipped, the resume is refused. */
START_TEST(flipped)
{
    trains(whole);
    expect_no_silent_flip(
        (flips){ .path = "a", .count = harness_count(150, 10000), .seed = 5, .load = resume });
}
END_TEST

void checkpoint_sections_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "sections");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, tensors);
    tcase_add_test(tc, values);
    tcase_add_test(tc, metadata);
    tcase_add_test(tc, flipped);
}

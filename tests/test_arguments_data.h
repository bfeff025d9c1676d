/* test_arguments_data.h - the tables of datasets and streams that test_arguments passes. */
#ifndef TESTS_TEST_ARGUMENTS_DATA_H
#define TESTS_TEST_ARGUMENTS_DATA_H

#include <cotangent.h>

static ct_status get_sample(void *self, int64_t i, void *const *field)
{
    (void)self, (void)i, (void)field;
    return CT_OK;
}

static const ct_csv_field csv_fields[] = { { .name = "x" }, { 0 } };
static ct_status stream_begin(void *self, int64_t epoch)
{
    (void)self, (void)epoch;
    return CT_OK;
}

static bool stream_next(void *self, ct_batch_writer *w)
{
    (void)self;
    return ct_batch_field(w, "x", CT_BOOL, CT_SHAPE(2)) != NULL;
}

static int64_t stream_batches(void *self)
{
    (void)self;
    return 2;
}

static const ct_stream_table stream_table = {
    .name = "stream", .begin = stream_begin, .next = stream_next, .batches = stream_batches
};
static const ct_dataset_table table = { .name = "table", .get = get_sample };

#endif

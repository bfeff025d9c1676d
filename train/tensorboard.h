/* SPDX-License-Identifier: MIT */
/* tensorboard.h - files of events, as TensorBoard reads them. (internal)
 *
 * A file is a sequence of records (TFRecord). A record consists of the length of the data (8 bytes, little
 * endian), the masked CRC-32C of the length (4 bytes), the data, and the masked CRC-32C of the data (4
 * bytes). The data are an Event, a message of Protocol Buffers, with the fields wall_time (1, double), step
 * (2, int64), file_version (3, string; only in the first record) and summary (5). A summary has values
 * (1), each with a tag (1, string) and a simple_value (2, float). */
#ifndef COTANGENT_TRAIN_TENSORBOARD_H
#define COTANGENT_TRAIN_TENSORBOARD_H

#include "train/history.h"

typedef struct cti_tensorboard {
    char *path; /* of the file in its folder */
    int fd;     /* -1: none */
} cti_tensorboard;

/* Makes the folder and, in it, a file with an event for each row of h. resumed: the events of an old file
 * are kept where they agree. folder NULL: no file. */
ct_status cti_tensorboard_open(cti_tensorboard *e, const char *folder, const cti_history *h,
                               bool resumed);

/* Appends the last row of h. */
ct_status cti_tensorboard_add(cti_tensorboard *e, const cti_history *h);
void cti_tensorboard_close(cti_tensorboard *e);

/* CRC-32C (Castagnoli), and the same masked, as records store it. */
uint32_t cti_crc32c(const void *bytes, size_t size);
uint32_t cti_masked_crc32c(const void *bytes, size_t size);

#endif

/* tensorboard.h - files of events, as TensorBoard reads them. (internal)
 *
 * A file is a sequence of records (TFRecord): the length of the data, 8 bytes, little endian, and
 * its masked CRC-32C, 4 bytes; the data, and their masked CRC-32C. The data are an Event, a message
 * of Protocol Buffers: wall_time (field 1, double), step (2, int64), file_version (3, string, in
 * the first), or summary (5): values (1) of tag (1, string) and simple_value (2, float). */
#ifndef COTANGENT_TRAIN_TENSORBOARD_H
#define COTANGENT_TRAIN_TENSORBOARD_H

#include "train/history.h"

typedef struct cti_tensorboard {
    char *path; /* of the file in its folder */
    int fd;     /* -1: none */
} cti_tensorboard;

/* Makes the folder, and the file in it, with the events of h's rows, those of an older file where
 * it has them. folder NULL: none. */
ct_status cti_tensorboard_open(cti_tensorboard *e, const char *folder, const cti_history *h,
                               bool resumed);

/* Adds h's last row. */
ct_status cti_tensorboard_add(cti_tensorboard *e, const cti_history *h);
void cti_tensorboard_close(cti_tensorboard *e);

/* CRC-32C (Castagnoli), and as records have it. */
uint32_t cti_crc32c(const void *bytes, size_t size);
uint32_t cti_masked_crc32c(const void *bytes, size_t size);

#endif

/* SPDX-License-Identifier: MIT */
/* byte_model.h - a GRU that predicts the probability of each byte from the bytes before it, and
 * learns. In portable mode, its results have the same bits on any processor. */
#ifndef EXAMPLES_BYTE_MODEL_H
#define EXAMPLES_BYTE_MODEL_H

#include <stdint.h>

#include <cotangent.h>

typedef struct byte_model {
    int symbols; /* the bytes that occur, in order; symbol k is byte[k] */
    uint8_t byte[256];
    int symbol[256]; /* the symbol of a byte; -1 if the byte does not occur */
    ct_params *params;
    ct_recurrent *gru;
    ct_module *linear;
    ct_optimizer *adam;
    ct_generator draws; /* chooses the training windows */
    ct_state *state;    /* the state after the bytes that have been coded */
} byte_model;

/* Makes a model of the bytes for which `occurs` is true, at least one. Its parameters depend only
 * on the arguments. Free it with byte_model_free even if this fails. */
void byte_model_new(byte_model *m, const uint8_t occurs[256], int hidden, double dropout);
void byte_model_free(byte_model *m);

/* Computes the frequencies, each at least 1, of the symbols that may follow the byte `previous` (-1
 * at the beginning). Returns their sum, or 0 with an error. */
uint32_t byte_model_next(byte_model *m, int previous, uint32_t *frequency);

/* Trains on the `size` bytes that have been coded, with about `count` symbols in total. Half of the
 * windows are among the `recent` latest bytes. */
ct_status byte_model_learn(byte_model *m, const uint8_t *seen, size_t size, size_t recent,
                           size_t count, double lr);

#endif

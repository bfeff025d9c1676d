/* byte_model.h - a GRU that says how likely each byte is after those before it, and learns. In
 * portable mode all it computes has the same bits on any processor. */
#ifndef EXAMPLES_BYTE_MODEL_H
#define EXAMPLES_BYTE_MODEL_H

#include <stdint.h>

#include <cotangent.h>

typedef struct byte_model {
    int symbols; /* bytes that occur, in order; symbol k is byte[k] */
    uint8_t byte[256];
    int symbol[256]; /* of a byte; -1: does not occur */
    ct_params *params;
    ct_recurrent *gru;
    ct_module *linear;
    ct_optimizer *adam;
    ct_generator draws; /* where to learn */
    ct_state *state;    /* after the bytes seen so far */
} byte_model;

/* A model of the bytes for which occurs is set; at least one. Its numbers follow from the arguments
 * alone. free also what failed half-way. */
void byte_model_new(byte_model *m, const uint8_t occurs[256], int hidden, double dropout);
void byte_model_free(byte_model *m);

/* Frequencies, each at least 1, of the symbols after the byte previous (-1 at the beginning);
 * returns their sum, or 0 with an error. */
uint32_t byte_model_next(byte_model *m, int previous, uint32_t *frequency);

/* As many steps of training on the size bytes seen so far as go through count symbols, half of them
 * among the recent last ones. */
ct_status byte_model_learn(byte_model *m, const uint8_t *seen, size_t size, size_t recent,
                           size_t count, double lr);

#endif

/* state_dict.h - saving and loading a model's parameters and buffers, by name.
 *
 *     if (ct_params_save(params, "model.safetensors") != CT_OK) ...
 *     if (ct_params_load(params, "model.safetensors", (ct_load_options){ 0 }) != CT_OK) ...
 *
 * The files are safetensors (tensor/safetensors.h); names and shapes are those of PyTorch, so that
 *     model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
 * reads them there, and what safetensors.torch.save_file(model.state_dict(), ...) wrote there is
 * read here. */
#ifndef COTANGENT_AUTOGRAD_PARAMS_STATE_DICT_H
#define COTANGENT_AUTOGRAD_PARAMS_STATE_DICT_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes all parameters and buffers of set (of a part of one: those under its prefix, without it).
 * Tied names are all written. Whole or not at all: whatever fails, path holds the old file or the
 * new one. Does nothing while an error stands. CT_ERR_SHAPE for a parameter whose shape is not
 * settled, CT_ERR_IO, CT_ERR_MEMORY, CT_ERR_ARGUMENT for a NULL or a name that is not UTF-8. */
ct_status ct_params_save(ct_params *set, const char *path) CT_WARN_UNUSED;

/* ---- loading ---- */

/* One way in which a file and a set do not fit. */
typedef enum ct_load_problem {
    CT_LOAD_PROBLEM_MISSING,    /* of the set, not in the file */
    CT_LOAD_PROBLEM_UNEXPECTED, /* in the file, not of the set */
    CT_LOAD_PROBLEM_SHAPE,      /* in both, of different shapes */
    CT_LOAD_PROBLEM_DTYPE       /* in both, of different dtypes */
} ct_load_problem;

/* What a load found: a list that the caller makes, hands in and reads, whatever it returns. */
typedef struct ct_load_report ct_load_report;

typedef struct ct_load_item {
    ct_load_problem problem;
    const char *name;         /* in the set's terms: after .rename */
    ct_shape in_file, in_set; /* CT_SCALAR where it is missing; -1 for a size not settled */
    const char *file_dtype;   /* "F32"; NULL where it is missing */
} ct_load_item;

ct_load_report *ct_load_report_new(void);
void ct_load_report_free(ct_load_report *report);
int ct_load_report_count(const ct_load_report *report);
/* NULL for an i that is not there; valid until the next load, or the report's end. */
const ct_load_item *ct_load_report_at(const ct_load_report *report, int i);

/* Names of the file that begin with from begin, in the set's terms, with to. */
typedef struct ct_prefix {
    const char *from, *to;
} ct_prefix;

typedef struct ct_load_options {
    bool non_strict;         /* missing and unexpected names are no error */
    const ct_prefix *rename; /* the first pair that matches is used; ended by a pair of NULLs */
    ct_load_report *report;  /* or NULL */
} ct_load_options;

/* Loads the parameters and buffers of set from a file. All or nothing: everything is checked, and
 * read, before the first value changes, and shapes that were left open are settled by the file
 * then. Counts as an in-place write. Does nothing while an error stands.
 *
 * A file whose names have another prefix loads with .rename: d2l's "rnn.rnn.weight_ih_l0" with
 *     (ct_prefix[]){ { "rnn.rnn.", "rnn." }, { NULL, NULL } }
 * as does, with the same map, a file that has "rnn.weight_ih_l0". Two names of a file that become
 * one are CT_ERR_FORMAT.
 *
 * CT_ERR_SHAPE, CT_ERR_DTYPE or CT_ERR_FORMAT (in this order, the message lists the first of each)
 * when the file does not fit: shapes, dtypes (no conversion), and, unless .non_strict, names. Of
 * tied names one is enough; those that are there must hold the same bytes (CT_ERR_FORMAT). Else the
 * errors of ct_safetensors_open and ct_safetensors_load; CT_ERR_MEMORY. */
ct_status ct_params_load(ct_params *set, const char *path, ct_load_options options) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* checkpoint_sections.h - how checkpoints are written and read, section by section. (internal) */
#ifndef COTANGENT_TRAIN_CHECKPOINT_SECTIONS_H
#define COTANGENT_TRAIN_CHECKPOINT_SECTIONS_H

#include <cotangent/train/checkpoint.h>

#include "optim/internal.h"
#include "tensor/claimed_tensors.h"
#include "tensor/named_tensors.h"
#include "train/internal.h"

/* Tensors that are not the model's have names that begin with this. */
#define CTI_CHECKPOINT_PREFIX "training."

typedef struct cti_checkpoint_section cti_checkpoint_section;

/* A checkpoint of a loop (ct_checkpoint), or of a run of ct_fit, which has sections of its own. */
typedef struct cti_checkpoint {
    const char *function;                   /* for messages: "ct_checkpoint_save" */
    ct_checkpoint parts;                    /* of a run, an entry of loaders may be NULL */
    const ct_loader_cursor *cursor;         /* what to save of each loader; NULL: where it is */
    cti_run *run;                           /* NULL for a loop */
    const cti_checkpoint_section *sections; /* of the run; a NULL name ends them; NULL: none */
} cti_checkpoint;

/* A number of a loop. */
typedef union cti_saved_value {
    int64_t i64;
    double f64;
} cti_saved_value;

/* A checkpoint while it is read: nothing of it is in use yet. */
typedef struct cti_staged {
    const cti_checkpoint *checkpoint;
    cti_claims claims;
    ct_loader_cursor cursor[CT_CHECKPOINT_PARTS];
    ct_generator generator[1 + CT_CHECKPOINT_PARTS]; /* the set's first */
    cti_optimizer_staged *optimizer[CT_CHECKPOINT_PARTS];
    ct_state *state[CT_CHECKPOINT_PARTS];
    cti_saved_value number[CT_CHECKPOINT_NUMBERS];
    void *own; /* of the sections of a run */
} cti_staged;

struct cti_checkpoint_section {
    const char *name;

    /* Adds the section's tensors to the list. */
    void (*write)(const cti_checkpoint *c, cti_named_tensors *l);

    /* Claims and reads them, and judges them without changing anything. False with CT_ERR_FORMAT,
     * which names the tensor. */
    bool (*judge)(cti_staged *s);

    /* Puts them into use; cannot fail, but for a loader's stream. NULL for the model, which is loaded
     * before. */
    void (*apply)(cti_staged *s);
};

/* Copies the elements, of 8 bytes each, of a tensor to memory; false with an error. */
bool cti_staged_numbers(cti_staged *s, const char *name, ct_shape shape, ct_dtype dtype, void *to);

/* Raises CT_ERR_FORMAT for the values of a tensor. Returns false. */
bool cti_staged_refuse(const cti_staged *s, const char *name);

ct_status cti_checkpoint_save(const cti_checkpoint *c, const char *path, const char *description);

/* All or nothing: the file is judged as a whole before anything changes. */
ct_status cti_checkpoint_load(const cti_checkpoint *c, const char *path, const char *description,
                              void *own);

/* ---- is it the same loop or run? (resume_check.c) ---- */

/* The description of a checkpoint, in JSON, to cti_release; NULL with an error. */
char *cti_checkpoint_describe(const cti_checkpoint *c);

/* CT_ERR_FORMAT, naming everything that differs, if f is not a checkpoint with this description. A run
 * prints a note if it was made by another processor or library, whose last bits may differ. */
ct_status cti_resume_check(const cti_checkpoint *c, const char *description,
                           const ct_safetensors *f, const char *path);

/* p's name in set, without the set's prefix. */
const char *cti_name_in(const ct_params *set, const ct_param *p);

#endif

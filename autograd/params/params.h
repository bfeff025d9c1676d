/* SPDX-License-Identifier: MIT */
/* params.h - the parameters and buffers of a model.
 *
 * A model owns one set. Its modules register their parameters in the set under dotted names, as in
 * PyTorch ("rnn.weight_ih_l0"), and are freed with it. A size may be left open (-1). Such a
 * parameter is lazy: the first forward pass or a loaded file supplies the size and materializes it,
 * that is, gives it its shape and initial values. Optimisers may be made, and parameters frozen,
 * before that.
 *
 * Each parameter draws its initial values from the random stream of its own name, so the order in
 * which modules are made does not matter. Any number of threads may read a set at once; one thread
 * at a time may change it. */
#ifndef COTANGENT_AUTOGRAD_PARAMS_PARAMS_H
#define COTANGENT_AUTOGRAD_PARAMS_PARAMS_H

#include <stdbool.h>
#include <stdio.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A set of parameters, or the part of a set under a prefix. The caller frees a set with ct_params_free. */
typedef struct ct_params ct_params;

/* One entry of a set: a parameter or a buffer. */
typedef struct ct_param ct_param;

/* An initialiser. nn/init.h has functions that return one. For an initialiser of your own, set
 * fill; the other fields are free for its use. fill writes t, which is contiguous, and draws random
 * numbers from g. */
typedef struct ct_init ct_init;
struct ct_init {
    ct_status (*fill)(const ct_init *init, ct_tensor *t, ct_generator *g);
    double a, b, c, d;   /* numbers for fill */
    const void *context; /* for fill; must live as long as the set */
    int min_rank;        /* ct_params_init applies it only to parameters of this rank or more */
};

typedef struct ct_params_options {
    uint64_t seed;
    ct_dtype
        dtype; /* CT_F32 (0) or CT_F64; for all entries except those of ct_params_add_buffer_as */
    ct_device device;
} ct_params_options;

/* Makes an empty set, to be freed by ct_params_free. NULL with CT_ERR_DTYPE, CT_ERR_DEVICE or
 * CT_ERR_MEMORY. */
ct_params *ct_params_new(ct_params_options options);

/* Frees a whole set: the modules and objects in it, last added first, then its entries. Does
 * nothing for NULL, and for a part of a set. */
void ct_params_free(ct_params *set);

/* The part of set whose names begin with name and a dot. Entries added to the part get that prefix.
 * The part belongs to the set; the same name returns the same part. name may hold dots, but must
 * not be empty or begin or end with one (CT_ERR_ARGUMENT). */
ct_params *ct_params_sub(ct_params *set, const char *name);

/* The part of set under a name and a number, "blocks.0": for the items of a list of modules.
 * Belongs to the set. CT_ERR_ARGUMENT if index is negative; otherwise the errors of
 * ct_params_sub. */
ct_params *ct_params_sub_index(ct_params *set, const char *name, int64_t index);

/* Registers a parameter under a name. Sizes of -1 are open. Without open sizes the values are
 * initialised by init at once, otherwise when it is materialized. The entry belongs to the set.
 * NULL with CT_ERR_ARGUMENT if the name is taken or not allowed or init has no fill, CT_ERR_SHAPE,
 * CT_ERR_MEMORY, or the error of init. */
ct_param *ct_params_add(ct_params *set, const char *name, ct_shape shape, ct_init init);

/* Registers a buffer: saved, loaded and moved like a parameter, but never trained. */
ct_param *ct_params_add_buffer(ct_params *set, const char *name, ct_shape shape, ct_init init);

/* Like ct_params_add_buffer, with another dtype than the set's, such as CT_I64 for a counter. init
 * must accept the dtype; ct_init_constant accepts all. CT_ERR_DTYPE if dtype is unknown. */
ct_param *ct_params_add_buffer_as(ct_params *set, const char *name, ct_shape shape, ct_dtype dtype,
                                  ct_init init);

/* Makes the set the owner of object: ct_params_free calls free_object(object). If this call fails,
 * object is freed at once, but not if free_object is NULL (CT_ERR_ARGUMENT). object may be NULL if
 * free_object accepts it. */
ct_status ct_params_own(ct_params *set, void *object, void (*free_object)(void *object));

/* ---- the entries of a set, or of a part: those under its prefix ----
 *
 * The functions that only read accept NULL. A NULL set counts as an empty f32 set on the CPU with
 * seed 0. A NULL entry has the name "" and the shape CT_SCALAR. */

/* The number of entries, and entry i in the order of registration; NULL if i is out of range. Both take
 * constant time, so a loop over i takes linear time. */
int ct_params_count(const ct_params *set);
ct_param *ct_params_at(const ct_params *set, int i);

/* Returns the entry with a name, which is given without the prefix of the part. Returns NULL,
 * without an error, if there is none or name is NULL. */
ct_param *ct_params_get(const ct_params *set, const char *name);

/* The number of elements of all entries that are trained and not lazy. */
int64_t ct_params_numel(const ct_params *set);

/* The dtype, device and seed of the set. */
ct_dtype ct_params_dtype(const ct_params *set);
ct_device ct_params_device(const ct_params *set);
uint64_t ct_params_seed(const ct_params *set);

/* The whole dotted name of an entry. Belongs to the set. */
const char *ct_param_name(const ct_param *p);

/* The shape. A size is -1 while it is open. */
ct_shape ct_param_shape(const ct_param *p);

/* True if p has no values yet. True for NULL. */
bool ct_param_is_lazy(const ct_param *p);

/* True if p is trained. False if p is a buffer, frozen, the second name of a tied value, or
 * NULL. */
bool ct_param_is_trained(const ct_param *p);

/* The tensor of p: a leaf, which requires a gradient unless p is a buffer or frozen. If
 * ct_params_bind has bound another value on this thread, that value. The handle of the leaf stays
 * the same until the set is freed; do not free it. NULL with CT_ERR_SHAPE while p is lazy. */
ct_tensor *ct_param_value(ct_param *p);

/* Sets the shape of a lazy entry, which must agree with its known sizes, and initialises the entry.
 * For an entry that is not lazy, checks the shape (CT_ERR_SHAPE). May be called by several threads
 * at once. */
ct_status ct_param_materialize(ct_param *p, ct_shape shape);

/* Ties two names of set: second becomes another name of the value of first, with one gradient, as
 * "second.weight = first.weight" does in PyTorch. Modules keep working with either name. The values
 * of second are dropped, unless only second has values. An open size of one takes the size of the
 * other. Both names are saved. second counts as not trained, so that nothing counts or updates the
 * value twice; in a part of the set without first, second stands for the value. Freezing either
 * name, or giving it a group of an optimiser, holds for both. Tie names before the values are used,
 * on one thread. Raises CT_ERR_ARGUMENT if a name does not exist or is a buffer, CT_ERR_SHAPE if
 * the shapes differ. */
ct_status ct_params_tie(ct_params *set, const char *first, const char *second);

/* Replaces the init with which a lazy entry was registered. Does nothing if p is not lazy, if init
 * has no fill, or if ct_params_init has chosen an init for p. */
void ct_param_set_init(ct_param *p, ct_init init);

/* Initialises every entry of set again. Parameters of rank init.min_rank or more use init; all
 * others, and buffers, use the init with which they were registered. With a zeroed init, every
 * entry uses the init with which it was registered. Lazy entries are initialised in the same way
 * when they are materialized. seed replaces the seed of these entries; for a whole set also that of
 * later entries and of its generator.
 *
 * An in-place write; gradients stay. Does nothing while an error is recorded. Stops at the
 * first entry that cannot be initialised; those before it have their new values. */
ct_status ct_params_init(ct_params *set, ct_init init, uint64_t seed);

/* Moves a whole set to a device: values, gradients, and the device of entries that are added or
 * loaded later. Handles stay valid. An optimiser moves its state at its next step. A recurrent
 * state is not moved; use ct_state_to. Values that were saved for backward count as modified. Does
 * nothing while an error is recorded. Raises CT_ERR_DEVICE, CT_ERR_MEMORY, and CT_ERR_ARGUMENT for
 * a part of a set or NULL. After an error the set is unchanged. */
ct_status ct_params_to(ct_params *set, ct_device device);

/* ---- temporary values ----
 *
 * A step of MAML: the loss of the query set with the weights after one step of SGD on the support
 * set. Its gradient includes the derivative of that step.
 *
 *     n = ct_params_values(params, 32, own);
 *     loss = loss_of(model, support);
 *     ct_grad(1, &loss, n, own, NULL, true, g);
 *     for (i = 0; i < n; i++)
 *         fast[i] = ct_sub(own[i], ct_mul_scalar(g[i], 0.1));
 *     ct_params_bind(params, n, fast);
 *     ct_backward(loss_of(model, query)); */

/* The trained parameters of set, in order; returns their number and writes the first `room` of them
 * to values. They are the set's own values, also while others are bound. A lazy one raises
 * CT_ERR_SHAPE and its entry is NULL. CT_ERR_ARGUMENT for NULL. */
int ct_params_values(const ct_params *set, int room, ct_tensor **values);

/* Replaces the trained parameters for a while, as PyTorch's torch.func.functional_call: every
 * module of set reads values[i] in place of the i-th trained parameter (ct_param_value). This lasts
 * until the innermost scope of this thread ends or the next call for the same parameters. values
 * may have history and must live as long. With count 0, or for a NULL entry, modules read the set's
 * own value again. For a part of a set, only the parameters of the part are bound. A tied value is
 * bound for all its names.
 *
 * The set's own values and gradients, files, optimisers and other threads are not affected.
 * Gradients of ops that read bound values flow to these values. Functions that backward runs again
 * (ct_activation_checkpoint, second derivatives of whole sequences) read the values that were bound
 * when they were recorded.
 *
 * After an error nothing is bound. Raises CT_ERR_ARGUMENT for another count or NULL; CT_ERR_SHAPE,
 * CT_ERR_DTYPE or CT_ERR_DEVICE, with the name of the parameter, for a value that does not match
 * its parameter or a lazy parameter; CT_ERR_SCOPE, CT_ERR_MEMORY. */
ct_status ct_params_bind(ct_params *set, int count, ct_tensor *const *values);

/* ---- training ---- */

/* Switches the whole set between training, the initial state, and evaluation, in which dropout is
 * off. */
void ct_params_train(ct_params *set, bool training);

/* True in training mode; false for NULL, and while a scope of ct_scope_begin_inference is open. */
bool ct_params_is_training(const ct_params *set);

/* The generator of the set, for random draws in training, such as dropout masks. It begins from
 * the seed of the set. To draw the same numbers again, keep a copy of it and write the copy
 * back. NULL for NULL. */
ct_generator *ct_params_generator(ct_params *set);

/* Freezes (frozen) or unfreezes all entries of set whose name, without the prefix of the part,
 * matches a shell pattern such as "rnn.*" (fnmatch). A frozen parameter gets no gradient; norms and
 * updates leave it out. The gradients of the entries that match are removed. Returns how many
 * match; 0 with CT_ERR_ARGUMENT if an argument is NULL. */
int ct_params_freeze(ct_params *set, const char *pattern, bool frozen);

/* Removes the gradients of all entries of set. */
void ct_params_zero_grad(ct_params *set);

/* Prints a summary to out: a line for each entry with name, shape and number of elements, and the
 * total. CT_ERR_ARGUMENT if out is NULL. */
void ct_params_print(const ct_params *set, FILE *out);

#ifdef __cplusplus
}
#endif
#endif

/* params.h - a model's set of parameters and buffers.
 *
 * A model owns one set. Modules register their parameters into it under dotted names
 * ("rnn.weight_ih_l0"), as in PyTorch, and are freed with it. A size may be left out (-1) until the
 * first forward, or a loaded file, settles it; optimisers and freezing may come before that.
 *
 * Each parameter draws its initial values from the random stream of its own name, so the order in
 * which modules are made changes no number. */
#ifndef COTANGENT_AUTOGRAD_PARAMS_PARAMS_H
#define COTANGENT_AUTOGRAD_PARAMS_PARAMS_H

#include <stdbool.h>
#include <stdio.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_params ct_params; /* a set, or the part of one under a prefix */
typedef struct ct_param ct_param;   /* one entry */

/* How values begin: fill writes t (contiguous), drawing from g. A value: nn/init.h makes them. */
typedef struct ct_init ct_init;
struct ct_init {
    ct_status (*fill)(const ct_init *init, ct_tensor *t, ct_generator *g);
    double a, b, c, d;
    const void *context;
    int min_rank; /* ct_params_init uses it for tensors of at least this rank */
};

typedef struct ct_params_options {
    uint64_t seed;
    ct_dtype dtype; /* CT_F32 (0) or CT_F64 */
    ct_device device;
    void *reserved[4];
} ct_params_options;

/* An empty set. NULL with CT_ERR_DTYPE, CT_ERR_DEVICE or CT_ERR_MEMORY. */
ct_params *ct_params_new(ct_params_options options);

/* Frees the set, its parameters and the modules in it. Of a part of a set: does nothing. */
void ct_params_free(ct_params *set);

/* The part of set whose names begin with name and a dot; what is added to it goes there. Belongs
 * to the set. name must not be empty nor hold a NUL or begin or end with a dot. */
ct_params *ct_params_sub(ct_params *set, const char *name);

/* Registers a parameter, or a buffer (saved and moved like a parameter, but never trained). Sizes
 * of -1 are settled later; init is used then, or now if the shape is whole. CT_ERR_ARGUMENT for a
 * name that is taken. */
ct_param *ct_params_add(ct_params *set, const char *name, ct_shape shape, ct_init init);
ct_param *ct_params_add_buffer(ct_params *set, const char *name, ct_shape shape, ct_init init);

/* The set frees object by calling free_object with it, last added first, before its parameters. If
 * this fails, for want of memory, object is freed at once. */
ct_status ct_params_own(ct_params *set, void *object, void (*free_object)(void *object));

/* ---- entries, in order of registration; of a part, those under its prefix ---- */

int ct_params_count(const ct_params *set) CT_NOSITE;
ct_param *ct_params_at(const ct_params *set, int i) CT_NOSITE;
ct_param *ct_params_get(const ct_params *set, const char *name) CT_NOSITE; /* or NULL */
int64_t ct_params_numel(const ct_params *set) CT_NOSITE; /* elements of settled, trained ones */
ct_dtype ct_params_dtype(const ct_params *set) CT_NOSITE;
ct_device ct_params_device(const ct_params *set) CT_NOSITE;
uint64_t ct_params_seed(const ct_params *set) CT_NOSITE;

const char *ct_param_name(const ct_param *p) CT_NOSITE; /* the whole dotted name */
ct_shape ct_param_shape(const ct_param *p) CT_NOSITE;   /* -1 for sizes not settled */
bool ct_param_is_lazy(const ct_param *p) CT_NOSITE;     /* has no values yet; true for NULL */
bool ct_param_is_trained(const ct_param *p) CT_NOSITE;  /* no buffer, frozen, or second name */

/* The tensor: a leaf that requires a gradient if it is trained. The same handle until the set is
 * freed. NULL with CT_ERR_SHAPE while its shape is not settled. */
ct_tensor *ct_param_value(ct_param *p);

/* Settles the shape, which must agree with what is known, and initialises. Of a settled one:
 * checks the shape. Safe from several threads. */
ct_status ct_param_materialize(ct_param *p, ct_shape shape);

/* Ties two names of set: from now on second is another name of first's value, one segment with one
 * gradient, as in PyTorch's "second.weight = first.weight". Modules keep working, whichever name
 * they were made with. second's own values are dropped (or become first's, if that has none yet).
 * Both names are saved; second counts as not trained, so that nothing counts or updates the value
 * twice, and freezing either freezes both. Sizes not settled yet are settled together. Tie before
 * the values are used, by one thread. CT_ERR_ARGUMENT for a name that is not there, or one of a
 * buffer; CT_ERR_SHAPE for shapes that do not agree. */
ct_status ct_params_tie(ct_params *set, const char *first, const char *second);

/* Another init, for one that is not settled yet. One without a fill changes nothing, and one that
 * ct_params_init chose stays. */
void ct_param_set_init(ct_param *p, ct_init init) CT_NOSITE;

/* Initialises all entries of set anew, now or, where the shape is not settled, then: those with a
 * rank of at least init.min_rank by init, the others, and buffers, as they began; all of them so
 * for an init of zeros. From now on they, and for the whole set its later entries and its generator
 * too, draw under this seed. An in-place write; gradients stay. A sink: does nothing while an error
 * stands. Stops at the first that init cannot fill: those before it have their new values. */
ct_status ct_params_init(ct_params *set, ct_init init, uint64_t seed);

/* Moves all values of a whole set, its gradients and what modules keep in it to a device; what is
 * made or loaded later is there, too. Handles stay what they were; an optimiser's state follows at
 * its next step, a recurrent state does not (ct_state_to). Not while history of the values is open:
 * backward finds them changed. CT_ERR_DEVICE, CT_ERR_MEMORY; CT_ERR_ARGUMENT for a part of a set.
 * After an error the set is where it was. A sink: does nothing while an error stands. */
ct_status ct_params_to(ct_params *set, ct_device device);

/* ---- training ---- */

/* Switches the whole set between training, in which it begins, and evaluation: dropout acts in the
 * first only. This is for all threads; ct_scope_begin_inference is for one. */
void ct_params_train(ct_params *set, bool training) CT_NOSITE;

/* True if dropout is to act: the set is in training, and this thread has no scope of
 * ct_scope_begin_inference open. */
bool ct_params_is_training(const ct_params *set) CT_NOSITE;

/* The set's own generator, for what is drawn while training: dropout's masks. It begins from the
 * set's seed; keep its value and put it back to draw the same again. */
ct_generator *ct_params_generator(ct_params *set) CT_NOSITE;

/* Freezes (or trains again) all entries of set whose name matches a shell pattern: "rnn.*". What is
 * frozen gets no gradient and counts in neither norm nor update. Returns how many matched. */
int ct_params_freeze(ct_params *set, const char *pattern, bool frozen) CT_NOSITE;

/* Forgets all gradients of the set. */
void ct_params_zero_grad(ct_params *set) CT_NOSITE;

/* The model's summary: a line for each entry (name, shape, count) and the total. */
void ct_params_print(const ct_params *set, FILE *out) CT_NOSITE;

#ifdef __cplusplus
}
#endif
#endif

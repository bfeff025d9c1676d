/* SPDX-License-Identifier: MIT */
/* inference_only.c - autograd in a library for inference only: nothing is recorded, and a request for
 * gradients is an error. In the place of autograd.c, backward.c and leaf.c. */
#include "autograd/internal.h"
#include "autograd/trace.h"

/* Raises the error of a function that this library leaves out. */
static ct_status inference_refuse(const char *function)
{
    return ct_raise(CT_ERR_UNSUPPORTED, function,
                    "this is an inference-only library (configure --enable-inference-only); it "
                    "computes no gradients");
}

/* ---- leaves ---- */

ct_tensor *ct_set_requires_grad(ct_tensor *t, bool on)
{
    if (!cti_usable("ct_set_requires_grad", t))
        return NULL;
    if (!on)
        return t;
    inference_refuse("ct_set_requires_grad");
    return NULL;
}

ct_tensor *cti_leaf_train(ct_tensor *t, bool on)
{
    (void)on;
    return t;
}

bool ct_tensor_requires_grad(const ct_tensor *t)
{
    cti_present("ct_tensor_requires_grad", t);
    return false;
}

ct_tensor *cti_leaf_grad(const ct_tensor *leaf)
{
    (void)leaf;
    return NULL;
}

ct_tensor *ct_tensor_grad(ct_tensor *leaf)
{
    cti_usable("ct_tensor_grad", leaf);
    return NULL;
}

void ct_tensor_zero_grad(ct_tensor *leaf)
{
    cti_usable("ct_tensor_zero_grad", leaf);
}

/* ---- recording ---- */

bool ct_grad_enabled(void)
{
    return false;
}

bool ct_set_grad_enabled(bool on)
{
    (void)on;
    return false;
}

bool cti_will_record(int inputs_count, ct_tensor *const *inputs)
{
    (void)inputs_count, (void)inputs;
    return false;
}

bool cti_in_pass(void)
{
    return false;
}

bool cti_creates_graph(void)
{
    return false;
}

/* Checks that all tensors are usable; false with an error for a dead or missing one. */
static bool inference_check(const ct_op *op, const char *what, int count, ct_tensor *const *t,
                            bool optional)
{
    for (int i = 0; i < count; i++) {
        if (!t[i] && !optional)
            return false;
        if (t[i] && cti_is_dead(t[i]))
            return cti_refuse_tensor(op->name, what, t[i]);
    }
    return true;
}

bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes)
{
    static const char *const me = "ct_record";

    if (!cti_given(me, "op", op) || !cti_given_array(me, "inputs", inputs_count, inputs) ||
        !cti_given_array(me, "outputs", outputs_count, outputs) ||
        (bytes && !cti_given(me, "attributes", attributes)) ||
        !inference_check(op, "output", outputs_count, outputs, false) ||
        !inference_check(op, "input", inputs_count, inputs, true))
        return false;
    if (cti_tracing)
        cti_trace_op(op->name, inputs_count, inputs, outputs_count, outputs);
    return true;
}

void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y)
{
    if (cti_tracing)
        cti_trace_op(name, inputs_count, inputs, 1, &y);
}

/* ---- backward passes ---- */

ct_status ct_backward(ct_tensor *loss)
{
    return cti_usable("ct_backward", loss) ? inference_refuse("ct_backward") : ct_error();
}

ct_status ct_backward_with(ct_tensor *t, ct_tensor *gradient)
{
    static const char *const me = "ct_backward_with";

    return cti_usable(me, t) && cti_usable(me, gradient) ? inference_refuse(me) : ct_error();
}

ct_status ct_grad(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                  ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
                  ct_tensor **grads)
{
    (void)outputs_count, (void)outputs, (void)inputs, (void)grad_outputs, (void)create_graph;
    for (int i = 0; grads && i < inputs_count; i++)
        grads[i] = NULL;
    return inference_refuse("ct_grad");
}

ct_status ct_register_hook(ct_tensor *t, ct_grad_hook hook, void *context,
                           void (*free_context)(void *context))
{
    static const char *const me = "ct_register_hook";

    if (cti_usable(me, t) && cti_given(me, "hook", (const void *)hook))
        inference_refuse(me);
    if (free_context)
        free_context(context);
    return ct_error();
}

ct_status ct_remove_hook(ct_tensor *t, ct_grad_hook hook, void *context)
{
    static const char *const me = "ct_remove_hook";

    (void)context;
    if (cti_usable(me, t) && cti_given(me, "hook", (const void *)hook))
        inference_refuse(me);
    return ct_error();
}

/* ---- called by backward functions, which nothing calls here ---- */

ct_tensor *ct_node_input(ct_node *n, int i)
{
    (void)i;
    if (cti_given("ct_node_input", "n", n))
        inference_refuse("ct_node_input");
    return NULL;
}

ct_tensor *ct_node_output(ct_node *n, int i)
{
    (void)i;
    if (cti_given("ct_node_output", "n", n))
        inference_refuse("ct_node_output");
    return NULL;
}

ct_shape ct_node_input_shape(const ct_node *n, int i)
{
    (void)i;
    cti_given("ct_node_input_shape", "n", n);
    return CT_SCALAR;
}

int ct_node_input_count(const ct_node *n)
{
    cti_given("ct_node_input_count", "n", n);
    return 0;
}

const void *ct_node_attributes(const ct_node *n)
{
    cti_given("ct_node_attributes", "n", n);
    return NULL;
}

bool ct_node_needs_grad(const ct_node *n, int i)
{
    (void)i;
    cti_given("ct_node_needs_grad", "n", n);
    return false;
}

void ct_node_add_grad(ct_node *n, int i, ct_tensor *g)
{
    (void)i, (void)g;
    if (cti_given("ct_node_add_grad", "n", n))
        inference_refuse("ct_node_add_grad");
}

void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d))
{
    (void)w, (void)scatter;
    ct_node_add_grad(n, i, d);
}

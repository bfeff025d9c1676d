/* SPDX-License-Identifier: MIT */
/* graph.c - writes the history of a tensor as a graph in the DOT language. */
#include "autograd/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/graph.h>

#include <string.h>

/* Writes the first n bytes of a string, escaped for a DOT label. */
static void graph_put_quoted(FILE *out, const char *s, int n)
{
    for (; n > 0; n--, s++) {
        if (*s == '"' || *s == '\\')
            putc('\\', out);
        putc(*s, out);
    }
}

static void graph_put_node(FILE *out, size_t at, const ct_node *n)
{
    fprintf(out, "    n%zu [shape=box, label=\"", at);
    graph_put_quoted(out, n->op->name, (int)strlen(n->op->name));
    if (n->site) {
        fputs("\\n", out);
        graph_put_quoted(out, n->site, cti_site_length(n->site, n->op->name));
    }
    fputs("\"];\n", out);
}

/* Writes the edge of t, which starts at the node that made t or, for a leaf, at its vertex. */
static void graph_put_edge(FILE *out, const ct_tensor *t, size_t to)
{
    if (t->node) {
        fprintf(out, "    n%zu -> n%zu [label=\"%s\"];\n", t->node_at, to, cti_describe(t).s);
        return;
    }
    fprintf(out, "    l%p [label=\"leaf\\n%s\"];\n", (const void *)t->leaf, cti_describe(t).s);
    fprintf(out, "    l%p -> n%zu;\n", (const void *)t->leaf, to);
}

/* Writes the nodes below `top` from which a node in use was computed. The tape is in the order of
 * execution, so one walk from the last to the first finds them all. */
static void graph_put_history(FILE *out, size_t top, unsigned char *in_use)
{
    const ct_thread *th = cti_thread();
    int i;

    while (top-- > 0) {
        const ct_node *n = th->tape[top];

        if (!in_use[top])
            continue;
        graph_put_node(out, top, n);
        for (i = 0; i < n->inputs; i++) {
            const ct_tensor *t = n->in[i].tensor;

            if (!n->in[i].wants || (!t->node && !t->leaf))
                continue;
            if (t->node)
                in_use[t->node_at] = 1;
            graph_put_edge(out, t, top);
        }
    }
}

ct_status ct_graph_dot(ct_tensor *t, FILE *out)
{
    static const char *const me = "ct_graph_dot";
    size_t top;
    unsigned char *in_use;

    if (!ct_ok())
        return ct_error();
    if (!cti_usable(me, t) || !cti_given(me, "out", out) || !cti_check_history(me, "t", t))
        return ct_error();
    top = t->node ? t->node_at + 1 : 0;
    in_use = cti_calloc(top + 1, 1);
    if (!in_use) {
        cti_out_of_memory(me, top + 1);
        return CT_ERR_MEMORY;
    }
    fputs("digraph history {\n    rankdir=BT;\n", out);
    if (t->node) {
        in_use[t->node_at] = 1;
        graph_put_history(out, top, in_use);
        fprintf(out, "    result [shape=plaintext, label=\"%s\"];\n    n%zu -> result;\n",
                cti_describe(t).s, t->node_at);
    } else {
        fprintf(out, "    l%p [label=\"leaf\\n%s\"];\n", (const void *)t->leaf, cti_describe(t).s);
    }
    fputs("}\n", out);
    cti_release(in_use);
    if (fflush(out) != 0 || ferror(out))
        return ct_raise(CT_ERR_IO, me, "the graph could not be written to out");
    return CT_OK;
}

/* SPDX-License-Identifier: MIT */
/* world_sum.c - sums over shards in a binary tree over their numbers, for any number of ranks. */
#include "train/world_sum.h"

#include "tensor/hooks.h"
#include "train/world_internal.h"

#include <string.h>

/* The head of a segment. */
typedef struct sum_head {
    uint32_t step;
    uint32_t there, stop; /* 0 or 1 */
    uint32_t unused[13];
} sum_head;

_Static_assert(sizeof(sum_head) == 64, "segments stay aligned to 64 bytes");

/* ---- layout ---- */

/* The number of doubles, and of floats, of a segment. They are rounded up to whole blocks of 64
 * bytes. The padding is 0. */
static int64_t layout_doubles(const cti_sum_layout *l)
{
    return ((l->doubles + l->segments - 1) / l->segments + 7) / 8 * 8;
}

static int64_t layout_floats(const cti_sum_layout *l)
{
    return ((l->floats + l->segments - 1) / l->segments + 15) / 16 * 16;
}

static int64_t layout_gpu_floats(const cti_sum_layout *l)
{
    return ((l->gpu_floats + l->segments - 1) / l->segments + 15) / 16 * 16;
}

static size_t layout_segment_bytes(const cti_sum_layout *l)
{
    return sizeof(sum_head) + (size_t)layout_doubles(l) * sizeof(double) +
           (size_t)layout_floats(l) * sizeof(float);
}

static size_t layout_bytes(const cti_sum_layout *l)
{
    return (size_t)l->segments * layout_segment_bytes(l);
}

static int64_t layout_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

double *cti_sum_doubles(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run)
{
    const int64_t each = layout_doubles(l), segment = i / each, at = i % each;
    char *from = vector + (size_t)segment * layout_segment_bytes(l) + sizeof(sum_head);

    *run = layout_least(each - at, l->doubles - i);
    return (double *)(void *)from + at;
}

float *cti_sum_floats(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run)
{
    const int64_t each = layout_floats(l), segment = i / each, at = i % each;
    char *from = vector + (size_t)segment * layout_segment_bytes(l) + sizeof(sum_head) +
                 (size_t)layout_doubles(l) * sizeof(double);

    *run = layout_least(each - at, l->floats - i);
    return (float *)(void *)from + at;
}

float *cti_sum_gpu_floats(const cti_sum_memory *vector, int64_t i)
{
    return (float *)vector->gpu->data + i;
}

/* Of `all` elements in segments of `each`: the number of those of a segment. */
static uint64_t layout_part(int64_t all, int64_t each, int segment)
{
    const int64_t n = layout_least(each, all - segment * each);

    return (uint64_t)(n > 0 ? n : 0);
}

/* The number of elements of a segment, without padding. */
static uint64_t layout_elements(const cti_sum_layout *l, int segment)
{
    return layout_part(l->doubles, layout_doubles(l), segment) +
           layout_part(l->floats, layout_floats(l), segment) +
           layout_part(l->gpu_floats, layout_gpu_floats(l), segment);
}

/* ---- adding ---- */

static void add_doubles(double *restrict a, const double *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i += 8)
        for (int k = 0; k < 8; k++)
            a[i + k] += b[i + k];
}

static void add_floats(float *restrict a, const float *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16)
        for (int k = 0; k < 16; k++)
            a[i + k] += b[i + k];
}

/* Adds segment number `number` of b to that of a, without what is on a GPU. */
static void add_segment(ct_world *w, char *a, const char *b, int number)
{
    const cti_sum_layout *l = &w->sum.layout;
    const size_t floats_at = sizeof(sum_head) + (size_t)layout_doubles(l) * sizeof(double);

    add_doubles((double *)(void *)(a + sizeof(sum_head)),
                (const double *)(const void *)(b + sizeof(sum_head)), layout_doubles(l));
    add_floats((float *)(void *)(a + floats_at), (const float *)(const void *)(b + floats_at),
               layout_floats(l));
    w->counts.additions += layout_elements(l, number);
}

/* Adds segment number `number` of right to left; all segments if it is -1. */
static void add_node(ct_world *w, const cti_sum_node *left, const cti_sum_node *right, int number)
{
    const cti_sum_layout *l = &w->sum.layout;
    const size_t bytes = layout_segment_bytes(l);
    const int64_t each = layout_gpu_floats(l);

    if (left->gpu)
        cti_gpu_add(w->gpu.device, left->gpu, right->gpu, number < 0 ? l->segments * each : each);
    if (number >= 0)
        add_segment(w, left->bytes, right->bytes, number);
    for (int j = 0; j < l->segments && number < 0; j++)
        add_segment(w, left->bytes + (size_t)j * bytes, right->bytes + (size_t)j * bytes, j);
}

/* ---- vectors ---- */

static void vector_free(cti_sum_memory v)
{
    cti_release(v.bytes);
    if (v.gpu)
        cti_storage_unref(v.gpu);
}

static void vectors_drop(cti_sum *s)
{
    while (s->spares)
        vector_free(s->spare[--s->spares]);
}

static void vector_give_back(cti_sum *s, cti_sum_memory v)
{
    if (v.bytes && s->spares < CTI_SUM_NODES)
        s->spare[s->spares++] = v;
    else
        vector_free(v);
}

static cti_sum_memory vector_of(const cti_sum_node *n)
{
    return (cti_sum_memory){ n->bytes, n->storage };
}

static void vector_give(cti_sum_node *n, cti_sum_memory v)
{
    n->bytes = v.bytes;
    n->storage = v.gpu;
    n->gpu = v.gpu ? v.gpu->data : NULL;
}

void cti_sum_begin(ct_world *w, int64_t doubles, int64_t floats, int64_t gpu_floats)
{
    cti_sum *s = &w->sum;
    const cti_sum_layout l = { doubles, floats, gpu_floats, w->ranks };

    while (s->nodes)
        vector_give_back(s, vector_of(&s->node[--s->nodes]));
    if (l.doubles != s->layout.doubles || l.floats != s->layout.floats ||
        l.gpu_floats != s->layout.gpu_floats || l.segments != s->layout.segments)
        vectors_drop(s);
    s->layout = l;
    s->step++;
}

cti_sum_memory cti_sum_vector(ct_world *w, const char *function)
{
    cti_sum *s = &w->sum;
    cti_sum_memory v = { NULL, NULL };

    if (s->spares)
        return s->spare[--s->spares];
    v.bytes = cti_calloc(1, layout_bytes(&s->layout));
    if (!v.bytes) {
        cti_out_of_memory(function, layout_bytes(&s->layout));
    } else if (s->layout.gpu_floats) {
        v.gpu = cti_gpu_new(w->gpu.device, layout_gpu_floats(&s->layout) * s->layout.segments);
        if (!v.gpu) {
            cti_release(v.bytes);
            v.bytes = NULL;
        }
    }
    return v;
}

void cti_sum_free(cti_sum *s)
{
    while (s->nodes)
        vector_free(vector_of(&s->node[--s->nodes]));
    vectors_drop(s);
    vector_free(s->total);
    vector_free((cti_sum_memory){ s->received, s->gpu_received });
}

/* ---- the tree ---- */

/* True if left and right are the two halves of one node. */
static bool tree_are_halves(const cti_sum_node *left, const cti_sum_node *right)
{
    return left->level == right->level && left->index % 2 == 0 && right->index == left->index + 1;
}

/* A list of nodes in order, while it is added up. segment is the number of the segment in the
 * bytes, or -1 for all segments. */
typedef struct tree_stack {
    ct_world *w;
    int segment;
    cti_sum_node *node;
    int *count;
} tree_stack;

/* Replaces the last two nodes by their parent. */
static void tree_join(tree_stack *t)
{
    cti_sum_node *left = &t->node[*t->count - 2], *right = &t->node[*t->count - 1];
    cti_sum_node done = *right;

    if (!left->there) {
        done = *left;
        left->bytes = right->bytes;
        left->gpu = right->gpu;
        left->storage = right->storage;
        left->there = right->there;
    } else if (right->there) {
        add_node(t->w, left, right, t->segment);
    }
    if (t->segment < 0)
        vector_give_back(&t->w->sum, vector_of(&done));
    left->level++;
    left->index /= 2;
    (*t->count)--;
}

static void tree_push(tree_stack *t, const cti_sum_node *n)
{
    t->node[(*t->count)++] = *n;
    while (*t->count > 1 && tree_are_halves(&t->node[*t->count - 2], &t->node[*t->count - 1]))
        tree_join(t);
}

/* Joins the remaining nodes after the last shard. They are the left halves along the right edge
 * of the tree. Their right halves end at the number of shards. */
static void tree_close(tree_stack *t)
{
    while (*t->count > 1)
        tree_join(t);
}

void cti_sum_add(ct_world *w, int shard, cti_sum_memory vector)
{
    tree_stack t = { w, -1, w->sum.node, &w->sum.nodes };
    cti_sum_node n = { .index = shard, .there = vector.bytes != NULL };

    vector_give(&n, vector);
    tree_push(&t, &n);
}

/* The nodes that a rank sends. */
static int tree_nodes_of(const ct_world *w, int rank, cti_sum_node nodes[CTI_SUM_NODES])
{
    int count = 0;

    for (int s = cti_world_first_shard(rank, w->ranks, w->shards);
         s < cti_world_first_shard(rank + 1, w->ranks, w->shards); s++) {
        nodes[count++] = (cti_sum_node){ .index = s };
        for (; count > 1 && tree_are_halves(&nodes[count - 2], &nodes[count - 1]); count--) {
            nodes[count - 2].level++;
            nodes[count - 2].index /= 2;
        }
    }
    return count;
}

void cti_sum_to_total(ct_world *w)
{
    cti_sum *s = &w->sum;

    if (s->total.bytes) {
        cti_sum_node total = { .there = true };

        vector_give(&total, s->total);
        add_node(w, &total, &s->node[0], -1);
        return;
    }
    s->total = vector_of(&s->node[0]);
    vector_give(&s->node[0], (cti_sum_memory){ NULL, NULL });
}

void cti_sum_drop_total(ct_world *w)
{
    vector_give_back(&w->sum, w->sum.total);
    w->sum.total = (cti_sum_memory){ NULL, NULL };
}

/* ---- between ranks ---- */

/* Makes room for the floats that the other GPUs send. Returns false with an error. */
static bool exchange_make_gpu_room(ct_world *w, int segments)
{
    cti_sum *s = &w->sum;
    const int64_t floats = segments * layout_gpu_floats(&s->layout);

    if (floats <= s->gpu_received_room)
        return true;
    if (s->gpu_received)
        cti_storage_unref(s->gpu_received);
    s->gpu_received = cti_gpu_new(w->gpu.device, floats);
    s->gpu_received_room = s->gpu_received ? floats : 0;
    return s->gpu_received != NULL;
}

/* Makes room for the segments that the other ranks send. Returns false with an error. */
static bool exchange_make_room(ct_world *w, const char *function, size_t segment)
{
    cti_sum_node nodes[CTI_SUM_NODES];
    int segments = 0;
    size_t bytes;

    for (int r = 0; r < w->ranks; r++)
        segments += r == w->rank ? 0 : tree_nodes_of(w, r, nodes);
    if (!exchange_make_gpu_room(w, segments))
        return false;
    bytes = (size_t)segments * segment;
    if (bytes <= w->sum.received_room)
        return true;
    cti_release(w->sum.received);
    w->sum.received_room = 0;
    w->sum.received = cti_calloc(1, bytes);
    if (!w->sum.received) {
        cti_out_of_memory(function, bytes);
        return false;
    }
    w->sum.received_room = bytes;
    return true;
}

/* Writes the heads of all nodes of this rank. Nodes without rows also get one. Returns false
 * with an error. */
static bool exchange_mark(ct_world *w, const char *function, size_t segment, bool stop)
{
    cti_sum *s = &w->sum;

    for (int i = 0; i < s->nodes; i++) {
        cti_sum_node *n = &s->node[i];

        if (!n->bytes)
            vector_give(n, cti_sum_vector(w, function));
        if (!n->bytes)
            return false;
        for (int j = 0; j < w->ranks; j++)
            *(sum_head *)(void *)(n->bytes + (size_t)j * segment) =
                (sum_head){ .step = s->step, .there = n->there, .stop = stop };
    }
    return true;
}

/* Sends segment r of all nodes to rank r, and receives this rank's segment of the others' nodes. */
static bool exchange_parts(ct_world *w, const char *function, size_t segment)
{
    cti_sum_node nodes[CTI_SUM_NODES];
    char *to = w->sum.received;

    for (int r = 0; r < w->ranks; r++)
        for (int i = r == w->rank ? 0 : tree_nodes_of(w, r, nodes); i > 0; i--, to += segment)
            if (!cti_world_receive(w, function, to, segment, r, CTI_TAG_PARTS))
                return false;
    for (int k = 1; k < w->ranks; k++) {
        const int r = (w->rank + k) % w->ranks;

        for (int i = 0; i < w->sum.nodes; i++)
            if (!cti_world_send(w, function, w->sum.node[i].bytes + (size_t)r * segment, segment, r,
                                CTI_TAG_PARTS))
                return false;
    }
    return cti_world_wait(w, function);
}

/* Queues the same messages between the GPUs. */
static bool exchange_gpu_parts(ct_world *w, const char *function)
{
    const int64_t each = layout_gpu_floats(&w->sum.layout);
    float *to = each ? w->sum.gpu_received->data : NULL;
    const int most = 2 * w->ranks * CTI_SUM_NODES;
    cti_collective_piece *piece;
    cti_sum_node nodes[CTI_SUM_NODES];
    int count = 0;
    bool good;

    if (!each)
        return true;
    piece = cti_calloc((size_t)most, sizeof *piece);
    if (!piece) {
        cti_out_of_memory(function, (size_t)most * sizeof *piece);
        cti_world_tell_error(w);
        return false;
    }
    for (int r = 0; r < w->ranks; r++) {
        for (int i = 0; i < w->sum.nodes && r != w->rank; i++)
            piece[count++] =
                (cti_collective_piece){ w->sum.node[i].gpu + r * each, (size_t)each, r, false };
        for (int i = r == w->rank ? 0 : tree_nodes_of(w, r, nodes); i > 0; i--, to += each)
            piece[count++] = (cti_collective_piece){ to, (size_t)each, r, true };
    }
    good = cti_gpu_exchange(w, function, piece, count);
    cti_release(piece);
    return good;
}

/* Adds up this rank's segment of all nodes. The returned sum is stored in one of them. *stop has
 * the same meaning as in cti_sum_all. */
static cti_sum_node exchange_add(ct_world *w, size_t segment, bool *stop, int *wrong)
{
    cti_sum_node stack[2 * CTI_SUM_NODES], nodes[CTI_SUM_NODES];
    int count = 0;
    tree_stack t = { w, w->rank, stack, &count };
    char *from = w->sum.received;
    const int64_t each = layout_gpu_floats(&w->sum.layout);
    float *gpu_from = each ? w->sum.gpu_received->data : NULL;

    *wrong = -1;
    for (int r = 0; r < w->ranks; r++) {
        const int own = tree_nodes_of(w, r, nodes);

        for (int i = 0; i < own; i++) {
            const sum_head *h;

            if (r == w->rank) {
                nodes[i].bytes = w->sum.node[i].bytes + (size_t)r * segment;
                nodes[i].gpu = each ? w->sum.node[i].gpu + r * each : NULL;
            } else {
                nodes[i].bytes = from;
                nodes[i].gpu = gpu_from;
                from += segment;
                gpu_from = each ? gpu_from + each : NULL;
            }
            h = (const sum_head *)(const void *)nodes[i].bytes;
            if (h->step != w->sum.step && *wrong < 0)
                *wrong = r;
            nodes[i].there = h->there;
            *stop = *stop || h->stop;
            tree_push(&t, &nodes[i]);
        }
    }
    tree_close(&t);
    return stack[0];
}

/* Sends this rank's segment of the sum to all ranks, and receives theirs. Writes the whole sum
 * to `result`. */
static bool exchange_sums(ct_world *w, const char *function, size_t segment, char *result)
{
    for (int r = 0; r < w->ranks; r++)
        if (r != w->rank &&
            !cti_world_receive(w, function, result + (size_t)r * segment, segment, r, CTI_TAG_SUMS))
            return false;
    for (int k = 1; k < w->ranks; k++)
        if (!cti_world_send(w, function, result + (size_t)w->rank * segment, segment,
                            (w->rank + k) % w->ranks, CTI_TAG_SUMS))
            return false;
    return cti_world_wait(w, function);
}

/* Gives the whole sum of the floats on GPUs to each of them. */
static bool exchange_gpu_sums(ct_world *w, const char *function, const float *own)
{
    const int64_t each = layout_gpu_floats(&w->sum.layout);

    return !each || cti_gpu_all_gather(w, function, own, w->sum.node[0].gpu, each);
}

/* Writes the sum over the shards of all ranks to the first vector. Returns false with an error, and
 * if no shard has rows. */
static bool sum_exchange(ct_world *w, const char *function, bool *stop)
{
    const size_t segment = layout_segment_bytes(&w->sum.layout);
    char *result, *own;
    cti_sum_node sum;
    int wrong;

    if (!cti_world_usable(w, function))
        return false;
    if (!exchange_make_room(w, function, segment) || !exchange_mark(w, function, segment, *stop)) {
        cti_world_tell_error(w);
        return false;
    }
    if (!exchange_gpu_parts(w, function) || !exchange_parts(w, function, segment))
        return false;
    sum = exchange_add(w, segment, stop, &wrong);
    if (wrong >= 0) {
        ct_raise(CT_ERR_WORLD, function, "rank %d is at another step than rank %d", wrong, w->rank);
        cti_world_tell_error(w);
        return false;
    }
    if (!sum.there)
        return false;
    /* This vector is free, because all its segments have been sent. */
    result = w->sum.node[0].bytes;
    own = result + (size_t)w->rank * segment;
    if (own != sum.bytes)
        memcpy(own, sum.bytes, segment);
    return exchange_sums(w, function, segment, result) && exchange_gpu_sums(w, function, sum.gpu);
}

cti_sum_memory cti_sum_all(ct_world *w, const char *function, bool *stop)
{
    tree_stack t = { w, -1, w->sum.node, &w->sum.nodes };
    bool there;

    if (w->ranks > 1) {
        there = sum_exchange(w, function, stop);
        if (!there && !ct_ok()) /* the GPUs of the others may never send */
            cti_gpu_abandon(w);
    } else {
        tree_close(&t);
        there = w->sum.nodes && w->sum.node[0].there;
    }
    return there ? vector_of(&w->sum.node[0]) : (cti_sum_memory){ NULL, NULL };
}

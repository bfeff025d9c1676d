/* SPDX-License-Identifier: MIT */
/* tagger.c - parts of speech: a bidirectional GRU reads sentences of different lengths, packed by their
 * lengths, and tags each word. Most words are ambiguous: one may be a noun or a verb, another an adjective
 * or an adverb; the words on both sides decide. The sentences are made up:
 *     sentence = group verb [adverb] [group]      group = [article] adjective* noun
 * The baseline gives each word the tag that it has most often. */
#include <stdio.h>
#include <string.h>

#include <cotangent.h>

typedef enum tag { ARTICLE, ADJECTIVE, NOUN, VERB, ADVERB, TAGS } tag;
enum { WORDS = 100, MOST = 24, TRAIN = 2000, TEST = 500 }; /* word 0 is the padding */

typedef struct sentence {
    int32_t word[MOST], tag[MOST], length;
} sentence;

/* Nouns and verbs share words 41 to 60, adjectives and adverbs 71 to 85. */
static void add_word(sentence *s, tag t, ct_generator *g)
{
    static const int first[TAGS] = { 1, 61, 4, 41, 71 }, last[TAGS] = { 3, 85, 60, 60, 90 };
    int from = ct_random_uniform(g) < 0.7 && last[t] - first[t] > 20 ? last[t] - 19 : first[t];

    s->word[s->length] = from + (int)ct_random_below(g, (uint64_t)(last[t] - from + 1));
    s->tag[s->length++] = t;
}

static void add_group(sentence *s, ct_generator *g)
{
    if (ct_random_uniform(g) < 0.4)
        add_word(s, ARTICLE, g);
    while (s->length < 16 && ct_random_uniform(g) < 0.4)
        add_word(s, ADJECTIVE, g);
    add_word(s, NOUN, g);
}

/* Sentence i of a part of the data: "train", "validation", "test". */
static sentence make_sentence(const char *part, int64_t i)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed((uint64_t)i), part);
    sentence s = { .length = 0 };

    add_group(&s, &g), add_word(&s, VERB, &g);
    if (ct_random_uniform(&g) < 0.5)
        add_word(&s, ADVERB, &g);
    if (ct_random_uniform(&g) < 0.7)
        add_group(&s, &g);
    return s;
}

static ct_status get(void *part, int64_t i, void *const *field)
{
    const sentence s = make_sentence(part, i);

    memcpy(field[0], s.word, (size_t)s.length * sizeof *s.word);
    memcpy(field[1], s.tag, (size_t)s.length * sizeof *s.tag);
    return CT_OK;
}

static int64_t length(void *part, int64_t i, int field)
{
    (void)field;
    return make_sentence(part, i).length;
}

static ct_loader *loader_of(char *part, int64_t count, bool shuffle)
{
    static const ct_dataset_table sentences = { .name = "sentences", .get = get, .length = length };
    static const ct_field fields[] = { { "words", CT_I32, CT_SHAPE_INIT(-1), 0 },
                                       { "tags", CT_I32, CT_SHAPE_INIT(-1), 0 } };
    ct_dataset *d = ct_dataset_new(&sentences, part, count, 2, fields);
    ct_loader_options o = { .batch_size = 32, .shuffle = shuffle, .bucket = 20, .count = "words" };
    ct_loader *l = ct_loader_new(d, o);

    ct_dataset_free(d); /* the loader keeps it */
    return l;
}

/* The share of the words of test whose tag is the one that they have most often in train. */
static double baseline(void)
{
    int seen[WORDS][TAGS] = { { 0 } }, best[WORDS] = { 0 }, words = 0, right = 0;

    for (int64_t i = 0; i < TRAIN + TEST; i++) {
        const sentence s = i < TRAIN ? make_sentence("train", i) : make_sentence("test", i - TRAIN);

        for (int k = 0; k < s.length; k++) {
            const int w = s.word[k], t = s.tag[k];

            if (i >= TRAIN)
                words++, right += best[w] == t;
            else if (++seen[w][t] > seen[w][best[w]])
                best[w] = t;
        }
    }
    return (double)right / words;
}

typedef struct tagger {
    ct_params *params;
    ct_module *embedding, *linear;
    ct_recurrent *gru;
} tagger;

/* The metrics get scores (n, TAGS) and tags (n) of the words, without the padding. */
static ct_tensor *step(void *self, ct_step *s)
{
    const tagger *m = self;
    ct_tensor *words = ct_batch_get(s->batch, "words"), *tags = ct_batch_get(s->batch, "tags");
    ct_recurrent_call call = { .lengths = ct_batch_get(s->batch, "words_lengths") };
    ct_tensor *x = ct_transpose(ct_forward(m->embedding, words), 0, 1), *y, *mask;

    y = ct_forward(m->linear, ct_recurrent_forward_with(m->gru, x, NULL, NULL, call));
    mask = ct_transpose(ct_length_mask(call.lengths, ct_size(words, 1)), 0, 1); /* (T, B) */
    s->prediction = ct_reshape(ct_masked_select(y, ct_unsqueeze(mask, -1)), CT_SHAPE(-1, TAGS));
    s->target = ct_masked_select(ct_transpose(tags, 0, 1), mask);
    return ct_cross_entropy(s->prediction, s->target);
}

static ct_optimizer *configure(void *self)
{
    return ct_adam_new(((tagger *)self)->params, (ct_adam_options){ .lr = 0.005 });
}

int main(void)
{
    const ct_metric f1 = ct_metric_f1_class(ADVERB);
    const ct_metric *const metrics[] = { ct_metric_accuracy(), &f1, NULL };
    ct_params *p = ct_params_new((ct_params_options){ .seed = 1 });
    const ct_nn_embedding_options table = { .rows = WORDS, .size = 16 };
    tagger m = { .params = p };
    ct_model model = { &m, p, step, .configure_optimizers = configure };
    ct_trainer trainer = { .max_epochs = 20, .metrics = metrics, .monitor = "val_f1" };
    ct_loader *train = loader_of("train", TRAIN, true), *val = loader_of("validation", TEST, false);
    ct_loader *test = loader_of("test", TEST, false);
    ct_fit_result fit;
    double value[2];

    ct_exit_on_error();
    m.embedding = ct_nn_embedding(p, "embedding", table);
    m.gru = ct_nn_gru(p, "gru", (ct_nn_gru_options){ .hidden_size = 32, .bidirectional = true });
    m.linear = ct_nn_linear(p, "linear", (ct_nn_linear_options){ .out_features = TAGS });
    trainer.out = stdout, trainer.patience = 3, trainer.best = "tagger.safetensors";
    ct_fit(&trainer, &model, train, val, &fit);
    (void)!ct_params_load(p, trainer.best, (ct_load_options){ .non_strict = true });
    ct_evaluate(&model, test, metrics, NULL, value);
    printf("baseline: accuracy %.3f\ntagger: accuracy %.3f, F1 of adverbs %.3f, epoch %d of %d\n",
           baseline(), value[0], value[1], (int)fit.best_epoch, (int)fit.epochs);
    ct_loader_free(train), ct_loader_free(val), ct_loader_free(test), ct_params_free(p);
}

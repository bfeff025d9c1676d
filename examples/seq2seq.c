/* SPDX-License-Identifier: MIT */
/* seq2seq.c - numbers to words, "n307" to "three hundred and seven": a GRU encoder and a GRU decoder with Bahdanau's
 * attention, in d2l's form and with its names. BLEU is that of numbers that were not trained on. */
#include <stdio.h>

#include <cotangent.h>

#include "common.h"

enum { PAD = 1, BOS, EOS }; /* after <unk>, in both vocabularies */
enum { NUMBERS = 1000, TRAIN = 800, TEST = NUMBERS - TRAIN, MOST = 7 /* words and <eos> */ };

static char *number_words(int n, char *out)
{
    static const char *const names[] = { "zero",    "one",     "two",       "three",    "four",
                                         "five",    "six",     "seven",     "eight",    "nine",
                                         "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                         "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
                                         "twenty",  "thirty",  "forty",     "fifty",    "sixty",
                                         "seventy", "eighty",  "ninety" };

    const int rest = n % 100, tens = rest < 20 ? 0 : rest / 10, ones = tens ? rest % 10 : rest;

    if (n >= 100)
        out += sprintf(out, rest ? "%s hundred and " : "%s hundred ", names[n / 100]);
    if (tens)
        out += sprintf(out, "%s ", names[18 + tens]);
    if (ones || n == 0)
        out += sprintf(out, "%s ", names[ones]);
    return out + sprintf(out, "\n");
}

/* Line i of both texts is one of the numbers 0 to 999, in an order that mixes them. */
static ct_dataset *numbers_new(ct_vocab **vocab)
{
    static char text[2][NUMBERS * 48];
    char *end[2] = { text[0], text[1] };
    const char *const reserved[] = { "<pad>", "<bos>", "<eos>" };
    ct_vocab_options o = { CT_VOCAB_ORDER_FREQUENCY, 0, reserved, 3, CT_TOKEN_KIND_CHAR };
    ct_text *lines[2];
    ct_dataset *d;

    for (int i = 0, n = 17; i < NUMBERS; i++, n = (n + 619) % NUMBERS)
        end[0] += sprintf(end[0], "n%d\n", n), end[1] = number_words(n, end[1]);
    for (int k = 0; k < 2; k++, o.tokens = CT_TOKEN_KIND_WORD) {
        vocab[k] = ct_vocab_new(text[k], (size_t)(end[k] - text[k]), o);
        lines[k] = ct_text_new_from_bytes(text[k], (size_t)(end[k] - text[k]), "numbers");
    }
    d = ct_dataset_parallel_new(lines[0], lines[1],
                                (ct_dataset_parallel_options){ vocab[0], vocab[1], 0 });
    ct_text_free(lines[0]), ct_text_free(lines[1]);
    return d;
}

typedef struct seq2seq {
    ct_module *src, *tgt, *dense; /* embeddings, and the scores of the words */
    ct_recurrent *encoder, *decoder;
} seq2seq;

static seq2seq seq2seq_new(ct_params *params, ct_vocab *const *vocab, int64_t h)
{
    ct_params *e = ct_params_sub(params, "encoder"), *d = ct_params_sub(params, "decoder");
    const ct_nn_recurrent_options o = { .input_size = h, .hidden_size = h };
    ct_nn_attention_decoder_options decoder = { .memory_size = h };
    ct_nn_embedding_options rows = { .rows = ct_vocab_size(vocab[0]), .size = h };
    seq2seq m = { .src = ct_nn_embedding(e, "embedding", rows) };

    rows.rows = ct_vocab_size(vocab[1]);
    m.encoder = ct_nn_gru(e, "rnn.rnn", o);
    decoder.attention =
        ct_nn_additive_attention(d, "attention", (ct_nn_additive_attention_options){ h, h, h, 0 });
    m.tgt = ct_nn_embedding(d, "embedding", rows);
    m.decoder = ct_nn_attention_decoder(d, "rnn.rnn", decoder, o);
    m.dense = ct_nn_linear(d, "dense", (ct_nn_linear_options){ .out_features = rows.rows });
    return m;
}

/* ids (T, B) of words -> the scores (T, B, words) of the words that follow */
static ct_tensor *forward(const seq2seq *m, const ct_batch *b, ct_tensor *ids)
{
    ct_tensor *src = ct_forward(m->src, ct_transpose(ct_batch_get(b, "src"), 0, 1)), *y;
    ct_recurrent_call call = { .lengths = ct_batch_get(b, "src_lengths") };
    ct_attention_memory memory = { .lengths = call.lengths };
    ct_state *state;

    y = ct_recurrent_forward_with(m->encoder, src, NULL, &state, call);
    memory.values = ct_transpose(y, 0, 1);
    call = (ct_recurrent_call){ .data = &memory };
    return ct_forward(m->dense, ct_recurrent_forward_with(m->decoder, ct_forward(m->tgt, ids),
                                                          state, NULL, call));
}

/* The ids of a row of t (rows, T), between <bos> and <eos>. */
static ct_ids sentence(const ct_tensor *t, int64_t row)
{
    ct_ids s = { (const int32_t *)ct_data(t) + row * ct_size(t, 1) + 1, 0 };

    while (s.size < ct_size(t, 1) - 1 && s.ids[s.size] != EOS)
        s.size++;
    return s;
}

/* The BLEU of the numbers that were not trained on, where each word is the most likely one. */
static double translate(const seq2seq *m, ct_dataset *all)
{
    ct_scope s = ct_scope_begin_inference();
    ct_batch b;
    ct_ids found[TEST], want[TEST];
    ct_tensor *ids = ct_full(CT_SHAPE(1, TEST), BOS, CT_I32, CT_CPU), *best;

    ct_dataset_read(all, TRAIN, 0, &b);
    for (int t = 0; t < MOST; t++, ids = CT_CAT(0, ids, ct_cast(best, CT_I32)))
        best = ct_argmax(ct_narrow(forward(m, &b, ids), 0, t, 1), -1, false);
    ids = ct_contiguous(ct_transpose(ids, 0, 1));
    for (int i = 0; i < TEST; i++)
        found[i] = sentence(ids, i), want[i] = sentence(ct_batch_get(&b, "tgt"), i);
    double bleu = ct_bleu(TEST, found, want);
    (void)!ct_scope_end(s); /* an error has ended the program */
    return bleu;
}

int main(int argc, char **argv)
{
    options o = options_parse_for(argc, argv, "Translates numbers.", "hidden epochs lr seed",
                                  (options){ .hidden = 64, .epochs = 12, .lr = 0.005 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = o.seed });
    ct_vocab *vocab[2];
    ct_dataset *all = numbers_new(vocab), *train = ct_dataset_range_new(all, 0, TRAIN);
    ct_loader *loader =
        ct_loader_new(train, (ct_loader_options){ .batch_size = 32, .shuffle = true });
    seq2seq m = seq2seq_new(params, vocab, o.hidden);
    ct_optimizer *adam = ct_adam_new(params, (ct_adam_options){ .lr = o.lr });
    ct_cross_entropy_options ignoring = { .has_ignore_index = true, .ignore_index = PAD };
    ct_batch batch;

    for (int64_t i = 1; i <= o.epochs; i++) {
        ct_loader_begin(loader);
        while (ct_loader_step(loader, &batch)) {
            ct_tensor *tgt = ct_transpose(ct_batch_get(&batch, "tgt"), 0, 1);
            const int64_t steps = ct_size(tgt, 0) - 1;
            ct_tensor *y = forward(&m, &batch, ct_narrow(tgt, 0, 0, steps));

            ct_backward(ct_cross_entropy_with(y, ct_narrow(tgt, 0, 1, steps), ignoring));
            ct_clip_grad_norm(params, 1, NULL);
            ct_optimizer_step(adam);
        }
        printf("epoch %2lld: BLEU %.4f\n", (long long)i, translate(&m, all));
    }
    ct_optimizer_free(adam), ct_loader_free(loader), ct_dataset_free(train), ct_dataset_free(all);
    ct_vocab_free(vocab[0]), ct_vocab_free(vocab[1]), ct_params_free(params);
}

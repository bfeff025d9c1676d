/* SPDX-License-Identifier: MIT */
/* compress.c - a text compressor. A GRU predicts the probability of each byte, and a range coder
 * uses fewer bits for more probable bytes.
 *
 *     compress IN OUT                 adaptive: both sides learn while coding; no model is stored
 *     compress --embed IN OUT         the model is trained on IN first, and stored in OUT
 *     compress --train -m MODEL IN    trains a model into a separate file
 *     compress -m MODEL IN OUT        codes with it: the decoder needs the same file
 *     compress -d [-m MODEL] IN OUT   decompresses
 *
 * Everything is computed in portable mode, and the coder uses integer frequencies, so that a file
 * can be decoded on any processor. Exit status: 0; 1 for files, 2 for arguments. A file that is
 * incomplete or changed, or was made with another version or model, is refused; then OUT is not
 * written. OUT is written whole or not at all. No file may have more than LIMIT bytes, compressed
 * or not, so that a hostile file cannot use up the memory. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/sha2.h>

#include "byte_model.h"
#include "range_coder.h"
#include "tool/cli.h"

#define CHUNK 256                 /* the number of bytes between two training steps */
#define LIMIT ((uint64_t)1 << 28) /* the most bytes of a file, and of its content */

typedef enum mode { ADAPTIVE, EMBEDDED, GIVEN } mode;

typedef struct options {
    bool decompress, embed, train;
    const char *model, *in, *out;
    int hidden, passes;
} options;

/* The header before the coded bytes. digest is the SHA-256 of the other fields and of the
 * content. */
typedef struct header {
    char magic[4];
    uint8_t mode, hidden, passes;
    char version[9];
    uint8_t model[SHA256_DIGEST_SIZE]; /* the SHA-256 of the model file; zeros without one */
    uint8_t occurs[32];                /* one bit for each byte value */
    uint8_t size[8];                   /* the size of the content; lowest byte first */
    uint8_t digest[SHA256_DIGEST_SIZE];
} header;

static void fail(const char *what, const char *why)
{
    cli_fail("%s: %s", what, why);
}

/* ---- files ---- */

static bytes read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st = { 0 };
    bytes b = { 0 };
    int c;

    if (!f || fstat(fileno(f), &st) != 0)
        fail(path, strerror(errno));
    if (st.st_size > (off_t)LIMIT)
        fail(path, "is too large: the limit is 256 MiB");
    while ((c = getc(f)) != EOF && !b.failed && b.size <= LIMIT)
        bytes_put(&b, (uint8_t)c);
    if (b.failed || ferror(f))
        fail(path, b.failed ? "out of memory" : strerror(errno));
    if (b.size > LIMIT)
        fail(path, "is too large: the limit is 256 MiB");
    fclose(f);
    return b;
}

static void hash_file(const char *path, uint8_t digest[SHA256_DIGEST_SIZE])
{
    bytes b = read_whole(path);
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, b.size, b.at);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
    free(b.at);
}

/* ---- the header ---- */

static void digest_of(const header *h, const bytes *content, uint8_t digest[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, offsetof(header, digest), (const uint8_t *)h);
    sha256_update(&sha, content->size, content->at);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

static uint64_t size_of(const header *h)
{
    uint64_t size = 0;
    int i;

    for (i = 7; i >= 0; i--)
        size = size << 8 | h->size[i];
    return size;
}

static header header_of(const options *o, mode mode, const bytes *content)
{
    header h = { .magic = "CTZ1",
                 .mode = (uint8_t)mode,
                 .hidden = (uint8_t)o->hidden,
                 .passes = (uint8_t)o->passes };
    size_t i;

    snprintf(h.version, sizeof h.version, "%s", ct_version());
    if (mode == GIVEN)
        hash_file(o->model, h.model);
    for (i = 0; i < content->size; i++)
        h.occurs[content->at[i] / 8] |= (uint8_t)(1 << content->at[i] % 8);
    for (i = 0; i < 8; i++)
        h.size[i] = (uint8_t)((uint64_t)content->size >> 8 * i);
    digest_of(&h, content, h.digest);
    return h;
}

/* Checks everything that can be checked before decoding. */
static void check_header(const options *o, const header *h)
{
    static const uint8_t nothing[sizeof h->occurs];
    header expected = { 0 };

    if (memcmp(h->magic, "CTZ1", 4) != 0 || h->mode > GIVEN || h->hidden == 0)
        fail(o->in, "is not a file that compress wrote");
    snprintf(expected.version, sizeof expected.version, "%s", ct_version());
    if (memcmp(h->version, expected.version, sizeof h->version) != 0)
        fail(o->in, "was written by another version");
    if (h->mode == GIVEN && !o->model)
        fail(o->in, "needs the model that it was written with (-m)");
    if (h->mode == GIVEN)
        hash_file(o->model, expected.model);
    if (memcmp(h->model, expected.model, sizeof h->model) != 0)
        fail(o->in, "was written with another model");
    if (size_of(h) > LIMIT)
        fail(o->in, "is damaged: its content would be larger than the limit of 256 MiB");
    if (size_of(h) && memcmp(h->occurs, nothing, sizeof nothing) == 0)
        fail(o->in, "is damaged: it has content, but no byte occurs in it");
}

/* ---- models ---- */

static void new_model(byte_model *m, const header *h)
{
    uint8_t occurs[256];
    int b;

    for (b = 0; b < 256; b++)
        occurs[b] = h->mode == GIVEN || h->occurs[b / 8] >> b % 8 & 1;
    byte_model_new(m, occurs, h->hidden, 0.3);
}

/* Trains in many passes over the whole content, with a falling learning rate. */
static void train_on(byte_model *m, const bytes *content, int passes)
{
    int pass;

    for (pass = 0; pass < passes; pass++)
        byte_model_learn(m, content->at, content->size, content->size, content->size,
                         0.004 * (1 - (double)pass / passes));
}

/* Writes each weight to stream, or reads it, as the upper half of its float. */
static void code_weights(byte_model *m, bytes *stream, bool write)
{
    int i;

    for (i = 0; i < ct_params_count(m->params); i++) {
        ct_scope s = ct_scope_begin_no_grad();
        ct_tensor *value = ct_param_value(ct_params_at(m->params, i));
        size_t n = (size_t)ct_numel(value), k;
        uint16_t *half = calloc(n, sizeof *half);

        if (!half)
            fail("weights", "out of memory");
        if (write)
            ct_to_host(ct_cast(value, CT_BF16), half, n * sizeof *half);
        for (k = 0; k < n; k++) {
            if (write) {
                bytes_put(stream, (uint8_t)half[k]);
                bytes_put(stream, (uint8_t)(half[k] >> 8));
            } else {
                half[k] = bytes_take(stream);
                half[k] = (uint16_t)(half[k] | bytes_take(stream) << 8);
            }
        }
        ct_copy_into(value,
                     ct_cast(ct_from_data(half, ct_tensor_shape(value), CT_BF16, CT_CPU), CT_F32));
        free(half);
        if (ct_scope_end(s) != CT_OK)
            exit(1);
    }
}

/* ---- coding ---- */

/* Codes byte number `at` of content. The bytes before it are known. When decoding, writes the
 * byte. */
static void code_byte(byte_model *m, range_coder *c, bytes *content, size_t at, bool decode)
{
    uint32_t frequency[256], below = 0;
    uint32_t total = byte_model_next(m, at ? content->at[at - 1] : -1, frequency);
    uint32_t target = decode && total ? range_peek(c, total) : 0;
    int symbol = decode ? 0 : m->symbol[content->at[at]], k;

    if (!total)
        exit(1);
    for (k = 0; decode ? below + frequency[k] <= target : k < symbol; k++)
        below += frequency[k];
    if (decode) {
        range_skip(c, below, frequency[k], total);
        content->at[at] = m->byte[k];
    } else {
        range_encode(c, below, frequency[k], total);
    }
}

static void code_content(byte_model *m, const header *h, range_coder *c, bytes *content,
                         uint64_t size, bool decode)
{
    uint64_t at;

    for (at = 0; at < size; at++) {
        if (decode)
            bytes_put(content, 0);
        if (content->failed)
            fail("content", "out of memory");
        if (decode && c->stream->read > c->stream->size + 8)
            return; /* the decoder read beyond the coded bytes, so the size is wrong */
        code_byte(m, c, content, at, decode);
        if (h->mode == ADAPTIVE && (at + 1) % CHUNK == 0)
            byte_model_learn(m, content->at, at + 1, 4 * CHUNK, (size_t)h->passes * CHUNK,
                             0.003 / sqrt(1 + (double)at / 20000));
    }
}

static void compress(const options *o)
{
    bytes content = read_whole(o->in), out = { 0 };
    header h = header_of(o, o->model ? GIVEN : o->embed ? EMBEDDED : ADAPTIVE, &content);
    range_coder c;
    byte_model m;
    size_t i;

    for (i = 0; i < sizeof h; i++)
        bytes_put(&out, ((const uint8_t *)&h)[i]);
    if (content.size) {
        new_model(&m, &h);
        if (h.mode == GIVEN && ct_params_load(m.params, o->model, (ct_load_options){ 0 }) != CT_OK)
            exit(1);
        if (h.mode == EMBEDDED) {
            train_on(&m, &content, o->passes);
            code_weights(&m, &out, true);
        }
        range_encoder_begin(&c, &out);
        code_content(&m, &h, &c, &content, content.size, false);
        range_encoder_end(&c);
        byte_model_free(&m);
    }
    if (out.failed)
        fail(o->out, "out of memory");
    if (ct_file_write(o->out, out.at, out.size) != CT_OK)
        exit(1);
    printf("%zu bytes to %zu, %.3f bits a byte\n", content.size, out.size,
           content.size ? 8.0 * (double)out.size / (double)content.size : 0);
    free(content.at);
    free(out.at);
}

static void decompress(const options *o)
{
    bytes in = read_whole(o->in), content = { 0 };
    uint8_t digest[SHA256_DIGEST_SIZE];
    range_coder c;
    byte_model m;
    header h;

    if (in.size < sizeof h)
        fail(o->in, "is not a file that compress wrote");
    memcpy(&h, in.at, sizeof h);
    in.read = sizeof h;
    check_header(o, &h);
    if (size_of(&h)) {
        new_model(&m, &h);
        if (h.mode == GIVEN && ct_params_load(m.params, o->model, (ct_load_options){ 0 }) != CT_OK)
            exit(1);
        if (h.mode == EMBEDDED)
            code_weights(&m, &in, false);
        range_decoder_begin(&c, &in);
        code_content(&m, &h, &c, &content, size_of(&h), true);
        byte_model_free(&m);
    }
    digest_of(&h, &content, digest);
    if (content.size != size_of(&h) || memcmp(digest, h.digest, sizeof digest) != 0)
        fail(o->in, "is damaged: what it gives is not what was compressed");
    if (ct_file_write(o->out, content.at, content.size) != CT_OK)
        exit(1);
    free(in.at);
    free(content.at);
}

static void train_model(const options *o)
{
    bytes content = read_whole(o->in);
    header h = { .mode = GIVEN, .hidden = (uint8_t)o->hidden };
    byte_model m;

    if (content.size < 2)
        fail(o->in, "is too short to train on");
    new_model(&m, &h);
    train_on(&m, &content, o->passes);
    if (ct_params_save(m.params, o->model) != CT_OK)
        exit(1);
    byte_model_free(&m);
    free(content.at);
}

/* ---- arguments ---- */

#define FIELD(name) .offset = offsetof(options, name)

static const cli_option table[] = {
    { "input file", CLI_ARGUMENT, FIELD(in), .file = CLI_READS },
    { "output file", CLI_ARGUMENT_OPTIONAL, FIELD(out), .file = CLI_WRITES },
    { "decompress", CLI_FLAG, NULL, "give back what was compressed", FIELD(decompress),
      .letter = 'd' },
    { "embed", CLI_FLAG, NULL, "train a model on IN first and store it", FIELD(embed),
      .letter = 'e' },
    { "train", CLI_FLAG, NULL, "train a model on IN, write it to --model", FIELD(train),
      .letter = 't' },
    { "model", CLI_NAME, "FILE", "the model, which both sides have", FIELD(model), .letter = 'm',
      .file = CLI_WRITES }, /* the model file that --train writes */
    { "hidden", CLI_INT, "N", "hidden units, 1 to 255|128", FIELD(hidden), .low = 1, .high = 255,
      .letter = 'H' },
    { "passes", CLI_INT, "N", "passes of training over IN, 1 to 255|12", FIELD(passes), .low = 1,
      .high = 255, .letter = 'p' },
    { 0 }
};

static options parse(int argc, char **argv)
{
    static const cli_program program = { .options = table,
                                         .arguments = "IN [OUT]",
                                         .doc = "Compresses a text." };
    options o = { .hidden = 128, .passes = 12 };

    cli_parse(&program, argc, argv, &o);
    if (!o.out && !o.train)
        cli_refuse("the output file is missing");
    if (o.out && o.train)
        cli_refuse("--train: unexpected argument \"%s\"", o.out);
    if (o.train && !o.model)
        cli_refuse("--train: --model is missing");
    if (o.train + o.embed + o.decompress > 1 || (o.embed && o.model))
        cli_refuse("these options do not go together");
    return o;
}

static void end_on_error(ct_status status, const char *message, void *context)
{
    (void)status, (void)context;
    cli_fail("%s", cli_reason(message));
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);

    ct_error_set_handler(end_on_error, NULL);
    ct_set_portable(true);
    if (ct_file_try(o.train ? o.model : o.out) != CT_OK) /* test the file before hours of work */
        return 1;
    if (o.train)
        train_model(&o);
    else if (o.decompress)
        decompress(&o);
    else
        compress(&o);
    return 0;
}

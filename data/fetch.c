/* SPDX-License-Identifier: MIT */
/* fetch.c - the user's cache, and the download into it. */
#include "tensor/internal.h"

#include "data/fetch.h"
#include "tensor/atomic_file.h"
#include "tensor/hooks.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef CT_HAVE_LIBCURL
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#endif

void cti_because(cti_reasons *why, const char *format, ...)
{
    size_t n = strlen(why->s);
    va_list args;

    if (n)
        n += (size_t)snprintf(why->s + n, sizeof why->s - n, "; ");
    if (n >= sizeof why->s)
        return;
    va_start(args, format);
    vsnprintf(why->s + n, sizeof why->s - n, format, args);
    va_end(args);
}

/* ---- the cache ---- */

char *cti_cache_path(const char *file, cti_reasons *why)
{
    const char *base = getenv("XDG_CACHE_HOME"), *below = "";
    char *path;
    size_t n;

    /* the XDG specification says that a relative path must be ignored */
    if (!base || base[0] != '/') {
        base = getenv("HOME");
        below = "/.cache";
    }
    if (!base || base[0] != '/') {
        cti_because(why, "no cache: neither XDG_CACHE_HOME nor HOME is an absolute path");
        return NULL;
    }
    n = strlen(base) + strlen(below) + strlen("/cotangent/") + strlen(file) + 1;
    path = cti_calloc(n, 1);
    if (path)
        snprintf(path, n, "%s%s/cotangent/%s", base, below, file);
    else
        cti_because(why, "no cache: out of memory");
    return path;
}

/* Makes the folders above an absolute path. Ignores errors, because opening the file will then
 * fail. */
static void fetch_make_parents(char *path)
{
    char *slash = path;

    while ((slash = strchr(slash + 1, '/'))) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

bool cti_cache_write(char *path, const void *bytes, size_t size, cti_reasons *why)
{
    cti_atomic_file f;
    bool done;

    fetch_make_parents(path);
    done = cti_atomic_begin(&f, NULL, path);
    if (done && cti_atomic_write(&f, bytes, size)) {
        done = cti_atomic_commit(&f);
    } else if (done) {
        cti_atomic_abort(&f);
        done = false;
    }
    if (!done)
        cti_because(why, "not cached: %s", strerror(f.error));
    return done;
}

/* ---- the download ---- */

#ifdef CT_HAVE_LIBCURL

typedef struct fetch_buffer {
    char *bytes;
    size_t size, limit;
    bool full;
} fetch_buffer;

/* Checks the limit while bytes arrive, because a server need not announce the size. */
static size_t fetch_receive(char *bytes, size_t size, size_t count, void *context)
{
    fetch_buffer *b = context;
    size_t n = size * count;

    if (n > b->limit - b->size) {
        b->full = true;
        return 0; /* makes libcurl stop, as after a failed write */
    }
    memcpy(b->bytes + b->size, bytes, n);
    b->size += n;
    return n;
}

/* libcurl. The first download opens it with dlopen; linking to it would make every program load
 * about thirty libraries at its start. It is never closed. */
static struct curl {
    CURLcode (*global_init)(long);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    void (*easy_cleanup)(CURL *);
    const char *(*easy_strerror)(CURLcode);
    char missing[256]; /* the reason why it could not be opened; empty if it could */
} lib;

static void fetch_find(void *library, const char *name, void *function)
{
    void *found = library ? dlsym(library, name) : NULL;

    if (!found && !lib.missing[0]) {
        const char *why = dlerror();

        snprintf(lib.missing, sizeof lib.missing, "%s", why ? why : name);
    }
    memcpy(function, &found, sizeof found);
}

static void fetch_open_curl(void)
{
#ifdef __APPLE__
    static const char name[] = "libcurl.4.dylib";
#else
    static const char name[] = "libcurl.so.4"; /* the interface of version 7.16 and later */
#endif
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

    fetch_find(library, "curl_global_init", &lib.global_init);
    fetch_find(library, "curl_easy_init", &lib.easy_init);
    fetch_find(library, "curl_easy_setopt", &lib.easy_setopt);
    fetch_find(library, "curl_easy_perform", &lib.easy_perform);
    fetch_find(library, "curl_easy_cleanup", &lib.easy_cleanup);
    fetch_find(library, "curl_easy_strerror", &lib.easy_strerror);
    if (!lib.missing[0])
        lib.global_init(CURL_GLOBAL_DEFAULT);
}

static void fetch_set_protocols(CURL *curl, bool plain)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    lib.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, plain ? "http,https" : "https");
    lib.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, plain ? "http,https" : "https");
#else
    long allowed = plain ? CURLPROTO_HTTP | CURLPROTO_HTTPS : CURLPROTO_HTTPS;

    lib.easy_setopt(curl, CURLOPT_PROTOCOLS, allowed);
    lib.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, allowed);
#endif
}

static void fetch_set_options(CURL *curl, const char *url, bool plain, fetch_buffer *b, char *error)
{
    lib.easy_setopt(curl, CURLOPT_URL, url);
    fetch_set_protocols(curl, plain);
    lib.easy_setopt(curl, CURLOPT_USERAGENT, "cotangent");
    /* no signals, because the program may have threads */
    lib.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    /* the transfer fails below this many bytes/s for this many seconds */
    lib.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    lib.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 10L);
    lib.easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
    lib.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    lib.easy_setopt(curl, CURLOPT_MAXREDIRS, 3L);
    lib.easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    lib.easy_setopt(curl, CURLOPT_WRITEFUNCTION, fetch_receive);
    lib.easy_setopt(curl, CURLOPT_WRITEDATA, b);
    lib.easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
}

/* Downloads into b. False with a reason. */
static bool fetch_perform(const char *url, bool plain, fetch_buffer *b, cti_reasons *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char error[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_FAILED_INIT;
    CURL *curl;

    pthread_once(&once, fetch_open_curl);
    if (lib.missing[0]) {
        cti_because(why, "no download: %s", lib.missing);
        return false;
    }
    curl = lib.easy_init();
    if (curl) {
        fetch_set_options(curl, url, plain, b, error);
        code = lib.easy_perform(curl);
        lib.easy_cleanup(curl);
    }
    if (b->full)
        cti_because(why, "no download: more than %zu bytes", b->limit);
    else if (code != CURLE_OK)
        cti_because(why, "no download: %s", error[0] ? error : lib.easy_strerror(code));
    return code == CURLE_OK;
}

char *cti_download(const char *url, bool plain, size_t limit, size_t *size, cti_reasons *why)
{
    fetch_buffer b = { cti_calloc(limit + 1, 1), 0, limit, false };

    if (!b.bytes) {
        cti_because(why, "no download: out of memory");
    } else if (!fetch_perform(url, plain, &b, why)) {
        cti_release(b.bytes);
        b.bytes = NULL;
    }
    *size = b.size;
    return b.bytes;
}

#else

char *cti_download(const char *url, bool plain, size_t limit, size_t *size, cti_reasons *why)
{
    (void)url;
    (void)plain;
    (void)limit;
    *size = 0;
    cti_because(why, "no download: built without libcurl");
    return NULL;
}

#endif

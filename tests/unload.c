/* SPDX-License-Identifier: MIT */
/* unload.c - closes a plug-in while a thread that used it lives: unload PLUGIN [FIRST].
 *
 * FIRST is a module that is opened before and stays open.
 * The thread ends after dlclose. Then its key destructors run, so their code must still be there, or
 * the key must be deleted. */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

typedef double use_function(void);

static use_function *use;
static sem_t used, closed;

static void *work(void *result)
{
    *(double *)result = use();
    sem_post(&used);
    sem_wait(&closed);
    return NULL;
}

static int round_trip(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW), *symbol;
    double result = 0;
    pthread_t thread;

    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    symbol = dlsym(plugin, "plugin_use");
    if (!symbol)
        return 2;
    memcpy(&use, &symbol, sizeof use);
    if (pthread_create(&thread, NULL, work, &result) != 0)
        return 3;
    sem_wait(&used);
    if (dlclose(plugin) != 0)
        return 4;
    sem_post(&closed);
    if (pthread_join(thread, NULL) != 0)
        return 5;
    return result == 48 ? 0 : 6;
}

int main(int argc, char **argv)
{
    int i, status = argc == 2 || argc == 3 ? 0 : 7;

    sem_init(&used, 0, 0);
    sem_init(&closed, 0, 0);
    if (argc == 3 && !dlopen(argv[2], RTLD_NOW)) {
        fprintf(stderr, "%s\n", dlerror());
        status = 8;
    }
    for (i = 0; i < 3 && status == 0; i++)
        status = round_trip(argv[1]);
    if (status == 0)
        puts("survived");
    return status;
}

/* SPDX-License-Identifier: MIT */
/* report.cc - reports, counters, the generator of schedules, names of places in code. */
#include "cuda/emu/internal.h"

#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>

namespace emu
{

std::recursive_mutex lock;
emu_counters counters;

namespace
{

/* Never destroyed, because the last calls of a process may come after static destructors. */
std::vector<std::string> &reports = *new std::vector<std::string>;
cudaError_t error_standing = cudaSuccess;
bool quiet;
uint64_t generator, seed;
uint64_t fail_at;
bool settings_read;

void write_stats();

void read_settings()
{
    if (settings_read)
        return;
    settings_read = true;
    generator = seed = setting("COTANGENT_EMU_SEED", 1);
    fail_at = setting("COTANGENT_EMU_FAIL", 0);
    if (getenv("COTANGENT_EMU_STATS"))
        atexit(write_stats);
    if (setting("COTANGENT_EMU_SECTORS", 0))
        emu_count_sectors(true);
}

/* splitmix64 */
uint64_t next_random()
{
    read_settings();
    uint64_t z = generator += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct line_of_sectors {
    FILE *file;
};

void write_sector(void *context, const char *file, int line, bool write, uint64_t requests,
                  uint64_t sectors, uint64_t lanes, uint64_t bytes)
{
    fprintf(static_cast<line_of_sectors *>(context)->file,
            "sectors %s:%d %s requests %llu sectors %llu lanes %llu bytes %llu\n", file, line,
            write ? "write" : "read", static_cast<unsigned long long>(requests),
            static_cast<unsigned long long>(sectors), static_cast<unsigned long long>(lanes),
            static_cast<unsigned long long>(bytes));
}

void write_stats()
{
    FILE *f = fopen(getenv("COTANGENT_EMU_STATS"), "a");
    const struct {
        const char *name;
        uint64_t value;
    } all[] = { { "launches", counters.launches },
                { "gemms", counters.gemms },
                { "graphs", counters.graphs },
                { "synchronises", counters.synchronises },
                { "copies", counters.copies },
                { "host_to_device", counters.host_to_device },
                { "device_to_host", counters.device_to_host },
                { "device_to_device", counters.device_to_device },
                { "allocations", counters.allocations },
                { "allocated_bytes", counters.allocated_bytes },
                { "calls", counters.calls },
                { "buffers", counters.buffers },
                { "alive", counters.alive },
                { "reports", reports.size() } };

    if (!f)
        return;
    for (const auto &one : all)
        fprintf(f, "%s %llu\n", one.name, static_cast<unsigned long long>(one.value));
    line_of_sectors context = { f };
    emu_each_sector(write_sector, &context);
    fclose(f);
}

} // namespace

uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text)
        return otherwise;
    uint64_t value = strtoull(text, &end, 0);
    if (*end) {
        fprintf(stderr, "cuda-emu: %s is not a number: \"%s\"\n", name, text);
        return otherwise;
    }
    return value;
}

void report(cudaError_t error, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (error_standing == cudaSuccess)
        error_standing = error;
    if (reports.size() < 1000)
        reports.push_back(text);
    if (!quiet)
        fprintf(stderr, "cuda-emu: %s\n", text);
}

cudaError_t standing()
{
    return error_standing;
}

bool fails()
{
    read_settings();
    counters.calls++;
    return fail_at && --fail_at == 0;
}

bool destruction_fails()
{
    bool fail = fails();

    counters.alive -= fail;
    return fail;
}

uint64_t schedule_seed()
{
    read_settings();
    return seed;
}

uint64_t random_below(uint64_t n)
{
    return n > 1 ? next_random() % n : 0;
}

permutation::permutation(uint64_t count) : n(count), a(1), b(random_below(count))
{
    if (n < 3)
        return;
    for (;;) {
        a = 1 + random_below(n - 1);
        uint64_t x = a, y = n;
        while (y) {
            uint64_t rest = x % y;
            x = y;
            y = rest;
        }
        if (x == 1)
            return;
    }
}

/* ---- names of places ----------------------------------------------------------------------- */

namespace
{

/* The name of a file, from its last "cuda/" or "tests/" on. */
std::string shortened(std::string file)
{
    for (const char *folder : { "/cuda/", "/tests/" }) {
        size_t at = file.rfind(folder);
        if (at != std::string::npos)
            return file.substr(at + 1);
    }
    return file;
}

/* Reads one answer of addr2line -i: pairs of lines, the function and file:line, with the innermost
 * inlined function first. Functions of emu.h are skipped. */
void read_place(const std::vector<std::string> &lines, place &found)
{
    for (size_t i = 0; i + 1 < lines.size(); i += 2) {
        std::string file = lines[i + 1];
        size_t colon = file.rfind(':');
        if (colon == std::string::npos || file.find("cuda/emu/emu.h") != std::string::npos ||
            file.find("??") == 0)
            continue;
        found = { lines[i], shortened(file.substr(0, colon)), atoi(file.c_str() + colon + 1) };
        return;
    }
}

} // namespace

/* Asks addr2line of binutils, which reads the debugging data of -g. */
std::vector<place> places_of(const std::vector<const void *> &codes)
{
    std::vector<place> found(codes.size(), place{ "", "", 0 });
    Dl_info module;
    char text[1024];

    for (size_t begin = 0; begin < codes.size(); begin += 500) {
        if (!dladdr(codes[begin], &module) || !module.dli_fname)
            return found;
        const char *base = static_cast<const char *>(module.dli_fbase);
        if (reinterpret_cast<const ElfW(Ehdr) *>(base)->e_type == ET_EXEC)
            base = NULL; /* addr2line then needs absolute addresses */
        std::string command = "addr2line -afCie '" + std::string(module.dli_fname) + "'";
        for (size_t i = begin; i < codes.size() && i < begin + 500; i++) {
            snprintf(text, sizeof text, " 0x%llx",
                     static_cast<unsigned long long>(static_cast<const char *>(codes[i]) - base));
            command += text;
        }
        FILE *pipe = popen((command + " 2>/dev/null").c_str(), "r");
        if (!pipe)
            return found;
        std::vector<std::string> lines;
        size_t answer = begin;
        bool first = true;
        while (fgets(text, sizeof text, pipe)) {
            text[strcspn(text, "\n")] = 0;
            if (text[0] == '0' && text[1] == 'x') { /* each answer begins with the address */
                if (!first)
                    read_place(lines, found[answer++]);
                first = false;
                lines.clear();
            } else {
                lines.push_back(text);
            }
        }
        if (!first && answer < found.size())
            read_place(lines, found[answer]);
        pclose(pipe);
    }
    return found;
}

place place_of(const void *code)
{
    return places_of({ code })[0];
}

std::string text_of(const void *code)
{
    place p = place_of(code);
    char text[32];

    if (p.file.empty()) {
        snprintf(text, sizeof text, "%p", code);
        return text;
    }
    return p.file + ":" + std::to_string(p.line);
}

} // namespace emu

/* ---- for tests ----------------------------------------------------------------------------- */

using namespace emu;

typedef std::lock_guard<std::recursive_mutex> guard;

emu_counters emu_count(void)
{
    guard g(lock);

    return counters;
}

int emu_reports(void)
{
    guard g(lock);

    return static_cast<int>(reports.size());
}

const char *emu_report_text(int i)
{
    guard g(lock);

    return i >= 0 && i < static_cast<int>(reports.size()) ? reports[i].c_str() : NULL;
}

void emu_set_quiet(bool on)
{
    guard g(lock);

    quiet = on;
}

void emu_set_seed(uint64_t new_seed)
{
    guard g(lock);

    read_settings();
    generator = seed = new_seed;
}

void emu_fail(uint64_t k)
{
    guard g(lock);

    read_settings();
    fail_at = k;
}

bool emu_checking(void)
{
    return checking;
}

void emu_reset(void)
{
    guard g(lock);

    drop_work();
    reports.clear();
    error_standing = cudaSuccess;
}

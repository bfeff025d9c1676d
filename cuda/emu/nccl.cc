/* SPDX-License-Identifier: MIT */
/* nccl.cc - a stand-in for NCCL between emulated GPUs of several processes on one machine.
 *
 * A group of messages is two works in its stream. The first copies what is sent out of device
 * memory. The second is done when all messages of the group have arrived; it copies them into
 * device memory. Until then the stream is not done, as on a GPU, and the process can ask whether it
 * is. The bytes pass through sockets, one for each pair of processes, whose names contain the
 * unique id. A message has its size before it, so that a receive of another size is found. */
#include "cuda/emu/internal.h"
#include "cuda/emu/nccl/nccl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace emu;

typedef std::lock_guard<std::recursive_mutex> guard;

namespace
{

const int CONNECT_TRIES = 30000; /* of a millisecond */

/* The socket to another rank, bytes that it has not taken yet, and bytes that have arrived. */
struct channel {
    int fd = -1;
    std::vector<char> out, in;
};

struct group_state {
    int rank, ranks;
    std::vector<channel> peers;
    ncclResult_t error = ncclSuccess;
    bool aborted = false;

    ~group_state()
    {
        for (channel &c : peers)
            if (c.fd >= 0)
                close(c.fd);
    }
};
typedef std::shared_ptr<group_state> state_ref;

struct message {
    char *data;
    size_t bytes;
    int peer;
    bool receives;
};

} // namespace

struct ncclComm {
    state_ref state;
};

namespace
{

/* The open group of this thread. */
thread_local int depth;
thread_local std::vector<message> messages;
thread_local state_ref group_of;
thread_local cudaStream_t group_stream;

/* ---- sockets ------------------------------------------------------------------------------- */

/* The address of a rank: a name that is in no folder, so that nothing remains. */
socklen_t address_of(struct sockaddr_un *a, const ncclUniqueId &id, int rank)
{
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    int n = snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "cotangent-emu-%.32s-%d", id.internal,
                     rank);
    return static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + 1 +
                                  static_cast<size_t>(n));
}

bool whole(int fd, int *number, bool sends)
{
    ssize_t n = sends ? send(fd, number, sizeof *number, MSG_NOSIGNAL)
                      : recv(fd, number, sizeof *number, MSG_WAITALL);

    return n == static_cast<ssize_t>(sizeof *number);
}

/* Connects to a rank, which may not listen yet; -1 on failure. */
int connect_to(const ncclUniqueId &id, int peer, int own)
{
    struct sockaddr_un a;
    socklen_t n = address_of(&a, id, peer);

    for (int i = 0; i < CONNECT_TRIES; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
            return -1;
        if (connect(fd, reinterpret_cast<struct sockaddr *>(&a), n) == 0 && whole(fd, &own, true))
            return fd;
        close(fd);
        usleep(1000);
    }
    return -1;
}

bool accept_all(group_state *s, int listener)
{
    for (int left = s->ranks - 1 - s->rank; left > 0; left--) {
        struct pollfd p = { listener, POLLIN, 0 };
        int peer = -1, fd;

        if (poll(&p, 1, CONNECT_TRIES) != 1 ||
            (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
            return false;
        if (!whole(fd, &peer, false) || peer <= s->rank || peer >= s->ranks ||
            s->peers[static_cast<size_t>(peer)].fd >= 0) {
            close(fd);
            return false;
        }
        s->peers[static_cast<size_t>(peer)].fd = fd;
    }
    return true;
}

/* Connects all ranks with each other. */
bool meet(group_state *s, const ncclUniqueId &id)
{
    struct sockaddr_un a;
    socklen_t n = address_of(&a, id, s->rank);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = listener >= 0 && bind(listener, reinterpret_cast<struct sockaddr *>(&a), n) == 0 &&
                listen(listener, s->ranks) == 0;

    s->peers.resize(static_cast<size_t>(s->ranks));
    for (int r = 0; r < s->rank && good; r++)
        good = (s->peers[static_cast<size_t>(r)].fd = connect_to(id, r, s->rank)) >= 0;
    good = good && accept_all(s, listener);
    if (listener >= 0)
        close(listener);
    for (channel &c : s->peers)
        if (c.fd >= 0 && fcntl(c.fd, F_SETFL, O_NONBLOCK) != 0)
            good = false;
    return good;
}

/* Moves the bytes that can move without waiting. */
void progress(group_state *s)
{
    char bytes[65536];

    for (channel &c : s->peers) {
        ssize_t n;

        if (c.fd < 0)
            continue;
        while (!c.out.empty() && (n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL)) > 0)
            c.out.erase(c.out.begin(), c.out.begin() + n);
        while ((n = recv(c.fd, bytes, sizeof bytes, 0)) > 0)
            c.in.insert(c.in.end(), bytes, bytes + n);
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            close(c.fd);
            c.fd = -1;
        }
    }
}

/* ---- messages ------------------------------------------------------------------------------ */

void post(group_state *s, const std::vector<message> &all)
{
    for (const message &m : all) {
        if (m.receives || s->aborted || !check_range("ncclSend", m.data, m.bytes, false))
            continue;
        std::vector<char> &out = s->peers[static_cast<size_t>(m.peer)].out;
        const char *size = reinterpret_cast<const char *>(&m.bytes);

        check_bulk("ncclSend", m.data, m.bytes, BULK_READ);
        out.insert(out.end(), size, size + sizeof m.bytes);
        out.insert(out.end(), m.data, m.data + m.bytes);
    }
    progress(s);
}

/* True if the group's messages have been sent and have arrived, or never will. */
bool arrived(group_state *s, const std::vector<message> &all)
{
    std::vector<size_t> at(s->peers.size());

    if (s->aborted || s->error != ncclSuccess)
        return true;
    progress(s);
    for (const message &m : all) {
        channel &c = s->peers[static_cast<size_t>(m.peer)];
        size_t &from = at[static_cast<size_t>(m.peer)], size = 0;
        bool here = m.receives ? c.in.size() >= from + sizeof size : c.out.empty();

        if (here && m.receives) {
            memcpy(&size, c.in.data() + from, sizeof size);
            from += sizeof size + size;
            here = c.in.size() >= from;
        }
        if (here)
            continue;
        if (c.fd < 0)
            s->error = ncclRemoteError;
        return c.fd < 0;
    }
    return true;
}

void take(group_state *s, const std::vector<message> &all)
{
    if (s->aborted || s->error != ncclSuccess)
        return;
    for (const message &m : all) {
        std::vector<char> &in = s->peers[static_cast<size_t>(m.peer)].in;
        size_t size;

        if (!m.receives)
            continue;
        memcpy(&size, in.data(), sizeof size);
        if (size != m.bytes)
            report(cudaErrorUnknown, "nccl: rank %d sent %zu bytes, and ncclRecv takes %zu", m.peer,
                   size, m.bytes);
        else if (check_range("ncclRecv", m.data, m.bytes, true)) {
            check_bulk("ncclRecv", m.data, m.bytes, BULK_WRITE);
            memcpy(m.data, in.data() + sizeof size, size);
        }
        in.erase(in.begin(), in.begin() + static_cast<ptrdiff_t>(sizeof size + size));
    }
}

ncclResult_t queue_group()
{
    std::vector<message> all = std::move(messages);
    state_ref s = std::move(group_of);

    messages.clear();
    group_of = nullptr;
    if (all.empty())
        return ncclSuccess;
    stream *queue = stream_of(group_stream);
    if (!queue)
        return ncclInvalidArgument;
    if (recorded_by(queue))
        return ncclInvalidUsage;
    enqueue(queue, [s, all] { post(s.get(), all); });
    enqueue_gated(
        queue, [s, all] { return arrived(s.get(), all); }, [s, all] { take(s.get(), all); });
    return ncclSuccess;
}

ncclResult_t add_message(ncclComm_t comm, cudaStream_t stream, const message &m)
{
    guard g(lock);

    if (fails())
        return ncclUnhandledCudaError;
    if (!comm || m.peer < 0 || m.peer >= comm->state->ranks || m.peer == comm->state->rank)
        return ncclInvalidArgument;
    if (group_of && (group_of != comm->state || group_stream != stream))
        return ncclInvalidUsage; /* a stand-in needs no groups of several communicators */
    group_of = comm->state;
    group_stream = stream;
    if (m.bytes)
        messages.push_back(m);
    return depth ? ncclSuccess : queue_group();
}

size_t bytes_of(size_t count, ncclDataType_t type)
{
    return count * (type == ncclDouble ? 8 : type == ncclChar ? 1 : 4);
}

} // namespace

/* ---- the functions ------------------------------------------------------------------------- */

ncclResult_t ncclGetVersion(int *version)
{
    *version = 22005;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    switch (result) {
    case ncclSuccess:
        return "no error";
    case ncclUnhandledCudaError:
        return "unhandled cuda error";
    case ncclSystemError:
        return "unhandled system error";
    case ncclInternalError:
        return "internal error";
    case ncclInvalidArgument:
        return "invalid argument";
    case ncclInvalidUsage:
        return "invalid usage";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    case ncclInProgress:
        return "in progress";
    }
    return "unknown result code";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    unsigned char bytes[16];

    memset(id, 0, sizeof *id);
    if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
        return ncclSystemError;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id->internal + 2 * i, 3, "%02x", bytes[i]);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank)
{
    state_ref s = std::make_shared<group_state>();

    *comm = NULL;
    if (rank < 0 || rank >= ranks)
        return ncclInvalidArgument;
    {
        guard g(lock);

        if (fails())
            return ncclUnhandledCudaError;
    }
    s->rank = rank;
    s->ranks = ranks;
    if (!meet(s.get(), id))
        return ncclSystemError;
    *comm = new ncclComm{ s };
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    guard g(lock);

    comm->state->aborted = true;
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result)
{
    guard g(lock);

    *result = comm->state->error;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    guard g(lock);

    if (depth < 1)
        return ncclInvalidUsage;
    return --depth ? ncclSuccess : queue_group();
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return add_message(
        comm, stream,
        { static_cast<char *>(const_cast<void *>(data)), bytes_of(count, type), peer, false });
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add_message(comm, stream,
                       { static_cast<char *>(data), bytes_of(count, type), peer, true });
}

ncclResult_t ncclAllGather(const void *own, void *all, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    size_t bytes = bytes_of(count, type);
    char *to = static_cast<char *>(all) + static_cast<size_t>(comm->state->rank) * bytes;
    ncclResult_t result = ncclGroupStart();

    if (own != to &&
        cudaMemcpyAsync(to, own, bytes, cudaMemcpyDeviceToDevice, stream) != cudaSuccess)
        result = ncclUnhandledCudaError;
    for (int r = 0; r < comm->state->ranks && result == ncclSuccess; r++) {
        if (r == comm->state->rank)
            continue;
        result = ncclSend(own, count, type, r, comm, stream);
        if (result == ncclSuccess)
            result = ncclRecv(static_cast<char *>(all) + static_cast<size_t>(r) * bytes, count,
                              type, r, comm, stream);
    }
    ncclResult_t ended = ncclGroupEnd();
    return result == ncclSuccess ? ended : result;
}

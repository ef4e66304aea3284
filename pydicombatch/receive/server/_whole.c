/* C-STORE messages that lie in memory as a whole: recognised, kept and answered.
 *
 * `parse` is pure and takes only what is entirely ordinary; of everything else it says "not mine",
 * and the state machine and the header reader in Python judge it. `serve` takes, of what `parse`
 * would take, messages that differ from one which went that way in their ids alone, and does all
 * for them without the interpreter's lock. Stable ABI of Python 3.11.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "_message.h"
#include "_seal.h"

enum { LONGEST_RESPONSE = 512 }; /* bytes; one with two UIDs has 220 */

/* For Py_BuildValue: text or None, and text. */
#define TEXT(one) (const char *)(one).data, (Py_ssize_t)(one).size
#define VALUE(one) (const char *)((one).data ? (one).data : (const unsigned char *)""), \
                   (Py_ssize_t)(one).size

/* Where the pieces of a data set begin, and how long they are. */
static PyObject *places(const Message *one, const unsigned char *begin) {
    PyObject *all = PyTuple_New(one->count);
    for (int i = 0; all && i < one->count; i++) {
        PyObject *place = Py_BuildValue("nn", one->pieces[i].data - begin,
                                        (Py_ssize_t)one->pieces[i].size);
        if (!place || PyTuple_SetItem(all, i, place)) /* takes `place`, whatever becomes of it */
            Py_CLEAR(all);
    }
    return all;
}

static PyObject *parse(PyObject *module, PyObject *arguments) {
    Py_buffer view;
    const char *kinds;
    Py_ssize_t count;
    unsigned long max_pdu, longest;
    PyObject *result;
    Message found;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y#kk", &view, &kinds, &count, &max_pdu, &longest))
        return NULL;
    Span all = {view.buf, (size_t)view.len};
    int said = read_message(all, kinds, (size_t)count, max_pdu, longest, &found);
    if (said == LEFT) {
        Py_INCREF(Py_None);
        result = Py_None;
    } else if (said == WANTS_MORE)
        result = PyLong_FromSize_t(found.total);
    else
        result = Py_BuildValue(
            "nNiIz#i(s#s#s#s#s#s#)", (Py_ssize_t)found.total, places(&found, all.data),
            found.context, found.command.message_id, TEXT(found.command.originator),
            found.command.originator_id, VALUE(found.values[CLASS]), VALUE(found.values[INSTANCE]),
            VALUE(found.values[STUDY]), VALUE(found.values[SERIES_UID]),
            VALUE(found.values[PATIENT]), VALUE(found.values[ACCESSION]));
    PyBuffer_Release(&view);
    return result;
}

/* How many bytes were sent; -1 when nobody can be told any more. */
static Py_ssize_t answer(int peer, Span response) {
    for (;;) {
        ssize_t sent = send(peer, response.data, response.size, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno != EINTR)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    }
}

struct Work;

/* What an association sends again and again: all but the ids of message and instance. */
typedef struct {
    struct Work *work; /* of its last instance, while it is being sealed */
    int leaves;        /* once that is answered */
    int muted;         /* others answer */
    int parked;        /* it said something meanwhile */
    Message like;
    char kinds[256];
    unsigned long max_pdu, longest;
    Span ids; /* the requests, as a name of a file tells them */
    unsigned char *held; /* a message that is not all there, for a moment; then for the next one */
    size_t held_size, held_room, usual; /* bytes: of it, that there is room for, of the last one */
    long long since; /* milliseconds; 0: nothing is held */
    int asked_context, asked_id; /* of a C-GET of ours that these are the instances of; -1: none */
    long long kept_at;           /* milliseconds */
    size_t count_size;           /* bytes; of a count that is held; 0: none is */
    unsigned char *meta, *response;
    size_t meta_size, response_size;
    size_t meta_uid, response_id, response_uid; /* where the ids stand in them */
    unsigned char bytes[];                      /* all of the above */
} Session;

typedef struct {
    Session **sessions; /* by descriptor */
    int size, directory, spare, sync, epoll;
    int sealing;    /* instances */
    int tickets;    /* given to those whose association has gone; negative */
    Sealer sealer;
    size_t held; /* bytes, of all sessions */
    size_t usual, allocated; /* bytes of the last file, and that the next one has already */
    long long next_look;
    unsigned long long parts, count;
    char run[65], part[LONGEST_PART];
} Server;

/* What was kept, or was not, for the interpreter. */
typedef struct {
    int peer, error; /* descriptor or ticket; 0 or an error number: then nobody has answered yet */
    unsigned message_id;
    char name[LONGEST_NAME], uid[LONGEST_UID + 1];
    size_t file_size, unsent;
    unsigned char rest[LONGEST_RESPONSE]; /* of the answer, what the peer has not taken */
} Kept;

/* An instance that is being sealed by the thread, which knows nothing but the job. */
typedef struct Work {
    Job job;         /* first: it is handed over and comes back by it */
    Session *session; /* NULL: it has gone */
    Kept kept;
} Work;

enum {
    MOST_TOGETHER = 64,
    MOST_EVENTS = 64,
    MOST_HELD = 8 << 20,  /* bytes, of all sessions */
    LEAST_ROOM = 1 << 16, /* bytes, of one */
    LONGEST_HELD = 200,   /* milliseconds */
    WORTH_IT = 1 << 16    /* bytes of a file that are worth a call to allocate them */
};
enum { LONGEST_LULL = 500 }; /* milliseconds of counts alone, until they are told as a sign of life */

static Session *session_of(const Server *one, int peer) {
    return peer >= 0 && peer < one->size ? one->sessions[peer] : NULL;
}

static void dismiss_one(Server *one, int peer) {
    Session *session = session_of(one, peer);
    if (session) {
        if (session->work) {
            session->work->session = NULL;
            session->work->kept.peer = --one->tickets;
        }
        one->held -= session->held_room;
        free(session->held);
        free(session);
        one->sessions[peer] = NULL;
    }
}

static long long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Put what is held at the beginning of the buffer; returns how much that is. */
static size_t let_go(Session *session, const Py_buffer *buffer) {
    size_t size = session->held_size;
    if (size)
        memcpy(buffer->buf, session->held, size);
    session->held_size = 0;
    return size;
}

/* Make room for a message of so many bytes; 0: there is none. */
static int widen(Server *one, Session *session, size_t room) {
    unsigned char *more;
    if (room <= session->held_room)
        return 1;
    if (one->held + room - session->held_room > MOST_HELD || !(more = realloc(session->held, room)))
        return 0;
    one->held += room - session->held_room;
    session->held = more;
    session->held_room = room;
    return 1;
}

/* Hold the beginning of a message that has `total` bytes at least; 0: there is no room. Those that
 * begin before all is told are likely to have as many as the last one. */
static int hold(Server *one, int peer, Span all, size_t total) {
    Session *session = session_of(one, peer);
    int yes = 1, is_here = all.data == session->held;
    size_t room = total > session->usual ? total : session->usual;
    if (!widen(one, session, room > LEAST_ROOM ? room : LEAST_ROOM))
        return 0;
    if (!is_here)
        memcpy(session->held, all.data, all.size);
    session->held_size = all.size;
    if (!session->since)
        session->since = milliseconds();
    /* Nagle's algorithm holds back the rest until we acknowledge */
    (void)setsockopt(peer, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    return 1;
}

/* Find a peer that has not sent the rest for too long; -1: there is none. */
static int find_stale(Server *one, long long now) {
    if (!one->held || now < one->next_look)
        return -1;
    for (int peer = 0; peer < one->size; peer++)
        if (one->sessions[peer] && one->sessions[peer]->held_size &&
            now - one->sessions[peer]->since > LONGEST_HELD)
            return peer;
    one->next_look = now + LONGEST_HELD / 4;
    return -1;
}

/* Create the next file in advance, with room for as much as the last one had, while nobody waits;
 * an error waits until it is needed. */
static int prepare(Server *one) {
    if (one->spare < 0) {
        snprintf(one->part, sizeof one->part, "%s-%llu.part", one->run, ++one->parts);
        one->spare = openat(one->directory, one->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        one->allocated = 0;
        if (one->spare >= 0 && one->usual >= WORTH_IT &&
            !fallocate(one->spare, 0, 0, (off_t)one->usual))
            one->allocated = one->usual;
    }
    return one->spare;
}

static int is_like(const Message *one, const Message *like) {
    const Command *a = &one->command, *b = &like->command;
    if (one->context != like->context || a->originator_id != b->originator_id ||
        !a->originator.data != !b->originator.data || !equal(a->originator, b->originator) ||
        !equal(a->sop_class, b->sop_class) || a->sop_instance.size != b->sop_instance.size)
        return 0;
    for (int i = STUDY; i < CHARACTER_SET; i++)
        if (!equal(one->values[i], like->values[i]))
            return 0;
    return 1;
}

/* How many bytes of counts stand before an instance; they tell nothing. `*begun` is how many there
 * will be with one that has begun, 0 if none has. */
static size_t counts_before(const Session *like, Span all, size_t *begun) {
    size_t position = 0;

    *begun = 0;
    while (like->asked_context >= 0 && all.size - position >= START) {
        Span set;
        int context = like->asked_context, control = 0;
        size_t end = read_unit(all, position, COMMAND, LONGEST_COMMAND, &context, &control, &set);
        if (!end || !(control & LAST))
            break;
        if (!set.data)
            *begun = end;
        if (!set.data || !is_count(set, like->asked_id))
            break;
        position = end;
    }
    return position;
}

/* Answer that an instance is kept. */
static void respond(Server *one, int peer, Kept *kept) {
    Session *session = session_of(one, peer);
    Span response = {session->response, session->response_size};
    Py_ssize_t sent = session->muted ? 0 : answer(peer, response);

    kept->unsent = sent < 0 ? 0 : session->response_size - (size_t)sent;
    memcpy(kept->rest, session->response + session->response_size - kept->unsent, kept->unsent);
    if (sent < 0)
        shutdown(peer, SHUT_RDWR); /* it has gone; the interpreter will see that */
    if (kept->unsent)
        dismiss_one(one, peer);
}

/* Have what is written sealed by the thread; 0: there is no memory for that. */
static int hand_over(Server *one, Session *session, const Job *job, const Kept *kept) {
    Work *work = malloc(sizeof *work);
    if (!work)
        return 0;
    *work = (Work){*job, session, *kept};
    session->work = work;
    one->sealing++;
    submit(&one->sealer, &work->job);
    return 1;
}

/* Take what came from a peer: LEFT to the interpreter, held as it WANTS_MORE, kept WHOLE, or
 * SEALING: it is written, and answered when the thread is done. */
static int take(Server *one, int peer, Span all, size_t longest, Kept *kept) {
    Session *like = session_of(one, peer);
    Message found;

    int said =
        read_message(all, like->kinds, sizeof like->kinds, like->max_pdu, like->longest, &found);
    if (said == WANTS_MORE && found.total <= longest && hold(one, peer, all, found.total))
        return WANTS_MORE;
    if (said != WHOLE || found.total != all.size || !is_like(&found, &like->like) ||
        prepare(one) < 0)
        return LEFT;
    like->since = 0;
    like->kept_at = milliseconds();
    like->held_size = 0;
    like->usual = found.total;
    Span uid = found.command.sop_instance;
    memcpy(like->meta + like->meta_uid, uid.data, uid.size);
    memcpy(like->response + like->response_uid, uid.data, uid.size);
    like->response[like->response_id] = (unsigned char)found.command.message_id;
    like->response[like->response_id + 1] = (unsigned char)(found.command.message_id >> 8);
    Job job = {.file = one->spare};
    memcpy(job.part, one->part, sizeof job.part);
    int size = snprintf(job.name, sizeof job.name, "%s-%.*s-%08llu.dcm", one->run,
                        (int)like->ids.size, (const char *)like->ids.data, ++one->count);
    struct iovec pieces[1 + MOST_PIECES] = {{like->meta, like->meta_size}};
    for (int i = 0; i < found.count; i++)
        pieces[1 + i] = (struct iovec){(void *)found.pieces[i].data, found.pieces[i].size};
    size_t file_size = like->meta_size + found.size;
    int has_more = one->allocated > file_size;
    one->usual = file_size;
    one->spare = -1;
    if (size >= (int)sizeof job.name || write_all(job.file, pieces, 1 + found.count) ||
        (has_more && ftruncate(job.file, (off_t)file_size))) {
        close(job.file);
        unlinkat(one->directory, job.part, 0);
        return LEFT;
    }
    *kept = (Kept){.peer = peer, .message_id = found.command.message_id, .file_size = file_size};
    memcpy(kept->name, job.name, sizeof job.name);
    memcpy(kept->uid, uid.data, uid.size);
    if (one->sealer.together && hand_over(one, like, &job, kept)) {
        prepare(one);
        return SEALING;
    }
    seal(one->directory, &job, one->sync);
    if (job.error)
        return LEFT;
    respond(one, peer, kept); /* may free `like` */
    prepare(one);
    return WHOLE;
}

/* Take what came behind counts. Counts alone are LEFT now and then: they are a sign of life. */
static int take_behind_counts(Server *one, int peer, Span came, size_t longest, Kept *kept) {
    Session *session = session_of(one, peer);
    size_t begun, counts = counts_before(session, came, &begun);
    Span rest = {came.data + counts, came.size - counts}; /* none is held with counts before it */

    if (counts && milliseconds() - session->kept_at > LONGEST_LULL)
        return LEFT;
    if (counts == came.size) {
        session->held_size = session->count_size = 0;
        session->since = 0;
        return WANTS_MORE;
    }
    if (begun && hold(one, peer, rest, begun - counts)) {
        session->count_size = begun - counts;
        return WANTS_MORE;
    }
    return begun ? LEFT : take(one, peer, rest, longest, kept);
}

/* Hear nothing of a peer until what it sent is sealed: it should wait for the answer. */
static void park(const Server *one, int peer, Session *session) {
    struct epoll_event event = {.events = EPOLLONESHOT, .data.fd = peer};
    if (session->parked)
        return; /* it has hung up: that is told whatever is asked for, and once is enough */
    session->parked = 1;
    (void)epoll_ctl(one->epoll, EPOLL_CTL_MOD, peer, &event);
}

static void unpark(const Server *one, int peer, Session *session) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = peer};
    if (session->parked && !session->muted)
        (void)epoll_ctl(one->epoll, EPOLL_CTL_MOD, peer, &event);
    session->parked = 0;
}

/* Answer for what is sealed by now; returns how many were added to `all`. */
static int collect(Server *one, Kept *all) {
    int count = 0;
    Job *next = finished(&one->sealer);

    while (next) {
        Work *work = (Work *)next;
        Session *session = work->session;
        Kept *kept = all + count++;
        int error = work->job.error;
        *kept = work->kept;
        kept->error = error;
        next = work->job.next;
        free(work);
        one->sealing--;
        if (!session)
            continue;
        int peer = kept->peer, leaves = session->leaves || error;
        session->work = NULL;
        session->kept_at = milliseconds();
        unpark(one, peer, session);
        if (!error)
            respond(one, peer, kept); /* may free `session` */
        if (leaves)
            dismiss_one(one, peer);
    }
    return count;
}

/* Receive from a peer, and take it. Of what is LEFT, `*got` bytes are in the buffer; 0: the peer has
 * hung up. */
static int receive(Server *one, int peer, const Py_buffer *buffer, Kept *kept, Py_ssize_t *got) {
    Session *session = session_of(one, peer);
    size_t held = session->held_size;
    unsigned char *into = held ? session->held : buffer->buf;
    size_t room = held ? session->held_room : (size_t)buffer->len;
    if (held && session->count_size)
        room = session->count_size; /* what is behind it begins anew */
    else if (held && held < START && session->asked_context >= 0)
        room = START; /* it may become one */

    *got = 0;
    ssize_t size = recv(peer, into + held, room - held, 0);
    if (size <= 0)
        return size < 0 && (errno == EAGAIN || errno == EINTR) ? WANTS_MORE : LEFT;
    Span all = {into, held + (size_t)size};
    int said = take_behind_counts(one, peer, all, (size_t)buffer->len, kept);
    if (said != LEFT)
        return said;
    if (held)
        memcpy(buffer->buf, session->held, all.size);
    *got = (Py_ssize_t)all.size;
    return LEFT;
}

static void free_server(PyObject *capsule) {
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    for (int peer = 0; peer < one->size; peer++)
        dismiss_one(one, peer);
    end(&one->sealer);
    for (Job *job = one->sealing ? finished(&one->sealer) : NULL, *next; job; job = next) {
        next = job->next;
        free(job); /* a `Work` begins with its job */
    }
    if (one->spare >= 0) {
        close(one->spare);
        unlinkat(one->directory, one->part, 0);
    }
    free(one->sessions);
    free(one);
}

/* Ask for short turns on the processor, and early ones: an answer is little work, and a peer waits
 * for it. Linux 6.12 and later; needs no privilege, and nothing depends on it. */
static void take_short_turns(void) {
    if (sched_getscheduler(0) != SCHED_OTHER)
        return; /* somebody has decided otherwise */
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } wish = {.size = 48, .runtime = 100000}; /* nanoseconds, the least there is */
    errno = 0;
    wish.nice = getpriority(PRIO_PROCESS, 0);
    if (!errno)
        (void)syscall(SYS_sched_setattr, 0, &wish, 0);
}

static PyObject *server(PyObject *module, PyObject *arguments) {
    const char *run;
    int directory, sync, epoll, together;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iispi", &epoll, &directory, &run, &sync, &together))
        return NULL;
    Server *one = calloc(1, sizeof *one);
    if (!one)
        return PyErr_NoMemory();
    snprintf(one->run, sizeof one->run, "%s", run);
    one->epoll = epoll;
    one->directory = directory;
    one->sync = sync;
    one->spare = -1;
    take_short_turns();
    int error = together > 0 ? begin(&one->sealer, directory, together) : 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = one->sealer.told};
    if (!error && together > 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, one->sealer.told, &event)) {
        error = errno;
        end(&one->sealer);
    }
    if (error) {
        free(one);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyCapsule_New(one, NULL, free_server);
}

static PyObject *dismiss(PyObject *module, PyObject *arguments) {
    enum { LEAVES, GONE, MUTED };
    PyObject *capsule;
    int peer, how;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oii", &capsule, &peer, &how))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    if (!one)
        return NULL;
    Session *session = session_of(one, peer);
    if (session && session->work) {
        Work *work = session->work;
        session->leaves = 1;
        session->muted |= how == MUTED;
        if (how == GONE)
            dismiss_one(one, peer);
        return PyLong_FromLong(work->kept.peer);
    }
    PyObject *held = PyBytes_FromStringAndSize(session ? (const char *)session->held : "",
                                               session ? (Py_ssize_t)session->held_size : 0);
    if (held)
        dismiss_one(one, peer);
    return held;
}

static PyObject *sealing(PyObject *module, PyObject *arguments) {
    PyObject *capsule;
    int peer = -1;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O|i", &capsule, &peer))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    if (!one)
        return NULL;
    Session *session = session_of(one, peer);
    return PyBool_FromLong(session ? session->work != NULL : peer < 0 && one->sealing);
}

/* Copy to where there is room; what is missing stays missing. */
static Span copied(unsigned char **at, Span one) {
    if (one.data) {
        one.data = memcpy(*at, one.data, one.size);
        *at += one.size;
    }
    return one;
}

static int make_room(Server *one, int peer) {
    if (peer >= one->size && peer < 1 << 20) {
        Session **more = realloc(one->sessions, (size_t)(2 * peer + 2) * sizeof *more);
        if (more) {
            memset(more + one->size, 0, (size_t)(2 * peer + 2 - one->size) * sizeof *more);
            one->sessions = more;
            one->size = 2 * peer + 2;
        }
    }
    return peer >= 0 && peer < one->size;
}

static PyObject *enroll(PyObject *module, PyObject *arguments) {
    enum { IDS, META, RESPONSE, AET, TEXTS = AET + 1 + ACCESSION + 1 };
    PyObject *capsule;
    int peer, context, kind, number, asked_context, asked_id;
    struct {
        const char *text;
        Py_ssize_t size;
    } told[TEXTS];
    Py_ssize_t meta_uid, response_id, response_uid;
    unsigned long max_pdu, longest;

    (void)module;
    if (!PyArg_ParseTuple(
            arguments, "Oiiikkiiy#y#ny#nnz#iy#y#y#y#y#y#", &capsule, &peer, &context, &kind,
            &max_pdu, &longest, &asked_context, &asked_id, &told[IDS].text, &told[IDS].size,
            &told[META].text, &told[META].size,
            &meta_uid, &told[RESPONSE].text, &told[RESPONSE].size, &response_id, &response_uid,
            &told[AET].text, &told[AET].size, &number, &told[4].text, &told[4].size, &told[5].text,
            &told[5].size, &told[6].text, &told[6].size, &told[7].text, &told[7].size,
            &told[8].text, &told[8].size, &told[9].text, &told[9].size))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    if (!one)
        return NULL;
    Py_ssize_t uid = told[AET + 1 + INSTANCE].size;
    size_t all = 0;
    for (int i = 0; i < TEXTS; i++)
        all += (size_t)told[i].size;
    if (context < 0 || context > 255 || uid > LONGEST_UID || told[RESPONSE].size > LONGEST_RESPONSE ||
        meta_uid < 0 || meta_uid > told[META].size - uid || response_id < 0 ||
        response_id > told[RESPONSE].size - 2 || response_uid < 0 ||
        response_uid > told[RESPONSE].size - uid || !make_room(one, peer) ||
        (one->sessions[peer] && one->sessions[peer]->work))
        Py_RETURN_FALSE;
    Session *made = calloc(1, sizeof *made + all);
    if (!made)
        Py_RETURN_FALSE;
    unsigned char *at = made->bytes;
    Span kept[TEXTS];
    for (int i = 0; i < TEXTS; i++)
        kept[i] = copied(&at, (Span){(const unsigned char *)told[i].text, (size_t)told[i].size});
    made->kinds[context] = (char)kind;
    made->max_pdu = max_pdu;
    made->longest = longest;
    made->asked_context = asked_context;
    made->asked_id = asked_id;
    made->kept_at = milliseconds();
    made->ids = kept[IDS];
    made->meta = (unsigned char *)kept[META].data;
    made->meta_size = kept[META].size;
    made->meta_uid = (size_t)meta_uid;
    made->response = (unsigned char *)kept[RESPONSE].data;
    made->response_size = kept[RESPONSE].size;
    made->response_id = (size_t)response_id;
    made->response_uid = (size_t)response_uid;
    made->like.context = context;
    made->like.command.originator = kept[AET];
    made->like.command.originator_id = number;
    made->like.command.sop_class = kept[AET + 1 + CLASS];
    made->like.command.sop_instance = kept[AET + 1 + INSTANCE];
    for (int i = CLASS; i <= ACCESSION; i++)
        made->like.values[i] = kept[AET + 1 + i];
    dismiss_one(one, peer);
    one->sessions[peer] = made;
    Py_RETURN_TRUE;
}

/* Say what was kept: [(peer, (name, uid, size))], {peer: rest of the answer}, [(peer, message id,
 * uid, error)]; 0: an error of Python. */
static int tell(const Kept *all, int count, PyObject *kept, PyObject *unsent, PyObject *failed) {
    for (int i = 0; i < count; i++) {
        const Kept *next = all + i;
        PyObject *item =
            next->error
                ? Py_BuildValue("iIsi", next->peer, next->message_id, next->uid, next->error)
                : Py_BuildValue("i(ssn)", next->peer, next->name, next->uid,
                                (Py_ssize_t)next->file_size);
        int error = !item || PyList_Append(next->error ? failed : kept, item);
        Py_XDECREF(item);
        if (!error && next->unsent) {
            PyObject *peer = PyLong_FromLong(next->peer);
            PyObject *rest = PyBytes_FromStringAndSize((const char *)next->rest,
                                                       (Py_ssize_t)next->unsent);
            error = !peer || !rest || PyDict_SetItem(unsent, peer, rest);
            Py_XDECREF(peer);
            Py_XDECREF(rest);
        }
        if (error)
            return 0;
    }
    return 1;
}

/* Wait and keep what is like what came before, without the interpreter's lock. */
static PyObject *serve(PyObject *module, PyObject *arguments) {
    PyObject *capsule, *result = NULL;
    int timeout, limit, patience, ready = 0, pending = -1, kept = 0, used = 0;
    Py_buffer buffer;
    struct epoll_event events[MOST_EVENTS];
    int others[MOST_EVENTS];
    Py_ssize_t got = 0;

    (void)module;
    unsigned long long parts, number;
    if (!PyArg_ParseTuple(arguments, "Ow*iiiKK", &capsule, &buffer, &timeout, &limit, &patience,
                          &parts, &number))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    Kept *done = one ? malloc(MOST_TOGETHER * sizeof *done) : NULL;
    if (!done) {
        PyBuffer_Release(&buffer);
        return one ? PyErr_NoMemory() : NULL;
    }
    one->parts = parts;
    one->count = number;
    limit = (limit > MOST_TOGETHER ? MOST_TOGETHER : limit) - one->sealing;
    Py_BEGIN_ALLOW_THREADS;
    long long now = milliseconds(), end = now + timeout;
    pending = find_stale(one, now);
    if (pending >= 0)
        got = (Py_ssize_t)let_go(session_of(one, pending), &buffer);
    while (pending < 0) {
        int count = epoll_wait(one->epoll, events, MOST_EVENTS, now < end ? (int)(end - now) : 0);
        int sealed = 0, before = kept;
        for (int i = 0; i < count && pending < 0; i++) {
            int peer = events[i].data.fd, said = WHOLE;
            Session *session = session_of(one, peer);
            if (one->sealer.together && peer == one->sealer.told) {
                sealed = 1;
                continue;
            }
            if (session && session->work) {
                if (session->muted)
                    others[ready++] = peer; /* there is room for what others send */
                else
                    park(one, peer, session);
                continue;
            }
            if (session && (events[i].events != EPOLLIN || limit <= 0)) {
                got = (Py_ssize_t)let_go(session, &buffer);
                said = got ? LEFT : WHOLE;
            } else if (session && used < limit) {
                said = receive(one, peer, &buffer, done + kept, &got);
                used += said == WHOLE || said == SEALING;
                kept += said == WHOLE;
                if (said != LEFT)
                    continue;
            }
            if (session && used >= limit && limit > 0 && said == WHOLE)
                continue; /* it has its turn the next time */
            if (said == LEFT)
                pending = peer;
            else
                others[ready++] = peer;
            dismiss_one(one, peer);
        }
        if (sealed)
            kept += collect(one, done + kept);
        now = milliseconds();
        if (kept && !before && now + patience < end)
            end = now + patience;
        if (count <= 0 || ready || used >= limit || now >= end)
            break;
    }
    if (pending >= 0)
        dismiss_one(one, pending);
    Py_END_ALLOW_THREADS;
    PyObject *list = PyList_New(0), *unsent = PyDict_New(), *failed = PyList_New(0);
    PyObject *waiting = PyList_New(0);
    int fine = list && unsent && failed && waiting && tell(done, kept, list, unsent, failed);
    for (int i = 0; fine && i < ready; i++) {
        PyObject *item = PyLong_FromLong(others[i]);
        fine = item && !PyList_Append(waiting, item);
        Py_XDECREF(item);
    }
    if (fine)
        result = Py_BuildValue("OOOOinKK", list, unsent, failed, waiting, pending, got, one->parts,
                               one->count);
    Py_XDECREF(list);
    Py_XDECREF(unsent);
    Py_XDECREF(failed);
    Py_XDECREF(waiting);
    free(done);
    PyBuffer_Release(&buffer);
    return result;
}

/* Wait until nothing is being sealed any more, and answer for it; from then on nothing is taken. */
static PyObject *finish(PyObject *module, PyObject *arguments) {
    PyObject *capsule, *result = NULL;
    int kept = 0;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "O", &capsule))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    Kept *done = one ? malloc(MOST_TOGETHER * sizeof *done) : NULL;
    if (!done)
        return one ? PyErr_NoMemory() : NULL;
    Py_BEGIN_ALLOW_THREADS;
    end(&one->sealer);
    if (one->sealing)
        kept = collect(one, done);
    for (int peer = 0; peer < one->size; peer++)
        dismiss_one(one, peer);
    Py_END_ALLOW_THREADS;
    PyObject *list = PyList_New(0), *unsent = PyDict_New(), *failed = PyList_New(0);
    if (list && unsent && failed && tell(done, kept, list, unsent, failed))
        result = Py_BuildValue("OOO", list, unsent, failed);
    Py_XDECREF(list);
    Py_XDECREF(unsent);
    Py_XDECREF(failed);
    free(done);
    return result;
}

static PyMethodDef methods[] = {
    {"parse", parse, METH_VARARGS,
     "parse(data, kinds, max_pdu, longest) -> None if the beginning of `data` is not mine, how many "
     "bytes it takes at least if it may become so, or what it says"},
    {"server", server, METH_VARARGS,
     "server(epoll, directory, run, sync, how many a thread syncs together, 0: no thread) -> capsule"},
    {"enroll", enroll, METH_VARARGS,
     "enroll(server, peer, context, kind, max_pdu, longest, context of a C-GET, its message id, ids, "
     "meta, place, response, place of the message id, of the UID, originator, its message id, six "
     "identifiers) -> whether messages with these values are taken from now on"},
    {"dismiss", dismiss, METH_VARARGS,
     "dismiss(server, peer, how) -> what it has sent already; the rest is left to the interpreter. "
     "While its last instance is being sealed, a number: that of the peer, which leaves when it is "
     "answered (0) or, in place of being answered (2), told with all of the answer; or of a peer that "
     "has gone (1), by which the instance is told then"},
    {"sealing", sealing, METH_VARARGS,
     "sealing(server, peer or none) -> whether an instance of it, or any, is being sealed"},
    {"finish", finish, METH_VARARGS,
     "finish(server) -> the first three of `serve`, when nothing is being sealed any more"},
    {"serve", serve, METH_VARARGS,
     "serve(server, buffer, timeout, limit, patience, parts, count) -> [(peer, (name, uid, size))], "
     "{peer: what it has not taken of the last answer}, [(peer, message id, uid, error) of what could "
     "not be kept], [ready], peer whose bytes are in the buffer or -1, how many, parts, count"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_whole", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__whole(void) { return PyModule_Create(&definition); }


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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    PDU_HEADER = 6,
    PDV_HEADER = 6,
    START = PDU_HEADER + PDV_HEADER,
    LONGEST_COMMAND = 4096, /* bytes; a C-STORE-RQ has about 300 */
    LONGEST_UID = 64,       /* PS3.5 9.1 */
    LONGEST_AET = 16,       /* PS3.5 6.2 */
    LONGEST_VALUE = 1024,
    LONGEST_RESPONSE = 512, /* one with two UIDs has 220 */
    MOST_CANDIDATES = 8, /* places that look like pixel data */
    MOST_PIECES = 64,    /* P-DATA-TFs of a data set */
    SHORT_HEAD = 8,
    LONG_HEAD = 12
};
enum { NOT_MINE = 0, EXPLICIT = 1, IMPLICIT = 2 }; /* how a context encodes its data sets */

#define UNDEFINED UINT32_MAX
#define FIRST 0x00030000u /* group 0002 belongs in front of a data set */
#define SERIES 0x0020000Eu

typedef struct {
    const unsigned char *data;
    size_t size;
} Span;

typedef struct {
    unsigned message_id;
    int originator_id; /* -1: none */
    Span sop_class, sop_instance, originator;
} Command;

/* In the order of `Identifiers`; the character set is looked at for its length alone. */
enum { CLASS, INSTANCE, STUDY, SERIES_UID, PATIENT, ACCESSION, CHARACTER_SET, VALUES };
static const uint32_t WANTED[VALUES] = {0x00080016u, 0x00080018u, 0x0020000Du, SERIES,
                                        0x00100020u, 0x00080050u, 0x00080005u};

static uint32_t big32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned little16(const unsigned char *p) { return p[0] | (unsigned)p[1] << 8; }

static uint32_t little32(const unsigned char *p) {
    return little16(p) | (uint32_t)little16(p + 2) << 16;
}

/* Without the padding on both sides. */
static Span stripped(Span one) {
    while (one.size && (one.data[0] == ' ' || one.data[0] == 0)) {
        one.data++;
        one.size--;
    }
    while (one.size && (one.data[one.size - 1] == ' ' || one.data[one.size - 1] == 0))
        one.size--;
    return one;
}

static int is_uid(Span one) {
    if (!one.size || one.size > LONGEST_UID)
        return 0;
    for (size_t i = 0; i < one.size; i++)
        if (one.data[i] != '.' && (one.data[i] < '0' || one.data[i] > '9'))
            return 0;
    return 1;
}

/* Whether it is one value that needs no character set. */
static int is_plain(Span one) {
    for (size_t i = 0; i < one.size; i++)
        if (one.data[i] >= 0x80 || one.data[i] == 0x1B || one.data[i] == '\\')
            return 0;
    return 1;
}

static int equal(Span one, Span other) {
    return one.size == other.size && (!one.size || !memcmp(one.data, other.data, one.size));
}

/* Step over an element of a command set (PS3.7 6.3.1) that stands behind the last one in order;
 * 0: it does not, or is cut short. */
static int next_element(Span set, size_t *position, long *element, Span *value) {
    if (set.size - *position < SHORT_HEAD)
        return 0;
    const unsigned char *head = set.data + *position;
    long last = *element;
    uint32_t length = little32(head + 4);
    *element = (long)little16(head + 2);
    *position += SHORT_HEAD;
    if (little16(head) || *element <= last || length > set.size - *position)
        return 0;
    *value = (Span){set.data + *position, length};
    *position += length;
    return 1;
}

/* Read a C-STORE-RQ (PS3.7 9.3.1.1) whose elements stand in order; 0: not mine. */
static int read_command(Span set, Command *found) {
    size_t position = 0;
    long element = -1;
    Span value;
    unsigned seen = 0; /* bits: field, message id, data set type */

    memset(found, 0, sizeof *found);
    found->originator_id = -1;
    while (position < set.size) {
        if (!next_element(set, &position, &element, &value))
            return 0;
        size_t length = value.size;
        switch (element) {
        case 0x0002:
            found->sop_class = stripped(value);
            break;
        case 0x0100:
            if (length != 2 || little16(value.data) != 0x0001)
                return 0;
            seen |= 1;
            break;
        case 0x0110:
            if (length != 2)
                return 0;
            found->message_id = little16(value.data);
            seen |= 2;
            break;
        case 0x0800:
            if (length != 2 || little16(value.data) == 0x0101)
                return 0;
            seen |= 4;
            break;
        case 0x1000:
            found->sop_instance = stripped(value);
            break;
        case 0x1030:
            found->originator = stripped(value);
            if (found->originator.size > LONGEST_AET || !is_plain(found->originator))
                return 0;
            break;
        case 0x1031:
            if (length != 2)
                return 0;
            found->originator_id = (int)little16(value.data);
            break;
        default:
            break;
        }
    }
    return seen == 7 && is_uid(found->sop_class) && is_uid(found->sop_instance);
}

/* Whether a command set is a C-GET response that only counts (PS3.7 9.3.3.2): others follow it. */
static int is_count(Span set, int message_id) {
    size_t position = 0;
    long element = -1;
    Span raw;
    unsigned seen = 0; /* bits: field, message responded to, data set type, status */

    while (position < set.size) {
        if (!next_element(set, &position, &element, &raw))
            return 0;
        unsigned value = raw.size == 2 ? little16(raw.data) : 0;
        seen |= element == 0x0100 && value == 0x8010 ? 1u : 0;
        seen |= element == 0x0120 && raw.size == 2 && (int)value == message_id ? 2u : 0;
        seen |= element == 0x0800 && value == 0x0101 ? 4u : 0;
        seen |= element == 0x0900 && (value == 0xFF00 || value == 0xFF01) ? 8u : 0;
    }
    return seen == 15;
}

/* Whether one of the codes of two letters is `vr`. */
static int among(const unsigned char *vr, const char *codes) {
    for (; codes[0]; codes += 2)
        if (vr[0] == (unsigned char)codes[0] && vr[1] == (unsigned char)codes[1])
            return 1;
    return 0;
}

/* Read one element's head: returns its size, or 0 if it is unusual. */
static size_t element_head(const unsigned char *head, size_t left, int kind, uint32_t *length) {
    if (kind == IMPLICIT) {
        *length = little32(head + 4);
        return SHORT_HEAD;
    }
    if (among(head + 4, "AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS")) { /* PS3.5 7.1.2 */
        *length = little16(head + 6);
        return SHORT_HEAD;
    }
    if (left < LONG_HEAD || !among(head + 4, "OBODOFOLOVOWSQSVUCUNURUTUV"))
        return 0;
    *length = little32(head + 8);
    return LONG_HEAD;
}

/* Find the values that name an instance; returns the position behind them, 0: not mine. */
static size_t read_header(Span set, int kind, Span values[VALUES]) {
    size_t position = 0;
    uint32_t last = FIRST;

    memset(values, 0, VALUES * sizeof(Span));
    while (last < SERIES && set.size - position >= SHORT_HEAD) {
        const unsigned char *head = set.data + position;
        uint32_t tag = (uint32_t)little16(head) << 16 | little16(head + 2), length = 0;
        if (tag <= last || tag > SERIES)
            break;
        size_t size = element_head(head, set.size - position, kind, &length);
        if (!size || length == UNDEFINED || length > set.size - position - size)
            return 0;
        last = tag;
        for (int i = 0; i < VALUES; i++)
            if (tag == WANTED[i]) {
                values[i] = (Span){head + size, length};
                if (length > LONGEST_VALUE)
                    return 0;
            }
        position += size + length;
    }
    for (int i = 0; i < CHARACTER_SET; i++) {
        if (!is_plain(values[i]))
            return 0;
        if (values[i].data)
            values[i] = stripped(values[i]);
    }
    return values[INSTANCE].data && values[SERIES_UID].data ? position : 0;
}

typedef struct {
    size_t total; /* bytes of the message; or how many are needed at least to judge it */
    int context, count;
    size_t size; /* of the data set, bytes */
    Command command;
    Span values[VALUES], pieces[MOST_PIECES]; /* of the data set */
} Message;

/* Whether the data set ends where something in its first piece says that looks like pixel data. */
static int is_whole(const Message *all, size_t position) {
    static const unsigned char pixels[] = {0xE0, 0x7F, 0x10, 0x00};
    static const unsigned char delimiter[] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};

    Span set = all->pieces[0], last = all->pieces[all->count - 1];
    for (int candidate = 0; candidate < MOST_CANDIDATES && position < set.size; candidate++) {
        const unsigned char *found =
            memmem(set.data + position, set.size - position, pixels, sizeof pixels);
        if (!found)
            return 0;
        size_t at = (size_t)(found - set.data), head = SHORT_HEAD;
        if (set.size - at < SHORT_HEAD)
            return 0;
        if (!memcmp(found + 4, "OW\0\0", 4) || !memcmp(found + 4, "OB\0\0", 4))
            head = LONG_HEAD;
        if (set.size - at < head)
            return 0;
        uint32_t length = little32(found + head - 4);
        if (length == UNDEFINED)
            return last.size >= sizeof delimiter && all->size - at - head >= sizeof delimiter &&
                   !memcmp(last.data + last.size - sizeof delimiter, delimiter, sizeof delimiter);
        if (length > all->size - at - head)
            return 0;
        position = at + head + length;
        if (position == all->size)
            return 1;
    }
    return 0;
}

enum { DATA = 0, COMMAND = 1, LAST = 2 }; /* PS3.8 E.2 */

/* Read a P-DATA-TF that begins at `position` and holds one value. Returns how many bytes the
 * message has up to its end, 0 if it is not mine; `*value` has data only when all of it is there. */
static size_t read_unit(Span all, size_t position, int kind, uint32_t longest, int *context,
                        int *control, Span *value) {
    const unsigned char *head = all.data + position;
    size_t left = all.size - position;

    *value = (Span){NULL, 0};
    if (left && head[0] != 4)
        return 0;
    if (left < START)
        return position + START;
    uint32_t length = big32(head + 2), inner = big32(head + PDU_HEADER);
    if (length < PDV_HEADER || inner != length - 4 || length - PDV_HEADER > longest)
        return 0;
    if ((head[11] & ~LAST) != kind || (*context >= 0 && head[10] != *context))
        return 0;
    *context = head[10];
    *control = head[11];
    if (left >= PDU_HEADER + (size_t)length)
        *value = (Span){head + START, length - PDV_HEADER};
    return position + PDU_HEADER + length;
}

/* Read the P-DATA-TFs of a data set. As `read_unit`; `*last` is set when all are there. */
static size_t read_pieces(Span all, size_t position, uint32_t room, unsigned long longest,
                          Message *found, int *last) {
    Span value;
    int control = DATA;

    found->count = 0;
    found->size = 0;
    while (!*last) {
        unsigned long left = longest - found->size;
        position = read_unit(all, position, DATA, left < room ? (uint32_t)left : room,
                             &found->context, &control, &value);
        if (!position || !value.data)
            return position;
        if (found->count == MOST_PIECES)
            return 0;
        found->pieces[found->count++] = value;
        found->size += value.size;
        *last = control & LAST;
    }
    return position;
}

enum { LEFT, WANTS_MORE, WHOLE };

/* Read the message that `all` begins with. */
static int read_message(Span all, const char *kinds, size_t count, unsigned long max_pdu,
                        unsigned long longest, Message *found) {
    Span set;
    int kind = NOT_MINE, control = 0, last = 0;
    size_t behind, end;
    uint32_t room = max_pdu < PDV_HEADER    ? 0
                    : max_pdu > 0x7FFFFFFFu ? 0x7FFFFFFFu
                                            : (uint32_t)max_pdu - PDV_HEADER;

    found->context = -1;
    behind = read_unit(all, 0, COMMAND, room < LONGEST_COMMAND ? room : LONGEST_COMMAND,
                       &found->context, &control, &set);
    if (found->context >= 0)
        kind = (size_t)found->context < count ? kinds[found->context] : NOT_MINE;
    if (!behind || (found->context >= 0 && kind != EXPLICIT && kind != IMPLICIT))
        return LEFT;
    found->total = behind;
    if (!set.data)
        return WANTS_MORE;
    if (!(control & LAST) || !read_command(set, &found->command))
        return LEFT;
    found->total = read_pieces(all, behind, room, longest, found, &last);
    if (!found->total)
        return LEFT;
    if (!last)
        return WANTS_MORE;
    end = read_header(found->pieces[0], kind, found->values);
    if (!end || !is_whole(found, end) || !equal(found->values[CLASS], found->command.sop_class) ||
        !equal(found->values[INSTANCE], found->command.sop_instance))
        return LEFT;
    return WHOLE;
}

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

/* Write all of it behind each other; 0 or an error number. */
static int write_all(int file, struct iovec *pieces, int count) {
    while (count) {
        ssize_t written = writev(file, pieces, count);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        while (count && (size_t)written >= pieces->iov_len) {
            written -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count) {
            pieces->iov_base = (char *)pieces->iov_base + written;
            pieces->iov_len -= (size_t)written;
        }
    }
    return 0;
}

/* Sync a file or directory; 0 or an error number. */
static int sync_file(int file) {
    while (fsync(file))
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Not every file system can sync a directory. */
static int sync_names(int directory) {
    int error = sync_file(directory);
    return error == EINVAL || error == ENOTSUP || error == EBADF || error == ENOSYS ? 0 : error;
}

/* Write, sync, close, name, sync the name: then it is kept. 0 or an error number. Where the file had
 * more room from the start than is needed, `end` is where it ends; else 0. */
static int seal(int directory, int file, const char *part, const char *name, struct iovec *pieces,
                int count, off_t end, int sync) {
    int error = write_all(file, pieces, count);
    if (!error && end && ftruncate(file, end))
        error = errno;
    if (!error && sync)
        error = sync_file(file);
    if (close(file) && !error)
        error = errno;
    if (!error && renameat(directory, part, directory, name))
        error = errno;
    return error || !sync ? error : sync_names(directory);
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

/* What an association sends again and again: all but the ids of message and instance. */
typedef struct {
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
    int size, directory, spare, sync;
    size_t held; /* bytes, of all sessions */
    size_t usual, allocated; /* bytes of the last file, and that the next one has already */
    long long next_look;
    unsigned long long parts, count;
    char run[65], part[96];
} Server;

/* What was kept, for the interpreter. */
typedef struct {
    int peer;
    char name[256], uid[LONGEST_UID + 1];
    size_t file_size, unsent;
    unsigned char rest[LONGEST_RESPONSE]; /* of the answer, what the peer has not taken */
} Kept;

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

/* Take what came from a peer: LEFT to the interpreter, held as it WANTS_MORE, or kept WHOLE. */
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
    int size = snprintf(kept->name, sizeof kept->name, "%s-%.*s-%08llu.dcm", one->run,
                        (int)like->ids.size, (const char *)like->ids.data, ++one->count);
    struct iovec pieces[1 + MOST_PIECES] = {{like->meta, like->meta_size}};
    for (int i = 0; i < found.count; i++)
        pieces[1 + i] = (struct iovec){(void *)found.pieces[i].data, found.pieces[i].size};
    int file = one->spare;
    size_t file_size = like->meta_size + found.size;
    off_t end = one->allocated > file_size ? (off_t)file_size : 0;
    one->usual = file_size;
    one->spare = -1;
    if (size >= (int)sizeof kept->name) {
        close(file);
        unlinkat(one->directory, one->part, 0);
        return LEFT;
    }
    if (seal(one->directory, file, one->part, kept->name, pieces, 1 + found.count, end,
             one->sync)) {
        unlinkat(one->directory, one->part, 0);
        unlinkat(one->directory, kept->name, 0);
        return LEFT;
    }
    Py_ssize_t sent = answer(peer, (Span){like->response, like->response_size});
    kept->unsent = sent < 0 ? 0 : like->response_size - (size_t)sent;
    memcpy(kept->rest, like->response + like->response_size - kept->unsent, kept->unsent);
    if (sent < 0)
        shutdown(peer, SHUT_RDWR); /* it has gone; the interpreter will see that */
    kept->peer = peer;
    kept->file_size = file_size;
    memcpy(kept->uid, uid.data, uid.size);
    kept->uid[uid.size] = 0;
    if (kept->unsent)
        dismiss_one(one, peer); /* frees `like` */
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
    int directory, sync;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "isp", &directory, &run, &sync))
        return NULL;
    Server *one = calloc(1, sizeof *one);
    if (!one)
        return PyErr_NoMemory();
    snprintf(one->run, sizeof one->run, "%s", run);
    one->directory = directory;
    one->sync = sync;
    one->spare = -1;
    take_short_turns();
    return PyCapsule_New(one, NULL, free_server);
}

static PyObject *dismiss(PyObject *module, PyObject *arguments) {
    PyObject *capsule;
    int peer;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oi", &capsule, &peer))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    if (!one)
        return NULL;
    Session *session = session_of(one, peer);
    PyObject *held = PyBytes_FromStringAndSize(session ? (const char *)session->held : "",
                                               session ? (Py_ssize_t)session->held_size : 0);
    if (held)
        dismiss_one(one, peer);
    return held;
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
        response_uid > told[RESPONSE].size - uid || !make_room(one, peer))
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

/* Wait and keep what is like what came before, without the interpreter's lock. */
static PyObject *serve(PyObject *module, PyObject *arguments) {
    PyObject *capsule, *list, *result = NULL;
    int epoll, timeout, limit, patience, ready = 0, pending = -1, kept = 0;
    Py_buffer buffer;
    struct epoll_event events[MOST_EVENTS], others[MOST_EVENTS];
    Py_ssize_t got = 0;

    (void)module;
    unsigned long long parts, number;
    if (!PyArg_ParseTuple(arguments, "Oiw*iiiKK", &capsule, &epoll, &buffer, &timeout, &limit,
                          &patience, &parts, &number))
        return NULL;
    Server *one = PyCapsule_GetPointer(capsule, NULL);
    Kept *done = one ? malloc(MOST_TOGETHER * sizeof *done) : NULL;
    if (!done) {
        PyBuffer_Release(&buffer);
        return one ? PyErr_NoMemory() : NULL;
    }
    one->parts = parts;
    one->count = number;
    limit = limit > MOST_TOGETHER ? MOST_TOGETHER : limit;
    Py_BEGIN_ALLOW_THREADS;
    long long now = milliseconds(), end = now + timeout;
    pending = find_stale(one, now);
    if (pending >= 0)
        got = (Py_ssize_t)let_go(session_of(one, pending), &buffer);
    while (pending < 0) {
        int count = epoll_wait(epoll, events, MOST_EVENTS, now < end ? (int)(end - now) : 0);
        for (int i = 0; i < count && pending < 0; i++) {
            int peer = events[i].data.fd, said = WHOLE;
            Session *session = session_of(one, peer);
            if (session && (events[i].events != EPOLLIN || !limit)) {
                got = (Py_ssize_t)let_go(session, &buffer);
                said = got ? LEFT : WHOLE;
            } else if (session && kept < limit) {
                said = receive(one, peer, &buffer, done + kept, &got);
                if (said == WHOLE && !kept++ && milliseconds() + patience < end)
                    end = milliseconds() + patience;
                if (said != LEFT)
                    continue;
            }
            if (session && kept >= limit && limit && said == WHOLE)
                continue; /* it has its turn the next time */
            if (said == LEFT)
                pending = peer;
            else
                others[ready++] = events[i];
            dismiss_one(one, peer);
        }
        now = milliseconds();
        if (count <= 0 || ready || kept >= limit || now >= end)
            break;
    }
    if (pending >= 0)
        dismiss_one(one, pending);
    Py_END_ALLOW_THREADS;
    list = PyList_New(0);
    PyObject *unsent = PyDict_New();
    for (int i = 0; list && unsent && i < kept; i++) {
        const Kept *next = done + i;
        PyObject *item = Py_BuildValue("i(ssn)", next->peer, next->name, next->uid,
                                       (Py_ssize_t)next->file_size);
        if (!item || PyList_Append(list, item))
            Py_CLEAR(list);
        Py_XDECREF(item);
        PyObject *peer = next->unsent ? PyLong_FromLong(next->peer) : NULL;
        PyObject *rest = next->unsent ? PyBytes_FromStringAndSize((const char *)next->rest,
                                                                  (Py_ssize_t)next->unsent)
                                      : NULL;
        if (next->unsent && (!peer || !rest || PyDict_SetItem(unsent, peer, rest)))
            Py_CLEAR(unsent);
        Py_XDECREF(peer);
        Py_XDECREF(rest);
    }
    PyObject *waiting = list && unsent ? PyList_New(0) : NULL;
    for (int i = 0; waiting && i < ready; i++) {
        PyObject *item = PyLong_FromLong(others[i].data.fd);
        if (!item || PyList_Append(waiting, item))
            Py_CLEAR(waiting);
        Py_XDECREF(item);
    }
    if (waiting)
        result =
            Py_BuildValue("OOOinKK", list, unsent, waiting, pending, got, one->parts, one->count);
    Py_XDECREF(list);
    Py_XDECREF(unsent);
    Py_XDECREF(waiting);
    free(done);
    PyBuffer_Release(&buffer);
    return result;
}

static PyMethodDef methods[] = {
    {"parse", parse, METH_VARARGS,
     "parse(data, kinds, max_pdu, longest) -> None if the beginning of `data` is not mine, how many "
     "bytes it takes at least if it may become so, or what it says"},
    {"server", server, METH_VARARGS, "server(directory, run, sync) -> capsule"},
    {"enroll", enroll, METH_VARARGS,
     "enroll(server, peer, context, kind, max_pdu, longest, context of a C-GET, its message id, ids, "
     "meta, place, response, place of the message id, of the UID, originator, its message id, six "
     "identifiers) -> whether messages with these values are taken from now on"},
    {"dismiss", dismiss, METH_VARARGS,
     "dismiss(server, peer) -> what it has sent already; the rest is left to the interpreter"},
    {"serve", serve, METH_VARARGS,
     "serve(server, epoll, buffer, timeout, limit, patience, parts, count) -> [(peer, (name, uid, "
     "size))], {peer: what it has not taken of the last answer}, [ready], peer whose bytes are in "
     "the buffer or -1, how many, parts, count"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_whole", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__whole(void) { return PyModule_Create(&definition); }

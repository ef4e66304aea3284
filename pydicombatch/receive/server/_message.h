/* C-STORE messages that lie in memory as a whole (PS3.7, PS3.8): pure, no system call, no Python.
 *
 * Only what is entirely ordinary is read; of everything else it says that it is not mine.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    PDU_HEADER = 6,
    PDV_HEADER = 6,
    START = PDU_HEADER + PDV_HEADER,
    LONGEST_COMMAND = 4096, /* bytes; a C-STORE-RQ has about 300 */
    LONGEST_UID = 64,       /* PS3.5 9.1 */
    LONGEST_AET = 16,       /* PS3.5 6.2 */
    LONGEST_VALUE = 1024,
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

enum { LEFT, WANTS_MORE, WHOLE, SEALING }; /* what becomes of a message */

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

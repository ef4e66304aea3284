-- The ledger: row of the batch file -> request -> attempts -> instances.
-- Times are UTC in ISO 8601; sizes are bytes; keys and cells are JSON arrays.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    ended TEXT,
    exit_code INTEGER,
    pid INTEGER NOT NULL
);

-- What decides the result; a change of it is refused unless the operator accepts it.
CREATE TABLE digest (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE request (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    line INTEGER,                      -- first line of today's batch file; NULL: no longer in it
    owner INTEGER,                     -- of a retrieve: the row that selected it first; else NULL
    keys TEXT NOT NULL,
    carried TEXT NOT NULL,
    run INTEGER,                       -- the run that was last asked to carry it out
    outcome TEXT,                      -- NULL: pending
    status INTEGER,
    expected INTEGER,                  -- NULL: the archive did not say
    stored INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    matches INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL,
    reason TEXT NOT NULL DEFAULT '',
    remedy TEXT NOT NULL DEFAULT '',
    comment TEXT NOT NULL DEFAULT '',
    attempt INTEGER,                   -- the attempt that decided last; NULL: none ever did
    answered TEXT,                     -- the keys at that time: the order of the matches' cells
    finished INTEGER UNIQUE,           -- running number in the order of finishing
    finished_at TEXT,
    evidence TEXT NOT NULL DEFAULT '', -- what the verdict rests on: counters, related, instances
    tries INTEGER NOT NULL DEFAULT 0,  -- attempts that failed since it was last decided
    due TEXT                           -- when the next attempt may leave; NULL: at once
);
CREATE INDEX request_line ON request (line) WHERE line IS NOT NULL;
CREATE INDEX request_open ON request (owner) WHERE owner IS NOT NULL AND outcome IS NULL;

-- Every line of today's batch file; equal lines share a request.
CREATE TABLE batch (
    line INTEGER PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES request (id)
);

-- Rows that were looked up: what they mean is known, and nobody is asked again.
CREATE TABLE selection (
    row INTEGER PRIMARY KEY REFERENCES request (id),
    at TEXT NOT NULL
);

-- The retrieves that a selection gave; two rows may share one.
CREATE TABLE selected (
    row INTEGER NOT NULL REFERENCES selection (row),
    number INTEGER NOT NULL,           -- in the order of the archive's answers, from 1
    request INTEGER NOT NULL REFERENCES request (id),
    modality TEXT NOT NULL,            -- "": not known; several joined by a backslash
    instances INTEGER,                 -- as the archive said, or as counted; NULL: not known
    shown TEXT NOT NULL,               -- what the archive said about it, a JSON object
    PRIMARY KEY (row, number)
) WITHOUT ROWID;
CREATE INDEX selected_request ON selected (request);

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES request (id),
    run INTEGER NOT NULL REFERENCES run (id),
    message_id INTEGER,
    started TEXT NOT NULL,
    ended TEXT,
    status INTEGER,
    completed INTEGER,
    failed INTEGER,
    received INTEGER,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX attempt_request ON attempt (request);

-- What requests that were sent have asked for: a late arrival is known by it.
CREATE TABLE asked (
    keyword TEXT NOT NULL,
    value TEXT NOT NULL,
    request INTEGER NOT NULL REFERENCES request (id),
    keywords INTEGER NOT NULL,         -- how many keywords that request names
    at TEXT NOT NULL,                  -- when it was sent last
    PRIMARY KEY (value, keyword, request)
) WITHOUT ROWID;

CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    sop_instance_uid TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,                -- may repeat: a user moved the first file away
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    collided INTEGER NOT NULL DEFAULT 0,
    stored_at TEXT NOT NULL,
    stored_uid TEXT,                   -- of the anonymized file; NULL: it was not anonymized
    received_sha256 BLOB               -- before anonymization; NULL: it was not anonymized
);

CREATE INDEX instance_path ON instance (path);
CREATE INDEX instance_stored_uid ON instance (stored_uid) WHERE stored_uid IS NOT NULL;

-- Sums over all instances, kept as they come: counting ten million rows takes too long.
CREATE TABLE total (
    instances INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    collisions INTEGER NOT NULL
);
INSERT INTO total VALUES (0, 0, 0);

CREATE TABLE request_instance (
    request INTEGER NOT NULL REFERENCES request (id),
    instance INTEGER NOT NULL REFERENCES instance (id),
    PRIMARY KEY (request, instance)
) WITHOUT ROWID;

-- Instances that the archive lists for a decided request, and that it has not sent.
CREATE TABLE missing (
    request INTEGER NOT NULL REFERENCES request (id),
    sop_instance_uid TEXT NOT NULL,
    PRIMARY KEY (request, sop_instance_uid)
) WITHOUT ROWID;

CREATE TABLE quarantine (
    file TEXT PRIMARY KEY,
    sop_instance_uid TEXT NOT NULL,
    reason TEXT NOT NULL,
    put_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE quarantine_request (
    request INTEGER NOT NULL REFERENCES request (id),
    file TEXT NOT NULL REFERENCES quarantine (file),
    PRIMARY KEY (request, file)
) WITHOUT ROWID;

-- Matches are put here while they come in; they count once their attempt has decided.
CREATE TABLE match (
    request INTEGER NOT NULL REFERENCES request (id),
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    cells TEXT NOT NULL,               -- in the order of request.answered
    PRIMARY KEY (request, attempt, number)
) WITHOUT ROWID;

-- What was stored for the first time in each minute.
CREATE TABLE minute (
    at TEXT PRIMARY KEY,
    instances INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;

-- What the stored instances are, by the values of the stored files; '' is unknown.
CREATE TABLE series (
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    modality TEXT NOT NULL,
    year TEXT NOT NULL,                -- of StudyDate
    sex TEXT NOT NULL,
    age TEXT NOT NULL,                 -- a band of years
    instances INTEGER NOT NULL,
    PRIMARY KEY (study, series)
) WITHOUT ROWID;

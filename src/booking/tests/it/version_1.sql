-- A book of version 1 as that program left it, with a house of its own that the test puts in.
CREATE TABLE premises (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    json TEXT NOT NULL CHECK (json_valid(json))
) STRICT;

CREATE TABLE customers (
    number TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE appointments (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    code TEXT NOT NULL,
    service TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    therapist TEXT NOT NULL,
    room TEXT NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    name TEXT NOT NULL,
    number TEXT NOT NULL,
    caller TEXT,
    state TEXT NOT NULL CHECK (state IN ('booked', 'past', 'cancelled')),
    made INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    CHECK (ends > begins AND ends - begins <= 43200)
) STRICT;

CREATE UNIQUE INDEX live_code ON appointments (code) WHERE state = 'booked';
CREATE INDEX by_time ON appointments (begins);
CREATE INDEX by_therapist ON appointments (therapist, begins) WHERE state = 'booked';
CREATE INDEX by_room ON appointments (room, begins) WHERE state = 'booked';
CREATE INDEX by_number ON appointments (number, begins);
CREATE INDEX by_caller ON appointments (caller, begins);

CREATE TRIGGER one_at_a_time_new BEFORE INSERT ON appointments WHEN NEW.state = 'booked' BEGIN
    SELECT RAISE(ABORT, 'therapist is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND therapist = NEW.therapist
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
    SELECT RAISE(ABORT, 'room is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND room = NEW.room
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
END;

CREATE TRIGGER one_at_a_time_changed BEFORE UPDATE ON appointments WHEN NEW.state = 'booked' BEGIN
    SELECT RAISE(ABORT, 'therapist is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND therapist = NEW.therapist AND id <> NEW.id
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
    SELECT RAISE(ABORT, 'room is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND room = NEW.room AND id <> NEW.id
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
END;

CREATE TABLE answers (
    key TEXT NOT NULL,
    tool TEXT NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (key, tool)
) STRICT, WITHOUT ROWID;
CREATE INDEX by_age ON answers (at);

INSERT INTO customers VALUES ('+15550142', 'Anna Weber', 1795200000, 1795200000);
INSERT INTO appointments VALUES
    (1, 'a@example.com', 'K7M4', 'Facial', 7000, 'Maria', 'Room 1', 1795437000, 1795439700, 'Anna Weber', '+15550142',
     '+15550142', 'booked', 1795200000, 1795200000),
    (2, 'b@example.com', 'L2R6', 'Facial', 7000, 'Maria', 'Room 1', 1795437000, 1795439700, 'Bert Klein', '', NULL,
     'cancelled', 1795200000, 1795210000);
INSERT INTO answers VALUES ('k1', 'book_appointment', '{"error":"no"}', 1795200000);
PRAGMA user_version = 1;

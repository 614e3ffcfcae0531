package delivery

// catchUp is how far a session is with reading the inbox of its phone. A session pushes new messages from hints only if it has caught
// up: a message that a hint brings must not overtake one that is still in the inbox.
//
//	              needRead            start             readEnded             finish
//	caughtUp ──────────────► behind ─────────► reading ──────────► waiting ───────────► caughtUp
//	                           ▲                  │ needRead,         │ needRead,
//	                           │                  ▼ mayFind           │ mayFind
//	                           ├─ readEnded ─ readingAgain            │
//	                           ├─ readEnded ─ discarding ◄─ discard, from reading and readingAgain
//	                           └──────────────────────────────────────┘
//
// discard leads from the other states to behind, and finish from behind to caughtUp: a page that ended the inbox also contains what
// happened during its read, unless a hint says otherwise. An event that has no arrow from a state does not change it.
type catchUp uint8

const (
	caughtUp     catchUp = iota // every message that the session knows of is pushed or ended
	behind                      // the inbox may hold messages; a read starts when the connection, the window and a lane have room
	waiting                     // the last read found nothing that may be pushed now, or failed; an event decides when to read again
	reading                     // a read is running
	readingAgain                // a read is running, and something happened that it may have missed
	discarding                  // a read is running that began before read positions moved back; its page is dropped
)

// String returns the name of the state.
func (c catchUp) String() string {
	return [...]string{"caught up", "behind", "waiting", "reading", "reading again", "discarding"}[c]
}

// isReading reports whether a read is running.
func (c catchUp) isReading() bool { return c >= reading }

// needRead returns the state after the inbox may have got messages that the session does not know.
func (c catchUp) needRead() catchUp {
	switch c {
	case caughtUp, waiting:
		return behind
	case reading:
		return readingAgain
	default:
		return c
	}
}

// mayFind returns the state after a read may find more than the last one did, for example because a lane is free again. A session that
// has caught up has nothing to find.
func (c catchUp) mayFind() catchUp {
	if c == caughtUp {
		return c
	}
	return c.needRead()
}

// discard returns the state after read positions have moved back: the messages after them are read again, and the page of a running
// read does not begin there.
func (c catchUp) discard() catchUp {
	if c.isReading() {
		return discarding
	}
	return behind
}

// start returns the state after the start of a read.
func (c catchUp) start() catchUp {
	if c == behind {
		return reading
	}
	return c
}

// readEnded returns the state after the end of a read. The caller continues with finish, needRead or neither.
func (c catchUp) readEnded() catchUp {
	switch c {
	case reading:
		return waiting
	case readingAgain, discarding:
		return behind
	default:
		return c
	}
}

// finish returns the state after a page that ended the inbox.
func (c catchUp) finish() catchUp {
	if c.isReading() {
		return c
	}
	return caughtUp
}
